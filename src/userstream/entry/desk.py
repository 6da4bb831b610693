"""Opens the registry and its desk over the store and the vault of a configuration."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from userstream.entry.registry import AccountDesk, AuditedRegistry, Caller

if TYPE_CHECKING:
    from userstream.entry.vault_settings import RegistryPart


@asynccontextmanager
async def open_registry(part: RegistryPart) -> AsyncIterator[AuditedRegistry]:
    """The registry alone, for what needs no key. Raises StoreError."""
    from userstream.adapters.sqlite_registry import SqliteRegistry

    async with await SqliteRegistry.open(Path(part.store)) as registry:
        yield registry


@asynccontextmanager
async def open_desk(part: RegistryPart) -> AsyncIterator[AccountDesk]:
    """The desk, with a way to the venues of its own; from here on nobody can take a picture of this process's memory. Raises SettingsError
    where there are no keys for the vault, StoreError."""
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.core_dumps import forbid_core_dumps
    from userstream.adapters.http import AiohttpClient
    from userstream.entry.key_rights import RightsDesk
    from userstream.entry.vault_settings import make_vault

    forbid_core_dumps()
    vault = await asyncio.to_thread(make_vault, part.vault, part.folder, os.environ)
    async with open_registry(part) as registry:
        clock, http = SystemClock(), AiohttpClient()
        rights = RightsDesk(http, clock, os.environ)
        try:
            yield AccountDesk(registry, vault, clock, find_caller(), rights.ask, os.environ, rights)
        finally:
            await http.close()


def find_caller() -> Caller:
    """Who calls, as the operating system knows it, and from which machine."""
    try:
        actor = getpass.getuser()
    except (OSError, KeyError, ImportError):
        actor = f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return Caller(actor, socket.gethostname())
