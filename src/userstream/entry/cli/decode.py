"""`userstream decode`: raw frames to events, a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter

from userstream.kernel.errors import SettingsError


def decode(
    file: Annotated[str, Parameter(help="A file of frames, or - for standard input.")] = "-",
    *,
    venue: Annotated[str, Parameter(help="Whose frames they are: binance-usdm, binance-coinm, binance-spot, ...")],
) -> int:
    """Print one JSON object for each event of each raw frame.

    Every input line is one frame of the venue's private feed, as bytes. What is no message becomes `{"kind":"unrecognized",...}`.

    Example: `echo '{"e":"listenKeyExpired","E":1,"listenKey":"k"}' | userstream decode --venue binance-usdm -`
    """
    from userstream.domain.events import Event
    from userstream.entry.cli.forms import plain_json
    from userstream.kernel.ids import AccountId, Millis
    from userstream.venues import find_venue

    decoder = find_venue(venue).make_decoder(AccountId(""))
    out = sys.stdout.buffer
    interactive = file == "-"

    def write(events: tuple[Event, ...]) -> None:
        out.write(b"".join(plain_json(event) + b"\n" for event in events))
        if interactive:
            out.flush()

    for line in _lines(file):
        write(decoder.decode(line, Millis(0)))
    out.flush()
    return 0


def _lines(file: str) -> Iterator[bytes]:
    if file == "-":
        yield from _frames(sys.stdin.buffer)
        return
    try:
        with Path(file).open("rb") as source:
            yield from _frames(source)
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from None


def _frames(source: BinaryIO) -> Iterator[bytes]:
    for line in source:
        if frame := line.rstrip(b"\r\n"):
            yield frame
