"""Whose account a key opens: what the venue calls it, what the store knows of it, and which of the two says no."""

from __future__ import annotations

import pytest

from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.entry.key_identity import FILL_KEPT_MS, LOOK_LIMIT_MS, Comparison, Owners, Silent
from userstream.kernel.errors import AuthenticationError, RetryLater, UserStreamError
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.wire.registration import KnownFill

ALICE = AccountSettings(name="alice", venue="binance-usdm", credentials=credentials_of("K", "S"))
NOW = Millis(1_790_000_000_000)
FILL = KnownFill(Symbol("BTCUSDT"), OrderId("77"), Millis(NOW - 1_000))


class Venue:
    """Says what it is told to say, or fails."""

    def __init__(self, identity: str | UserStreamError, knows: bool | UserStreamError = True) -> None:
        self.identity, self.knows = identity, knows
        self.orders: list[tuple[str, str]] = []

    async def identify(self, settings: AccountSettings, limit_ms: int = LOOK_LIMIT_MS) -> str:
        if isinstance(self.identity, UserStreamError):
            raise self.identity
        return self.identity

    async def knows_order(self, settings: AccountSettings, symbol: Symbol, order_id: OrderId) -> bool:
        self.orders.append((symbol, order_id))
        if isinstance(self.knows, UserStreamError):
            raise self.knows
        return self.knows


async def compared(venue: Venue | Silent, known: str = "", fill: KnownFill | None = None) -> Comparison:
    owners = Owners(venue)
    found = await owners.compare(ALICE, await owners.identify(ALICE), known, fill, NOW)
    assert sum(map(bool, (found.refusal, found.warning, found.told))) == 1
    return found


async def test_what_the_venue_calls_the_account_decides() -> None:
    same = await compared(Venue("SgsR"), "SgsR", FILL)
    assert (same.identity, same.told) == ("SgsR", "the venue says that it is the same account (SgsR)")
    other = await compared(Venue("XuXu"), "SgsR")
    assert (other.refusal, other.is_sure) == ("the key belongs to another account of the venue (XuXu; alice is SgsR)", True)


@pytest.mark.parametrize("venue", [Venue(""), Venue(RetryLater("no answer")), Venue(AuthenticationError("no such key")), Silent()])
async def test_where_an_account_is_known_silence_is_no_consent(venue: Venue | Silent) -> None:
    found = await compared(venue, "SgsR", FILL)
    assert "is not known (alice is SgsR)" in found.refusal
    assert (found.is_sure, found.identity) == (False, "SgsR")


@pytest.mark.parametrize("identity", ["", "SgsR", RetryLater("no answer")])
async def test_where_nothing_was_learned_the_last_filled_order_is_compared(identity: str | UserStreamError) -> None:
    venue = Venue(identity)
    assert "order 77 of BTCUSDT" in (await compared(venue, "", FILL)).told
    assert venue.orders == [("BTCUSDT", "77")]
    refused = await compared(Venue(identity, knows=False), "", FILL)
    assert "never had order 77 of BTCUSDT" in refused.refusal


async def test_what_cannot_be_compared_is_said() -> None:
    old = KnownFill(FILL.symbol, FILL.order_id, Millis(NOW - FILL_KEPT_MS - 1))
    for fill in (None, old):
        assert "nothing of the account is known" in (await compared(Venue("", knows=False), "", fill)).warning
    assert "did not say" in (await compared(Venue("", knows=RetryLater("no answer")), "", FILL)).warning
    assert "did not say" in (await compared(Silent(), "", FILL)).warning
