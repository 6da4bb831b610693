"""The store that a command names: whether there is one, whether it may be begun, and which accounts it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from userstream.kernel.errors import SettingsError

if TYPE_CHECKING:
    from userstream.adapters.sqlite_reader import SqliteReader

MOST_NAMES = 10


def require_store(store: Path) -> None:
    """Raises SettingsError when there is nothing to read."""
    if store.is_dir():
        raise SettingsError(f"{store} is a folder: name the database file in it")
    if not store.is_file():
        raise SettingsError(f"there is no store {store}; a store is made by userstream run")


def check_store_place(store: Path) -> None:
    """Raises SettingsError when a store can be neither read nor made there: the path is a folder."""
    if store.is_dir():
        raise SettingsError(f"the store {store} is a folder: name a file, for instance {store / 'userstream.db'}")


def check_store_is_new(store: Path) -> None:
    """Raises SettingsError when the store knows accounts already, StoreError when the file is no store. Not on an event loop."""
    check_store_place(store)
    if store.is_file() and store.stat().st_size and (known := asyncio.run(_read_accounts(store))):
        raise SettingsError(
            f"the store {store} holds accounts already ({_names(known)}), and each demo is a new exchange: "
            "choose another path, or delete the file"
        )


async def _read_accounts(store: Path) -> Sequence[str]:
    from userstream.adapters.sqlite import open_reader

    reader = open_reader(store)
    try:
        return await reader.accounts()
    finally:
        await reader.close()


async def check_account(reader: SqliteReader, account: str | None) -> None:
    """Raises SettingsError, with the accounts that there are, when the store does not know this one. None is every account."""
    if account is None:
        return
    known = await reader.accounts()
    if account not in known:
        raise SettingsError(f"no account {account!r}; the store has {_names(known) or 'no account yet'}")


async def find_only_account(reader: SqliteReader, why: str) -> str | None:
    """The account of a store that has just one, None of one that has none yet. Raises SettingsError, with `why` one has to be named, where
    there are several."""
    known = await reader.accounts()
    if len(known) > 1:
        raise SettingsError(f"{why}, and the store has {_names(known)}: name one with --account")
    return known[0] if known else None


def _names(known: Sequence[str]) -> str:
    return ", ".join(known[:MOST_NAMES]) + (f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else "")
