"""`userstream state`: the tables of a store, for people and for programs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.events import A_TIME, balance_set, filled, gap_opened, gap_repaired, liability_changed, order_changed, position_set
from tests.support.records import record
from userstream.adapters.sqlite import SqliteStore
from userstream.domain.events import Event
from userstream.entry.cli import run_command
from userstream.entry.cli.state import MEANING
from userstream.kernel.ids import AccountId
from userstream.ports import Record
from userstream.runtime.pump import Pump

Capture = pytest.CaptureFixture[str]
GONE = order_changed(order_id="3", status="unknown", execution_type="gone")
RECORDS = (
    record(order_changed(order_id="1"), order_changed(order_id="2", status="filled"), GONE, sequence=1),
    record(*(filled(trade_id=str(number), event_time=1_000 + number) for number in range(71, 74)), sequence=4),
    record(position_set(symbol="BTCUSDT", amount="0.3"), position_set(symbol="ETHUSDT", amount="0.000"), balance_set(), sequence=7),
    record(balance_set(account="bob", asset="BNB"), account="bob", sequence=1),
    record(gap_opened(since=2_000), gap_repaired(since=2_000, until=3_000), gap_opened(since=4_000), sequence=10),
)


def make_store(path: Path, *records: Record) -> Path:
    async def write() -> None:
        clock = ManualClock()
        async with await SqliteStore.open(path, clock) as store:
            pump = Pump(store, store, "tables", clock=clock)
            pump.start()
            for one in records:
                store.append(one)
            await store.flush()
            await pump.drain()
            await pump.stop()

    asyncio.run(write())
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "a.db", *RECORDS)


def asked(capsys: Capture, store: Path, *words: str) -> Any:
    assert run_command(["state", str(store), "--json", *words]) == 0
    [line] = capsys.readouterr().out.splitlines()
    return json.loads(line)


def test_amounts_have_the_digits_that_the_venue_sent(tmp_path: Path, capsys: Capture) -> None:
    tiny = record(balance_set(total="0.00000000"), filled(fee="-0.00000050"), sequence=1)
    store = make_store(tmp_path / "tiny.db", tiny)
    tables = asked(capsys, store)
    assert (tables["balances"][0]["total"], tables["fills"][0]["fee"]) == ("0.00000000", "-0.00000050")
    assert run_command(["state", str(store)]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in (" 0.00000000 ", " -0.00000050 "))


def test_open_orders_held_positions_and_all_accounts(store: Path, capsys: Capture) -> None:
    tables = asked(capsys, store)
    assert [row["order_id"] for row in tables["orders"]] == ["1"]
    assert [row["symbol"] for row in tables["positions"]] == ["BTCUSDT"]
    assert sorted(row["account"] for row in tables["balances"]) == ["alice", "bob"]
    assert set(tables) == {"balances", "debts", "positions", "orders", "fills", "coverage"}


def test_all_orders_some_fills_and_one_account(store: Path, capsys: Capture) -> None:
    assert {row["order_id"] for row in asked(capsys, store, "--orders", "all")["orders"]} == {"1", "2", "3"}
    assert len(asked(capsys, store, "--fills", "2")["fills"]) == 2
    assert asked(capsys, store, "--fills", "0")["fills"] == []
    assert [row["asset"] for row in asked(capsys, store, "--account", "bob")["balances"]] == ["BNB"]


def test_people_get_tables(store: Path, capsys: Capture) -> None:
    assert run_command(["state", str(store)]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("balances", "positions", "coverage", "BTCUSDT"))
    assert "None" not in told
    assert told.count("time (UTC)") == 4
    shown = {row["state"] for row in asked(capsys, store)["coverage"]}
    assert "KNOWN_GAP" in shown and shown != set(MEANING)
    assert {word for word, meaning in MEANING.items() if f"{word}: {meaning}" in told} == shown


def test_a_time_that_the_venue_did_not_tell_is_no_time(tmp_path: Path, capsys: Capture) -> None:
    store = make_store(tmp_path / "a.db", record(balance_set(transaction_time=0), sequence=1))
    assert run_command(["state", str(store)]) == 0
    assert "1970" not in capsys.readouterr().out


def test_mistakes_are_told(tmp_path: Path, store: Path, capsys: Capture) -> None:
    assert run_command(["state", str(tmp_path / "absent.db")]) == 2
    assert "there is no store" in capsys.readouterr().err
    assert run_command(["state", str(store), "--orders", "some"]) == 2
    assert run_command(["state", str(store), "--fills", "-1"]) == 2
    capsys.readouterr()
    assert run_command(["state", str(store), "--limit", "-1"]) == 2
    assert "--limit -1 must be 0 or above" in capsys.readouterr().err
    assert run_command(["state", str(store), "--account", "nobody"]) == 2
    assert "no account 'nobody'; the store has alice, bob" in capsys.readouterr().err


def test_the_newest_fills_are_the_newest_of_all_accounts_by_the_venues_time(tmp_path: Path, capsys: Capture) -> None:
    late, early = ((filled(account="bob", trade_id=str(n), transaction_time=n) for n in numbers) for numbers in ((40, 50), (10, 20)))
    alices = (filled(trade_id=str(n), transaction_time=n) for n in (30, 45))
    # bob's early fills come last: a gap of his was repaired after everything else
    records = (record(*late, account="bob", sequence=1), record(*alices, sequence=1), record(*early, account="bob", sequence=3))
    store = make_store(tmp_path / "b.db", *records)
    assert [row["trade_id"] for row in asked(capsys, store, "--fills", "3")["fills"]] == ["50", "45", "40"]
    assert [row["trade_id"] for row in asked(capsys, store, "--fills", "9")["fills"]] == ["50", "45", "40", "30", "20", "10"]
    assert [row["trade_id"] for row in asked(capsys, store, "--fills", "1", "--account", "alice")["fills"]] == ["45"]


def test_what_the_venue_wrote_commands_no_terminal(tmp_path: Path, capsys: Capture) -> None:
    store = make_store(tmp_path / "a.db", record(balance_set(asset="X\x1b[2J[/red]:bomb:"), sequence=1))
    assert run_command(["state", str(store)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "X\ufffd[2J[/red]:bomb:" in printed


def reading(asset: str, principal: str, at: int, **fields: object) -> Event:
    told = {"asset": asset, "principal": principal, "interest": "0.00000100", "reason": "reading", **fields}
    return liability_changed(**told, source="snapshot", transaction_time=at, as_of=at)


def test_what_is_owed_is_shown_as_the_books_told_it_last(tmp_path: Path, capsys: Capture) -> None:
    borrowed = liability_changed(asset="USDT", principal="7")
    events = (reading("USDT", "100", A_TIME), borrowed, reading("BTC", "0.5", A_TIME), reading("ETH", "1", A_TIME))
    paid = (reading("USDT", "107.10", A_TIME + 60_000), reading("ETH", "0", A_TIME + 60_000, interest="0"))
    store = make_store(tmp_path / "a.db", record(*events, sequence=1), record(*paid, sequence=9))
    debts = asked(capsys, store)["debts"]
    assert [(row["asset"], row["principal"], row["interest"]) for row in debts] == [
        ("BTC", "0.5", "0.00000100"),
        ("USDT", "107.10", "0.00000100"),
    ]
    assert debts[1] | {"account": "alice", "transaction_time": A_TIME + 60_000} == debts[1]
    assert run_command(["state", str(store), "--account", "alice"]) == 0
    told = capsys.readouterr().out
    assert "debts" in told and "principal" in told and "107.10" in told


def test_a_debt_that_only_a_checkpoint_remembers_is_shown(tmp_path: Path, capsys: Capture) -> None:
    store = make_store(tmp_path / "a.db", record(balance_set(), sequence=1))

    async def save() -> None:
        async with await SqliteStore.open(store, ManualClock()) as opened:
            await opened.save_checkpoint(AccountId("alice"), 1, (reading("USDT", "100", A_TIME),))

    asyncio.run(save())
    assert [row["principal"] for row in asked(capsys, store)["debts"]] == ["100"]


def test_an_account_without_debts_is_not_asked_to_think_of_them(store: Path, capsys: Capture) -> None:
    assert run_command(["state", str(store)]) == 0
    assert "debts" not in capsys.readouterr().out
    assert asked(capsys, store)["debts"] == []


def test_numbers_stand_right_and_words_left(store: Path, capsys: Capture) -> None:
    assert run_command(["state", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if "filled_quantity" in line)
    row = lines[lines.index(head) + 2]
    cells = dict(zip((cell.strip() for cell in head.split("┃")), row.split("│"), strict=True))
    assert cells["filled_quantity"].endswith(f"{cells['filled_quantity'].strip()} ") and cells["filled_quantity"].startswith("  ")
    assert cells["order_type"].startswith(f" {cells['order_type'].strip()}")


def test_of_many_orders_the_newest_are_listed_and_the_others_counted(tmp_path: Path, capsys: Capture) -> None:
    many = [order_changed(order_id=str(number), transaction_time=A_TIME + number) for number in range(60)]
    store = make_store(tmp_path / "a.db", record(*many, sequence=1))
    assert run_command(["state", str(store)]) == 0
    told = capsys.readouterr().out
    assert sum(" limit " in line for line in told.splitlines()) == 50
    assert "10 older orders more: --limit 60 shows all" in told
    assert len(asked(capsys, store)["orders"]) == 60 and "more_orders" not in asked(capsys, store)
    few = asked(capsys, store, "--limit", "2")
    assert ([row["order_id"] for row in few["orders"]], few["more_orders"]) == (["59", "58"], 58)
    assert run_command(["state", str(store), "--limit", "0"]) == 0
    told = capsys.readouterr().out
    assert "orders: none" not in told and "60 older orders more" in told


def test_the_orders_that_are_not_listed_are_counted_below_the_listed(tmp_path: Path, capsys: Capture) -> None:
    many = [order_changed(order_id=str(number), transaction_time=A_TIME + number) for number in range(3)]
    store = make_store(tmp_path / "a.db", record(*many, filled(), gap_opened(since=2_000), sequence=1))
    for limit in ("2", "0"):
        assert run_command(["state", str(store), "--limit", limit]) == 0
        told = capsys.readouterr().out
        words = ("positions: none", *(["filled_quantity"] if limit != "0" else []), "more: --limit 3 shows all", "trade_id", "coverage")
        places = [told.index(word) for word in words]
        assert places == sorted(places), told


def test_stop_orders_say_at_which_price_and_others_are_not_asked(tmp_path: Path, capsys: Capture) -> None:
    plain = order_changed(order_id="1", stop_price="0.00")
    store = make_store(tmp_path / "plain.db", record(plain, order_changed(order_id="2", stop_price=None), sequence=1))
    assert run_command(["state", str(store)]) == 0
    assert "stop_price" not in capsys.readouterr().out
    stop = order_changed(order_id="3", order_type="stop_market", stop_price="58123.50")
    store = make_store(tmp_path / "stop.db", record(plain, stop, sequence=1))
    assert run_command(["state", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if "stop_price" in line)
    place = [cell.strip() for cell in head.split("┃")].index("stop_price")
    cells = [line.split("│")[place].strip() for line in lines if " stop_market " in line or " limit " in line]
    assert sorted(cells) == ["", "58123.50"]
