import ast
import asyncio
import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import userstream
from tests.support.logs import restored_logs
from userstream.adapters.logs import SHOWN_FIELDS, Redactor, configure_library_logs, configure_logs, forget_secret, register_secret
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret

CANARY = "cANARY/Key+0123456789=é\"x'\\end"
OTHER = "positiveControlThatNobodyElseRegisters"  # no digits: what a test before this one left registered may be a row of them


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored_logs():
        yield


@pytest.fixture
def registered() -> Iterator[str]:
    register_secret(Secret(CANARY))
    yield CANARY
    forget_secret(CANARY)


def json_lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(*, level: str = "info", terminal: bool = False) -> io.StringIO:
    stream = Terminal() if terminal else io.StringIO()
    configure_logs(level=level, stream=stream)
    return stream


def logger(name: str = "userstream.test") -> structlog.stdlib.BoundLogger:
    made: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return made


# ---------------------------------------------------------------- the form


def test_away_from_a_terminal_each_entry_is_a_line_of_json() -> None:
    stream = configured()
    logger().info("connected", action="connected", account="alice", delay_ms=12, price=Decimal("1.50"))
    logger("userstream.other").warning("slow %s", "disk", action="slow", records=[1, Decimal("2.0")])
    first, second = json_lines(stream)
    assert str(first.pop("timestamp"))[-1] == "Z"
    assert first == {
        "event": "connected",
        "action": "connected",
        "account": "alice",
        "delay_ms": 12,
        "price": "(not shown)",
        "logger": "userstream.test",
        "level": "info",
    }
    assert (second["event"], second["logger"], second["records"]) == ("slow disk", "userstream.other", [1, "2.0"])


def test_on_a_terminal_each_entry_is_a_line_for_people() -> None:
    stream = configured(terminal=True)
    logger().info("connected", action="connected", account="alice")
    [line] = stream.getvalue().splitlines()
    assert "connected" in line
    assert "alice" in line
    assert "{" not in line


def test_people_read_times_where_programs_read_milliseconds() -> None:
    told = {"since": 1_790_000_001_202, "until": 1_790_000_002_000, "fills": 1_790_000_003_000}
    stream = configured(terminal=True)
    logger().info("gap repaired", **told)
    line = re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue())
    assert "since=2026-09-21T14:13:21.202Z until=2026-09-21T14:13:22.000Z fills=1790000003000" in line
    stream = configured()
    logger().info("gap repaired", **told)
    [entry] = json_lines(stream)
    assert {name: entry[name] for name in told} == told


@pytest.mark.parametrize("moment", [None, True, 1 << 62, "yesterday"])
def test_what_is_no_time_stays_what_it_is(moment: object) -> None:
    stream = configured(terminal=True)
    logger().info("gap opened", since=moment)
    assert f"since={moment}" in re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue())


