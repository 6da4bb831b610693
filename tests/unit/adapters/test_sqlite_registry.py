"""The registry in the store's file, beyond what every registry promises: other processes, hands in the file, and what a dump shows."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.events import balance_set
from tests.support.records import record
from tests.support.vaults import FIRST_KEY, NOW, SECOND_KEY, make_account, make_place, make_vault, note
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_registry import SqliteRegistry
from userstream.domain.audit import verify_chain
from userstream.entry.key_rotation import count_keys, rewrap_all
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName
from userstream.kernel.sealed import VaultError
from userstream.kernel.secret import Secret
from userstream.wire.registration import KnownFill, NameHistory, SealedListenKey

ALICE = AccountId("alice")
CANARIES = ("KEY-alice", "SECRET-alice", "LISTEN-alice")


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def test_accounts_are_managed_while_another_process_writes_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with (
        await SqliteStore.open(path, ManualClock()) as store,
        await SqliteRegistry.open(path) as one,
        await SqliteRegistry.open(path) as two,
    ):
        for number in range(1, 20):
            store.append(record(balance_set(), sequence=number))
            await (one if number % 2 else two).add(make_account(f"account-{number}"), note())
        await store.flush()
        assert len(await one.page()) == 19
        assert await store.last_sequence(ALICE) == 19
        assert verify_chain(await two.audit_entries(), await one.audit_head()) == ""


async def test_of_two_who_rotate_at_once_one_is_told(tmp_path: Path) -> None:
    async with await SqliteRegistry.open(tmp_path / "a.db") as one, await SqliteRegistry.open(tmp_path / "a.db") as two:
        await one.add(make_account(), note())
        outcomes = await asyncio.gather(
            *(each.replace_key(make_account(version=2), note("account.rotate")) for each in (one, two)), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StoreError"]
        assert len(await one.audit_entries()) == 2


async def test_a_row_that_was_put_back_from_earlier_does_not_open(tmp_path: Path) -> None:
    vault, path = make_vault(), tmp_path / "a.db"
    async with await SqliteRegistry.open(path) as registry:
        await registry.add(make_account(vault=vault), note())
        before = await registry.get(ALICE)
        await registry.replace_key(make_account(vault=vault, version=2), note("account.rotate"))
        after = await registry.get(ALICE)
        assert before is not None
        assert after is not None
        change(path, f"UPDATE exchange_accounts SET record_version = 1, api_key_encrypted = '{before.key.api_key}'")
        found = await registry.get(ALICE)
        assert found is not None
        assert vault.open(after.place, "api_key", after.key.api_key) == Secret("KEY-alice")
        with pytest.raises(VaultError):
            vault.open(found.place, "api_key", found.key.api_key)


@pytest.mark.parametrize("column", ["id", "user_id", "venue"])
async def test_a_row_in_another_ones_place_does_not_open(tmp_path: Path, column: str) -> None:
    vault, path = make_vault(), tmp_path / "a.db"
    async with await SqliteRegistry.open(path) as registry:
        await registry.add(make_account(vault=vault), note())
        change(
            path, f"UPDATE exchange_accounts SET {column} = 'other'", "UPDATE record_versions SET id = (SELECT id FROM exchange_accounts)"
        )
        [found] = await registry.page()
        with pytest.raises(VaultError):
            vault.open(found.place, "api_key", found.key.api_key)


async def test_a_key_is_not_sent_to_an_address_that_was_written_into_the_row(tmp_path: Path) -> None:
    vault, path = make_vault(), tmp_path / "a.db"
    async with await SqliteRegistry.open(path) as registry:
        await registry.add(make_account(vault=vault), note())
        change(path, """UPDATE exchange_accounts SET options = '{"rest_url": "https://evil.example"}'""")
        [found] = await registry.page()
        assert found.options.rest_url == "https://evil.example"
        with pytest.raises(VaultError):
            vault.open(found.place, "api_key", found.key.api_key)


@pytest.mark.parametrize("column", ["rights", "options"])
async def test_a_row_of_another_shape_is_told_in_one_line(tmp_path: Path, column: str) -> None:
    path = tmp_path / "a.db"
    async with await SqliteRegistry.open(path) as registry:
        await registry.add(make_account(), note())
        change(path, f"UPDATE exchange_accounts SET {column} = '[1'")
        with pytest.raises(StoreError, match="'alice' in the registry holds what was never written there"):
            await registry.get(ALICE)


async def test_the_audit_log_refuses_changes_and_shows_what_was_done_by_force(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with await SqliteRegistry.open(path) as registry:
        for number in range(3):
            await registry.write_note(note(subject=f"account-{number}"))
        for statement in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"):
            with pytest.raises(sqlite3.IntegrityError, match="only appended to"):
                change(path, statement)
        change(path, "DROP TRIGGER audit_log_is_never_cut", "DELETE FROM audit_log WHERE sequence = 3")
        assert "ends at entry 2" in verify_chain(await registry.audit_entries(), await registry.audit_head())
        change(path, "DROP TRIGGER audit_log_is_never_changed", "UPDATE audit_log SET result = 'refused' WHERE sequence = 2")
        assert "entry 2" in verify_chain(await registry.audit_entries(), await registry.audit_head())


@pytest.mark.parametrize("row", range(6))
@pytest.mark.parametrize("batch", [1, 4, 200])
async def test_a_rotation_that_breaks_off_at_any_row_goes_on(tmp_path: Path, row: int, batch: int) -> None:
    path, old, both = tmp_path / "a.db", make_vault(FIRST_KEY), make_vault(FIRST_KEY, SECOND_KEY, seed=2)
    async with await SqliteRegistry.open(path) as registry:
        for number in range(6):
            await registry.add(make_account(f"account-{number}", old), note())
        full = f"WHEN NEW.id = 'account-{row}' BEGIN SELECT RAISE(ABORT, 'no room'); END"
        change(path, f"CREATE TRIGGER full_disk BEFORE UPDATE ON exchange_accounts {full}")
        with pytest.raises(StoreError, match="no room"):
            await rewrap_all(registry, both, batch=batch)
        done = row // batch * batch
        assert (await count_keys(registry, both)).get(both.newest_key, 0) == done
        change(path, "DROP TRIGGER full_disk")
        report = await rewrap_all(registry, both, batch=batch)
        assert (report.rewrapped, report.left) == (6 - done, 0)
        only = make_vault(SECOND_KEY)
        for account in await registry.page():
            assert only.open(account.place, "api_key", account.key.api_key) == Secret(f"KEY-{account.account}")


async def test_two_rotations_at_once_do_the_work_once(tmp_path: Path) -> None:
    path, old = tmp_path / "a.db", make_vault(FIRST_KEY)
    async with await SqliteRegistry.open(path) as one, await SqliteRegistry.open(path) as two:
        for number in range(20):
            await one.add(make_account(f"account-{number:02}", old), note())
        vaults = (make_vault(FIRST_KEY, SECOND_KEY, seed=seed) for seed in (2, 3))
        reports = await asyncio.gather(*(rewrap_all(each, vault, batch=3) for each, vault in zip((one, two), vaults, strict=True)))
        assert sum(report.rewrapped for report in reports) == 20
        assert [report.left for report in reports][-1] == 0
        only = make_vault(SECOND_KEY)
        assert all(only.open(each.place, "api_key", each.key.api_key) for each in await two.page())


def dump_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


def found_in(folder: Path) -> list[str]:
    """The canaries that stand in any file of the store, or in a dump of its tables."""
    raw = b"".join(each.read_bytes() for each in folder.iterdir() if each.is_file())
    return [word for word in CANARIES if word.encode() in raw or word in dump_of(folder / "a.db")]


async def test_no_secret_stands_in_the_store_and_a_planted_one_is_found(tmp_path: Path) -> None:
    vault, path = make_vault(), tmp_path / "a.db"
    async with await SqliteRegistry.open(path) as registry:
        account = make_account(vault=vault)
        await registry.add(account, note())
        sealed = vault.seal_beside(make_place(), "listen_key", Secret("LISTEN-alice"), account.key.api_key)
        await registry.save_listen_key(ALICE, 1, SealedListenKey(record=sealed, expires_at=Millis(NOW)))
        assert found_in(tmp_path) == []
        change(path, "UPDATE exchange_accounts SET label = 'SECRET-alice'")
        assert found_in(tmp_path) == ["SECRET-alice"]


async def test_the_index_serves_the_question_for_listen_keys(tmp_path: Path) -> None:
    async with await SqliteRegistry.open(tmp_path / "a.db"):
        with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
            query = "SELECT id FROM exchange_accounts WHERE active = 1 AND listen_key_encrypted IS NOT NULL AND listen_key_expires_at < 5"
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert "exchange_accounts_with_listen_key" in str(plan)


async def test_a_closed_registry_says_so(tmp_path: Path) -> None:
    registry = await SqliteRegistry.open(tmp_path / "a.db")
    await registry.close()
    await registry.close()
    with pytest.raises(StoreError, match="is closed"):
        await registry.page()


async def test_a_file_that_cannot_be_a_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    for path in (tmp_path, tmp_path / "text", tmp_path / "absent" / "a.db"):
        with pytest.raises(StoreError):
            await SqliteRegistry.open(path)


async def test_trouble_of_the_database_is_a_store_error(tmp_path: Path) -> None:
    async with await SqliteRegistry.open(tmp_path / "a.db") as registry:
        change(tmp_path / "a.db", "DROP TABLE audit_head")
        with pytest.raises(StoreError, match="audit_head"):
            await registry.add(make_account(), note())
        assert await registry.page() == []


def test_accounts_show_no_record_of_their_own_accord() -> None:
    account = make_account()
    assert msgspec.structs.replace(account, label="b") != account
    assert not any(word in repr(account) for word in CANARIES)


async def test_the_history_of_a_name_is_what_the_tables_hold_of_it(tmp_path: Path) -> None:
    row = (
        "INSERT INTO fills VALUES ('alice', 'binance-spot', 'BTCUSDT', {0}, {0}, '', '', '', '1', '1', '', '', 0, '', '', {1}, 0, 0, '', 0)"
    )
    async with await SqliteRegistry.open(tmp_path / "a.db") as registry:
        assert await registry.history_of(ALICE) == NameHistory()
        change(tmp_path / "a.db", *(row.format(number, time) for number, time in ((7, 1_000), (9, 3_000), (8, 2_000))))
        newest = KnownFill(Symbol("BTCUSDT"), OrderId("9"), Millis(0))
        assert await registry.history_of(ALICE) == NameHistory(venue=VenueName("binance-spot"), fill=newest)
        with closing(sqlite3.connect(tmp_path / "a.db")) as file:
            columns = [(name, "" if kind == "TEXT" else 0) for _, name, kind, *_ in file.execute("PRAGMA table_info(orders)")]
            order = dict(columns) | {
                "account": "alice",
                "symbol": "BTCUSDT",
                "order_id": "9",
                "created_time": 500,
                "transaction_time": 3_000,
            }
            file.execute(f"INSERT INTO orders ({', '.join(order)}) VALUES ({', '.join('?' * len(order))})", list(order.values()))
            file.commit()
        known = await registry.history_of(ALICE)
        assert known.fill == msgspec.structs.replace(newest, created_time=Millis(500)), "the age of the order counts, not that of its fill"
        assert await registry.history_of(AccountId("bob")) == NameHistory()
