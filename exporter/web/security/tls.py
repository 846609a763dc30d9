"""Builds the ssl.SSLContext for a tls_server_config; reads certificates, keys and CAs. Knows no HTTP."""

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
from exporter.web.security.web_config import CIPHERS, CURVES, VERIFIED_CLIENT_CERTIFICATE, VERSIONS, TlsServer

_SECTION: Final = "tls_server_config"
_LEGACY: Final = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
_AEAD_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Default for TLS 1.2; the default of Python includes CBC suites."""
_LEGACY_CIPHERS: Final = f"{_AEAD_CIPHERS}:ECDHE+AES"
"""TLS 1.0 and 1.1 have only CBC suites."""
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----", re.ASCII)
_CERTIFICATE_MARK: Final = b"CERTIFICATE-----"
_KEY_MARK: Final = b"PRIVATE KEY-----"
_ENCRYPTED_KEY_MARKS: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


class _SanVerifyingObject(ssl.SSLObject):
    """Rejects clients without a certificate for an allowed name."""

    def do_handshake(self) -> None:
        """Do the handshake and check the names. Raises: ssl.SSLError."""
        super().do_handshake()
        allowed = self.context.allowed_sans if isinstance(self.context, _Context) else frozenset()
        if allowed.isdisjoint(_subject_alt_names(self.getpeercert() or {})):
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, "the client certificate has no allowed SAN")


class _Context(ssl.SSLContext):
    allowed_sans: frozenset[str] = frozenset()


def server_context(section: TlsServer, folder: Path) -> ssl.SSLContext:
    """Build the context; file names are relative to `folder`. Raises: ConfigError."""
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
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a valid file name"
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
        lowest = ssl.TLSVersion.TLSv1_3  # only suites of TLS 1.3 are configured
    ciphers = ":".join(suites) or (_LEGACY_CIPHERS if lowest in _LEGACY else _AEAD_CIPHERS)
    # OpenSSL 3 supports the legacy versions only at its lowest security level.
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0" if lowest in _LEGACY else ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the user chose TLS 1.0 or 1.1
        context.minimum_version = lowest
        context.maximum_version = VERSIONS[section.max_version]
    if not section.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if len(set(section.curve_preferences)) == 1:
        context.set_ecdh_curve(CURVES[section.curve_preferences[0]])


def _pair_problems(section: TlsServer, certificate: bytes, key: bytes) -> Iterator[Problem]:
    # OpenSSL reports only a generic reason.
    if _CERTIFICATE_MARK not in certificate:
        yield Problem(f"{_SECTION}.{'cert_file' if section.cert_file else 'cert'}", "contains no PEM certificate")
    where = f"{_SECTION}.{'key_file' if section.key_file else 'key'}"
    if _KEY_MARK not in key:
        yield Problem(where, "contains no PEM private key")
    elif any(mark in key for mark in _ENCRYPTED_KEY_MARKS):
        yield Problem(where, "the key is encrypted; use an unencrypted key")


def _load_pair(context: ssl.SSLContext, section: TlsServer, certificate: bytes, key: bytes) -> Iterator[Problem]:
    with _memory_file(certificate) as certificate_file, _memory_file(key) as key_file:
        try:
            # Without a password, OpenSSL would prompt for one on the terminal.
            context.load_cert_chain(certificate_file, key_file, password=b"")
        except (ssl.SSLError, ValueError) as error:
            unknown = Problem(f"{_SECTION}.cert", f"certificate and key cannot be used: {_reason(error)}")
            yield from [*_pair_problems(section, certificate, key)] or [unknown]


def _load_clients(context: _Context, section: TlsServer, folder: Path) -> Iterator[Problem]:
    if section.client_auth_type not in VERIFIED_CLIENT_CERTIFICATE:
        return
    is_required = section.client_auth_type == "RequireAndVerifyClientCert"
    context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    if section.client_allowed_sans:
        context.allowed_sans = frozenset(map(_normalized, section.client_allowed_sans))
        context.sslobject_class = _SanVerifyingObject
    if not section.client_ca and not section.client_ca_file:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    problems: list[Problem] = []
    content = _content(section.client_ca, section.client_ca_file, "client_ca_file", folder, problems)
    yield from problems
    found = _CERTIFICATE.findall(content.decode("latin-1"))
    try:
        if not problems:
            context.load_verify_locations(cadata="\n".join(found))
    except (ssl.SSLError, ValueError) as error:
        reason = _reason(error) if found else "it contains no certificate"
        name = "client_ca_file" if section.client_ca_file else "client_ca"
        yield Problem(f"{_SECTION}.{name}", f"cannot be used: {reason}")


@contextlib.contextmanager
def _memory_file(content: bytes) -> Iterator[str]:
    # `ssl` reads certificates from files only; an inline key must not be written to disk.
    handle = os.memfd_create("pem")
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(content)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    # One of the fixed reasons of OpenSSL, which contain no secrets.
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return (reason or "not PEM").lower().replace("_", " ")


def _subject_alt_names(certificate: object) -> Iterator[str]:
    names = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
    for kind, name in names:
        if kind in ("DNS", "email", "IP Address", "URI"):
            yield _normalized(name)


def _normalized(name: str) -> str:
    # An IP address has several forms.
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name
