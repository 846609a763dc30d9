"""Error texts and hints for missing credentials. Pure.

Messages of the vendor's library may quote tokens and server responses: only known patterns pass.
"""

import re
from collections.abc import Callable
from typing import Final

from exporter.config.credential_types import (
    Credentials,
    CredentialsUri,
    EcsRamRole,
    OidcRoleArn,
    Profile,
    RamRoleArn,
)

_KNOWN: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (
        re.compile(r"([a-z_]{1,40}) or environment variable ([A-Z_]{1,60}) cannot be empty"),
        lambda found: f"{found[1]} and the environment variable {found[2]} are not set",
    ),
    (
        re.compile(r"failed to get credential from credentials file: \$(.+)"),
        lambda found: f"{found[1]} does not exist or has no such profile",
    ),
    (
        re.compile(r"error refreshing credentials from \S+,\s+http_code[:=]\s?(\d{3}), result: .*", re.DOTALL),
        lambda found: f"the credential service returned HTTP status {found[1]}",
    ),
    (
        re.compile(r"Failed to get [A-Za-z ]{1,60}\. HttpCode=(\d{3})"),
        lambda found: f"the metadata service returned HTTP status {found[1]}",
    ),
    (
        re.compile(r"IMDS credentials is disabled"),
        lambda _: "ALIBABA_CLOUD_ECS_METADATA_DISABLED disables the metadata service",
    ),
    (
        re.compile(r"unable to load credentials from any of the providers in the chain: .*", re.DOTALL),
        lambda _: "no provider of the default credential chain has credentials",
    ),
)
"""Patterns for whole messages of the library, with our text for each."""


def error_text(error: Exception) -> str:
    """Return an error text without server responses and secrets."""
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
        return f"cannot read {error.filename}: {error.strerror}"
    for pattern, text_for in _KNOWN:
        if found := pattern.fullmatch(str(error)):
            return text_for(found)
    return f"the Alibaba Cloud library found none ({type(error).__name__})"


def hint_for(spec: Credentials) -> str:
    """Return the hint for a credential type; "" if none."""
    match spec:
        case OidcRoleArn():
            return (
                "set role_arn, oidc_provider_arn and oidc_token_file_path, or ALIBABA_CLOUD_ROLE_ARN, "
                "ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_OIDC_TOKEN_FILE; the role must trust the provider"
            )
        case Profile():
            return (
                f"add a profile [{spec.profile_name}] with its type and credentials to "
                "~/.alibabacloud/credentials.ini or to the file in ALIBABA_CLOUD_CREDENTIALS_FILE"
            )
        case EcsRamRole():
            return "attach a RAM role to this instance and allow access to its metadata service, 100.100.100.200"
        case CredentialsUri():
            return "set uri or ALIBABA_CLOUD_CREDENTIALS_URI to a URI that returns credentials as JSON"
        case RamRoleArn():
            return (
                "check role_arn, the access key, that the role trusts the owner of the key, and that STS is reachable"
            )
    return ""
