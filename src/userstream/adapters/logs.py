"""Logs of the commands: one line an entry, named fields of a fixed list, and no secret in any of them.

Three nets hold a secret back: `Secret` does not print itself, fields that are not on the list are not shown, and every value that was
registered is replaced wherever it turns up, in whatever spelling.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO
from urllib.parse import quote, quote_plus

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from userstream.kernel.errors import SettingsError, nearest
from userstream.kernel.secret import Secret

SHOWN_FIELDS: Final = frozenset(
    name
    for line in (
        "timestamp level logger event action exception stack",
        "account accounts path venue symbol asset order_id client_order_id trade_id kind side status",
        "connection task worker reader handler handlers sink table topic partition offset position sequence sequences",
        "reason error code mode state before after version name setting signal host port label request channel node",
        "age_ms delay_ms duration_ms gap_ms limit_ms skew_ms since until when",
        "attempt attempts backlog budget bytes count events fills frames limit orders records size total used waiting weight",
    )
    for name in line.split()
)
"""Fields that may appear in a log line. An address, a header, a frame or a body has no name here, on purpose."""

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TIMES: Final = ("since", "until", "when")
"""Fields that hold a time of the venue in ms."""

_MASK: Final = "***"
_INDEXED: Final = 4
_SHORTEST_LINE: Final = 16
_PREFIX: Final = 8
_GOES_ON: Final = re.compile(r"[\w+/=-]*")
# what moves a cursor, ends a line, or turns the reading direction
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FRAME_OF_EXCEPTIONS: Final = "\n    | "


class Redactor:
    """Replaces registered secrets in text, whole, by their first eight characters, or in another spelling (URL, base64, hex, JSON)."""

    def __init__(self) -> None:
        # by their first four characters, so that the cost of a line does not grow with the number of secrets
        self._spellings: dict[str, dict[str, bool]] = {}
        self._known: Counter[str] = Counter()

    def register(self, secret: Secret | str) -> None:
        """From now on this value is replaced. Values below four characters are not: they would match everywhere."""
        self._known[_text_of(secret)] += 1
        for spelling, goes_on in _spellings_of(_text_of(secret)).items():
            known = self._spellings.get(spelling[:_INDEXED], {})
            self._spellings[spelling[:_INDEXED]] = known | {spelling: goes_on}

    def forget(self, secret: Secret | str) -> None:
        """For a value that has lost its power, such as a listen key that ran out: the last who registered it forgets it."""
        text = _text_of(secret)
        self._known[text] -= 1
        if self._known[text] > 0:
            return
        self._known.pop(text)
        for spelling in _spellings_of(_text_of(secret)):
            known = self._spellings.get(spelling[:_INDEXED], {})
            left = {each: goes_on for each, goes_on in known.items() if each != spelling}
            self._spellings[spelling[:_INDEXED]] = left

    def clean(self, text: str) -> str:
        """The text with `***` in place of every registered value."""
        parts, start, place = [], 0, 0
        while place <= len(text) - _INDEXED:
            if (end := self._end_of_secret(text, place)) is None:
                place += 1
            else:
                parts += [text[start:place], _MASK]
                start = place = end
        return "".join([*parts, text[start:]])

    def _end_of_secret(self, text: str, place: int) -> int | None:
        known = self._spellings.get(text[place : place + _INDEXED])
        found = [(len(each), goes_on) for each, goes_on in known.items() if text.startswith(each, place)] if known else []
        if not found:
            return None
        length, goes_on = max(found)
        after = _GOES_ON.match(text, place + length) if goes_on else None
        return after.end() if after is not None else place + length


REDACTOR: Final = Redactor()
"""The one that the configured logs use."""


def register_secret(secret: Secret | str) -> None:
    """From now on no log line shows this value."""
    REDACTOR.register(secret)


def forget_secret(secret: Secret | str) -> None:
    """For a value that has lost its power, such as a listen key that ran out."""
    REDACTOR.forget(secret)


def configure_logs(*, level: str = "info", stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Sends the logs of this program and of its libraries to `stream` (standard error): for people on a terminal, else JSON lines.

    `level` is debug, info, warning or error; anything else raises SettingsError. May be called again.
    """
    if level not in _LEVELS:
        raise SettingsError(f"log level {level!r}: {nearest(level, _LEVELS)}")
    target = stream if stream is not None else sys.stderr
    terminal = target.isatty()
    handler = _Handler(target)
    handler.setFormatter(_formatter(as_json=not terminal if as_json is None else as_json, colours=terminal))
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    # below a warning, libraries write addresses down
    root.setLevel(max(_LEVELS[level], logging.WARNING))
    logging.getLogger("userstream").setLevel(_LEVELS[level])
    _configure_structlog(*_named(), *_common(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter)


def configure_library_logs() -> None:
    """For programs that only use the library: entries go to the standard `logging`, unless the program has configured structlog."""
    if not structlog.is_configured():
        _configure_structlog(*_common(), structlog.processors.KeyValueRenderer(key_order=["event"], repr_native_str=False))


def _configure_structlog(*processors: Processor) -> None:
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.contextvars.merge_contextvars, *processors],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=_Logger,
    )


