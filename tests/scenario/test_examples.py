"""The programs of the README and of the examples, as somebody starts them: they say something, and Ctrl-C ends them without a traceback."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


async def interrupted(program: Path, words: list[str], folder: Path) -> tuple[int, str]:
    """Runs a program until it has told all these words, in words for people, then presses Ctrl-C. Its exit code and what it complained
    of."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-u", str(program)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    try:
        await asyncio.wait_for(read_until(process, words), 30)
        process.send_signal(signal.SIGINT)
        _, complaints = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, complaints.decode()


async def read_until(process: asyncio.subprocess.Process, words: list[str]) -> None:
    assert process.stdout is not None
    told = ""
    while missing := [word for word in words if word not in told]:
        line = await process.stdout.readline()
        assert line, f"ended before it told {missing}: {(await process.communicate())[1].decode()}"
        told += line.decode()
        assert line.count(b"diary:") + line.count(b"order-") <= 1, "one thread wrote into the line of another"
        assert "=" not in line.decode(), "that is how values look to programs"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fleet.py", ["paper-1 is proven", "paper-2 is proven", " at "]),
        ("handlers.py", ["filled buy", "order-3 filled"]),
        ("threads.py", ["diary:", "watch:"]),
        ("without_async.py", ["diary:", "order-3 filled"]),
    ],
)
async def test_an_example_runs_until_ctrl_c(name: str, words: list[str], tmp_path: Path) -> None:
    assert await interrupted(ROOT / "examples" / name, words, tmp_path) == (0, "")


async def test_the_ten_lines_of_the_readme_run_until_ctrl_c(tmp_path: Path) -> None:
    [lines] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "ten.py").write_text(lines, encoding="utf-8")
    assert await interrupted(tmp_path / "ten.py", ["USDT ", "open: ", "filled: "], tmp_path) == (0, "")
