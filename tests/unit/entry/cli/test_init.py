"""The console script before its command stands: Ctrl-C may come at any moment of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from userstream.entry.cli import INTERRUPTED

BEFORE = """
import sys
before = set(sys.modules)
import userstream.entry.cli
print(*sorted(set(sys.modules) - before))
"""
INTERRUPTED_AT = """
import signal, sys

class Operator:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Operator())
from userstream.entry.cli import main
main(["decode", "--venue", "binance-usdm"])
"""


def call(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *words], input="", capture_output=True, text=True, check=False, timeout=50)


def test_next_to_nothing_is_read_before_an_interrupt_can_be_heard() -> None:
    assert set(call(BEFORE).stdout.split()) <= {"__future__", "userstream", "userstream.entry", "userstream.entry.cli"}


@pytest.mark.parametrize(
    "module",
    [
        "userstream.entry.cli.output",
        "userstream.kernel.errors",
        "difflib",
        "userstream.entry.cli.app",
        "cyclopts",
        "msgspec",
        "userstream.domain.events",
        "userstream.entry.cli.decode",
        "userstream.venues",
    ],
)
def test_an_interrupt_while_modules_are_read_is_quiet(module: str) -> None:
    ended = call(INTERRUPTED_AT, module)
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "", "")


def test_without_an_interrupt_the_same_command_ends_well() -> None:
    ended = call(INTERRUPTED_AT, "no.such.module")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
