"""The part of the configuration that says who calls: one record for each way to have credentials."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from exporter.config_network import is_metadata_service, is_plain_http, sts_endpoint_faults, sts_url
from exporter.shapes import Secret, Section


class _Credentials(Section, frozen=True, kw_only=True, tag_field="type"):
    def in_clear(self) -> Iterator[str]:
        """Yield the fields by which keys are asked for over plain http, where others can read them on the way."""
        return iter(())


class DefaultChain(_Credentials, frozen=True, kw_only=True, tag="default"):
    """The vendor's default chain: environment, OIDC role, CLI profile, credentials file, ECS role, URI."""


class AccessKey(_Credentials, frozen=True, kw_only=True, tag="access_key"):
    """A long-lived key."""

    access_key_id: Annotated[str, Meta(min_length=1)]
    """The public part of the key."""
    access_key_secret: Secret
    """The secret part."""


class Sts(_Credentials, frozen=True, kw_only=True, tag="sts"):
    """A temporary key with its token."""

    access_key_id: Annotated[str, Meta(min_length=1)]
    """The public part of the key."""
    access_key_secret: Secret
    """The secret part."""
    security_token: Secret
    """The token that came with the key."""


class RamRoleArn(_Credentials, frozen=True, kw_only=True, tag="ram_role_arn"):
    """A role assumed with a key."""

    access_key_id: Annotated[str, Meta(min_length=1)]
    """The public part of the key."""
    access_key_secret: Secret
    """The secret part."""
    role_arn: Annotated[str, Meta(min_length=1)]
    """As in `acs:ram::1234567890123456:role/mms-exporter`."""
    role_session_name: str = "mms-exporter"
    """What the audit trail calls this program."""
    policy: Secret | None = None
    """A RAM policy (JSON) that narrows what the role may do; `config show` hides it."""
    external_id: Secret | None = None
    """The external id that the role's trust policy requires; `config show` hides it."""
    sts_endpoint: str | None = None
    """As in `sts.cn-shanghai.aliyuncs.com`; the library's own choice where it is not given."""

    def impossible(self) -> Iterator[tuple[str, str]]:
        """Yield what STS cannot be asked at."""
        return _sts_endpoint_faults(self.sts_endpoint)

    def in_clear(self) -> Iterator[str]:
        """Yield the endpoint of STS if it is asked over plain http."""
        return _sts_in_clear(self.sts_endpoint)


class EcsRamRole(_Credentials, frozen=True, kw_only=True, tag="ecs_ram_role"):
    """The role of the ECS instance, or of the pod on it."""

    role_name: str | None = None
    """Asked of the metadata service where it is not given."""
    disable_imds_v1: bool = False
    """Ask the metadata service in its second version only."""


class OidcRoleArn(_Credentials, frozen=True, kw_only=True, tag="oidc_role_arn"):
    """A role assumed with a service account's token (RRSA); what is not given comes from ALIBABA_CLOUD_* variables."""

    role_arn: str | None = None
    """ALIBABA_CLOUD_ROLE_ARN where it is not given."""
    oidc_provider_arn: str | None = None
    """ALIBABA_CLOUD_OIDC_PROVIDER_ARN where it is not given."""
    oidc_token_file_path: str | None = None
    """ALIBABA_CLOUD_OIDC_TOKEN_FILE where it is not given; read anew whenever the role is assumed."""
    role_session_name: str = "mms-exporter"
    """What the audit trail calls this program."""
    policy: Secret | None = None
    """A RAM policy (JSON) that narrows what the role may do; `config show` hides it."""
    sts_endpoint: str | None = None
    """As in `sts.cn-shanghai.aliyuncs.com`; the library's own choice where it is not given."""

    def impossible(self) -> Iterator[tuple[str, str]]:
        """Yield what STS cannot be asked at."""
        return _sts_endpoint_faults(self.sts_endpoint)

    def in_clear(self) -> Iterator[str]:
        """Yield the endpoint of STS if it is asked over plain http."""
        return _sts_in_clear(self.sts_endpoint)


class CredentialsUri(_Credentials, frozen=True, kw_only=True, tag="credentials_uri"):
    """A URI that answers with temporary credentials."""

    uri: Secret | None = None
    """As secret as what it answers. ALIBABA_CLOUD_CREDENTIALS_URI where it is not given."""

    def in_clear(self) -> Iterator[str]:
        """Yield the URI if it is asked over plain http, which is the only way to ask the metadata service."""
        uri = self.uri.text if self.uri else ""
        if is_plain_http(uri) and not is_metadata_service(uri):
            yield "uri"


class Profile(_Credentials, frozen=True, kw_only=True, tag="profile"):
    """A profile of the vendor's credentials file, `~/.alibabacloud/credentials.ini`."""

    profile_name: str = "default"
    """The section of that file."""


Credentials = DefaultChain | AccessKey | Sts | RamRoleArn | EcsRamRole | OidcRoleArn | CredentialsUri | Profile


def _sts_endpoint_faults(endpoint: str | None) -> Iterator[tuple[str, str]]:
    return (("sts_endpoint", reason) for reason in (sts_endpoint_faults(endpoint) if endpoint is not None else ()))


def _sts_in_clear(endpoint: str | None) -> Iterator[str]:
    if endpoint is not None and is_plain_http(sts_url(endpoint)):
        yield "sts_endpoint"
