"""Whether a key opens the account that a name stands for: what the venue calls it is compared, else what the store knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import Millis, OrderId, Symbol

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings
    from userstream.wire.registration import KnownFill

ADD_LIMIT_MS: Final = 2_000
"""Beside the look at the rights: whoever adds an account over HTTP waits for both."""
LOOK_LIMIT_MS: Final = 7_500
"""For one look with all that it waits for: a person waits for it, and over HTTP no longer than ten seconds."""

FILL_KEPT_MS: Final = 60 * 24 * 3600 * 1000
"""An order that was filled is told for 90 days (Binance USD-M, 6.1), counted from its creation to be sure: that a younger one is not
known is another account's answer."""


class OwnerDesk(Protocol):
    """Asks a venue whose account a key opens. Raises the error that says how to react."""

    async def identify(self, settings: AccountSettings, limit_ms: int = LOOK_LIMIT_MS) -> str:
        """What the venue calls the account; empty where it does not tell."""

    async def knows_order(self, settings: AccountSettings, symbol: Symbol, order_id: OrderId) -> bool:
        """Whether the account has had this order."""


class Silent:
    """An `OwnerDesk` of venues that tell nothing."""

    async def identify(self, settings: AccountSettings, limit_ms: int = LOOK_LIMIT_MS) -> str:
        """As in `OwnerDesk`."""
        return ""

    async def knows_order(self, settings: AccountSettings, symbol: Symbol, order_id: OrderId) -> bool:
        """As in `OwnerDesk`."""
        raise UserStreamError("the venue does not tell")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of whose account a key opens. `identity`: as the venue calls it, empty where it does not tell; `refusal`: why the key
    is another account's, or may be; `is_sure`: whether it is; `warning`: why it could not be compared; `told`: by what it was. One of the
    three has words."""

    identity: str = ""
    refusal: str = ""
    is_sure: bool = True
    warning: str = ""
    told: str = ""


class Owners:
    """Compares keys with the accounts that they should open."""

    def __init__(self, desk: OwnerDesk) -> None:
        self.desk = desk

    async def identify(self, settings: AccountSettings, limit_ms: int = LOOK_LIMIT_MS) -> tuple[str, str]:
        """What the venue calls the account, and why it does not tell. Where it does not, the first is empty."""
        try:
            return await self.desk.identify(settings, limit_ms), "the venue does not tell it"
        except UserStreamError as error:
            return "", str(error)

    async def compare(
        self, settings: AccountSettings, told: tuple[str, str], known: str, fill: KnownFill | None, now: Millis
    ) -> Comparison:
        """`told`: what `identify` gave; `known`: what the venue calls the account that the name stands for, empty where that was never
        learned; `fill`: the newest that the store has of it; `now`: our clock (ms)."""
        identity, trouble = told
        if known and identity:
            if identity == known:
                return Comparison(identity=identity, told=f"the venue says that it is the same account ({identity})")
            refusal = f"the key belongs to another account of the venue ({identity}; {settings.name} is {known})"
            return Comparison(identity=identity, refusal=refusal)
        if known:
            refusal = f"whose account of the venue the key opens is not known ({settings.name} is {known}): {trouble}"
            return Comparison(identity=known, refusal=refusal, is_sure=False)
        return await self._compare_fill(settings, identity, fill, now)

    async def _compare_fill(self, settings: AccountSettings, identity: str, fill: KnownFill | None, now: Millis) -> Comparison:
        if fill is None or now - fill.created_time > FILL_KEPT_MS:
            warning = (
                "nothing of the account is known that the key could be compared with: make sure that it is the same account of the venue"
            )
            return Comparison(identity=identity, warning=warning)
        order = f"order {fill.order_id} of {fill.symbol}"
        try:
            knows_order = await self.desk.knows_order(settings, fill.symbol, fill.order_id)
        except UserStreamError as error:
            warning = f"the venue did not say whether the key's account has had {order} ({error}): make sure that it is the same account"
            return Comparison(identity=identity, warning=warning)
        if knows_order:
            return Comparison(identity=identity, told=f"the account has had the last filled order of {settings.name} ({order})")
        refusal = f"the key belongs to another account of the venue: that one never had {order}, the last that {settings.name} filled"
        return Comparison(identity=identity, refusal=refusal)
