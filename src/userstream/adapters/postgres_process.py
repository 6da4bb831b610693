"""PostgreSQL filled by a process of its own: `Projection` whose work is done at the other end of two pipes.

Turning hundreds of events into rows takes the interpreter for milliseconds, and takes it from the accounts' sockets. Here a batch costs its
caller no more than passing on the bytes that the journal made of it. The process is started when it is first needed, and again after it
has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias

import msgspec

from userstream.kernel.errors import StoreError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, Packed, PackedRecords, Record, StoredRecord

LENGTH_BYTES: Final = 4
END_LIMIT_MS: Final = 2_000
"""How long the process may take to end by itself, with nothing to do any more."""

ANSWER_LIMIT_MS: Final = 120_000
"""How long an answer may take: the process gives up each transaction long before, so that one that takes longer stands still."""

LONGEST_ANSWER: Final = 1 << 20
KEPT: Final = frozenset({"HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SYSTEMROOT", "TZ", "USER"})
KEPT_KINDS: Final = ("LC_", "PG", "SSL_CERT_")
"""What of our environment the process gets: what a client of PostgreSQL reads, and no key of ours."""


class Assignment(msgspec.Struct, frozen=True, array_like=True):
    """What the process is for: the first message. Holds secrets in clear: it goes through the pipe, never into arguments or a log."""

    url: str
    password: str | None
    journal: str
    migrate: bool

    def __repr__(self) -> str:
        return "Assignment(***)"


class AskPosition(msgspec.Struct, frozen=True, array_like=True, tag=True):
    reader: str


class Apply(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """`parts`: as the journal packed them, so that our event loop encodes nothing twice."""

    reader: str
    parts: list[Packed]

    def records(self) -> list[StoredRecord]:
        """Raises DecodeError of msgspec for what holds none."""
        placed = (enumerate(_records.decode(part.data), part.position) for part in self.parts)
        return [StoredRecord(position, record) for part in placed for position, record in part]


class Done(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """`position`: the reader's, where it was asked for."""

    position: int = 0


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It could not be done. `text`: why, one line for people, without secrets."""

    text: str


Request: TypeAlias = AskPosition | Apply
Answer: TypeAlias = Done | Refused

_encode: Final = msgspec.msgpack.Encoder().encode
_records: Final = msgspec.msgpack.Decoder(list[Record])
_answers: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


def pack(message: Assignment | Request | Answer) -> bytes:
    """A message as it goes through a pipe: its length, then itself."""
    body = _encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_message(pipe: asyncio.StreamReader, most: int | None = None) -> bytes:
    """The next message. Raises IncompleteReadError where the pipe ends, DecodeError of msgspec for one of more than `most` bytes."""
    length = int.from_bytes(await pipe.readexactly(LENGTH_BYTES), "big")
    if most is not None and length > most:
        raise msgspec.DecodeError(f"it speaks of {length} bytes")
    return await pipe.readexactly(length)


class PostgresProcess:
    """`Projection` by a process that runs a module of ours. Raises StoreError, in one line and without secrets, for what the process
    could not do, where it has ended, and where it cannot be started; whoever asks again, asks another process then."""

    def __init__(self, module: str, clock: Clock, url: Secret, password: Secret | None, *, journal: str, migrate: bool) -> None:
        self._module, self._clock, self._url, self._password = module, clock, url, password
        self._journal, self._migrate = journal, migrate
        self._process: Process | None = None
        self._killed: list[Process] = []
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
        parts = records.packed if isinstance(records, PackedRecords) else map(_pack_one, records)
        await self._ask(Apply(reader, list(parts)))

    async def close(self) -> None:
        """Ends the process, whatever it does. May be called twice."""
        self._closed = True
        await self._end()
        while self._killed:
            await self._killed[-1].wait()
            self._killed.pop()

    async def _ask(self, request: Request) -> int:
        async with self._turns:
            try:
                answer = await self._exchange(self._process or await self._start(), pack(request))
            except (OSError, EOFError, msgspec.MsgspecError) as error:
                await self._end()
                raise StoreError(f"the process that fills PostgreSQL {_words_of(error)}: it is started again when it is needed") from None
            except BaseException:
                # Its answer would be taken for that of the next question.
                self._kill()
                raise
        if isinstance(answer, Refused):
            raise StoreError(answer.text)
        return answer.position

    async def _exchange(self, process: Process, question: bytes) -> Answer:
        pipe = _pipe_to(process)
        if pipe.is_closing():  # to write would be an error of another kind on each event loop
            raise EOFError
        limit = self._clock.call_at(Millis(self._clock.now() + ANSWER_LIMIT_MS), partial(_kill, process))
        try:
            pipe.write(question)
            await pipe.drain()
            assert process.stdout is not None
            return _answers.decode(await read_message(process.stdout, LONGEST_ANSWER))
        finally:
            limit.cancel()

    async def _start(self) -> Process:
        self._refuse_when_closed()
        # It finds what we found, and nothing that happens to lie in the working folder.
        command = (sys.executable, "-P", "-m", self._module)
        # In a session of its own: what a terminal tells all of its processes, such as Ctrl-C, is not for this one.
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=_environment(), start_new_session=True)
        self._refuse_when_closed()
        password = self._password.reveal() if self._password else None
        _pipe_to(self._process).write(pack(Assignment(self._url.reveal(), password, self._journal, self._migrate)))
        return self._process

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreError("PostgreSQL is filled no more")

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        _pipe_to(process).close()
        limit = self._clock.call_at(Millis(self._clock.now() + END_LIMIT_MS), partial(_kill, process))
        try:
            await process.wait()
            self._process = None
        except BaseException:
            self._kill()
            raise
        finally:
            limit.cancel()

    def _kill(self) -> None:
        """Whoever closes waits for its end."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            self._killed.append(process)


def _pack_one(stored: StoredRecord) -> Packed:
    """Without the venue's bytes: the tables are made of events."""
    told = stored.record
    bare = Record(told.account, told.sequence, told.received_time, told.connection, b"", told.events)
    return Packed(stored.position, 1, told.received_time, bytearray(_encode([bare])))


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_KINDS)}
    return kept | {"PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _pipe_to(process: Process) -> asyncio.StreamWriter:
    assert process.stdin is not None
    return process.stdin


def _words_of(error: Exception) -> str:
    return "has ended" if isinstance(error, EOFError | ConnectionError) else f"cannot be used ({error})"
