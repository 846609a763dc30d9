"""The web configuration file, in the format of Prometheus' exporter-toolkit.

Owns keys, defaults and validation. `tls` reads the certificates.
"""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from ssl import TLSVersion
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, field

from exporter.config.sections import Secret, Section, hide_unusual_key, parse_section
from exporter.errors import ConfigError, Problem

VERSIONS: Final = {
    "TLS10": TLSVersion.TLSv1,
    "TLS11": TLSVersion.TLSv1_1,
    "TLS12": TLSVersion.TLSv1_2,
    "TLS13": TLSVersion.TLSv1_3,
}
"""Oldest first."""
CIPHERS: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""Suites up to TLS 1.2 that Go considers secure."""
CIPHERS_OF_TLS13: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
"""Accepted without effect: neither Go nor Python can select them."""
CIPHERS_OF_HTTP2: Final = frozenset(
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}
)
"""Go requires one of these for HTTP/2 over TLS 1.2."""
CURVES: Final = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
NO_CLIENT_CERTIFICATE: Final = ("NoClientCert", "RequestClientCert")
"""Policies that reject no client; a certificate that is requested but not checked makes no difference."""
UNVERIFIED_CLIENT_CERTIFICATE: Final = ("RequireAnyClientCert", "RequireClientCert")
"""Policies that accept unverified certificates; not supported, because Python verifies every certificate."""
VERIFIED_CLIENT_CERTIFICATE: Final = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")

DEFAULT_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
}
"""Defaults; headers that the handler set take precedence."""
SERVER_HEADER: Final = "mms-exporter"
"""Replaces aiohttp's header, which names its version and that of Python."""
HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""Allowed headers with their allowed values; () allows any."""

_HASH: Final = re.compile(r"\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)
"""Cost, 22 characters of salt, 31 of digest. The salt has 128 bits, so its last character is one of four."""
MAX_COST: Final = 16
"""Maximum bcrypt cost: about 3 s per login. Each increment doubles the time and delays other logins."""
_DURATION: Final = re.compile(r"0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
MAX_INTERVAL_SECONDS: Final = 86400
_OPTIONAL_TEXTS: Final = frozenset(
    {"cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file", "client_auth_type"}
)


class TlsServer(Section, frozen=True, kw_only=True):
    """TLS settings; TLS is enabled if a certificate is set. File names are relative to the directory of this file."""

    cert: str = ""
    """Certificate chain in PEM, instead of cert_file."""
    key: Secret | None = None
    """Private key in PEM, unencrypted, instead of key_file."""
    client_ca: str = ""
    """CA certificates for client certificates in PEM, instead of client_ca_file."""
    cert_file: str = ""
    """File with the certificate chain in PEM."""
    key_file: str = ""
    """File with the private key in PEM, unencrypted."""
    client_auth_type: str = "NoClientCert"
    """NoClientCert, RequestClientCert (equivalent here), VerifyClientCertIfGiven or RequireAndVerifyClientCert."""
    client_ca_file: str = ""
    """File with the CA certificates for client certificates in PEM."""
    client_allowed_sans: tuple[str, ...] = ()
    """Allowed names of client certificates: DNS name, IP address, e-mail address or URI; empty allows any."""
    min_version: str = "TLS12"
    """Minimum TLS version: TLS10, TLS11, TLS12 or TLS13."""
    max_version: str = "TLS13"
    """Maximum TLS version."""
    cipher_suites: tuple[str, ...] = ()
    """Cipher suites up to TLS 1.2, by their Go names; empty selects the defaults of Python."""
    prefer_server_cipher_suites: bool = True
    """Use the order of cipher_suites instead of the client's order."""
    curve_preferences: tuple[str, ...] = ()
    """One of CurveP256, CurveP384, CurveP521, X25519; all of them, or none, for no restriction."""

    @property
    def is_given(self) -> bool:
        """Whether TLS is enabled; as in the toolkit, an incomplete section is an error."""
        texts = (self.cert, self.cert_file, self.key, self.key_file, self.client_ca, self.client_ca_file)
        return any(texts) or self.client_auth_type != "NoClientCert"

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield missing, duplicate and unsupported settings."""
        if self.is_given:
            yield from self._certificate_errors()
        yield from self._client_auth_errors()
        yield from self._version_errors()
        yield from self._cipher_errors()
        yield from self._curve_errors()

    def _certificate_errors(self) -> Iterator[tuple[str, str]]:
        for name in ("cert", "key", "client_ca"):
            inline, file = getattr(self, name), getattr(self, f"{name}_file")
            if inline and file:
                yield name, f"expected either {name} or {name}_file, not both"
            elif not inline and not file and name != "client_ca":
                yield name, f"expected {name} or {name}_file; TLS needs both a certificate and its key"

    def _client_auth_errors(self) -> Iterator[tuple[str, str]]:
        policies = (*NO_CLIENT_CERTIFICATE, *VERIFIED_CLIENT_CERTIFICATE)
        if self.client_auth_type in UNVERIFIED_CLIENT_CERTIFICATE:
            yield (
                "client_auth_type",
                "is not supported: it accepts certificates without verification; use " + policies[-1],
            )
        elif self.client_auth_type not in policies:
            yield "client_auth_type", f"expected one of {', '.join(policies)}"
        elif self.client_auth_type == "NoClientCert" and (self.client_ca or self.client_ca_file):
            yield "client_auth_type", f"must be set with a client CA: {' or '.join(VERIFIED_CLIENT_CERTIFICATE)}"
        elif self.client_allowed_sans and self.client_auth_type not in VERIFIED_CLIENT_CERTIFICATE:
            yield "client_allowed_sans", f"requires client_auth_type {' or '.join(VERIFIED_CLIENT_CERTIFICATE)}"

    def _version_errors(self) -> Iterator[tuple[str, str]]:
        known = list(VERSIONS)
        unknown = [name for name in ("min_version", "max_version") if getattr(self, name) not in VERSIONS]
        yield from ((name, f"expected one of {', '.join(known)}") for name in unknown)
        if not unknown and known.index(self.min_version) > known.index(self.max_version):
            yield "min_version", "is above max_version"

    def _cipher_errors(self) -> Iterator[tuple[str, str]]:
        for index, name in enumerate(self.cipher_suites):
            if name not in CIPHERS and name not in CIPHERS_OF_TLS13:
                yield f"cipher_suites[{index}]", "expected the Go name of a cipher suite that Go considers secure"
        if self.cipher_suites and self.max_version != "TLS13" and CIPHERS_OF_TLS13.issuperset(self.cipher_suites):
            yield "cipher_suites", f"has no cipher suite for {self.max_version}"

    def _curve_errors(self) -> Iterator[tuple[str, str]]:
        unknown = [index for index, name in enumerate(self.curve_preferences) if name not in CURVES]
        yield from ((f"curve_preferences[{index}]", f"expected one of {', '.join(CURVES)}") for index in unknown)
        if not unknown and 1 < len(set(self.curve_preferences)) < len(CURVES):
            yield "curve_preferences", "expected one curve or all of them; Python cannot select a subset"


class HttpServer(Section, frozen=True, kw_only=True):
    """HTTP settings."""

    http2: bool = True
    """Accepted for compatibility; the exporter always serves HTTP/1.1."""
    headers: dict[str, str | int] = field(default_factory=dict)
    """Headers of every response: Content-Security-Policy, X-Frame-Options, X-Content-Type-Options, X-XSS-Protection,
    Strict-Transport-Security."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield headers that are not allowed, or have invalid values."""
        for name, value in self.headers.items():
            where = f"headers.{hide_unusual_key(name)}"
            if name not in HEADERS:
                yield where, f"is not allowed; allowed headers: {', '.join(HEADERS)}"
            elif HEADERS[name] and value not in HEADERS[name]:
                yield where, f"expected {' or '.join(HEADERS[name])}"
            elif not str(value).isprintable() or not str(value).isascii():
                yield where, "expected printable ASCII"