class _Logger(structlog.stdlib.BoundLogger):
    """The standard logger's `exception` writes the traceback itself, a second time and with the secrets in it."""

    def exception(self, event: str | None = None, *args: Any, **kw: Any) -> Any:
        return self.error(event, *args, exc_info=kw.pop("exc_info", True), **kw)


def _named() -> list[Processor]:
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    return [structlog.stdlib.add_logger_name, structlog.stdlib.add_log_level, stamp]


def _common() -> list[Processor]:
    return [
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        show_listed_fields,
        hide_secrets,
    ]


def _formatter(*, as_json: bool, colours: bool) -> structlog.stdlib.ProcessorFormatter:
    renderer: list[Processor]
    if as_json:
        renderer = [structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        plain = structlog.dev.plain_traceback
        console = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain, sort_keys=False)
        renderer = [_frame_exceptions, _show_times, console]
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(processors=[meta, *renderer], foreign_pre_chain=[*_named(), *_common()])


class _Handler(logging.StreamHandler[TextIO]):
    """When it cannot write, it says so without the entry: the standard handler would print the raw record."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the base's
        try:
            self.stream.write("a log entry could not be written\n")
        except (OSError, ValueError):
            return


def show_listed_fields(logger: WrappedLogger, method: str, entry: EventDict) -> EventDict:
    """Keeps the names of fields that are not in `SHOWN_FIELDS`, but not what they hold."""
    return {name: value if name in SHOWN_FIELDS or name.startswith("_") else "(not shown)" for name, value in entry.items()}


def hide_secrets(logger: WrappedLogger, method: str, entry: EventDict) -> EventDict:
    """Registered secrets become `***`; line ends, control characters and direction marks become visible escapes."""
    return {
        name: value if name.startswith("_") else _clean_value(value, lines=name in ("exception", "stack")) for name, value in entry.items()
    }


def _clean_value(value: object, *, lines: bool = False) -> object:
    match value:
        case bool() | None:
            return value
        case int() | float():
            # a passphrase may be all digits
            return value if REDACTOR.clean(str(value)) == str(value) else _MASK
        case str():
            text = REDACTOR.clean(value)
            return "\n".join(map(_visible, text.split("\n"))) if lines else _visible(text)
        case bytes() | bytearray() | memoryview():
            return f"({len(value)} bytes)"
        case Mapping():
            return {str(_clean_value(_printed(key))): _clean_value(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean_value(each) for each in value]
        case _:
            return _clean_value(_printed(value))


def _printed(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"(unprintable {type(value).__name__})"


def _visible(text: str) -> str:
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def _frame_exceptions(logger: WrappedLogger, method: str, entry: EventDict) -> EventDict:
    # no line of a message inside may pass for an entry of its own
    for name in ("exception", "stack"):
        if isinstance(text := entry.get(name), str):
            entry[name] = _FRAME_OF_EXCEPTIONS.lstrip("\n") + text.replace("\n", _FRAME_OF_EXCEPTIONS)
    return entry


def _show_times(logger: WrappedLogger, method: str, entry: EventDict) -> EventDict:
    for name in _TIMES:
        if type(moment := entry.get(name)) is int:
            entry[name] = _iso_of(moment)
    return entry


def _iso_of(moment: int) -> str | int:
    try:
        return datetime.fromtimestamp(moment / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return moment


def _text_of(secret: Secret | str) -> str:
    return secret.reveal() if isinstance(secret, Secret) else secret


def _spellings_of(secret: str) -> dict[str, bool]:
    """Every way the value may be written; True for the ones that only begin it and swallow what follows."""
    data = secret.encode()
    whole = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], _visible(secret)}
    whole |= {json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1], data.hex(), data.hex().upper(), *_base64_of(data)}
    # a key in PEM form is also printed line by line
    whole |= {line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE and not line.startswith("-----")}
    begun = {secret[:_PREFIX]} if len(secret) > _PREFIX and not secret.startswith("-----") else set()
    return {spelling: False for spelling in whole if len(spelling) >= _INDEXED} | dict.fromkeys(begun, True)


def _base64_of(data: bytes) -> set[str]:
    """The characters that stand for `data` inside a longer base64 text, wherever it begins there."""
    found = set()
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + data).decode().rstrip("=")
        first = (shift * 8 + 5) // 6
        last = (shift + len(data)) * 8 // 6
        found |= {text[first:last], text[first:last].replace("+", "-").replace("/", "_")}
    return found
