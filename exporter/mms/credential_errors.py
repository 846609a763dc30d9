"""Why the vendor's library has no credentials, and what each type of them needs; of its texts, known words alone.

Pure: asks nobody, and reads no environment. The library's texts can quote a token, or what a server answered.
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
"""What the library says, as a whole, and what that means."""


def fault(error: Exception) -> str:
    """Return what went wrong, without what a server said or a secret might be."""
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
        return f"cannot read {error.filename}: {error.strerror}"
    for pattern, meaning in _KNOWN:
        if found := pattern.fullmatch(str(error)):
            return meaning(found)
    return f"the Alibaba Cloud library found none ({type(error).__name__})"


def remedy(spec: Credentials) -> str:
    """Return what has to be there for credentials of this type; "" where there is nothing special about it."""
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
