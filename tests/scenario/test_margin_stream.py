"""Binance margin against the paper exchange: trades on Spot's socket by listen token, warnings on a socket of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import msgspec

from tests.support.desk import NAME, QUICK, SHORT_PINGS, WIDE, Desk, open_desk
from tests.support.equality import stored_desk
from userstream import (
    BalanceSet,
    Event,
    Filled,
    GapOpened,
    LiabilityChanged,
    LiveAccount,
    MarginCalled,
    Mismatch,
    OrderChanged,
    RecoverySettings,
    SnapshotTaken,
    StreamSettings,
)
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call

VENUE: Final = "binance-margin"
CALM: Final = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=600, history_s=600)
MONEY: Final = {"USDT": Decimal(100_000), "BTC": Decimal(1)}


async def test_plain_trading_on_the_cross_account_is_followed() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk:
        desk.trade(quantity="0.010")
        desk.fill(desk.place(quantity="0.010", price="60000"))
        await desk.until_same()
        assert desk.account.health.fills_recovered == 0


async def test_a_fill_inside_a_gap_is_found_in_the_accounts_books() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk:
        name = desk.place(quantity="0.010", price="60000")
        await desk.until(lambda: name in desk.account.orders, "the order")
        desk.act("cut")
        desk.fill(name)
        desk.trade("ETHUSDT", quantity="0.5")
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()


async def test_nothing_is_searched_where_everything_adds_up_over_a_gap() -> None:
    async with open_desk(venue=VENUE, balances=MONEY, rate=40, seed=4) as desk:
        await desk.until(lambda: len(desk.told(Filled)) > 5, "trading")
        searched = desk.requests("exchangeInfo")  # by the first reading, which knows of nothing that was before
        desk.act("cut")
        desk.trade(quantity="0.010")
        await desk.until(lambda: desk.account.health.reconnects >= 1 and desk.account.health.fills_recovered > 0, "fills of the gap")
        await until_readings(desk, desk.events, 4)
        desk.act("pause_trading")
        await desk.until_same()
        await until_readings(desk, desk.events, 2)
        assert desk.requests("exchangeInfo") == searched


async def test_the_search_for_a_symbol_asks_for_no_pair_without_margin() -> None:
    async with open_desk(venue=VENUE, balances=MONEY | {"BNB": Decimal(1)}) as desk:
        desk.act("cut")
        for asset in ("BNB", "BTC"):
            desk.act("transfer", account=NAME, asset=asset, amount="0.5")
        await desk.until(lambda: desk.account.health.reconnects >= 1 and desk.requests("exchangeInfo") > 0, "a search")
        await until_readings(desk, desk.events, 3)
        await desk.until_same()
        assert not desk.told(Mismatch)


async def test_loans_are_told_and_owed_coins_are_sold() -> None:
    async with stored_desk(venue=VENUE, balances={"USDT": Decimal(100_000)}) as desk:
        desk.act("borrow", account=NAME, asset="BTC", amount="0.5")
        await desk.until(lambda: any(event.asset == "BTC" and event.total == Decimal("0.5") for event in desk.told(BalanceSet)), "the loan")
        desk.trade(side="sell", quantity="0.2")
        desk.trade(side="buy", quantity="0.2")
        desk.act("repay", account=NAME, asset="BTC")
        await desk.until_same()


async def test_a_token_that_ends_leads_to_another_one() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk:
        desk.act("expire_token", account=NAME)
        desk.trade(quantity="0.010")
        await desk.until(lambda: desk.account.health.reconnects >= 1, "a new socket")
        desk.trade(side="sell", quantity="0.010")
        await desk.until_same()
        assert desk.requests("userListenToken") >= 2


@asynccontextmanager
async def short_tokens(life_s: float) -> AsyncIterator[Desk]:
    """A desk at an exchange whose tokens live for a few seconds. Nothing but a gap reads the books."""
    spec = AccountSpec(account=NAME, venue=VENUE, balances=MONEY)
    async with PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=(spec,), limits=WIDE)) as server:
        wish = msgspec.json.encode({"account": NAME, "life_s": life_s})
        assert server.control.answer(Call(method="POST", path="/control/token_life", body=wish)).status == 200
        async with stored_desk(venue=VENUE, server=server, recovery=CALM) as desk:
            yield desk


async def trade_until(desk: Desk, holds: Callable[[], bool]) -> None:
    """Trades on until something holds: so nothing can be missed unseen."""
    for _ in range(400):
        if holds():
            return
        desk.trade(quantity="0.001")
        await desk.application.clock.sleep(50)
    raise AssertionError(f"never came: {desk.account!r}")


async def assert_never_dark(desk: Desk, read_before: int) -> None:
    await desk.until_same()
    assert desk.told(GapOpened) == [] and desk.account.health.fills_recovered == 0
    assert desk.requests("myTrades") == read_before, "every fill came by the stream"


async def test_a_token_is_renewed_before_it_ends_and_nothing_is_dark() -> None:
    async with short_tokens(1.6) as desk:
        asked = desk.requests("myTrades")
        await trade_until(desk, lambda: desk.requests("userListenToken") >= 4)
        await assert_never_dark(desk, asked)
        assert desk.account.health.reconnects == 0, "one socket outlived several tokens"


async def test_a_renewal_that_fails_for_a_while_is_tried_again_in_time() -> None:
    async with short_tokens(6) as desk:
        asked = desk.requests("myTrades")
        desk.act("answer", path="/sapi/v1/userListenToken", status=503, count=2)
        await trade_until(desk, lambda: desk.requests("userListenToken") >= 4)
        await desk.application.clock.sleep(2_000)  # beyond the end of the first token
        await assert_never_dark(desk, asked)
        assert desk.account.health.reconnects == 0


async def test_a_renewal_that_fails_too_long_costs_a_socket_but_no_darkness() -> None:
    async with short_tokens(4) as desk:
        asked = desk.requests("myTrades")
        desk.act("answer", path="/ws-api/v3/userDataStream.subscribe.listenToken", status=500, body='{"code":-1000,"msg":"no"}', count=4)
        await trade_until(desk, lambda: desk.account.health.reconnects >= 1)
        await assert_never_dark(desk, asked)


async def test_a_renewal_that_never_succeeds_ends_the_stream_and_the_books_tell_the_rest() -> None:
    async with short_tokens(2) as desk:
        desk.act("answer", path="/sapi/v1/userListenToken", status=503, count=12)
        await trade_until(desk, lambda: bool(desk.told(GapOpened)))
        await trade_until(desk, lambda: desk.account.health.reconnects >= 1)
        await desk.until_same()
        assert desk.account.health.fills_recovered > 0


async def test_a_silent_socket_is_replaced() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk:
        desk.act("silence")
        desk.trade(quantity="0.010")
        await desk.until(lambda: desk.account.health.reconnects >= 1, "a new socket")
        await desk.until_same()


async def test_planned_rotation_is_never_dark() -> None:
    quick = StreamSettings(own_ping_s=0.2, silence_s=0.6, rotate_s=6.0)
    calm = RecoverySettings(lag_s=0.15, audit_s=600, history_s=600)
    async with stored_desk(venue=VENUE, balances=MONEY, stream=quick, recovery=calm) as desk:
        asked = desk.requests("myTrades")
        while desk.account.health.reconnects < 2:
            desk.trade(quantity="0.001")
            await desk.application.clock.sleep(50)
        await desk.until_same()
        assert not any(isinstance(event, GapOpened) for event in desk.events)
        assert desk.requests("myTrades") == asked


@asynccontextmanager
async def beside(desk: Desk, name: str, venue: str, isolated_symbol: str = "") -> AsyncIterator[tuple[LiveAccount, list[Event]]]:
    """Another account of the same key, and what it is told."""
    key, place = desk.server.listing.accounts[0], desk.server.listing.venues[VENUE]
    account = await desk.fleet.add(
        name,
        venue,
        api_key=key.api_key,
        api_secret=key.api_secret,
        recovery=QUICK,
        stream=SHORT_PINGS,
        isolated_symbol=isolated_symbol,
        rest_url=place.rest_url,
        ws_url=place.ws_url,
        ws_api_url=place.ws_api_url,
    )
    told: list[Event] = []
    account.on(handler=told.append)
    await account.wait_proven(20)
    yield account, told


async def test_warnings_come_to_an_account_of_their_own() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk, beside(desk, "risk", "binance-margin-risk") as (_, told):
        desk.act("borrow", account=NAME, asset="BTC", amount="0.1")
        desk.act("margin_call", account=NAME)
        await desk.until(lambda: {MarginCalled, LiabilityChanged} <= {type(event) for event in told}, "the loan and the warning")
        [owed] = [event for event in told if isinstance(event, LiabilityChanged)]
        called = [event for event in told if isinstance(event, MarginCalled)][-1]
        assert (owed.asset, owed.reason, owed.principal) == ("BTC", "borrow", Decimal("0.1"))
        assert called.symbol == "" and called.margin_level is not None and called.status == "margin_call"


async def test_a_level_and_a_debt_of_a_gap_are_read_from_the_books() -> None:
    async with (
        open_desk(venue=VENUE, balances={"USDT": Decimal(10_000)}) as desk,
        beside(desk, "risk", "binance-margin-risk") as (risk, told),
    ):
        desk.act("cut")
        desk.act("borrow", account=NAME, asset="BTC", amount="0.2")
        desk.act("move_price", symbol="BTCUSDT", price="200000")
        await desk.until(lambda: {MarginCalled, LiabilityChanged} <= {type(event) for event in told}, "the loan and the warning")
        await desk.until(lambda: risk.health.reconnects >= 1 and risk.health.is_healthy, "a new socket")
        owed = next(event for event in told if isinstance(event, LiabilityChanged))
        called = next(event for event in told if isinstance(event, MarginCalled))
        assert (owed.asset, owed.principal, owed.source) == ("BTC", Decimal("0.2"), "snapshot")
        assert called.status == "margin_call" and called.source == "snapshot"


async def test_the_key_of_the_warnings_is_kept_alive_and_replaced() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk, beside(desk, "risk", "binance-margin-risk") as (risk, told):
        desk.act("expire_key", account=NAME)
        await desk.until(lambda: risk.health.reconnects >= 1, "a new socket")
        desk.act("margin_call", account=NAME)
        await desk.until(lambda: any(isinstance(event, MarginCalled) for event in told), "the warning")


async def test_a_venues_own_count_of_weight_takes_the_place_of_a_guess() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk:
        [gate] = (each for each in desk.application.gates if each.name.startswith("binance-sapi"))
        for _ in range(3):  # a minute may end meanwhile, and the count with it
            for _ in range(3):  # somebody else behind the same address; each weighs 200
                await desk.call("GET", "/sapi/v1/margin/allOrders", symbol="BTCUSDT")
            asked = desk.requests("/sapi/v1/margin/account")
            await desk.until(lambda: desk.requests("/sapi/v1/margin/account") > asked, "an audit")  # noqa: B023
            await desk.application.clock.sleep(100)
            if gate.used_weight >= 600:
                return
        raise AssertionError(f"only {gate.used_weight} is counted")


async def test_what_is_asked_on_a_socket_counts_where_the_venue_counts_it() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk:
        [gate] = (each for each in desk.application.gates if each.name.startswith("binance-spot"))
        assert gate.used_weight >= 2 + 1 + 2, "a dial, the time, a subscription, and what of the books is asked below /api"


async def test_accounts_share_a_socket_each_by_its_own_token() -> None:
    async with (
        stored_desk(venue=VENUE, balances=MONEY) as desk,
        beside(desk, "pair", VENUE, "BTCUSDT") as (pair, told),
    ):
        [shared] = desk.application.shared_sockets
        assert len(shared.wires) == 1, "both are lines of one socket"
        own = f"{NAME}.BTCUSDT"
        desk.act("transfer", account=own, asset="USDT", amount="5000")
        desk.act("place", account=own, symbol="BTCUSDT", side="buy", quantity="0.010", order_type="market")
        desk.trade("ETHUSDT", quantity="0.5")
        await desk.until(lambda: any(isinstance(event, Filled) for event in told), "the pair's fill")
        assert {event.symbol for event in told if isinstance(event, Filled)} == {"BTCUSDT"}
        await desk.until_same()
        assert {event.symbol for event in desk.told(Filled)} == {"ETHUSDT"}
        desk.act("expire_token", account=own)
        await desk.until(lambda: pair.health.reconnects == 1 and pair.health.is_healthy, "another line of the pair")
        assert desk.account.health.reconnects == 0 and desk.told(GapOpened) == [], "the other account did not notice"
        desk.act("cut")
        desk.trade(quantity="0.010")
        await desk.until(lambda: desk.account.health.reconnects == 1 and pair.health.reconnects == 2, "both return")
        await desk.until(lambda: pair.health.is_healthy, "a healthy pair")
        await desk.until_same()
        assert len(shared.wires) == 1


async def test_what_each_account_owes_is_told_by_itself() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk, beside(desk, "pair", VENUE, isolated_symbol="BTCUSDT") as (_, told):
        own = f"{NAME}.BTCUSDT"
        desk.act("transfer", account=own, asset="USDT", amount="5000")
        desk.act("borrow", account=NAME, asset="BTC", amount="0.2")
        desk.act("borrow", account=own, asset="USDT", amount="300")
        desk.act("cut")
        await desk.until(lambda: owed(desk.told(LiabilityChanged)) == {"BTC": Decimal("0.2")}, "the cross account's debt")
        await desk.until(lambda: owed(told) == {"USDT": Decimal(300)}, "the pair's debt")
        desk.act("repay", account=NAME, asset="BTC")
        desk.act("cut")
        await desk.until(lambda: owed(desk.told(LiabilityChanged)) == {"BTC": Decimal(0)}, "no debt any more")


def owed(told: Sequence[Event]) -> dict[str, Decimal]:
    """What was told last of each asset."""
    return {event.asset: event.principal for event in told if isinstance(event, LiabilityChanged)}


async def test_an_isolated_pair_is_an_account_of_its_own() -> None:
    async with stored_desk(venue=VENUE, balances=MONEY) as desk, beside(desk, "pair", VENUE, isolated_symbol="BTCUSDT") as (pair, told):
        own = f"{NAME}.BTCUSDT"
        desk.act("transfer", account=own, asset="USDT", amount="5000")
        await desk.until(lambda: any(balance.total for balance in pair.balances), "the money")
        desk.act("place", account=own, symbol="BTCUSDT", side="buy", quantity="0.010", order_type="market")
        await desk.until(lambda: any(isinstance(event, Filled) for event in told), "the fill")
        await desk.until(lambda: pair.health.is_healthy, "a healthy account")
        assert {row["asset"]: Decimal(row["wallet"]) for row in truth(desk, own) if Decimal(row["wallet"])} == {
            balance.asset: balance.total for balance in pair.balances if balance.total
        }
        assert not desk.told(Filled)


async def test_a_gap_of_an_isolated_pair_is_not_filled_with_another_pairs_trades() -> None:
    async with open_desk(venue=VENUE, balances=MONEY) as desk, beside(desk, "pair", VENUE, isolated_symbol="BTCUSDT") as (pair, told):
        own, other = f"{NAME}.BTCUSDT", f"{NAME}.ETHUSDT"
        for account in (own, other):
            desk.act("transfer", account=account, asset="USDT", amount="5000")
        await desk.until(lambda: any(balance.total for balance in pair.balances), "the money")
        lists = desk.requests("exchangeInfo")  # the first reading of the cross account has asked for it
        desk.act("cut")
        desk.act("place", account=other, symbol="ETHUSDT", side="buy", quantity="0.5", order_type="market")
        desk.act("place", account=own, symbol="BTCUSDT", side="buy", quantity="0.010", order_type="market")
        desk.act("transfer", account=own, asset="USDT", amount="77")
        await desk.until(lambda: pair.health.reconnects >= 1 and pair.health.is_healthy, "a new socket")
        await until_readings(desk, told, 3)
        theirs: Any = desk.server.control.truth(own)
        assert {event.trade_id for event in told if isinstance(event, Filled)} == {str(row["trade_id"]) for row in theirs["fills"]}
        assert {event.symbol for event in told if isinstance(event, Filled | OrderChanged)} == {"BTCUSDT"}
        assert desk.requests("exchangeInfo") == lists and pair.health.is_healthy


async def until_readings(desk: Desk, told: list[Event], more: int) -> None:
    """Waits until the books were read so many times more."""
    wanted = sum(isinstance(event, SnapshotTaken) for event in told) + more
    await desk.until(lambda: sum(isinstance(event, SnapshotTaken) for event in told) >= wanted, "more readings")


def truth(desk: Desk, account: str) -> list[dict[str, str]]:
    books: Any = desk.server.control.truth(account)
    balances: list[dict[str, str]] = books["balances"]
    return balances
