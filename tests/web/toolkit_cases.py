"""The test cases of the toolkit with their outcomes, and additional ones."""

import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.web.http_fixture import REFUSED, Certificates, ask

PAIR = "cert_file: server.pem\n  key_file: server.key\n"
GIVEN = f"tls_server_config:\n  {PAIR}  client_auth_type: VerifyClientCertIfGiven\n"
REQUIRED = f"tls_server_config:\n  {PAIR}  client_auth_type: RequireAndVerifyClientCert\n"
USERS = """basic_auth_users:
  alice: $2y$05$K9IqkpLCtRxRTN.U/LQ.V.mFO3s1bdajw9JfQZxNhxEbT1gBXiUES
  carol: $2y$05$MPe2e2UyCpACll5Ahzg.oOMjM3XFsJ3oQWXx.REgL05Hxjgf5DAA6
  dave: $2y$05$rpuXrTplECsQ5ePBWc82peXm.9oqZajLTN9IShHh/ThbSxNiBQP3K
"""

ACCEPTED = {
    "empty config yml": "",
    "null sections": "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\n",
    "all ciphers": GIVEN
    + "  cipher_suites:\n"
    + "".join(
        f"  - TLS_{name}\n"
        for name in (
            "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "AES_128_GCM_SHA256",
            "AES_256_GCM_SHA384",
            "CHACHA20_POLY1305_SHA256",
            "ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
            "ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
            "ECDHE_RSA_WITH_AES_128_CBC_SHA",
            "ECDHE_RSA_WITH_AES_256_CBC_SHA",
        )
    ),
    "all curves": GIVEN + "  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]\n",
    "required client certificates without a CA": REQUIRED,
    "nulls": "tls_server_config: {min_version: , cipher_suites: , cert_file: }\nhttp_server_config: {http2: }\n",
    "empty texts": "tls_server_config: {cert_file: '', key_file: '', client_ca_file: '', client_auth_type: ''}\n",
    "headers": """http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000; includeSubDomains
    X-Content-Type-Options: nosniff
    X-XSS-Protection: 1
    Content-Security-Policy: "default-src 'self' *.test.example.net"
""",
}
REFUSED_AT_START = {
    "junk": "hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n",
    "junk key": "tls_server_config:\n  cert_filse: server.pem\n",
    "cert path empty": 'tls_server_config:\n  cert_file: ""\n  key_file: server.key\n',
    "key path empty": 'tls_server_config:\n  cert_file: server.pem\n  key_file: ""\n',
    "cert path and key path empty": 'tls_server_config:\n  cert_file: ""\n  key_file: ""\n  client_auth_type: x\n',
    "cert path invalid": "tls_server_config:\n  cert_file: somefile\n  key_file: server.key\n",
    "key path invalid": "tls_server_config:\n  cert_file: server.pem\n  key_file: somefile\n",
    "cert path and key path invalid": "tls_server_config:\n  cert_file: somefile\n  key_file: somefile\n",
    "cert and key of two certificates": "tls_server_config:\n  cert_file: server.pem\n  key_file: client.key\n",
    "client CA without a policy": f"tls_server_config:\n  {PAIR}  client_ca_file: /dev/null\n",
    "client CA path invalid": f"tls_server_config:\n  {PAIR}  client_ca_file: somefile\n",
    "client auth type invalid": f"tls_server_config:\n  {PAIR}  client_auth_type: Sometimes\n",
    "user list invalid": "basic_auth_users:\n  john: doe\n",
    "user without a hash": "basic_auth_users:\n  john:\n",
    "bad cipher": GIVEN + "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]\n",
    "bad curve": GIVEN + "  curve_preferences: [CurveP257]\n",
    "bad TLS version": GIVEN + "  min_version: TLS111\n",
    "X-Content-Type-Options invalid": "http_server_config:\n  headers: {X-Content-Type-Options: sniff}\n",
    "X-Frame-Options invalid": "http_server_config:\n  headers: {X-Frame-Options: foo}\n",
    "a header that is not to be set": "http_server_config:\n  headers: {Content-Type: foo}\n",
    "a key given twice": "basic_auth_users: {}\nbasic_auth_users: {}\n",
    "min_version empty": "tls_server_config: {min_version: ''}\n",
    "cipher suites empty": "tls_server_config: {cipher_suites: ''}\n",
    "TLS section empty": "tls_server_config: ''\n",
    "http2 empty": "http_server_config: {http2: ''}\n",
    "X-Frame-Options empty": "http_server_config:\n  headers: {X-Frame-Options: ''}\n",
}
NEWER_ACCEPTED = {
    "rate limit off": "rate_limit:\n  interval: 0\n  burst: 0\n",
    "rate limit": 'rate_limit:\n  interval: "1s"\n  burst: 0\n',
}
NEWER_REFUSED = {
    "cert empty": 'tls_server_config:\n  cert: ""\n  key_file: server.key\n',
    "key empty": 'tls_server_config:\n  cert_file: server.pem\n  key: ""\n',
    "interval empty": "rate_limit: {interval: '', burst: 1}\n",
    "burst empty": "rate_limit: {interval: 1s, burst: ''}\n",
}
"""Refused by older toolkits too, for the key they do not know."""


