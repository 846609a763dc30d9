"""Why the vendor's library has no credentials, and what each type of them needs; of its texts, known words alone.

Pure: asks nobody, and reads no environment. The library's texts can quote a token, or what a server answered.
"""

import re
from collections.abc import Callable
from typing import Final

from exporter.config_credentials import (
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
        lambda found: f"{found[1]} is not given, and {found[2]} is not set",
    ),
    (
        re.compile(r"failed to get credential from credentials file: \$(.+)"),
        lambda found: f"{found[1]} holds no such profile, or is not there",
    ),
    (
        re.compile(r"error refreshing credentials from \S+,\s+http_code[:=]\s?(\d{3}), result: .*", re.DOTALL),
        lambda found: f"who was asked for them answered with HTTP {found[1]}",
    ),
    (
        re.compile(r"Failed to get [A-Za-z ]{1,60}\. HttpCode=(\d{3})"),
        lambda found: f"the metadata service answered with HTTP {found[1]}",
    ),
    (
        re.compile(r"IMDS credentials is disabled"),
        lambda _: "ALIBABA_CLOUD_ECS_METADATA_DISABLED forbids to ask the metadata service",
    ),
    (
        re.compile(r"unable to load credentials from any of the providers in the chain: .*", re.DOTALL),
        lambda _: "nothing in the vendor's default chain has any",
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
    return f"the vendor's library found none ({type(error).__name__})"


def remedy(spec: Credentials) -> str:
    """Return what has to be there for credentials of this type; "" where there is nothing special about it."""
    match spec:
        case OidcRoleArn():
            return (
                "give role_arn, oidc_provider_arn and oidc_token_file_path, or set ALIBABA_CLOUD_ROLE_ARN, "
                "ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_OIDC_TOKEN_FILE; the role has to trust the provider"
            )
        case Profile():
            return (
                f"write a profile [{spec.profile_name}], with a type and what that needs, to "
                "~/.alibabacloud/credentials.ini or the file that ALIBABA_CLOUD_CREDENTIALS_FILE names"
            )
        case EcsRamRole():
            return "attach a RAM role to this instance, and let its metadata service, 100.100.100.200, be reached"
        case CredentialsUri():
            return "give uri or set ALIBABA_CLOUD_CREDENTIALS_URI, to what answers with keys in JSON"
        case RamRoleArn():
            return "check role_arn and its key, that the role trusts that key's owner, and that STS can be reached"
    return ""
