"""What may go wrong with a socket whatever the product: each scenario once, for the products to be held to. `opened` opens a desk whose
store equals the exchange's books in the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from tests.support.desk import Desk
from userstream import RecoverySettings, StreamState

Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[Desk]]


async def plain_trading(desk: Desk) -> None:
    first = desk.place()
    desk.fill(first, quantity="0.004")
    desk.fill(first)
    desk.trade(side="sell", quantity="0.020")
    desk.act("cancel", account="desk", symbol="BTCUSDT", client_order_id=desk.place())
    await desk.until_same()
    assert desk.account.health.fills_recovered == 0
    assert desk.account.health.state is StreamState.LIVE


async def silent_socket(opened: Opened) -> None:
    async with opened() as desk:
        desk.act("silence")
        desk.trade()
        await desk.until(lambda: desk.account.health.reconnects >= 1, "a new socket")
        await desk.until_same()


async def quiet_account(opened: Opened) -> None:
    async with opened() as desk:
        await desk.application.clock.sleep(1_500)
        health = desk.account.health
        assert (health.reconnects, health.state) == (0, StreamState.LIVE)


async def deaf_subscription(opened: Opened) -> None:
    async with opened() as desk:
        await desk.application.clock.sleep(1_100)  # what follows the opening at once is not held against the socket
        desk.act("silence", deaf=True, lose=True)
        desk.trade()
        await desk.until(lambda: desk.account.health.reconnects >= 1, "a new socket")
        await desk.until_same()
        assert desk.account.health.fills_missed_by_stream > 0


async def dropped_frames(opened: Opened) -> None:
    often = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=1.0, history_s=2.0)  # ends of old orders are found by reading history
    await _trade_under(opened, 900, "omit", "0.15", seed=5, recovery=often)  # over before a socket that heard too little is replaced


async def disorder_and_copies(opened: Opened, rule: str) -> None:
    await _trade_under(opened, 1_500, rule, "0.3", seed=6)


async def _trade_under(opened: Opened, for_ms: int, rule: str, probability: str, **changes: Any) -> None:
    async with opened(rate=60, **changes) as desk:
        desk.act(rule, probability=probability)
        await desk.application.clock.sleep(for_ms)
        desk.act("pause_trading")
        desk.act("clear")
        await desk.until_same()
