"""The place where the HTTP API listens, and its certificate: taken by the server, tried by the doctor."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path
from typing import Final

from userstream.entry.web.settings import HttpSection
from userstream.kernel.errors import SettingsError

BACKLOG: Final = 2_048


class PlaceTaken(SettingsError):
    """Another program listens there."""


def listen_at(settings: HttpSection) -> socket.socket:
    """A socket that listens. Raises PlaceTaken when another program does, SettingsError when the place is none of this machine."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"[http] host = {settings.host!r}: {_why(error)}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        refused = PlaceTaken if error.errno == errno.EADDRINUSE else SettingsError
        raise refused(
            f"[http] {settings.host}:{settings.port} cannot be listened on: {_why(error)}; choose another port, or stop what listens there"
        ) from None
    return listening


def check_certificate(settings: HttpSection, folder: Path) -> None:
    """Raises SettingsError where certificate and key cannot be used, with the file and the reason. Never asks for a passphrase."""
    certificate, key = settings.files(folder)
    if certificate is None or key is None:
        return
    is_asked: list[bool] = []

    def refuse_passphrase() -> bytes:
        is_asked.append(True)
        return b""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, refuse_passphrase)
    except (OSError, ValueError) as error:
        why = "is encrypted: give it without a passphrase" if is_asked else ""
        told = f"[http] key_file = {key!r} {why}" if why else _why_unusable(certificate, key, error)
        raise SettingsError(told) from None


def _why_unusable(certificate: str, key: str, error: Exception) -> str:
    files = {"certificate_file": (certificate, "CERTIFICATE-----", "certificate"), "key_file": (key, "PRIVATE KEY-----", "private key")}
    for field, (name, sign, what) in files.items():
        try:
            text = Path(name).read_bytes()
        except OSError as refused:
            return f"[http] {field} = {name!r} cannot be read: {_why(refused)}"
        if sign.encode() not in text:
            return f"[http] {field} = {name!r} holds no {what} in PEM form (text that begins with -----BEGIN ...{sign})"
    reason = str(getattr(error, "reason", "") or type(error).__name__)
    if "MISMATCH" in reason:
        return f"[http] key_file = {key!r} is not the key of certificate_file = {certificate!r}: give the two that belong together"
    words = reason.replace("_", " ").lower()
    return f"[http] certificate_file = {certificate!r}, key_file = {key!r}: one of them is damaged ({words}): make or copy them anew"


def _why(error: OSError) -> str:
    return (error.strerror or "it is no place of this machine").lower()
