"""Room for files and sockets: made where it may be, told in one line where not."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.entry.descriptors import make_room, need_of, quieten, read_room, require_room, told_about

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from userstream.entry.cli import main
main(sys.argv[3:])
"""
NOBODY = '[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key = "canary"\nenabled = false\n'


def call(soft: int, hard: int, *words: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-c", LIMITED, str(soft), str(hard), *words]
    return subprocess.run(script, capture_output=True, text=True, check=False, timeout=50)


@given(st.integers(1, 5_000), st.integers(1, 100))
def test_more_accounts_never_need_less(accounts: int, more: int) -> None:
    assert 0 < need_of(accounts) < need_of(accounts, ends=2)
    assert need_of(accounts) < need_of(accounts + more)


def test_room_that_is_there_is_left_as_it_is() -> None:
    before = read_room()
    assert make_room(1) == before.now
    require_room(1)
    assert read_room() == before


def test_what_is_told_says_what_to_do_only_where_something_is_to_be_done() -> None:
    assert told_about(1_024, 1, 28) == "this process may open 1024 files and sockets, 1 account can need 28"
    assert told_about(64, 3, 68).endswith("3 accounts can need 68: raise the limit (ulimit -n 68), or take fewer accounts")


@pytest.mark.parametrize("limit", [16, 64])
def test_a_demo_without_room_says_so_in_one_line(limit: int) -> None:
    ended = call(limit, limit, "demo", "--headless", "--seconds", "1")
    [line] = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"this process may open {limit} files and sockets, 3 accounts can need 68: raise the limit" in line


def test_an_exchange_without_room_for_anybody_says_so_in_one_line() -> None:
    for limit in (6, 16):
        ended = call(limit, limit, "simulate")
        [line] = ended.stderr.splitlines()
        assert (ended.returncode, ended.stdout) == (1, "")
        assert f"this process may open {limit} files and sockets, 1 account can need 28: raise the limit" in line


@pytest.mark.slow
def test_a_demo_makes_the_room_that_it_may_make() -> None:
    ended = call(24, 1_024, "demo", "--headless", "--seconds", "1")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_doctor_names_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "userstream.toml"
    path.write_text(NOBODY)
    path.chmod(0o600)
    for limit, verdict in ((1_024, "ok"), (18, "problem")):
        [line] = call(limit, limit, "doctor", "--json", "--config", str(path)).stdout.splitlines()
        [found] = [finding for finding in json.loads(line) if finding["subject"] == "open files"]
        assert (found["verdict"], f"may open {limit} files" in found["words"]) == (verdict, True)


async def test_the_loop_tells_once_that_nothing_more_can_be_opened() -> None:
    loop, told, others = asyncio.get_running_loop(), list[str](), list[str]()
    before = loop.get_exception_handler()
    quieten(loop, told.append)
    try:
        for number in (errno.EMFILE, errno.ENFILE, errno.EMFILE):
            loop.call_exception_handler({"message": "accept", "exception": OSError(number, "too many")})
        assert len(told) == 1
        assert "ulimit -n" in told[0]
        loop.default_exception_handler = lambda context: others.append(str(context["message"]))  # type: ignore[method-assign]
        loop.call_exception_handler({"message": "another trouble", "exception": ValueError()})
        assert others == ["another trouble"]
    finally:
        loop.set_exception_handler(before)
