"""The console script before its command stands: Ctrl-C may come at any moment of it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from userstream.entry.cli import INTERRUPTED, main

BEFORE = """
import sys
before = set(sys.modules)
import userstream.entry.cli
print(*sorted(set(sys.modules) - before))
"""
INTERRUPTED_AT = """
import signal, sys, weakref

class Thing:
    pass

def drop():
    thing = Thing()
    weak = weakref.ref(thing, press)
    del thing

def press(gone=None):
    signal.raise_signal(signal.SIGINT)
    return None

class Operator:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            press()

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


@pytest.mark.parametrize("module", ["cyclopts", "userstream.entry.cli.decode", "userstream.venues"])
def test_an_interrupt_where_python_ignores_exceptions_is_no_less_heard(module: str) -> None:
    """In a callback of a weak reference, of which reading a module has many, an exception is shown and forgotten."""
    ended = call(INTERRUPTED_AT.replace("            press()", "            drop()"), module)
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "", "")


def test_who_ignores_interrupts_from_the_start_is_left_alone() -> None:
    ended = call("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + INTERRUPTED_AT, "cyclopts")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_handler_of_a_program_that_calls_main_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert signal.getsignal(signal.SIGINT) is before


def test_without_an_interrupt_the_same_command_ends_well() -> None:
    ended = call(INTERRUPTED_AT, "no.such.module")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
