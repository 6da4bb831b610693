"""Binance USD-M against the paper exchange: what goes wrong with sockets and keys, and that nothing is lost or doubled by it."""

from __future__ import annotations

import json

import pytest

from tests.scenario import socket_faults
from tests.support.desk import QUICK, open_desk
from userstream import GapOpened, GapRepaired, RecoverySettings, StreamChanged, StreamSettings, StreamState


async def test_plain_trading_is_followed() -> None:
    async with open_desk() as desk:
        await socket_faults.plain_trading(desk)


async def test_fill_wholly_inside_a_gap() -> None:
    async with open_desk() as desk:
        name = desk.place()
        await desk.until(lambda: name in desk.account.orders, "the order")
        desk.act("cut")
        desk.fill(name)
        desk.trade(quantity="0.030")
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()
        kinds = desk.kinds()
        assert kinds["gap_opened"] == kinds["gap_repaired"] == 1
        repaired = next(event for event in desk.events if isinstance(event, GapRepaired))
        assert repaired.fills == len(desk.truth()["fills"])
        opened = next(event for event in desk.events if isinstance(event, GapOpened))
        assert opened.since == repaired.since < repaired.until


async def test_unknown_symbol_opened_and_closed_inside_a_gap() -> None:
    async with open_desk() as desk:
        desk.act("cut")
        desk.trade("ETHUSDT", "buy", "1.000")
        desk.trade("ETHUSDT", "sell", "1.000")
        await desk.until_same()
        assert {fill["symbol"] for fill in desk.truth()["fills"]} == {"ETHUSDT"}


@pytest.mark.parametrize("fills", [1, 1_200])
async def test_many_fills_inside_a_gap_are_paged(fills: int) -> None:
    async with open_desk() as desk:
        name = desk.place(quantity="2.000", price="70000")
        desk.act("cut")
        for _ in range(fills):
            desk.fill(name, quantity="0.001")
        await desk.until_same()
        assert len(desk.truth()["fills"]) == fills


async def test_planned_rotation_is_never_dark() -> None:
    quick = StreamSettings(own_ping_s=0.2, silence_s=0.6, rotate_s=3.0)
    async with open_desk(stream=quick, recovery=RecoverySettings(lag_s=0.15, audit_s=600, history_s=600), rate=40) as desk:
        asked, recovered = desk.requests("userTrades") + desk.requests("allOrders"), desk.account.health.fills_recovered
        await desk.until(lambda: desk.account.health.reconnects >= 2, "two rotations")
        desk.act("pause_trading")
        assert not any(isinstance(event, GapOpened) for event in desk.events)
        assert {event.state for event in desk.events if isinstance(event, StreamChanged)} <= {StreamState.LIVE, StreamState.SYNCING}
        assert desk.requests("userTrades") + desk.requests("allOrders") == asked
        assert desk.account.health.fills_recovered == recovered


@pytest.mark.parametrize("action", ["expire_key", "delete_key", "replace_key"])
async def test_listen_key_is_lost(action: str) -> None:
    stream = StreamSettings(own_ping_s=0.2, silence_s=5, keep_alive_s=0.4)
    async with open_desk(stream=stream) as desk:
        desk.act(action, account="desk")
        desk.trade()
        await desk.until(lambda: desk.account.health.reconnects >= 1, "a new socket")
        desk.trade(side="sell", quantity="0.020")
        await desk.until_same()


async def test_expired_twice_is_one_new_socket() -> None:
    async with open_desk() as desk:
        key = desk.account.listen_key_in_use
        frame = json.dumps({"e": "listenKeyExpired", "E": 1790003600000, "listenKey": key})
        desk.act("raw", account="desk", text=frame)
        desk.act("raw", account="desk", text=frame)
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()
        assert desk.account.health.reconnects == 1
        journal = await desk.application.journal.read_account(desk.account.id, after=0, limit=10_000)
        assert key is not None
        assert not any(key.encode() in record.frame for record in journal)


async def test_silent_socket_is_replaced() -> None:
    await socket_faults.silent_socket(open_desk)


async def test_quiet_account_is_left_alone() -> None:
    await socket_faults.quiet_account(open_desk)


async def test_deaf_subscription_is_found_by_the_audit() -> None:
    await socket_faults.deaf_subscription(open_desk)


async def test_frames_dropped_on_a_healthy_socket() -> None:
    await socket_faults.dropped_frames(open_desk)


@pytest.mark.parametrize("rule", ["double", "reorder"])
async def test_disorder_and_copies(rule: str) -> None:
    await socket_faults.disorder_and_copies(open_desk, rule)


async def test_storm_of_cuts_and_silences() -> None:
    async with open_desk(rate=60, seed=7) as desk:
        for number in range(6):
            desk.act("cut" if number % 2 else "silence", **({} if number % 2 else {"for_s": "0.8", "lose": True}))
            await desk.application.clock.sleep(400)
        desk.act("pause_trading")
        desk.act("clear")
        await desk.until_same()


async def test_redundant_sockets_double_nothing() -> None:
    two = StreamSettings(own_ping_s=0.2, silence_s=0.6, redundancy=2)
    async with open_desk(stream=two, rate=60, seed=8) as desk:
        await desk.until(lambda: desk.account.health.connections == 2, "two sockets")
        await desk.application.clock.sleep(600)
        desk.act("cut")
        await desk.application.clock.sleep(600)
        desk.act("pause_trading")
        await desk.until_same()


@pytest.mark.parametrize(
    "frame",
    [{"text": "no JSON"}, {"hex": "00ff"}, {"text": '{"e":"NEW_THING","E":1}'}, {"text": '{"e":"ORDER_TRADE_UPDATE","E":1,"T":1,"o":{}}'}],
    ids=["garbage", "binary", "unknown event", "lacking fields"],
)
async def test_odd_frames_are_kept_and_harmless(frame: dict[str, str]) -> None:
    async with open_desk() as desk:
        desk.act("raw", account="desk", **frame)
        await desk.until(lambda: desk.kinds()["unrecognized"] == 1, "the unrecognized event")
        told = next(event for event in desk.events if type(event).__name__ == "Unrecognized")
        expected = bytes.fromhex(frame["hex"]) if "hex" in frame else frame["text"].encode()
        assert told.raw() == expected
        desk.trade()
        await desk.until_same()
        assert desk.account.health.unrecognized == 1


async def test_oversize_frame() -> None:
    async with open_desk() as desk:
        desk.act("oversize", account="desk", size_bytes=3_000_000)
        await desk.until(lambda: desk.kinds()["unrecognized"] >= 1, "the unrecognized event")
        desk.trade()
        await desk.until_same()


async def test_shutdown_notice_is_an_overlap() -> None:
    async with open_desk(recovery=QUICK) as desk:
        desk.act("shutdown_notice", close_after_s="1.5")
        desk.trade()
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()
        assert desk.kinds()["gap_opened"] == 0


async def test_path_form_and_strict_venue() -> None:
    async with open_desk(strict=True) as desk:
        desk.trade()
        await desk.until_same()
        assert desk.account.health.fills_recovered == 0
