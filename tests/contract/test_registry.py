"""What every registry and its audit log promise: the same suite over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec
import pytest

from tests.support.vaults import FIRST_KEY, NOW, SECOND_KEY, make_account, make_place, make_vault, note
from userstream.adapters.memory_registry import MemoryRegistry
from userstream.adapters.sqlite_registry import SqliteRegistry
from userstream.domain.audit import AuditEntry, AuditHead, verify_chain
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.ports import AuditLog, Registry
from userstream.wire.registration import AccountOptions, NameHistory, SealedKey, SealedListenKey
from userstream.wire.rights import KeyRights

ALICE: Final = AccountId("alice")
BOB: Final = AccountId("bob")
RIGHTS: Final = KeyRights(read=True, trade=True, withdraw=False, transfer=False, ip_restricted=True, unknown=("permitsMoonTravel",))
OPTIONS: Final = AccountOptions(rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1", symbols=("BTCUSDT",), session_logon=True)
LISTEN_KEY: Final = SealedListenKey(record="v1|listen", expires_at=Millis(NOW + 1))


class AuditedRegistry(Registry, AuditLog, Protocol): ...


async def make_memory(folder: Path) -> AuditedRegistry:
    return MemoryRegistry()


async def make_sqlite(folder: Path) -> AuditedRegistry:
    return await SqliteRegistry.open(folder / "registry.db")


MAKERS: Final[dict[str, Callable[[Path], Awaitable[AuditedRegistry]]]] = {"memory": make_memory, "sqlite": make_sqlite}


@pytest.fixture(params=list(MAKERS.values()), ids=list(MAKERS))
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AuditedRegistry]:
    made: AuditedRegistry = await request.param(tmp_path)
    yield made
    await made.close()


async def entries_of(log: AuditLog) -> list[AuditEntry]:
    found: list[AuditEntry] = []
    while part := await log.audit_entries(after=found[-1].sequence if found else 0, limit=3):
        found += part
    assert verify_chain(found, await log.audit_head()) == ""
    return found


async def actions_of(log: AuditLog) -> list[str]:
    return [entry.note.action for entry in await entries_of(log)]


async def test_what_is_added_is_read_again(registry: AuditedRegistry) -> None:
    account = msgspec.structs.replace(make_account(options=OPTIONS), rights=RIGHTS, rights_time=NOW)
    await registry.add(account, note("account.add"))
    assert await registry.get(ALICE) == account
    assert await registry.get(BOB) is None
    assert await registry.page() == [account]
    assert [entry.note for entry in await entries_of(registry)] == [note("account.add")]


async def test_a_name_is_taken_once_and_nothing_of_the_second_is_kept(registry: AuditedRegistry) -> None:
    await registry.add(make_account(), note())
    with pytest.raises(SettingsError, match="'alice' in the registry already"):
        await registry.add(make_account(version=2), note())
    assert await registry.next_version(ALICE) == 2
    assert len(await entries_of(registry)) == 1


async def test_pages_come_in_the_order_of_ids(registry: AuditedRegistry) -> None:
    names = [f"account-{number}" for number in range(7)]
    for name in reversed(names):
        await registry.add(make_account(name, active=name != "account-3"), note(subject=name))
    first = await registry.page(limit=4)
    rest = await registry.page(after=first[-1].account, limit=4)
    assert [account.account for account in (*first, *rest)] == names
    active = await registry.page(active_only=True)
    assert [account.account for account in active] == [name for name in names if name != "account-3"]


async def test_accounts_are_switched_off_and_on(registry: AuditedRegistry) -> None:
    await registry.add(make_account(), note())
    for active, action in ((False, "account.disable"), (True, "account.enable")):
        await registry.set_active(ALICE, active, note(action))
        found = await registry.get(ALICE)
        assert found is not None
        assert found.active is active
    assert await actions_of(registry) == ["account.add", "account.disable", "account.enable"]


async def test_a_removed_account_leaves_its_version_behind(registry: AuditedRegistry) -> None:
    await registry.add(make_account(), note())
    await registry.remove(ALICE, note("account.remove"))
    assert await registry.get(ALICE) is None
    assert await registry.next_version(ALICE) == 2
    with pytest.raises(StoreError, match="try again"):
        await registry.add(make_account(version=1), note())
    await registry.add(make_account(version=2), note())
    assert await actions_of(registry) == ["account.add", "account.remove", "account.add"]


async def test_a_new_key_takes_the_next_version_and_forgets_the_listen_key(registry: AuditedRegistry) -> None:
    await registry.add(make_account(), note())
    assert await registry.save_listen_key(ALICE, 1, LISTEN_KEY)
    renewed = msgspec.structs.replace(make_account(version=2), rights=RIGHTS, rights_time=NOW, label="not taken over")
    await registry.replace_key(renewed, note("account.rotate"))
    found = await registry.get(ALICE)
    assert found == msgspec.structs.replace(renewed, label="a label")
    assert not await registry.save_listen_key(ALICE, 1, LISTEN_KEY)
    for version in (2, 4):
        with pytest.raises(StoreError, match="try again"):
            await registry.replace_key(make_account(version=version), note("account.rotate"))
    assert await registry.get(ALICE) == found
    assert await actions_of(registry) == ["account.add", "account.rotate"]


async def test_a_listen_key_is_kept_and_given_up(registry: AuditedRegistry) -> None:
    await registry.add(make_account(), note())
    assert await registry.save_listen_key(ALICE, 1, LISTEN_KEY)
    found = await registry.get(ALICE)
    assert found is not None
    assert found.listen_key == LISTEN_KEY
    assert found.records == (*make_account().records, "v1|listen")
    assert await registry.save_listen_key(ALICE, 1, None)
    assert await registry.get(ALICE) == make_account()
    assert not await registry.save_listen_key(BOB, 1, LISTEN_KEY)


async def test_rights_and_proofs_are_noted(registry: AuditedRegistry) -> None:
    await registry.add(make_account(), note())
    await registry.save_rights(ALICE, 1, RIGHTS, Millis(NOW + 3), note("account.check"))
    for time in (NOW + 5, NOW + 2):
        await registry.save_proven(ALICE, Millis(time))
    found = await registry.get(ALICE)
    assert found == msgspec.structs.replace(make_account(), rights=RIGHTS, rights_time=NOW + 3, proven_time=Millis(NOW + 5))
    await registry.save_rights(ALICE, 1, None, Millis(NOW + 4), note("account.check"))
    assert await registry.get(ALICE) == msgspec.structs.replace(found, rights_time=NOW + 4), "a venue that tells nothing takes nothing back"
    assert await actions_of(registry) == ["account.add", "account.check", "account.check"]


async def test_what_an_old_key_may_do_is_not_said_of_the_new_one(registry: AuditedRegistry) -> None:
    await registry.add(make_account(), note())
    wide = msgspec.structs.replace(RIGHTS, withdraw=True)
    renewed = msgspec.structs.replace(make_account(version=2), rights=wide, rights_time=NOW)
    await registry.replace_key(renewed, note("account.rotate"))
    for rights in (RIGHTS, None):
        await registry.save_rights(ALICE, 1, rights, Millis(NOW + 3), note("account.check"))
        assert await registry.get(ALICE) == renewed
    await registry.save_rights(ALICE, 2, RIGHTS, Millis(NOW + 4), note("account.check"))
    assert await registry.get(ALICE) == msgspec.structs.replace(renewed, rights=RIGHTS, rights_time=NOW + 4)
    assert await actions_of(registry) == ["account.add", "account.rotate", *["account.check"] * 3]


async def test_an_account_that_is_not_there_is_named_and_nothing_is_noted(registry: AuditedRegistry) -> None:
    for change in (
        registry.set_active(ALICE, True, note()),
        registry.remove(ALICE, note()),
        registry.replace_key(make_account(), note()),
        registry.save_rights(ALICE, 1, RIGHTS, NOW, note()),
        registry.save_proven(ALICE, NOW),
    ):
        with pytest.raises(SettingsError, match="no account 'alice'"):
            await change
    assert await entries_of(registry) == []
    assert await registry.audit_head() == AuditHead()


async def test_records_are_swapped_unless_they_changed_meanwhile(registry: AuditedRegistry) -> None:
    old, new = make_vault(FIRST_KEY), make_vault(FIRST_KEY, SECOND_KEY, seed=2)
    before = {name: make_account(name, old) for name in ("alice", "bob", "carol")}
    for account in before.values():
        await registry.add(account, note(subject=account.account))
    listen_key = old.seal_beside(make_place("alice"), "listen_key", Secret("pq"), before["alice"].key.api_key)
    await registry.save_listen_key(ALICE, 1, SealedListenKey(record=listen_key, expires_at=NOW))
    await registry.remove(AccountId("carol"), note("account.remove", "carol"))
    known = [*await registry.page(), before["carol"]]
    swaps = [(each, each.with_records(tuple(new.rewrap(each.place, each.records)))) for each in known]
    stale = (before["alice"], before["alice"].with_records(tuple(new.rewrap(before["alice"].place, before["alice"].records))))
    assert await registry.swap_records([stale]) == 0
    assert await registry.swap_records(swaps) == 2
    assert await registry.swap_records(swaps) == 0
    only = make_vault(SECOND_KEY)
    found = await registry.get(ALICE)
    assert found is not None
    assert found.listen_key is not None
    assert only.open(found.place, "listen_key", found.listen_key.record) == Secret("pq")
    assert only.open(found.place, "api_secret", found.key.fields["api_secret"]) == Secret("SECRET-alice")


async def test_an_account_may_have_a_key_alone(registry: AuditedRegistry) -> None:
    account = msgspec.structs.replace(make_account(), key=SealedKey(api_key="v1|key"))
    await registry.add(account, note())
    renewed = account.with_records(("v1|other",))
    assert await registry.swap_records([(account, renewed)]) == 1
    assert await registry.get(ALICE) == renewed


async def test_notes_of_many_writers_make_one_chain(registry: AuditedRegistry) -> None:
    await asyncio.gather(*(registry.write_note(note("vault.read", f"account-{number}")) for number in range(20)))
    assert sorted(entry.note.subject for entry in await entries_of(registry)) == sorted(f"account-{number}" for number in range(20))


async def test_what_the_venue_calls_an_account_stays_with_its_name(registry: AuditedRegistry) -> None:
    assert await registry.history_of(ALICE) == NameHistory()
    await registry.add(make_account(), note())
    await registry.save_identity(ALICE, 2, "another key's")
    assert (await registry.history_of(ALICE)).identity == ""
    await registry.save_identity(ALICE, 1, "SgsR")
    found = await registry.get(ALICE)
    assert found is not None and found.identity == "SgsR"
    assert [account.identity for account in await registry.page()] == ["SgsR"]
    await registry.replace_key(msgspec.structs.replace(make_account(version=2), identity="XuXu"), note("account.rotate"))
    await registry.remove(ALICE, note("account.remove"))
    await registry.save_identity(BOB, 1, "nobody's")
    assert await registry.history_of(ALICE) == NameHistory(identity="XuXu")
    await registry.add(msgspec.structs.replace(make_account(version=3), identity=""), note())
    assert (await registry.history_of(ALICE)).identity == ""
