"""Vaults, places and registered accounts for tests, with chance that repeats itself and is never equal twice."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Final

from userstream.adapters.key_ring import KeyRing
from userstream.adapters.vault import AesVault
from userstream.domain.audit import AuditNote
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.kernel.sealed import SealPlace
from userstream.kernel.secret import Secret
from userstream.wire.registration import AccountOptions, RegisteredAccount, SealedKey

FIRST_KEY: Final = bytes(range(32))
SECOND_KEY: Final = bytes(range(32, 64))
THIRD_KEY: Final = bytes(range(64, 96))
USDM: Final = VenueName("binance-usdm")
NO_OPTIONS: Final = AccountOptions()
NOW: Final = Millis(1_790_000_000_000)


def steady_chance(seed: int = 1) -> Callable[[int], bytes]:
    """Bytes that look like chance and come again in the same order."""
    numbers = itertools.count()
    return lambda length: hashlib.shake_256(f"{seed}:{next(numbers)}".encode()).digest(length)


def make_vault(*keys: bytes, seed: int = 1) -> AesVault:
    return AesVault(KeyRing(keys or (FIRST_KEY,)), steady_chance(seed))


def make_place(account: str = "alice", *, user: str = "desk", venue: str = USDM, destination: str = "", version: int = 1) -> SealPlace:
    return SealPlace(user=user, account=AccountId(account), venue=VenueName(venue), destination=destination, version=version)


def note(action: str = "account.add", subject: str = "alice", time: int = NOW) -> AuditNote:
    return AuditNote(time=Millis(time), actor="tess", origin="desk-1", action=action, subject=subject)


def make_account(
    name: str = "alice", vault: AesVault | None = None, *, version: int = 1, options: AccountOptions = NO_OPTIONS, active: bool = True
) -> RegisteredAccount:
    """An account whose key is KEY-name and whose secret is SECRET-name."""
    place = make_place(name, version=version, destination=options.destination)
    records = (vault or make_vault()).seal(place, {"api_key": Secret(f"KEY-{name}"), "api_secret": Secret(f"SECRET-{name}")})
    return RegisteredAccount(
        account=place.account,
        user=place.user,
        venue=place.venue,
        label="a label",
        active=active,
        options=options,
        created_time=NOW,
        record_version=version,
        key=SealedKey(**records),
    )
