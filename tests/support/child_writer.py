"""A process that `PostgresProcess` talks to in tests: what it does is named by the reader it is asked about."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Final

import msgspec

from userstream.adapters.postgres_process import LENGTH_BYTES, Apply, Assignment, Done, Refused, Request, pack

_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)


def read() -> bytes:
    length = sys.stdin.buffer.read(LENGTH_BYTES)
    if not length:
        sys.exit()
    return sys.stdin.buffer.read(int.from_bytes(length, "big"))


def answer(message: bytes) -> None:
    sys.stdout.buffer.write(message)
    sys.stdout.buffer.flush()


def obey(assignment: Assignment, request: Request) -> None:
    match request:
        case Apply():
            answer(pack(Refused(repr([(each.position, each.record.sequence, each.record.events) for each in request.records()]))))
        case _ if request.reader == "seven":
            answer(pack(Done(7)))
        case _ if request.reader == "assignment":
            answer(pack(Refused(json.dumps([assignment.url, assignment.password, assignment.journal, assignment.migrate]))))
        case _ if request.reader == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case _ if request.reader == "mumble":
            answer((3).to_bytes(LENGTH_BYTES, "big") + b"\xc1\xc1\xc1")
        case _ if request.reader == "print":
            answer(b"hello world\n")
        case _ if request.reader == "sleep":
            signal.pause()


if __name__ == "__main__":
    assignment = msgspec.msgpack.decode(read(), type=Assignment)
    while True:
        obey(assignment, _requests.decode(read()))