@pytest.mark.parametrize(("level", "shown"), [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")])
def test_the_level_is_a_limit_from_below(level: str, shown: str) -> None:
    stream = configured(level=level)
    for method in ("debug", "info", "warning", "error"):
        getattr(logger(), method)("x", action=method)
    assert "".join(str(entry["action"])[0] for entry in json_lines(stream)) == shown


def test_an_unknown_level_names_its_neighbour() -> None:
    with pytest.raises(SettingsError, match="did you mean 'warning'"):
        configure_logs(level="warnign", stream=io.StringIO())


def test_to_configure_again_replaces() -> None:
    first, second = configured(), configured()
    logger().info("once", action="x")
    assert (first.getvalue(), len(json_lines(second))) == ("", 1)


def test_libraries_are_heard_from_warnings_on() -> None:
    stream = configured(level="debug")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger("aiohttp.client").log(level, "says %d", level)
    assert [entry["event"] for entry in json_lines(stream)] == ["says 30"]


def test_the_context_of_a_task_is_in_its_lines() -> None:
    stream = configured()

    async def run() -> None:
        structlog.contextvars.bind_contextvars(account="alice")
        logger().info("x", action="x")

    asyncio.run(run())
    assert json_lines(stream)[0]["account"] == "alice"


def test_a_used_library_writes_to_the_standard_logging(caplog: pytest.LogCaptureFixture, registered: str) -> None:
    structlog.reset_defaults()
    configure_library_logs()
    logger().warning("a handler raised", action="handler_raised", name="x", account=registered)
    assert [record.getMessage() for record in caplog.records] == ["event=a handler raised action=handler_raised name=x account=***"]


def test_a_program_that_configured_structlog_is_left_alone() -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    before = structlog.get_config()["processors"]
    configure_library_logs()
    assert structlog.get_config()["processors"] is before


# ---------------------------------------------------------------- fields


def test_what_is_not_on_the_list_is_named_but_not_shown() -> None:
    stream = configured()
    logger().info("x", action="x", url=f"wss://venue/{OTHER}", headers={"X-KEY": OTHER}, frame=b"{}")
    [entry] = json_lines(stream)
    assert (entry["url"], entry["headers"], entry["frame"]) == ("(not shown)",) * 3


def test_bytes_and_things_that_cannot_be_printed_are_described() -> None:
    class Silent:
        def __str__(self) -> str:
            raise ValueError(OTHER)

    stream = configured()
    logger().info("x", action="x", reason=b"\x00\x01", error=Silent(), state=Secret(OTHER), mode={"a": (None, True)})
    [entry] = json_lines(stream)
    assert (entry["reason"], entry["error"], entry["state"]) == ("(2 bytes)", "(unprintable Silent)", "Secret(***)")
    assert entry["mode"] == {"a": [None, True]}


def test_every_field_that_this_package_logs_is_on_the_list() -> None:
    found: dict[str, set[str]] = {}
    folder = Path(userstream.__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in ("_log", "log"):
                names = {each.arg for each in node.keywords if each.arg is not None} - {"exc_info", "stack_info", "extra"}
                found.setdefault(path.relative_to(folder).as_posix(), set()).update(names)
    assert found
    assert {path: sorted(names - SHOWN_FIELDS) for path, names in found.items() if names - SHOWN_FIELDS} == {}


# ---------------------------------------------------------------- secrets


SPELLINGS = [
    CANARY,
    CANARY[:8],
    CANARY[:20],
    quote(CANARY),
    quote(CANARY, safe=""),
    repr(CANARY),
    json.dumps(CANARY),
    CANARY.encode().hex(),
    CANARY.encode().hex().upper(),
    base64.b64encode(CANARY.encode()).decode(),
    base64.urlsafe_b64encode(CANARY.encode()).decode(),
    base64.b64encode(b"u:" + CANARY.encode() + b":v").decode(),
]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_registered_secret_is_in_no_line_in_any_spelling(terminal: bool, spelling: str, registered: str) -> None:
    def fill(secret: str) -> str:
        stream = configured(terminal=terminal)
        logger().info(f"event {secret}", action="x", account=secret, reason={"deep": [secret, {secret: secret}]}, error=LookupError(secret))
        logging.getLogger("some.library").warning("says %s", secret)
        try:
            raise ValueError(secret)
        except ValueError as inner:
            try:
                raise LookupError(f"outer {secret}") from inner
            except LookupError:
                logger().exception("failed", action="x")
                logging.getLogger("some.library").exception("failed too")
        return stream.getvalue()

    assert fill(OTHER).count(OTHER) >= 9, "the positive control must be seen"
    written = fill(spelling)
    assert _visible_part(spelling) not in written
    assert written.count("***") >= 9


def _visible_part(spelling: str) -> str:
    """What must not be left of it: its middle, which no mask of a neighbour hides."""
    return spelling[len(spelling) // 4 : -len(spelling) // 4] if len(spelling) > 8 else spelling


def test_a_secret_of_digits_is_hidden_as_a_number_too() -> None:
    register_secret("9988776655")
    stream = configured()
    logger().info("x", action="x", count=9988776655, total=0.9988776655, size=99)
    forget_secret("9988776655")
    [entry] = json_lines(stream)
    assert (entry["count"], entry["total"], entry["size"]) == ("***", "***", 99)


@given(st.text(min_size=4, max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_a_registered_text_is_in_no_cleaned_text(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.register(secret)
    cleaned = redactor.clean(before + secret + after)
    assert secret not in cleaned or secret in "***"
    assert cleaned.startswith(before) or any(secret[:4] in part for part in (before + secret[:3],))


@given(st.binary(min_size=8, max_size=40), st.binary(max_size=10), st.binary(max_size=10))
def test_a_secret_inside_a_longer_base64_text_is_found(data: bytes, before: bytes, after: bytes) -> None:
    secret = data.hex()
    redactor = Redactor()
    redactor.register(secret)
    text = base64.b64encode(before + secret.encode() + after).decode()
    left = redactor.clean(text).replace("***", "")
    assert len(left) <= (len(before) + len(after)) * 4 // 3 + 12


@given(st.text(max_size=80))
def test_text_without_secrets_stays_as_it_is(text: str) -> None:
    redactor = Redactor()
    redactor.register("\U0001f511 not in there")
    assert redactor.clean(text) == text


def test_a_key_in_pem_form_is_hidden_line_by_line() -> None:
    lines = [
        "-----BEGIN PRIVATE KEY-----",
        "MC4CAQAwBQYDK2VwBCIEIPcanarycanarycanary",
        "abcdefghijklmnopqrstuvw",
        "-----END PRIVATE KEY-----",
    ]
    redactor = Redactor()
    redactor.register("\n".join(lines))
    assert redactor.clean(f"read {lines[1]} and {lines[2]}") == "read *** and ***"
    assert redactor.clean("-----BEGIN CERTIFICATE-----") == "-----BEGIN CERTIFICATE-----"


def test_a_forgotten_secret_is_text_again_and_leaves_the_others() -> None:
    redactor = Redactor()
    for secret in ("listenkey-one", "listenkey-two", "listenkey-two"):
        redactor.register(secret)
    redactor.forget("listenkey-two")
    redactor.forget("never known")
    assert redactor.clean("listenkey-one") == "***"
    assert redactor.clean("somewhere else") == "somewhere else"


def test_values_too_short_to_be_secret_are_left_alone() -> None:
    redactor = Redactor()
    for short in ("", "a", "abc"):
        redactor.register(short)
    assert redactor.clean("abc abc") == "abc abc"


# ---------------------------------------------------------------- forged lines


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    "evil",
    ["a\nFORGED", "a\r\nFORGED", "a\x1b[2JFORGED", "a\x9bFORGED", "a\u2028FORGED", "a\u202eFORGED", "a\ud800FORGED"],
    ids=["line feed", "both", "escape", "control", "separator", "override", "half a letter"],
)
def test_no_value_starts_a_line_or_moves_the_cursor(terminal: bool, evil: str) -> None:
    stream = configured(terminal=terminal)
    logger().info(evil, action="x", reason=evil, error={evil: [evil]})
    logging.getLogger("some.library").warning("%s", evil)
    written = stream.getvalue()
    assert len(written.splitlines()) == 2
    assert evil[1] not in written.replace("\x1b[", "").replace("\r", "").rstrip("\n").replace("\n", "", 1)
    assert written.count("FORGED") == 5


def test_the_lines_of_an_exception_cannot_pass_for_entries() -> None:
    stream = configured(terminal=True)
    try:
        raise ValueError("x\n2026-01-01T00:00:00Z [info     ] all is well\x1b[2J")
    except ValueError:
        logger().exception("failed", action="x")
    first, *rest = stream.getvalue().splitlines()
    assert "failed" in first
    assert rest
    assert all(line.startswith("    | ") for line in rest)
    assert "\x1b[2J" not in stream.getvalue()


def test_a_stream_that_cannot_be_written_shows_nothing_of_the_entry(registered: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        written = ""

        def write(self, text: str) -> int:
            if "entry" not in text:
                raise OSError(28, "No space left on device")
            self.written += text
            return len(text)

    stream = Full()
    configure_logs(stream=stream)
    logger().info("x", action="x", account=OTHER)
    assert stream.written == "a log entry could not be written\n"
    stream.close()
    logger().info("x", action="x", account=OTHER)
    assert OTHER not in "".join(capsys.readouterr())


def test_a_value_that_two_registered_is_hidden_until_both_forgot_it() -> None:
    redactor = Redactor()
    redactor.register(CANARY)
    redactor.register(CANARY)
    redactor.forget(CANARY)
    assert CANARY not in redactor.clean(f"key {CANARY}")
    redactor.forget(CANARY)
    assert CANARY in redactor.clean(f"key {CANARY}")
    redactor.forget(CANARY)
    redactor.register(CANARY)
    assert CANARY not in redactor.clean(f"key {CANARY}")


def test_a_program_that_uses_the_library_sees_a_traceback_once_and_without_secrets() -> None:
    register_secret(CANARY)
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    logging.getLogger("userstream").addHandler(handler)
    configure_library_logs()
    try:
        try:
            raise ValueError(f"no entry for {CANARY}")
        except ValueError:
            structlog.get_logger("userstream.tests").exception("failed", action="x")
    finally:
        logging.getLogger("userstream").removeHandler(handler)
        forget_secret(CANARY)
    assert lines.getvalue().count("Traceback") == 1
    assert CANARY not in lines.getvalue()
