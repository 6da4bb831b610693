"""What a command writes where nothing can be written, and how it says so."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from userstream.entry.cli.output import REMEDIES, remedy_for, show_count

FULL = Path("/dev/full")
FRAME = '{"e":"TRADE_LITE","E":1,"T":1,"s":"BTCUSDT","q":"1","p":"1","m":true,"c":"c","S":"BUY","L":"1","l":"1","t":1,"i":1}\n'


@pytest.mark.parametrize("number", REMEDIES)
def test_a_machine_without_more_of_something_is_told_with_what_to_do(number: int) -> None:
    words = remedy_for(OSError(number, "whatever"))
    assert words.endswith(REMEDIES[number])
    assert "\n" not in words


def test_other_errors_are_no_such_thing() -> None:
    assert remedy_for(OSError(errno.EINVAL, "whatever")) == remedy_for(OSError("whatever")) == ""


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [["decode", "--venue", "binance-usdm"], ["--help"], ["--version"]])
def test_a_full_disk_behind_the_output_is_one_line(words: list[str]) -> None:
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "userstream", *words]
        ended = subprocess.run(command, input=FRAME, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=50)
    assert ended.returncode == 1
    assert ended.stderr == "userstream: no space left on device: make room on the disk, or write elsewhere\n"


def test_numbers_are_told_as_people_write_them() -> None:
    assert [show_count(number, "hole") for number in (0, 1, 2)] == ["0 holes", "1 hole", "2 holes"]
    assert [show_count(number, "mismatch", "mismatches") for number in (1, 2)] == ["1 mismatch", "2 mismatches"]


def test_who_leaves_at_once_says_why() -> None:
    program = "from userstream.entry.cli.output import leave_at_once; leave_at_once('ended at once'); print('still here')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "userstream: ended at once\n")
