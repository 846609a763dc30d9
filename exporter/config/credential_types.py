"""The `credentials` section: one record for each credential type."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from exporter.config.network import is_metadata_service, is_plain_http, sts_endpoint_errors, sts_url
from exporter.config.sections import Secret, Section


class _Credentials(Section, frozen=True, kw_only=True, tag_field="type"):
    def plain_http_fields(self) -> Iterator[str]:
        """Yield the fields with a plain http URL."""
        # Plain http would expose the credentials.
        return iter(())


class DefaultChain(_Credentials, frozen=True, kw_only=True, tag="default"):
    """The default chain of Alibaba Cloud: environment, OIDC role, CLI profile, credentials file, ECS role, URI."""


class AccessKey(_Credentials, frozen=True, kw_only=True, tag="access_key"):
    """A long-lived access key."""

    access_key_id: Annotated[str, Meta(min_length=1)]
    """AccessKey ID."""
    access_key_secret: Secret
    """AccessKey secret."""


class Sts(_Credentials, frozen=True, kw_only=True, tag="sts"):
    """A temporary access key with its STS token."""

    access_key_id: Annotated[str, Meta(min_length=1)]
    """AccessKey ID."""
    access_key_secret: Secret
    """AccessKey secret."""
    security_token: Secret
    """STS token of the access key."""


class RamRoleArn(_Credentials, frozen=True, kw_only=True, tag="ram_role_arn"):
    """A RAM role that the exporter assumes with an access key."""

    access_key_id: Annotated[str, Meta(min_length=1)]
    """AccessKey ID."""
    access_key_secret: Secret
    """AccessKey secret."""
    role_arn: Annotated[str, Meta(min_length=1)]
    """ARN of the role, such as `acs:ram::1234567890123456:role/mms-exporter`."""
    role_session_name: str = "mms-exporter"
    """Session name in the audit log (ActionTrail)."""
    policy: Secret | None = None
    """RAM policy (JSON) that restricts the permissions of the session; `config show` hides it."""
    external_id: Secret | None = None
    """External ID that the trust policy of the role requires; `config show` hides it."""
    sts_endpoint: str | None = None
    """STS endpoint, such as `sts.cn-shanghai.aliyuncs.com`; the default is the choice of the Alibaba Cloud library."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield an invalid STS endpoint."""
        return _sts_endpoint_field_errors(self.sts_endpoint)

    def plain_http_fields(self) -> Iterator[str]:
        """Yield an STS endpoint with plain http."""
        return _sts_plain_http_fields(self.sts_endpoint)


class EcsRamRole(_Credentials, frozen=True, kw_only=True, tag="ecs_ram_role"):
    """The RAM role of the ECS instance, or of the node that runs the pod."""

    role_name: str | None = None
    """Name of the role; the default is read from the metadata service."""
    disable_imds_v1: bool = False
    """Use only version 2 of the metadata service."""


class OidcRoleArn(_Credentials, frozen=True, kw_only=True, tag="oidc_role_arn"):
    """A RAM role that the exporter assumes with an OIDC token (RRSA). Defaults come from ALIBABA_CLOUD_* variables."""

    role_arn: str | None = None
    """ARN of the role; the default is ALIBABA_CLOUD_ROLE_ARN."""
    oidc_provider_arn: str | None = None
    """ARN of the OIDC provider; the default is ALIBABA_CLOUD_OIDC_PROVIDER_ARN."""
    oidc_token_file_path: str | None = None
    """Token file; the default is ALIBABA_CLOUD_OIDC_TOKEN_FILE. Read again each time the role is assumed."""
    role_session_name: str = "mms-exporter"
    """Session name in the audit log (ActionTrail)."""
    policy: Secret | None = None
    """RAM policy (JSON) that restricts the permissions of the session; `config show` hides it."""
    sts_endpoint: str | None = None
    """STS endpoint, such as `sts.cn-shanghai.aliyuncs.com`; the default is the choice of the Alibaba Cloud library."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield an invalid STS endpoint."""
        return _sts_endpoint_field_errors(self.sts_endpoint)

    def plain_http_fields(self) -> Iterator[str]:
        """Yield an STS endpoint with plain http."""
        return _sts_plain_http_fields(self.sts_endpoint)


class CredentialsUri(_Credentials, frozen=True, kw_only=True, tag="credentials_uri"):
    """A URI that returns temporary credentials."""

    uri: Secret | None = None
    """The URI, which is a secret; the default is ALIBABA_CLOUD_CREDENTIALS_URI."""

    def plain_http_fields(self) -> Iterator[str]:
        """Yield a URI with plain http."""
        # The metadata service is the exception: it has only plain http.
        uri = self.uri.text if self.uri else ""
        if is_plain_http(uri) and not is_metadata_service(uri):
            yield "uri"


class Profile(_Credentials, frozen=True, kw_only=True, tag="profile"):
    """A profile of the Alibaba Cloud credentials file, `~/.alibabacloud/credentials.ini`."""

    profile_name: str = "default"
    """Section of that file."""


Credentials = DefaultChain | AccessKey | Sts | RamRoleArn | EcsRamRole | OidcRoleArn | CredentialsUri | Profile


def _sts_endpoint_field_errors(endpoint: str | None) -> Iterator[tuple[str, str]]:
    return (("sts_endpoint", reason) for reason in (sts_endpoint_errors(endpoint) if endpoint is not None else ()))


def _sts_plain_http_fields(endpoint: str | None) -> Iterator[str]:
    if endpoint is not None and is_plain_http(sts_url(endpoint)):
        yield "sts_endpoint"
