"""Re-wrapping of all accounts: killed anywhere it goes on, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from tests.support.vaults import FIRST_KEY, NOW, SECOND_KEY, THIRD_KEY, make_account, make_vault, note
from userstream.adapters.key_ring import id_of
from userstream.adapters.memory_registry import MemoryRegistry
from userstream.entry.key_rotation import count_keys, keys_of, rewrap_all
from userstream.kernel.ids import AccountId
from userstream.kernel.secret import Secret
from userstream.ports import Vault
from userstream.wire.registration import RegisteredAccount, SealedListenKey

ACCOUNTS = 12
OLD, NEW = id_of(FIRST_KEY), id_of(SECOND_KEY)
Swaps = Sequence[tuple[RegisteredAccount, RegisteredAccount]]


class Killed(BaseException):
    """The process is gone."""


class MortalRegistry(MemoryRegistry):
    """Is killed at the swap that it is told, before it or after it."""

    def __init__(self, fatal_swap: int = -1, *, after: bool = False) -> None:
        super().__init__()
        self.fatal_swap, self._after, self._swaps = fatal_swap, after, 0

    async def swap_records(self, swaps: Swaps) -> int:
        self._swaps += 1
        if self._swaps - 1 != self.fatal_swap:
            return await super().swap_records(swaps)
        if self._after:
            await super().swap_records(swaps)
        raise Killed


async def filled(registry: MemoryRegistry, count: int = ACCOUNTS) -> None:
    vault = make_vault(FIRST_KEY)
    for number in range(count):
        account = make_account(f"account-{number:03}", vault)
        await registry.add(account, note())
        sealed = vault.seal_beside(account.place, "listen_key", Secret(f"LISTEN-{number}"), account.key.api_key)
        await registry.save_listen_key(account.account, 1, SealedListenKey(record=sealed, expires_at=NOW))


async def check_all_open(registry: MemoryRegistry, vault: Vault, count: int = ACCOUNTS) -> None:
    accounts = await registry.page()
    assert len(accounts) == count
    for number, account in enumerate(accounts):
        assert vault.open(account.place, "api_key", account.key.fields["api_key"]) == Secret(f"KEY-account-{number:03}")
        assert account.listen_key is not None
        assert vault.open(account.place, "listen_key", account.listen_key.record) == Secret(f"LISTEN-{number}")


@pytest.mark.parametrize("batch", [1, 5, 100])
async def test_all_accounts_come_to_the_newest_key(batch: int) -> None:
    registry, both, told = MemoryRegistry(), make_vault(FIRST_KEY, SECOND_KEY, seed=2), list[int]()
    await filled(registry)
    assert await count_keys(registry, both, batch=batch) == {OLD: ACCOUNTS}
    report = await rewrap_all(registry, both, tell=told.append, batch=batch)
    assert (report.newest, report.rewrapped, report.left, report.failed, report.keys) == (NEW, ACCOUNTS, 0, {}, {NEW: ACCOUNTS})
    assert sum(told) == ACCOUNTS
    await check_all_open(registry, make_vault(SECOND_KEY))
    assert (await rewrap_all(registry, both, batch=batch)).rewrapped == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("row", range(ACCOUNTS))
async def test_killed_at_any_row_it_goes_on(row: int, after: bool) -> None:
    registry = MortalRegistry(row, after=after)
    await filled(registry)
    both = make_vault(FIRST_KEY, SECOND_KEY, seed=2)
    with pytest.raises(Killed):
        await rewrap_all(registry, both, batch=1)
    done = row + after
    assert await count_keys(registry, both) == ({NEW: done} if done else {}) | ({OLD: ACCOUNTS - done} if done < ACCOUNTS else {})
    await check_all_open(registry, both)
    report = await rewrap_all(registry, make_vault(FIRST_KEY, SECOND_KEY, seed=3), batch=1)
    assert (report.rewrapped, report.left) == (ACCOUNTS - done, 0)
    await check_all_open(registry, make_vault(SECOND_KEY))


async def test_an_account_that_changes_meanwhile_is_taken_up_again() -> None:
    class Busy(MemoryRegistry):
        is_busy = True

        async def swap_records(self, swaps: Swaps) -> int:
            if self.is_busy:
                self.is_busy = False
                await self.save_listen_key(swaps[0][0].account, 1, None)
            return await super().swap_records(swaps)

    registry = Busy()
    await filled(registry)
    report = await rewrap_all(registry, make_vault(FIRST_KEY, SECOND_KEY, seed=2))
    assert (report.rewrapped, report.left) == (ACCOUNTS, 0)
    first = (await registry.page())[0]
    assert first.listen_key is None


async def test_what_cannot_be_opened_is_left_and_named_and_the_others_go_on() -> None:
    registry = MemoryRegistry()
    await filled(registry)
    lost, damaged = await registry.page(limit=2)
    foreign = make_account(lost.account, make_vault(THIRD_KEY))
    await registry.swap_records([(lost, lost.with_records((*foreign.records, foreign.records[0])))])
    await registry.swap_records([(damaged, damaged.with_records(("no record",) * 3))])
    both = make_vault(FIRST_KEY, SECOND_KEY, seed=2)
    report = await rewrap_all(registry, both)
    assert (report.rewrapped, report.left, sorted(report.failed)) == (ACCOUNTS - 2, 2, [lost.account, damaged.account])
    assert id_of(THIRD_KEY) in report.failed[lost.account]
    assert report.keys == {"": 1, id_of(THIRD_KEY): 1, NEW: ACCOUNTS - 2}


async def test_a_listen_key_saved_by_a_process_with_the_old_ring_is_moved_as_well() -> None:
    registry = MemoryRegistry()
    await filled(registry, 1)
    both = make_vault(FIRST_KEY, SECOND_KEY, seed=2)
    await rewrap_all(registry, both)
    [account] = await registry.page()
    old = make_vault(FIRST_KEY).seal_beside(account.place, "listen_key", Secret("x"), make_account("account-000").key.api_key)
    await registry.save_listen_key(AccountId("account-000"), 1, SealedListenKey(record=old, expires_at=NOW))
    [mixed] = await registry.page()
    assert keys_of(mixed, both) == tuple(sorted((OLD, NEW)))
    report = await rewrap_all(registry, both)
    assert (report.rewrapped, report.left, report.keys) == (1, 0, {NEW: 1})


def test_an_account_shows_no_secret_while_it_waits() -> None:
    assert "KEY-alice" not in repr(msgspec.structs.astuple(make_account()))