class RateLimit(Section, frozen=True, kw_only=True):
    """Rate limit (token bucket) over all requests."""

    interval: str | int = "0"
    """Average time between two requests, such as `1s`; 0 disables the limit."""
    burst: Annotated[int, Meta(ge=0)] = 0
    """Maximum burst of requests; 0 rejects every request if an interval is set."""

    @property
    def interval_seconds(self) -> float:
        """The interval in seconds; 0 for no limit."""
        parts = re.findall(r"([\d.]+)([^\d.]+)", str(self.interval))
        return sum(float(amount) * _UNITS[unit] for amount, unit in parts)

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield an invalid interval."""
        if not _DURATION.fullmatch(str(self.interval)):
            yield "interval", "expected a duration such as 1s, 500ms or 1m30s, or 0"
        elif self.interval_seconds > MAX_INTERVAL_SECONDS:
            yield "interval", "expected at most 24h"


class WebConfig(Section, frozen=True, kw_only=True):
    """The web configuration file."""

    tls_server_config: TlsServer = field(default_factory=TlsServer)
    """TLS settings."""
    http_server_config: HttpServer = field(default_factory=HttpServer)
    """HTTP settings."""
    basic_auth_users: dict[str, Secret] = field(default_factory=dict)
    """User names with bcrypt hashes of their passwords; empty disables basic auth."""
    auth_excluded_paths: tuple[str, ...] = ()
    """Paths without authentication, matched exactly, such as /-/healthy and /-/ready for probes."""
    rate_limit: RateLimit = field(default_factory=RateLimit)
    """Rate limit over all requests."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield invalid hashes, paths and combinations."""
        for user, hashed in self.basic_auth_users.items():
            yield from (
                (f"basic_auth_users.{hide_unusual_key(user)}", reason) for reason in _user_errors(user, hashed.text)
            )
        for index, path in enumerate(self.auth_excluded_paths):
            if not path.startswith("/"):
                yield f"auth_excluded_paths[{index}]", "expected a path such as /-/healthy"
        tls = self.tls_server_config
        if (
            self.http_server_config.http2
            and tls.cipher_suites
            and tls.min_version != "TLS13"
            and not CIPHERS_OF_HTTP2.intersection(tls.cipher_suites)
        ):
            yield (
                "tls_server_config.cipher_suites",
                (f"HTTP/2 needs one of {', '.join(sorted(CIPHERS_OF_HTTP2))}; or set http_server_config.http2: false"),
            )


