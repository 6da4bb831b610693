"""The process that fills PostgreSQL: `python -m userstream.entry.postgres_writer`, started by `PostgresProcess` and talked to through its
two pipes. It ends when they do, and so with whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import BinaryIO, Final

import msgspec

from userstream.adapters.clock import SystemClock
from userstream.adapters.core_dumps import forbid_core_dumps
from userstream.adapters.postgres import PostgresProjection, PostgresSettings
from userstream.adapters.postgres_address import PostgresAddress
from userstream.adapters.postgres_process import Answer, Apply, Assignment, Done, Refused, Request, pack, read_message
from userstream.entry.tuning import run_on_best_loop, tune_interpreter
from userstream.kernel.errors import UserStreamError
from userstream.kernel.secret import Secret

NICER: Final = 10
_assignments: Final = msgspec.msgpack.Decoder(Assignment)
_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)


async def write_until_the_end(answers_to: BinaryIO) -> None:
    """Does what is asked for, one thing after the other, until nobody can ask any more: also in the middle of something."""
    loop = asyncio.get_running_loop()
    questions = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    answers, _ = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, answers_to)
    with contextlib.suppress(asyncio.IncompleteReadError):
        assignment = _assignments.decode(await read_message(questions))
        async with _open(assignment) as tables:
            question = await read_message(questions)
            while not answers.is_closing():
                work = loop.create_task(_answer(tables, _requests.decode(question)))
                following = loop.create_task(read_message(questions))
                # Nobody asks again before the answer: what comes earlier is the end.
                await asyncio.wait((work, following), return_when=asyncio.FIRST_COMPLETED)
                if work.done() and not answers.is_closing():
                    answers.write(pack(work.result()))
                work.cancel()
                question = await following


def _open(assignment: Assignment) -> PostgresProjection:
    password = Secret(assignment.password) if assignment.password else None
    address, settings = PostgresAddress(Secret(assignment.url), password), PostgresSettings(migrate=assignment.migrate)
    return PostgresProjection(address, SystemClock(), journal=assignment.journal, settings=settings)


async def _answer(tables: PostgresProjection, request: Request) -> Answer:
    try:
        if isinstance(request, Apply):
            await tables.apply(request.reader, request.records())
            return Done()
        return Done(await tables.position(request.reader))
    except UserStreamError as error:
        return Refused(str(error))
    except Exception as error:  # ours: whoever asked can tell it, and goes on when it is asked again
        return Refused(f"the process that fills PostgreSQL failed: {type(error).__name__}: {error}")


def main() -> None:
    """Signals are for whoever started it, who may still bring over what is committed: a service manager sends them to all processes. Where
    cores are few, the accounts go first."""
    for name in ("SIGHUP", "SIGINT", "SIGTERM"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    forbid_core_dumps()
    if hasattr(os, "nice"):
        os.nice(NICER)
    tune_interpreter()
    with _keep_for_answers() as answers_to:
        run_on_best_loop(write_until_the_end(answers_to))


def _keep_for_answers() -> BinaryIO:
    """What anybody prints goes where errors go."""
    answers_to = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers_to


if __name__ == "__main__":
    main()
