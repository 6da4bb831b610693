"""The state beside the handler equals the exchange's books, also after a gap in which everything changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from tests.support.desk import NAME, Desk, open_desk
from userstream import ConnectionError, LiveAccount, SettingsError, StateManager, UserDataStreamAPI, UserStreamError


class Stream:
    """A started stream, with the desk's quick recovery."""

    def __init__(self, account: LiveAccount | None, *, can_recover: bool = True) -> None:
        self.account, self.can_recover = account, can_recover


@asynccontextmanager
async def followed() -> AsyncIterator[tuple[Desk, StateManager, list[StateManager]]]:
    recovered: list[StateManager] = []
    async with open_desk() as desk:
        yield desk, StateManager(Stream(desk.account), recovered.append), recovered


def is_equal(state: StateManager, truth: Any) -> bool:
    orders = {row["client_order_id"]: (row["status"].upper(), Decimal(row["filled_quantity"])) for row in truth["orders"]}
    legs = {row["symbol"]: Decimal(row["amount"]) for row in truth["positions"] if Decimal(row["amount"])}
    wallets = {row["asset"]: Decimal(row["wallet"]) for row in truth["balances"] if Decimal(row["wallet"])}
    return (
        {key: (row["status"], Decimal(row["filled_quantity"])) for key, row in state.orders.items()} == orders
        and {key: Decimal(row["amount"]) for key, row in state.positions.items()} == legs
        and {key: Decimal(row["wallet_balance"]) for key, row in state.balances.items()} == wallets
    )


async def test_state_follows_the_stream_and_is_right_after_a_gap() -> None:
    async with followed() as (desk, state, recovered):
        resting = desk.place()
        desk.fill(desk.place(symbol="ETHUSDT", quantity="0.1", price="2000"), symbol="ETHUSDT")
        await desk.until(lambda: is_equal(state, desk.truth()), "equality")
        assert (state.orders[resting]["type"], state.orders[resting]["side"]) == ("LIMIT", "BUY")
        desk.act("cut")
        desk.fill(resting)
        desk.trade(symbol="ETHUSDT", side="sell", quantity="0.1")
        await desk.until(lambda: bool(recovered) and is_equal(state, desk.truth()), "equality after the gap")
        assert recovered == [state] * len(recovered)
        assert list(state.positions) == ["BTCUSDT"]
        assert set(state.positions["BTCUSDT"]) == {"amount", "entry_price", "unrealized_pnl"}


async def test_hedge_mode_has_two_legs() -> None:
    async with followed() as (desk, state, _):
        desk.act("hedge_mode", account=NAME)
        for side, leg in (("buy", "long"), ("sell", "short")):
            desk.act("place", account=NAME, symbol="BTCUSDT", side=side, quantity="0.01", order_type="market", position_side=leg)
        await desk.until(lambda: set(state.positions) == {"BTCUSDT:LONG", "BTCUSDT:SHORT"}, "two legs")
        assert Decimal(state.positions["BTCUSDT:SHORT"]["amount"]) < 0


async def test_synced_state_is_a_copy_of_the_books() -> None:
    async with followed() as (desk, state, _):
        await state.sync_state(20)
        assert is_equal(state, desk.truth())
        state.balances["USDT"]["wallet_balance"] = "0"
        assert is_equal(state, desk.truth())


async def test_an_account_that_cannot_be_proven_in_time() -> None:
    async with open_desk(proven=False) as desk:
        with pytest.raises(ConnectionError, match="still"):
            await StateManager(Stream(desk.account)).sync_state(0.001)


async def test_a_stream_that_is_not_running_or_cannot_read_books() -> None:
    with pytest.raises(UserStreamError, match="start it first"):
        StateManager(UserDataStreamAPI("key", print))
    async with open_desk() as desk:
        with pytest.raises(SettingsError, match="api_secret"):
            await StateManager(Stream(desk.account, can_recover=False)).sync_state()


async def test_a_stream_that_starts_again_is_followed_again() -> None:
    async with open_desk() as first, open_desk() as second:
        stream = Stream(first.account)
        state = StateManager(stream)
        stream.account = None
        with pytest.raises(UserStreamError, match="not running"):
            await state.sync_state()
        stream.account = second.account
        second.trade()
        await state.sync_state()
        await second.until(lambda: is_equal(state, second.truth()), "equality")
        assert list(state.positions) == ["BTCUSDT"]
