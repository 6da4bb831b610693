"""Traps around the ports: the process kills itself at the k-th call of one of their methods, before or after it does its work.

The ports are wrapped from outside; what is inside does not know.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from userstream.adapters.clock import LoopTimer, SystemClock
from userstream.adapters.sqlite import SqliteStore
from userstream.domain.events import Event
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.ports import Committed, HttpClient, Record, Socket, SocketEvents, StoredRecord, Transport
from userstream.wire.request import HttpRequest, HttpResponse

POINTS: Final = (
    "journal.append",
    "journal.committed",
    "journal.flush",
    "journal.last_sequence",
    "journal.load_checkpoint",
    "journal.read",
    "journal.read_account",
    "journal.save_checkpoint",
    "projection.position",
    "projection.apply",
    "database.execute",
    "http.send",
    "transport.connect",
    "socket.frame",
    "socket.heard",
    "socket.ping",
    "socket.close",
    "clock.fired",
    "clock.sleep",
    "clock.spawn",
)


class Trap:
    """Springs at the `count`th time that `point` is passed: before it, or `after` it, then at the first call that returns from now on.
    A count of 0 never comes."""

    def __init__(self, point: str = "", count: int = 0, after: bool = False) -> None:
        self._point, self._left, self._after = point, count, after
        self._due = False

    def enter(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                self._due = True
                if not self._after:
                    spring()

    def leave(self, point: str) -> None:
        if point == self._point and self._due:
            spring()


def spring() -> None:
    """No farewell, no flush, no exception: the process is gone."""
    os.kill(os.getpid(), signal.SIGKILL)


class TrappedStore:
    """Journal and projection over a store."""

    def __init__(self, store: SqliteStore, trap: Trap) -> None:
        self._store, self._trap = store, trap

    def append(self, record: Record) -> None:
        self._trap.enter("journal.append")
        self._store.append(record)
        self._trap.leave("journal.append")

    @property
    def backlog(self) -> int:
        return self._store.backlog

    @property
    def trouble(self) -> StoreError | None:
        return self._store.trouble

    async def count(self, *, after: int) -> int:
        return await self._store.count(after=after)

    def watch(self, callback: Callable[[Sequence[Record]], None]) -> None:
        def told(records: Sequence[Record]) -> None:
            self._trap.enter("journal.committed")
            callback(records)
            self._trap.leave("journal.committed")

        self._store.watch(told)

    def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None:
        self._store.watch_stored(callback)

    def watch_commits(self, callback: Callable[[Sequence[Committed]], None]) -> None:
        self._store.watch_commits(callback)

    async def flush(self) -> None:
        self._trap.enter("journal.flush")
        await self._store.flush()
        self._trap.leave("journal.flush")

    async def last_sequence(self, account: AccountId) -> int:
        self._trap.enter("journal.last_sequence")
        sequence = await self._store.last_sequence(account)
        self._trap.leave("journal.last_sequence")
        return sequence

    async def read(self, *, after: int, limit: int) -> list[StoredRecord]:
        self._trap.enter("journal.read")
        records = await self._store.read(after=after, limit=limit)
        self._trap.leave("journal.read")
        return records

    async def read_account(self, account: AccountId, *, after: int, limit: int, whole: bool = False) -> list[Record]:
        self._trap.enter("journal.read_account")
        records = await self._store.read_account(account, after=after, limit=limit, whole=whole)
        self._trap.leave("journal.read_account")
        return records

    async def save_checkpoint(self, account: AccountId, sequence: int, events: Sequence[Event]) -> None:
        self._trap.enter("journal.save_checkpoint")
        await self._store.save_checkpoint(account, sequence, events)
        self._trap.leave("journal.save_checkpoint")

    async def load_checkpoint(self, account: AccountId) -> tuple[int, tuple[Event, ...]]:
        self._trap.enter("journal.load_checkpoint")
        checkpoint = await self._store.load_checkpoint(account)
        self._trap.leave("journal.load_checkpoint")
        return checkpoint

    async def position(self, reader: str) -> int:
        self._trap.enter("projection.position")
        position = await self._store.position(reader)
        self._trap.leave("projection.position")
        return position

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        self._trap.enter("projection.apply")
        await self._store.apply(reader, records)
        self._trap.leave("projection.apply")

    async def close(self) -> None:
        await self._store.close()


def trapped_connection(trap: Trap) -> type[sqlite3.Connection]:
    """A database connection in whose statements the process may die, also between those of one transaction."""

    class TrappedConnection(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            trap.enter("database.execute")
            cursor = super().execute(sql, *parameters)
            trap.leave("database.execute")
            return cursor

    return TrappedConnection


class TrappedHttp:
    """Before a call goes out, or when its answer is here."""

    def __init__(self, http: HttpClient, trap: Trap) -> None:
        self._http, self._trap = http, trap

    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        self._trap.enter("http.send")
        response = await self._http.send(base_url, request, time_limit_ms=time_limit_ms)
        self._trap.leave("http.send")
        return response

    async def close(self) -> None:
        await self._http.close()


class TrappedTransport:
    """Around the opening of sockets, and in both directions of those that are open."""

    def __init__(self, transport: Transport, trap: Trap) -> None:
        self._transport, self._trap = transport, trap

    async def connect(self, url: Secret, events: SocketEvents, *, time_limit_ms: int) -> Socket:
        self._trap.enter("transport.connect")
        socket = await self._transport.connect(url, TrappedEvents(events, self._trap), time_limit_ms=time_limit_ms)
        self._trap.leave("transport.connect")
        return TrappedSocket(socket, self._trap)

    async def close(self) -> None:
        await self._transport.close()


class TrappedEvents:
    def __init__(self, events: SocketEvents, trap: Trap) -> None:
        self._events, self._trap = events, trap

    def on_frames(self, frames: Sequence[bytes]) -> None:
        self._trap.enter("socket.frame")
        self._events.on_frames(frames)
        self._trap.leave("socket.frame")

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        self._events.on_odd_frame(frame, reason)

    def on_ping(self) -> None:
        self._trap.enter("socket.heard")
        self._events.on_ping()
        self._trap.leave("socket.heard")

    def on_closed(self, reason: str) -> None:
        self._events.on_closed(reason)


class TrappedSocket:
    def __init__(self, socket: Socket, trap: Trap) -> None:
        self._socket, self._trap = socket, trap

    def send(self, text: str) -> None:
        self._socket.send(text)

    def ping(self) -> None:
        self._trap.enter("socket.ping")
        self._socket.ping()
        self._trap.leave("socket.ping")

    def pause(self) -> None:
        self._socket.pause()

    def resume(self) -> None:
        self._socket.resume()

    def close(self) -> None:
        self._trap.enter("socket.close")
        self._socket.close()
        self._trap.leave("socket.close")


class TrappedClock(SystemClock):
    """Where time wakes somebody, and where a task begins."""

    def __init__(self, trap: Trap) -> None:
        super().__init__()
        self._trap = trap

    def call_at(self, when: Millis, callback: Callable[[], None]) -> LoopTimer:
        def fire() -> None:
            self._trap.enter("clock.fired")
            callback()
            self._trap.leave("clock.fired")

        return super().call_at(when, fire)

    async def sleep(self, duration_ms: int) -> None:
        self._trap.enter("clock.sleep")
        await super().sleep(duration_ms)
        self._trap.leave("clock.sleep")

    def spawn(self, work: Coroutine[object, object, None], name: str) -> Any:
        self._trap.enter("clock.spawn")
        task = super().spawn(work, name)
        self._trap.leave("clock.spawn")
        return task
