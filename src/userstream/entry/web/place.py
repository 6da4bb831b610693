"""The place where the HTTP API listens: taken by the server, tried by the doctor."""

from __future__ import annotations

import errno
import socket
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


def _why(error: OSError) -> str:
    return (error.strerror or "it is no place of this machine").lower()
