"""`userstream decode`: a line is a frame, an event is a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from userstream.entry.cli import run_command

Capture = pytest.CaptureFixture[str]
CONFIG = b'{"e":"ACCOUNT_CONFIG_UPDATE","E":2,"T":1,"ac":{"s":"BTCUSDT","l":25}}'


def decoded(capsys: Capture, path: Path, content: bytes) -> list[dict[str, object]]:
    path.write_bytes(content)
    assert run_command(["decode", "--venue", "binance-usdm", str(path)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_blank_lines_and_line_ends_are_no_frames(tmp_path: Path, capsys: Capture) -> None:
    lines = decoded(capsys, tmp_path / "frames", b"\r\n\n" + CONFIG + b"\r\n\n\n" + CONFIG)
    assert [(line["kind"], line["symbol"], line["leverage"]) for line in lines] == [("account_config_changed", "BTCUSDT", 25)] * 2


def test_amounts_have_the_digits_that_the_venue_sent(tmp_path: Path, capsys: Capture) -> None:
    update = b'{"e":"ACCOUNT_UPDATE","E":2,"T":1,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"0.00000000","cw":"-0.00000050","bc":"0"}],"P":[]}}'
    [line] = decoded(capsys, tmp_path / "frames", update)
    assert (line["total"], line["cross_total"]) == ("0.00000000", "-0.00000050")


def test_an_empty_file_has_no_events(tmp_path: Path, capsys: Capture) -> None:
    assert decoded(capsys, tmp_path / "frames", b"") == []


@pytest.mark.parametrize("frame", [b"no json", b"\xff\xfe\x00", b"[]", b'{"e":', b'{"e":"ORDER_TRADE_UPDATE"}', b"[" * 5_000])
def test_what_cannot_be_decoded_is_one_unrecognized_line(tmp_path: Path, capsys: Capture, frame: bytes) -> None:
    assert [line["kind"] for line in decoded(capsys, tmp_path / "frames", frame + b"\n" + CONFIG)] == [
        "unrecognized",
        "account_config_changed",
    ]


def test_files_and_venues_that_are_not_there(tmp_path: Path, capsys: Capture) -> None:
    for words, told in (
        (["--venue", "binance-usdm", str(tmp_path / "absent")], "absent"),
        (["--venue", "binance-usdm", str(tmp_path)], str(tmp_path)),
        (["--venue", "binance-usmd"], "did you mean 'binance-usdm'"),
    ):
        assert run_command(["decode", *words]) == 2
        assert told in capsys.readouterr().err
