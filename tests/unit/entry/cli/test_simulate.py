"""`userstream simulate`: settings that cannot be are told, exit code 2, before a port is opened."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from userstream.entry.cli import run_command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--venue", "binance-usd"], "binance-usd"),
        (["--accounts", "-1"], "--accounts -1 must be between 1 and 10000"),
        (["--accounts", "0"], "--accounts 0 must be between 1 and 10000"),
        (["--accounts", "10001"], "--accounts 10001 must be between 1 and 10000"),
        (["--venue", "binance-spot", "--venue", "binance-spot"], "--venue binance-spot is given more than once"),
        (["--api-secret", "half"], "--api-secret needs --api-key"),
        (["--api-key", ""], "--api-key"),
        (["--api-key", "two words"], "--api-key"),
        (["--rate", "-5"], "rate"),
        (["--rate", "fast"], "rate"),
        (["--rate", "1e9"], "--rate 1e+09 must be between 0 and 10000 events per second"),
        (["--rate", "nan"], "--rate nan must be between"),
        (["--port", "99999"], "--port 99999 must be between 0 (any free one) and 65535"),
        (["--port", "-1"], "--port -1 must be between 0"),
        (["--script", "absent.json"], "absent.json"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert run_command(["simulate", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("userstream: ")
    assert told in captured.err


def test_a_script_that_says_nothing_sensible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "faults.json").write_text('[{"every_s": 5, "action": "cutt"}]')
    assert run_command(["simulate", "--script", str(tmp_path / "faults.json")]) == 2
    told = capsys.readouterr().err
    assert "cutt" in told
    assert "faults.json: " in told


@pytest.mark.parametrize("command", [["simulate"], ["demo", "--headless", "--seconds", "1"]])
def test_a_port_in_use_is_a_mistake_of_the_words(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_command([*command, "--port", str(port)]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"userstream: --port {port} on 127.0.0.1 is in use; choose another one, or 0 for a free one\n"