def _user_errors(user: str, hashed: str) -> Iterator[str]:
    if not (found := _HASH.fullmatch(hashed)):
        yield "expected a bcrypt hash, such as from: htpasswd -nBC 10 NAME"
    elif int(found[1]) > MAX_COST:
        yield f"expected a bcrypt cost of at most {MAX_COST}; a higher cost makes each login take seconds"
    if ":" in user:
        yield "expected a user name without a colon"


def web_config_from(raw: object) -> WebConfig:
    """Parse a raw mapping; None means an empty file. Raises: ConfigError."""
    problems: list[Problem] = []
    config = parse_section(WebConfig, _without_empty_keys(raw), "", problems)
    if config is None or problems:
        raise ConfigError(*problems)
    return config


def _without_empty_keys(raw: object) -> object:
    # The toolkit treats known keys without a value as absent.
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        return raw
    sections: dict[str, type[Section]] = {
        "tls_server_config": TlsServer,
        "http_server_config": HttpServer,
        "rate_limit": RateLimit,
    }
    inner = {
        key: _non_empty(sections[key], value) if _is_key_of(key, sections) else value for key, value in raw.items()
    }
    return _non_empty(WebConfig, inner)


def _non_empty(kind: type[Section], raw: object) -> Any:  # noqa: ANN401 - `parse_section` reports other types
    if not isinstance(raw, Mapping):
        return raw
    known = {each.encode_name for each in msgspec.structs.fields(kind)}
    return {key: value for key, value in raw.items() if not (_is_key_of(key, known) and _is_empty(key, value))}


def _is_empty(key: str, value: object) -> bool:
    return value is None or (value == "" and key in _OPTIONAL_TEXTS)


def _is_key_of(key: object, known: object) -> bool:
    return isinstance(key, str) and key in known  # type: ignore[operator]  # a set or a mapping


def add_default_headers(headers: MutableMapping[str, str]) -> None:
    """Add the headers that the handler did not set."""
    headers["Server"] = SERVER_HEADER
    for name, value in DEFAULT_HEADERS.items():
        headers.setdefault(name, value)


def add_configured_headers(headers: MutableMapping[str, str], configured: Mapping[str, object]) -> None:
    """Set the configured headers; an empty text removes the header."""
    for name, value in configured.items():
        if value == "":
            headers.pop(name, None)
        else:
            headers[name] = str(value)
