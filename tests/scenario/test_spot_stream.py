"""Binance Spot against the paper exchange: what goes wrong with sockets and subscriptions, and that nothing is lost or doubled by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest

from tests.scenario import socket_faults
from tests.support.desk import NAME, QUICK, Desk
from tests.support.equality import stored_desk
from userstream import (
    BalanceSet,
    Filled,
    GapOpened,
    GapRepaired,
    RecoverySettings,
    StreamChanged,
    StreamSettings,
    StreamState,
)
from userstream.sim.keys import KeyType
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

VENUE: Final = "binance-spot"
MONEY: Final = {"USDT": Decimal(100_000), "BTC": Decimal(1), "BNB": Decimal(10)}


@asynccontextmanager
async def open_spot(**changes: Any) -> AsyncIterator[Desk]:
    """A desk whose store equals the exchange's books in the end."""
    async with stored_desk(venue=VENUE, balances=MONEY, **changes) as desk:
        yield desk


def free_of(desk: Desk) -> list[Decimal | None]:
    """What of the quote asset was told to be available, one word after the other."""
    return [event.available for event in desk.told(BalanceSet) if event.asset == "USDT"]


def calls(desk: Desk) -> int:
    """REST calls that read the account's books."""
    return sum(desk.requests(path) for path in ("account", "myTrades", "allOrders", "openOrders", "order"))


async def test_plain_trading_is_followed() -> None:
    async with open_spot() as desk:
        await socket_faults.plain_trading(desk)
        assert desk.requests("listenKey") == desk.requests("userDataStream") == 0


async def test_what_orders_lock_is_not_available() -> None:
    async with open_spot() as desk:
        name = desk.place(quantity="0.100", price="50000")
        await desk.until(lambda: desk.account.balances["USDT"].available == Decimal(95_000), "the lock")
        assert desk.account.balances["USDT"].total == Decimal(100_000)
        desk.act("cancel", account="desk", symbol="BTCUSDT", client_order_id=name)
        await desk.until(lambda: desk.account.balances["USDT"].available == Decimal(100_000), "all of it again")
        await desk.until(lambda: free_of(desk)[-2:] == [95_000, 100_000], "both told")


async def test_books_that_lag_do_not_overrule_the_stream() -> None:
    async with open_spot(recovery=RecoverySettings(lag_s=0.6, overlap_s=1.0, audit_s=1.0, history_s=60.0)) as desk:
        desk.act("rest_lag", ms=500)
        for turn in range(8):
            desk.place(quantity="0.010", price=str(50_000 + turn))
            await desk.application.clock.sleep(200)
            [usdt] = [row for row in desk.truth()["balances"] if row["asset"] == "USDT"]
            await desk.until(lambda free=Decimal(usdt["available"]): desk.account.balances["USDT"].available == free, "the lock")  # type: ignore[misc]
        await desk.until_same()


async def test_fill_wholly_inside_a_gap() -> None:
    async with open_spot() as desk:
        name = desk.place()
        await desk.until(lambda: name in desk.account.orders, "the order")
        desk.act("cut")
        desk.fill(name)
        desk.trade(quantity="0.030")
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()
        await desk.until(lambda: bool(desk.told(GapRepaired)), "the repair told")
        kinds = desk.kinds()
        assert kinds["gap_opened"] == kinds["gap_repaired"] == 1
        repaired = desk.told(GapRepaired)[0]
        assert repaired.fills == len(desk.truth()["fills"])
        assert desk.told(GapOpened)[0].since == repaired.since < repaired.until


async def test_storm_with_cuts() -> None:
    async with open_spot(rate=60, seed=11) as desk:
        for _ in range(3):
            await desk.application.clock.sleep(500)
            desk.act("cut")
        await desk.application.clock.sleep(400)
        desk.act("pause_trading")
        await desk.until_same()
        assert len(desk.told(Filled)) > 20


@pytest.mark.parametrize("rotate_s", [3.0, 6.0], ids=["sockets of its own", "sockets that others may share"])
async def test_planned_rotation_is_never_dark(rotate_s: float) -> None:
    quick = StreamSettings(own_ping_s=0.2, silence_s=0.6, rotate_s=rotate_s)
    async with open_spot(stream=quick, recovery=RecoverySettings(lag_s=0.15, audit_s=600, history_s=600), rate=40) as desk:
        asked, recovered = calls(desk), desk.account.health.fills_recovered
        await desk.until(lambda: desk.account.health.reconnects >= 2, "two rotations")
        desk.act("pause_trading")
        assert desk.told(GapOpened) == []
        assert {event.state for event in desk.told(StreamChanged)} <= {StreamState.LIVE, StreamState.SYNCING}
        assert (calls(desk), desk.account.health.fills_recovered) == (asked, recovered)
        await desk.until_same()


