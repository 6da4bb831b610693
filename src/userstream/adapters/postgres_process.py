"""PostgreSQL filled by a process of its own: `Projection` whose work is done at the other end of two pipes.

Turning hundreds of events into rows takes the interpreter for milliseconds, and takes it from the accounts' sockets. Here a batch costs its
caller no more than its encoding. The process is started when it is first needed, and again after it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from userstream.domain.events import Event
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, Record, StoredRecord

LENGTH_BYTES: Final = 4
END_LIMIT_MS: Final = 2_000
"""How long the process may take to end by itself, with nothing to do any more."""


class Task(msgspec.Struct, frozen=True, array_like=True):
    """What the process is for: the first message. Holds secrets in clear: it goes through the pipe, never into arguments or a log."""

    url: str
    password: str | None
    journal: str
    migrate: bool

    def __repr__(self) -> str:
        return "Task(***)"


class AskPosition(msgspec.Struct, frozen=True, array_like=True, tag=True):
    reader: str


class Sent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record without the venue's bytes: the tables are made of its events."""

    position: int
    account: AccountId
    sequence: int
    received_time: Millis
    events: tuple[Event, ...]

    def stored(self) -> StoredRecord:
        return StoredRecord(self.position, Record(self.account, self.sequence, self.received_time, 0, b"", self.events))


class Apply(msgspec.Struct, frozen=True, array_like=True, tag=True):
    reader: str
    records: list[Sent]


class Reached(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It was done. `position`: the reader's, where it was asked for."""

    position: int = 0


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It could not be done. `text`: why, one line for people, without secrets."""

    text: str


Request: TypeAlias = AskPosition | Apply
Answer: TypeAlias = Reached | Refused

_encode: Final = msgspec.msgpack.Encoder().encode
_answers: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


def pack(message: Task | Request | Answer) -> bytes:
    """A message as it goes through a pipe: its length, then itself."""
    body = _encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_message(pipe: asyncio.StreamReader) -> bytes:
    """The next message. Raises IncompleteReadError where the pipe ends."""
    length = await pipe.readexactly(LENGTH_BYTES)
    return await pipe.readexactly(int.from_bytes(length, "big"))


class PostgresProcess:
    """`Projection` by a process that runs a module of ours. Raises StoreError, in one line and without secrets, for what the process
    could not do, where it has ended, and where it cannot be started; whoever asks again, asks another process then."""

    def __init__(self, module: str, clock: Clock, url: Secret, password: Secret | None, *, journal: str, migrate: bool) -> None:
        self._module, self._clock, self._url, self._password = module, clock, url, password
        self._journal, self._migrate = journal, migrate
        self._process: Process | None = None
        self._turns = asyncio.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"PostgresProcess({'running' if self._process is not None else 'not running'})"

    @property
    def pid(self) -> int | None:
        """None while none runs."""
        return None if self._process is None else self._process.pid

    async def position(self, reader: str) -> int:
        """As in `Projection`. Always what the database says."""
        return await self._ask(AskPosition(reader))

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        """As in `Projection`, in transactions of a few hundred events, each with a position of its own."""
        await self._ask(Apply(reader, [_sent(stored.position, stored.record) for stored in records]))

    async def close(self) -> None:
        """Ends the process, whatever it does. May be called twice."""
        self._closed = True
        await self._end()

    async def _ask(self, request: Request) -> int:
        async with self._turns:
            try:
                answer = await _exchange(self._process or await self._start(), pack(request))
            except (OSError, EOFError, msgspec.MsgspecError) as error:
                await self._end()
                raise StoreError(f"the process that fills PostgreSQL {_words_of(error)}: it is started again") from None
            except BaseException:
                # Its answer would be taken for that of the next question.
                process, self._process = self._process, None
                _kill(process)
                raise
        if isinstance(answer, Refused):
            raise StoreError(answer.text)
        return answer.position

    async def _start(self) -> Process:
        if self._closed:
            raise StoreError("PostgreSQL is filled no more")
        # It finds what we found, and nothing that happens to lie in the working folder.
        command = (sys.executable, "-P", "-m", self._module)
        places = os.environ | {"PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
        # In a session of its own: what a terminal tells all of its processes, such as Ctrl-C, is not for this one.
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=places, start_new_session=True)
        password = self._password.reveal() if self._password else None
        _questions(self._process).write(pack(Task(self._url.reveal(), password, self._journal, self._migrate)))
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        _questions(process).close()
        limit = self._clock.call_at(Millis(self._clock.now() + END_LIMIT_MS), lambda: _kill(process))
        try:
            await process.wait()
        finally:
            limit.cancel()


def _sent(position: int, record: Record) -> Sent:
    return Sent(position, record.account, record.sequence, record.received_time, record.events)


async def _exchange(process: Process, question: bytes) -> Answer:
    _questions(process).write(question)
    await _questions(process).drain()
    assert process.stdout is not None
    return _answers.decode(await read_message(process.stdout))


def _kill(process: Process | None) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _questions(process: Process) -> asyncio.StreamWriter:
    assert process.stdin is not None
    return process.stdin


def _words_of(error: Exception) -> str:
    return "has ended" if isinstance(error, EOFError | ConnectionError) else f"cannot be used ({error})"
