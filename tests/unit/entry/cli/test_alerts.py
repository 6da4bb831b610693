"""`userstream alerts test`: one message of each severity, and what became of them, without an address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.logs import restored_logs
from tests.support.webhook import Webhook, open_webhook
from userstream.domain.alerts import Severity
from userstream.entry.cli import run_command

PATH = "Can4ryTok3nPath"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The command sets up the logs of its process, which here is that of all tests."""
    with restored_logs():
        yield


def write(folder: Path, *urls: str, more: str = "") -> Path:
    config, secret = folder / "userstream.toml", folder / "alerts.urls"
    secret.write_text("\n".join(urls))
    secret.chmod(0o600)
    config.write_text(f'[alerts]\nurls_file = "alerts.urls"\n{more}')
    return config


async def run(config: Path, *words: str) -> int:
    """In a thread: the command has a loop of its own, and the webhook's goes on."""
    return await asyncio.to_thread(run_command, ["alerts", "test", "--config", str(config), *words])


async def test_one_of_each_severity_arrives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_webhook() as webhook:
        assert await run(write(tmp_path, webhook.url(PATH))) == 0
        assert sorted(webhook.titles()) == sorted(f"[{severity.upper()}] userstream: a test" for severity in Severity)
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out] == [["json", "1", severity.value, "sent"] for severity in reversed(Severity)]
    assert PATH not in "".join(out)


async def test_what_does_not_arrive_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_webhook() as webhook, open_webhook() as well:
        webhook.status = 500
        assert await run(write(tmp_path, webhook.url(PATH), well.url()), "--json") == 1
        told = capsys.readouterr()
        outcomes = {(each["receiver"], each["outcome"], each["reason"]) for each in json.loads(told.out)}
        assert outcomes == {("json 1", "failed", "HTTP 500 Internal Server Error"), ("json 2", "sent", "")}
        assert len(webhook.seen) == len(Severity), "each is tried once"
        assert PATH not in told.out + told.err and "Traceback" not in told.err


async def test_a_receiver_that_hangs_is_given_up_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_webhook() as webhook:
        webhook.hanging = asyncio.Event()
        assert await run(write(tmp_path, hasty(webhook), more="time_limit_s = 1\n"), "--json") == 1
        assert {(each["outcome"], each["reason"]) for each in json.loads(capsys.readouterr().out)} == {("failed", "no answer in time")}


async def test_a_closed_port_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(write(tmp_path, f"json://127.0.0.1:1/{PATH}")) == 1
    told = capsys.readouterr()
    assert {line.partition(" failed: ")[2] for line in told.out.splitlines()} == {"connection refused"}
    assert PATH not in told.out + told.err


def hasty(webhook: Webhook) -> str:
    """Its own limit is shorter than ours, so that the test need not wait for that."""
    return f"{webhook.url()}?rto=0.2&cto=0.2"


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "there is no table [alerts]"), ('[alerts]\nurls_env = "NOWHERE"\n', "NOWHERE, which is not set"), ("[alerts]\n", "has no urls")],
)
def test_a_mistake_is_told_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    config = tmp_path / "userstream.toml"
    config.write_text(text)
    assert run_command(["alerts", "test", "--config", str(config)]) == 2
    assert words in capsys.readouterr().err


def test_an_address_that_is_none_is_told_by_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["alerts", "test", "--config", str(write(tmp_path, f"slack://{PATH}"))]) == 2
    told = capsys.readouterr()
    assert "address 1 is of the kind slack" in told.err and PATH not in told.err + told.out
