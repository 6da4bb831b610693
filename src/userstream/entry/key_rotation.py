"""Re-wraps the data keys of all accounts with the newest key of the ring, while the service runs.

Nothing is noted of how far it came: each account says itself with which key it is wrapped. So it can be ended anywhere and begun again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from userstream.kernel.sealed import VaultError
from userstream.ports import Registry, Vault
from userstream.wire.registration import RegisteredAccount

BATCH: Final = 200
"""Accounts of one transaction: few enough to hold up nobody, enough that the disk is asked seldom."""

MOST_PASSES: Final = 5
"""An account that changed while it was re-wrapped is taken up again; nobody changes one so often."""


class RotationReport(msgspec.Struct, frozen=True, kw_only=True):
    """`rewrapped`: accounts that were changed; `left`: those that still need an older key; `failed`: why, by account; `keys`: accounts by
    the key they need now."""

    newest: str
    rewrapped: int
    left: int
    failed: dict[str, str]
    keys: dict[str, int]


def nothing(done: int) -> None:
    """For callers that want to hear of no progress."""


async def rewrap_all(registry: Registry, vault: Vault, *, tell: Callable[[int], None] = nothing, batch: int = BATCH) -> RotationReport:
    """Re-wraps every account that needs an older key. `tell` hears how many accounts have been looked at since it was told last. Raises
    StoreError when the store cannot be used; what was done until then stays."""
    rewrapped, failed = 0, dict[str, str]()
    for _ in range(MOST_PASSES):
        failed.clear()
        tried, changed = await _pass(registry, vault, tell, batch, failed)
        rewrapped += changed
        if changed == tried:
            break
    keys = await count_keys(registry, vault, batch=batch)
    left = sum(count for key, count in keys.items() if key != vault.newest_key)
    return RotationReport(newest=vault.newest_key, rewrapped=rewrapped, left=left, failed=failed, keys=keys)


async def count_keys(registry: Registry, vault: Vault, *, batch: int = BATCH) -> dict[str, int]:
    """How many accounts need each key; those whose records cannot be read stand under an empty name."""
    counts: Counter[str] = Counter()
    after = ""
    while page := await registry.page(after=after, limit=batch):
        for account in page:
            counts.update(keys_of(account, vault))
        after = page[-1].account
    return dict(sorted(counts.items()))


def keys_of(account: RegisteredAccount, vault: Vault) -> tuple[str, ...]:
    """The keys that an account needs; an empty name where that cannot be read."""
    try:
        return tuple(sorted({vault.key_of(record) for record in account.records}))
    except VaultError:
        return ("",)


async def _pass(registry: Registry, vault: Vault, tell: Callable[[int], None], batch: int, failed: dict[str, str]) -> tuple[int, int]:
    """How many accounts were to be changed, and how many were."""
    tried = changed = 0
    after = ""
    while page := await registry.page(after=after, limit=batch):
        swaps = [pair for account in page if (pair := _rewrapped(account, vault, failed)) is not None]
        tried += len(swaps)
        if swaps:
            changed += await registry.swap_records(swaps)
        tell(len(page))
        after = page[-1].account
    return tried, changed


def _rewrapped(account: RegisteredAccount, vault: Vault, failed: dict[str, str]) -> tuple[RegisteredAccount, RegisteredAccount] | None:
    """The account and how it shall be; None where nothing is to be changed, or nothing can be."""
    if keys_of(account, vault) == (vault.newest_key,):
        return None
    try:
        return account, account.with_records(tuple(vault.rewrap(account.place, account.records)))
    except VaultError as error:
        failed[account.account] = str(error)
        return None
