"""`userstream accounts`: every command has its example and its options their words; nothing is asked of nobody."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.support.vaults import FIRST_KEY, make_account
from userstream.adapters.key_ring import write_key
from userstream.entry.cli import OK, USAGE, run_command
from userstream.entry.cli.accounts import form_of
from userstream.wire.registration import SealedListenKey

COMMANDS = ("add", "list", "show", "enable", "disable", "remove", "check", "rotate")
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_how_it_is_called_and_takes_no_secret_as_a_word(name: str, capsys: Capture) -> None:
    assert run_command(["accounts", name, "--help"]) == OK
    told = capsys.readouterr().out
    assert f"userstream accounts {name}" in told
    assert not any(f"--{secret} " in told for secret in ("api-key", "api-secret", "passphrase"))


def test_an_unknown_command_is_told_with_what_helps(capsys: Capture) -> None:
    assert run_command(["accounts", "ad"]) == USAGE
    assert "userstream accounts --help" in capsys.readouterr().err


FILES = ("--api-key-file", "alice.key", "--api-secret-file", "alice.key")
ADD = ("accounts", "add", "dora", "--venue", "binance-usdm")


@pytest.mark.parametrize(
    "slip",
    [
        ("accounts", "show", "nobody"),
        ("accounts", "remove", "nobody"),
        ("accounts", "enable", "nobody"),
        ("accounts", "rotate", "nobody", *FILES),
        ADD,
        ("accounts", "add", "dora", "--venue", "nowhere", *FILES),
        (*ADD, "--api-key-file", "absent"),
        (*ADD, "--api-key-file", "public.key"),
        (*ADD, *FILES, "--label", "a\nb"),
        (*ADD, *FILES, "--rest-url", "http://127.0.0.1:1"),
        (*ADD, *FILES, "--rest-url", "", "--ws-url", ""),
        (*ADD, *FILES, "--symbol", "BTC/USDT"),
        ("accounts", "disable", "nobody"),
        ("accounts", "check", "nobody"),
        (*ADD, "--api-secret", "x"),
        ("accounts", "list", "--config", "absent.toml"),
        ("keys", "rotate", "--config", "absent.toml"),
        ("keys", "rotate", "--config", "public.toml"),
        ("keys", "generate", "--append"),
        ("keys", "generate", "--file", "absent.keys", "--append"),
    ],
)
def test_slips_are_told_in_one_line(slip: tuple[str, ...], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text, mode in (
        ("userstream.toml", '[store]\npath = "desk.db"\n[vault]\nkey_file = "vault.keys"\n', 0o600),
        ("public.toml", '[vault]\nkey_file = "public.key"\n', 0o600),
        ("vault.keys", write_key(FIRST_KEY), 0o600),
        ("alice.key", "CANARY", 0o600),
        ("public.key", "CANARY", 0o644),
    ):
        Path(name).write_text(text)
        Path(name).chmod(mode)
    assert run_command([*slip]) == USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert 1 <= len(told.err.strip().splitlines()) <= 2
    assert "CANARY" not in told.err


@pytest.mark.parametrize("group", ["accounts", "keys"])
@pytest.mark.parametrize("words", [(), ("--help",)])
def test_groups_show_their_commands_with_an_example(group: str, words: tuple[str, ...], capsys: Capture) -> None:
    assert run_command([group, *words]) == OK
    assert f"Example: userstream {group}" in capsys.readouterr().out


def test_what_is_shown_of_an_account_holds_no_record() -> None:
    account = make_account()
    form = form_of(account)
    assert not any(record in str(form) for record in account.records)
    assert (form["account"], form["secrets"], form["listen_key_ends"]) == ("alice", ["api_key", "api_secret"], None)


def test_a_damaged_record_is_shown_as_such() -> None:
    account = make_account()
    assert form_of(account.with_records(("x", "y")))["key"] == "damaged"


def test_the_end_of_a_listen_key_is_shown() -> None:
    account = msgspec.structs.replace(make_account(), listen_key=SealedListenKey(record="r", expires_at=make_account().created_time))
    assert form_of(account)["listen_key_ends"] == account.created_time


def test_an_empty_address_is_told_by_its_option(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("userstream.toml").write_text("[registry]\n")
    assert run_command([*ADD, "--rest-url", "", "--ws-url", ""]) == USAGE
    assert "--rest-url '' is empty: leave it out for the venue itself, or name an address" in capsys.readouterr().err