async def test_announced_shutdown_is_never_dark() -> None:
    calm = RecoverySettings(lag_s=0.15, audit_s=600, history_s=600)
    async with open_spot(recovery=calm, rate=40) as desk:
        asked, recovered = calls(desk), desk.account.health.fills_recovered
        desk.act("shutdown_notice")
        await desk.until(lambda: desk.account.health.reconnects == 1 and desk.account.health.connections == 1, "the successor alone")
        await desk.application.clock.sleep(200)
        desk.act("pause_trading")
        assert desk.told(GapOpened) == []
        assert (calls(desk), desk.account.health.fills_recovered) == (asked, recovered)
        await desk.until_same()


async def test_terminated_subscription_is_made_again() -> None:
    async with open_spot() as desk:
        desk.act("terminate_subscription", account=NAME)
        desk.trade()
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()
        assert desk.told(GapOpened)[0].reason == "the venue ended the subscription"
        desk.trade(side="sell")
        await desk.until_same()


@pytest.mark.parametrize("status", [429, 418])
async def test_a_limit_met_on_the_socket_silences_all_calls(status: int) -> None:
    async with open_spot() as desk:
        await desk.until_same()
        [gate] = desk.application.gates
        limit = {"code": -1003, "msg": "Too much request weight used.", "data": {"serverTime": 1_000, "retryAfter": 3_000}}
        path = "/ws-api/v3/userDataStream.subscribe.signature"
        desk.act("answer", path=path, status=status, body=msgspec.json.encode(limit).decode())
        desk.act("cut")
        await desk.until(lambda: gate.pause_ms > 0, "the pause")
        assert gate.pause_ms <= 2_000
        asked, books = Counter(desk.server.control.requests), desk.account.health.reconnects
        desk.trade()
        await desk.application.clock.sleep(1_200)
        assert gate.pause_ms > 0 and Counter(desk.server.control.requests) == asked, "an audit was due, and waits"
        await desk.until(lambda: desk.account.health.reconnects > books, "the subscription")
        await desk.until_same()


async def test_no_listen_key_is_asked_for_where_there_are_none_any_more() -> None:
    async with open_spot() as desk:
        desk.act("cut")
        desk.trade()
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()
        assert desk.requests("listenKey") == desk.requests("userDataStream") == 0
        assert desk.account.health.state is StreamState.LIVE


async def test_silent_socket_is_replaced() -> None:
    await socket_faults.silent_socket(open_spot)


async def test_deaf_subscription_is_found_by_the_audit() -> None:
    await socket_faults.deaf_subscription(open_spot)


async def test_quiet_account_is_left_alone() -> None:
    await socket_faults.quiet_account(open_spot)


async def test_key_without_permission_is_final() -> None:
    async with open_spot() as desk:
        desk.act("revoke_api_key", account=NAME)
        desk.act("cut")
        await desk.until(lambda: desk.account.health.state is StreamState.FAILED, "the end")
        reason = desk.account.health.reason
        assert "-2015" in reason and "userDataStream.subscribe.signature" in reason
        key = desk.server.listing.accounts[0]
        assert key.api_key not in reason and key.api_secret not in reason


@pytest.mark.parametrize("skew_ms", [3_600_000, -3_600_000])
async def test_time_stamps_need_no_clock_of_ours(skew_ms: int) -> None:
    async with open_spot(skew_ms=skew_ms) as desk:
        desk.trade()
        await desk.until(lambda: len(desk.told(Filled)) > 0, "the fill")
        assert desk.account.health.state is StreamState.LIVE


@pytest.mark.parametrize("rule", ["double", "reorder"])
async def test_disorder_and_copies(rule: str) -> None:
    await socket_faults.disorder_and_copies(open_spot, rule)


async def test_frames_dropped_on_a_healthy_socket() -> None:
    await socket_faults.dropped_frames(open_spot)


@pytest.mark.parametrize("kind", [KeyType.RSA, KeyType.ED25519])
async def test_every_kind_of_key_opens_the_stream(kind: KeyType) -> None:
    spec = AccountSpec(account=NAME, venue=VENUE, balances=MONEY, key_type=kind)
    async with PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=(spec,))) as server, open_spot(server=server) as desk:
        desk.trade()
        await desk.until_same()


async def test_redundant_sockets_tell_everything_once() -> None:
    twice = StreamSettings(own_ping_s=0.2, silence_s=0.6, first_delay_s=0.05, max_delay_s=0.4, redundancy=2)
    async with open_spot(rate=40, seed=3, stream=twice, recovery=QUICK) as desk:
        await desk.application.clock.sleep(1_000)
        desk.act("pause_trading")
        await desk.until_same()
        assert desk.account.health.duplicates_dropped > 0
