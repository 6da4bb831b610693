"""The open sockets of one account: by connection number, all paused or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from userstream.ports import Socket


class SocketOwner(Protocol):
    """Who hears what the sockets tell, with the number of the connection."""

    def take_frames(self, connection: int, frames: Sequence[bytes]) -> None: ...

    def take_odd_frame(self, connection: int, frame: bytes, reason: str) -> None: ...

    def take_ping(self, connection: int) -> None: ...

    def take_close(self, connection: int, reason: str) -> None: ...


class LineSocket:
    """One socket's ear: passes what arrives to the owner with the connection's number, on the same stack."""

    __slots__ = ("_connection", "_owner", "socket")

    def __init__(self, owner: SocketOwner, connection: int) -> None:
        self._owner, self._connection = owner, connection
        self.socket: Socket | None = None

    def on_frames(self, frames: Sequence[bytes]) -> None:
        self._owner.take_frames(self._connection, frames)

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        self._owner.take_odd_frame(self._connection, frame, reason)

    def on_ping(self) -> None:
        self._owner.take_ping(self._connection)

    def on_closed(self, reason: str) -> None:
        self._owner.take_close(self._connection, reason)


class Sockets:
    """`is_paused`: nothing is read from any of them, nor from those that open meanwhile."""

    def __init__(self, owner: SocketOwner) -> None:
        self._owner = owner
        self._lines: dict[int, LineSocket] = {}
        self.is_paused = False

    def prepare(self, connection: int) -> LineSocket:
        """The ear for a socket that is being opened."""
        line = self._lines[connection] = LineSocket(self._owner, connection)
        return line

    def expects(self, connection: int, line: LineSocket) -> bool:
        """Whether somebody still wants the socket that was to be opened."""
        return self._lines.get(connection) is line

    def has(self, connection: int) -> bool:
        """Whether somebody still listens to this socket."""
        return connection in self._lines

    def take_up(self, connection: int, line: LineSocket, socket: Socket) -> bool:
        """The socket is open. False, and it is closed, if nobody wants it any more."""
        if not self.expects(connection, line):
            socket.close()
            return False
        line.socket = socket
        if self.is_paused:
            socket.pause()
        return True

    def forget(self, connection: int) -> None:
        """It is gone."""
        self._lines.pop(connection, None)

    def hang_up(self, connection: int) -> None:
        line = self._lines.pop(connection, None)
        if line is not None and line.socket is not None:
            line.socket.close()

    def send(self, connection: int, text: str) -> None:
        if (line := self._lines.get(connection)) is not None and line.socket is not None:
            line.socket.send(text)

    def ping(self, connection: int) -> None:
        if (line := self._lines.get(connection)) is not None and line.socket is not None:
            line.socket.ping()

    def pause(self) -> None:
        self.is_paused = True
        for line in self._lines.values():
            if line.socket is not None:
                line.socket.pause()

    def resume(self) -> None:
        self.is_paused = False
        for line in list(self._lines.values()):
            if line.socket is not None:
                line.socket.resume()
