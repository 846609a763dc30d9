"""The `credentials` section: one record for each credential type."""

from collections.abc import Iterator
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from exporter.config.network import address_errors, is_plain_http
from exporter.config.sections import Secret, Section

_EXPECTED_STS_ENDPOINT: Final = "expected a host such as sts.cn-shanghai.aliyuncs.com"
_METADATA_SERVICE: Final = "100.100.100.200"
"""Address of the ECS metadata service. It is local to the instance and serves only plain http."""


class _Credentials(Section, frozen=True, kw_only=True, tag_field="type"):
    @property
    def _sts_url(self) -> str | None:
        endpoint = getattr(self, "sts_endpoint", None)
        return endpoint if endpoint is None or "://" in endpoint else f"https://{endpoint}"

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield an invalid STS endpoint."""
        if (url := self._sts_url) is not None:
            yield from (("sts_endpoint", reason) for reason in address_errors(url, _EXPECTED_STS_ENDPOINT))

    def plain_http_fields(self) -> Iterator[str]:
        """Yield the fields with a plain http URL, which would expose the credentials."""
        if (url := self._sts_url) is not None and is_plain_http(url):
            yield "sts_endpoint"


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


class CredentialsUri(_Credentials, frozen=True, kw_only=True, tag="credentials_uri"):
    """A URI that returns temporary credentials."""

    uri: Secret | None = None
    """The URI, which is a secret; the default is ALIBABA_CLOUD_CREDENTIALS_URI."""

    def plain_http_fields(self) -> Iterator[str]:
        """Yield a URI with plain http."""
        uri = self.uri.text if self.uri else ""
        if is_plain_http(uri) and urlsplit(uri).hostname != _METADATA_SERVICE:
            yield "uri"


class Profile(_Credentials, frozen=True, kw_only=True, tag="profile"):
    """A profile of the Alibaba Cloud credentials file, `~/.alibabacloud/credentials.ini`."""

    profile_name: str = "default"
    """Section of that file."""


Credentials = DefaultChain | AccessKey | Sts | RamRoleArn | EcsRamRole | OidcRoleArn | CredentialsUri | Profile
