"""A process that `PostgresProcess` talks to in tests: what it does is named by the reader it is asked about."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Final

import msgspec

from userstream.adapters.postgres_process import LENGTH_BYTES, Apply, Reached, Refused, Request, Task, pack

_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)


def read() -> bytes:
    length = sys.stdin.buffer.read(LENGTH_BYTES)
    if not length:
        sys.exit()
    return sys.stdin.buffer.read(int.from_bytes(length, "big"))


def answer(message: bytes) -> None:
    sys.stdout.buffer.write(message)
    sys.stdout.buffer.flush()


def obey(task: Task, request: Request) -> None:
    match request:
        case Apply():
            events = sum(len(sent.events) for sent in request.records)
            answer(pack(Refused(f"{len(request.records)} records, {events} events, the last at {request.records[-1].position}")))
        case _ if request.reader == "seven":
            answer(pack(Reached(7)))
        case _ if request.reader == "task":
            answer(pack(Refused(json.dumps([task.url, task.password, task.journal, task.migrate]))))
        case _ if request.reader == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case _ if request.reader == "mumble":
            answer((3).to_bytes(LENGTH_BYTES, "big") + b"\xc1\xc1\xc1")
        case _ if request.reader == "sleep":
            signal.pause()


if __name__ == "__main__":
    task = msgspec.msgpack.decode(read(), type=Task)
    while True:
        obey(task, _requests.decode(read()))
