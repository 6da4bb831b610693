"""The process that fills PostgreSQL: `python -m userstream.entry.postgres_writer`, started by `PostgresProcess` and talked to through its
two pipes. It ends when they do, and so with whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Final

import msgspec

from userstream.adapters.clock import SystemClock
from userstream.adapters.postgres import PostgresProjection, PostgresSettings
from userstream.adapters.postgres_address import PostgresAddress
from userstream.adapters.postgres_process import Answer, Apply, Reached, Refused, Request, Task, pack, read_message
from userstream.entry.tuning import run_on_best_loop, tune_interpreter
from userstream.kernel.errors import UserStreamError
from userstream.kernel.secret import Secret

NICER: Final = 10
_tasks: Final = msgspec.msgpack.Decoder(Task)
_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)


async def write_until_the_end() -> None:
    """Does what is asked for, one thing after the other, until nobody can ask any more."""
    loop = asyncio.get_running_loop()
    questions = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    answers, _ = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    with contextlib.suppress(asyncio.IncompleteReadError):
        task = _tasks.decode(await read_message(questions))
        async with _open(task) as tables:
            while True:
                answer = await _answer(tables, _requests.decode(await read_message(questions)))
                if answers.is_closing():
                    return
                answers.write(pack(answer))


def _open(task: Task) -> PostgresProjection:
    address = PostgresAddress(Secret(task.url), Secret(task.password) if task.password else None)
    return PostgresProjection(address, SystemClock(), journal=task.journal, settings=PostgresSettings(migrate=task.migrate))


async def _answer(tables: PostgresProjection, request: Request) -> Answer:
    try:
        if isinstance(request, Apply):
            await tables.apply(request.reader, [sent.stored() for sent in request.records])
            return Reached()
        return Reached(await tables.position(request.reader))
    except UserStreamError as error:
        return Refused(str(error))


def main() -> None:
    """Signals are for whoever started it, who may still bring over what is committed: a service manager sends them to all processes. Where
    cores are few, the accounts go first."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICER)
    tune_interpreter()
    run_on_best_loop(write_until_the_end())


if __name__ == "__main__":
    main()
