"""A tls_server_config -> the ssl.SSLContext that serves it: reads certificates, keys and CAs. Knows nothing of HTTP."""

import contextlib
import ipaddress
import os
import re
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from exporter.errors import ConfigError, Problem
from exporter.web.security.tls_names import CIPHERS, CURVES, VERIFIED_CLIENT_CERTIFICATE, VERSIONS
from exporter.web.security.web_config import TlsServer

_SECTION: Final = "tls_server_config"
_LEGACY: Final = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
_AEAD_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""The default for TLS 1.2; Python's own has CBC suites too."""
_LEGACY_CIPHERS: Final = f"{_AEAD_CIPHERS}:ECDHE+AES"
"""TLS 1.0 and 1.1 have CBC suites only."""
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----", re.ASCII)
_BEGINS_CERTIFICATE: Final = b"CERTIFICATE-----"
_BEGINS_KEY: Final = b"PRIVATE KEY-----"
_ENCRYPTED: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


class _NamedClients(ssl.SSLObject):
    """Ends the handshake of a client whose certificate has none of the allowed names, or that has none."""

    def do_handshake(self) -> None:
        """Shake hands, and look at the names. Raises: ssl.SSLError."""
        super().do_handshake()
        allowed = self.context.allowed_sans if isinstance(self.context, _Context) else frozenset()
        if allowed.isdisjoint(_names(self.getpeercert() or {})):
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, "the client certificate has no allowed SAN")


class _Context(ssl.SSLContext):
    allowed_sans: frozenset[str] = frozenset()


def server_context(section: TlsServer, folder: Path) -> ssl.SSLContext:
    """Return what serves `section`; file names are relative to `folder`. Raises: ConfigError with every problem."""
    problems: list[Problem] = []
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    _set_versions(context, section)
    certificate = _content(section.cert, section.cert_file, "cert_file", folder, problems)
    key = _content(section.key.text if section.key else "", section.key_file, "key_file", folder, problems)
    if certificate and key:
        problems += _load_pair(context, section, certificate, key)
    problems += _load_clients(context, section, folder)
    if problems:
        raise ConfigError(*problems)
    return context


def _content(inline: str, file: str, name: str, folder: Path, problems: list[Problem]) -> bytes:
    if not file:
        return inline.encode(errors="replace")
    try:
        content = (folder / file).read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no name of a file"
        problems.append(Problem(f"{_SECTION}.{name}", f"cannot read {_absolute(folder / file)}: {reason}"))
        return b""
    if not content:
        problems.append(Problem(f"{_SECTION}.{name}", f"{file} is empty"))
    return content


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:  # the working directory is gone
        return path


def _set_versions(context: ssl.SSLContext, section: TlsServer) -> None:
    suites = [CIPHERS[name] for name in section.cipher_suites if name in CIPHERS]
    lowest = VERSIONS[section.min_version]
    if section.cipher_suites and not suites:
        lowest = ssl.TLSVersion.TLSv1_3  # only suites of TLS 1.3 are named, so nothing older can be spoken
    ciphers = ":".join(suites) or (_LEGACY_CIPHERS if lowest in _LEGACY else _AEAD_CIPHERS)
    # OpenSSL 3 supports the legacy versions at its lowest security level only.
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0" if lowest in _LEGACY else ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # who asks for TLS 1.0 was told by the documentation
        context.minimum_version = lowest
        context.maximum_version = VERSIONS[section.max_version]
    if not section.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if len(set(section.curve_preferences)) == 1:
        context.set_ecdh_curve(CURVES[section.curve_preferences[0]])


def _unfit(section: TlsServer, certificate: bytes, key: bytes) -> Iterator[Problem]:
    """Yield what is wrong with a pair that OpenSSL refused, where that is seen; OpenSSL has one name for it all."""
    if _BEGINS_CERTIFICATE not in certificate:
        yield Problem(f"{_SECTION}.{'cert_file' if section.cert_file else 'cert'}", "holds no certificate in PEM")
    where = f"{_SECTION}.{'key_file' if section.key_file else 'key'}"
    if _BEGINS_KEY not in key:
        yield Problem(where, "holds no private key in PEM")
    elif any(mark in key for mark in _ENCRYPTED):
        yield Problem(where, "the key is encrypted; give one without a password")


def _load_pair(context: ssl.SSLContext, section: TlsServer, certificate: bytes, key: bytes) -> Iterator[Problem]:
    with _file_with(certificate) as certificate_file, _file_with(key) as key_file:
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate_file, key_file, password=b"")
        except (ssl.SSLError, ValueError) as error:
            unknown = Problem(f"{_SECTION}.cert", f"certificate and key cannot be used: {_reason(error)}")
            yield from [*_unfit(section, certificate, key)] or [unknown]


def _load_clients(context: _Context, section: TlsServer, folder: Path) -> Iterator[Problem]:
    if section.client_auth_type not in VERIFIED_CLIENT_CERTIFICATE:
        return
    must = section.client_auth_type == "RequireAndVerifyClientCert"
    context.verify_mode = ssl.CERT_REQUIRED if must else ssl.CERT_OPTIONAL
    if section.client_allowed_sans:
        context.allowed_sans = frozenset(map(_normal, section.client_allowed_sans))
        context.sslobject_class = _NamedClients
    if not section.client_ca and not section.client_ca_file:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    unread: list[Problem] = []
    content = _content(section.client_ca, section.client_ca_file, "client_ca_file", folder, unread)
    yield from unread
    found = _CERTIFICATE.findall(content.decode("latin-1"))
    try:
        if not unread:
            context.load_verify_locations(cadata="\n".join(found))
    except (ssl.SSLError, ValueError) as error:
        reason = _reason(error) if found else "it holds no certificate"
        name = "client_ca_file" if section.client_ca_file else "client_ca"
        yield Problem(f"{_SECTION}.{name}", f"cannot be used: {reason}")


@contextlib.contextmanager
def _file_with(content: bytes) -> Iterator[str]:
    """Provide the name of a file in memory: `ssl` takes certificates from files only, and a key is not for the disk."""
    handle = os.memfd_create("pem")
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(content)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    """Return OpenSSL's word for what is wrong, of a fixed list."""
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return (reason or "not PEM").lower().replace("_", " ")


def _names(certificate: object) -> Iterator[str]:
    names = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
    for kind, name in names:
        if kind in ("DNS", "email", "IP Address", "URI"):
            yield _normal(name)


def _normal(name: str) -> str:
    """Return a name so that one address has one form."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name