@dataclass(frozen=True)
class Client:
    """Parameters of a client."""

    is_tls: bool = True
    certificate: str | None = None
    auth: tuple[str, str] | None = None
    set_up: Callable[[ssl.SSLContext], None] = lambda _: None
    """What it changes of its context."""
    times: int = 1

    async def asks(self, port: int, certificates: Certificates) -> list[int | str]:
        """Return the status of each request."""
        context = certificates.client_context(self.certificate) if self.is_tls else None
        if context is not None:
            self.set_up(context)
        return [await ask(port, context, self.auth) for _ in range(self.times)]


def ciphers(names: str) -> Callable[[ssl.SSLContext], None]:
    """Return a function that restricts a client to ciphers of TLS 1.2."""

    def set_up(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(names)

    return set_up


def at_most_tls11(context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1


def curve(name: str) -> Callable[[ssl.SSLContext], None]:
    return lambda context: context.set_ecdh_curve(name)


PLAIN = Client(is_tls=False)
TLS = Client()
SOME_CIPHERS = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
"""ECDSA, as the certificates made here are."""
NO_HTTP2_CIPHER = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  max_version: TLS12\n"
BEHAVIOUR: dict[str, tuple[str, list[tuple[str, Client, int | str]]]] = {
    "no TLS": (
        "",
        [("default client", PLAIN, 200), ("TLS client", TLS, REFUSED)],
    ),
    "TLS": (
        GIVEN,
        [
            ("default client", PLAIN, REFUSED),
            ("TLS client", TLS, 200),
            ("TLS 1.1 client", replace(TLS, set_up=at_most_tls11), REFUSED),
        ],
    ),
    "TLS 1.1": (
        GIVEN + "  min_version: TLS10\n  max_version: TLS11\n",
        [("TLS client", TLS, REFUSED), ("TLS 1.1 client", replace(TLS, set_up=at_most_tls11), 200)],
    ),
    "some ciphers": (
        GIVEN + SOME_CIPHERS + "  max_version: TLS12\n",
        [
            ("one of them", replace(TLS, set_up=ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")), 200),
            ("no common cipher", replace(TLS, set_up=ciphers("ECDHE-ECDSA-AES256-SHA")), REFUSED),
        ],
    ),
    "only ciphers of TLS 1.3": (
        GIVEN + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\nhttp_server_config: {http2: false}\n",
        [
            ("TLS client", TLS, 200),
            ("TLS 1.2 client", replace(TLS, set_up=ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")), REFUSED),
        ],
    ),
    "some curves": (
        GIVEN + "  min_version: TLS13\n  curve_preferences: [CurveP521]\n",
        [
            ("that curve", replace(TLS, set_up=curve("secp521r1")), 200),
            ("no common curve", replace(TLS, set_up=curve("secp384r1")), REFUSED),
        ],
    ),
    "non-HTTP/2 ciphers": (
        GIVEN + NO_HTTP2_CIPHER + "http_server_config: {http2: false}\n",
        [("TLS client", TLS, 200)],
    ),
    "required client certificates": (
        REQUIRED + "  client_ca_file: clients_ca.pem\n",
        [
            ("present certificate", replace(TLS, certificate="client"), 200),
            ("no certificate", TLS, REFUSED),
            ("a certificate of another CA", replace(TLS, certificate="other"), REFUSED),
        ],
    ),
    "client certificates if given": (
        GIVEN + "  client_ca_file: clients_ca.pem\n",
        [
            ("present certificate", replace(TLS, certificate="client"), 200),
            ("no certificate", TLS, 200),
            ("a certificate of another CA", replace(TLS, certificate="other"), REFUSED),
        ],
    ),
    "requested client certificates": (
        f"tls_server_config:\n  {PAIR}  client_auth_type: RequestClientCert\n",
        [("no certificate", TLS, 200), ("a certificate of another CA", replace(TLS, certificate="other"), 200)],
    ),
    "required client certificates without a CA": (
        REQUIRED,
        [("no certificate", TLS, REFUSED), ("present certificate", replace(TLS, certificate="client"), REFUSED)],
    ),
    "users without TLS": (
        USERS,
        [
            ("without basic auth", PLAIN, 401),
            ("with correct basic auth", replace(PLAIN, auth=("dave", "dave123")), 200),
        ],
    ),
    "users and TLS": (
        f"tls_server_config:\n  {PAIR}{USERS}",
        [
            ("without basic auth", TLS, 401),
            ("with correct basic auth", replace(TLS, auth=("dave", "dave123")), 200),
            ("with another correct basic auth", replace(TLS, auth=("carol", "carol123")), 200),
            ("with bad password", replace(TLS, auth=("dave", "bad")), 401),
            ("with another user's password", replace(TLS, auth=("dave", "carol123")), 401),
            ("with bad username", replace(TLS, auth=("nonexistent", "nonexistent")), 401),
            ("with nothing", replace(TLS, auth=("", "")), 401),
        ],
    ),
}
SAN = REQUIRED + "  client_ca_file: clients_ca.pem\n"
NEWER_BEHAVIOUR: dict[str, tuple[str, list[tuple[str, Client, int | str]]]] = {
    "allowed SAN": (
        SAN + "  client_allowed_sans: [one, test3, two]\n",
        [("good SAN DNS entry", replace(TLS, certificate="client"), 200)],
    ),
    "allowed SAN, an address": (
        SAN + "  client_allowed_sans: [192.0.2.7]\n",
        [("good SAN IP entry", replace(TLS, certificate="client"), 200)],
    ),
    "allowed SAN, an e-mail address": (
        SAN + "  client_allowed_sans: [someone@example.com]\n",
        [("good SAN e-mail entry", replace(TLS, certificate="client"), 200)],
    ),
    "no allowed SAN": (
        SAN + "  client_allowed_sans: [bad]\n",
        [("invalid SAN DNS entries", replace(TLS, certificate="client"), REFUSED)],
    ),
    "allowed SAN where a certificate may be missing": (
        GIVEN + "  client_ca_file: clients_ca.pem\n  client_allowed_sans: [test3]\n",
        [("no certificate", TLS, REFUSED), ("good SAN", replace(TLS, certificate="client"), 200)],
    ),
    "no rate limit": ("rate_limit: {interval: 0, burst: 0}\n", [("ten requests", replace(PLAIN, times=10), 200)]),
    "a rate limit of nothing": (
        "rate_limit: {interval: 1s, burst: 0}\n",
        [("ten requests", replace(PLAIN, times=10), 429)],
    ),
}
