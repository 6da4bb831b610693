"""Binance USD-M against the paper exchange: trouble with REST. Whatever the venue answers, nothing counts as proven before it was read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec

from tests.support.desk import NAME, QUICK, WIDE, Desk, open_desk
from userstream import GapOpened, GapRepaired, RecoverySettings, StreamChanged, StreamSettings, StreamState, Unrecognized
from userstream.sim.books import Millis
from userstream.sim.clock import SystemClock
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

CLOCK: Final = "/fapi/v1/time"
BALANCES: Final = "/fapi/v3/balance"
POSITIONS: Final = "/fapi/v3/positionRisk"
ORDERS: Final = "/fapi/v1/allOrders"
OPEN_ORDERS: Final = "/fapi/v1/openOrders"
OPEN_ALGOS: Final = "/fapi/v1/openAlgoOrders"
FILLS: Final = "/fapi/v1/userTrades"
MOVEMENTS: Final = "/fapi/v1/income"
PATHS: Final = (FILLS, MOVEMENTS, ORDERS, OPEN_ORDERS, BALANCES, POSITIONS, OPEN_ALGOS)
HTML: Final = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
STEADY: Final = StreamSettings(first_delay_s=0.05, max_delay_s=0.4)
"""A machine that is busy elsewhere for a second is no silent socket: gaps are counted here, and only the asked ones may open."""
IMPATIENT: Final = msgspec.structs.replace(STEADY, call_limit_s=1.5)
SELDOM: Final = msgspec.structs.replace(QUICK, audit_s=600.0, history_s=600.0)
"""Nothing is read but what a gap asks for."""


class SteppedClock:
    """A venue's clock that is ahead of ours, and can be set anew."""

    def __init__(self, ahead_ms: int) -> None:
        self._true = SystemClock()
        self.ahead_ms = ahead_ms

    def now(self) -> Millis:
        return Millis(self._true.now() + self.ahead_ms)


def make_server(clock: SteppedClock) -> PaperExchangeServer:
    spec = AccountSpec(account=NAME, balances={"USDT": Decimal(100_000)})
    return PaperExchangeServer(SimulatorSettings(accounts=(spec,), limits=WIDE), clock=clock)


def states_of_the_gap(desk: Desk) -> list[StreamState]:
    """The states told after the gap opened and before it was repaired."""
    opened = next(place for place, event in enumerate(desk.events) if isinstance(event, GapOpened))
    repaired = next(place for place, event in enumerate(desk.events) if isinstance(event, GapRepaired))
    return [event.state for event in desk.events[opened:repaired] if isinstance(event, StreamChanged)]


async def trade_in_the_dark(desk: Desk) -> None:
    """An order rests, the socket is cut, and all happens before the next one opens."""
    resting, left = desk.place(), desk.place(price="50000")
    await desk.until(lambda: resting in desk.account.orders and left in desk.account.orders, "the orders")
    desk.act("cut")
    desk.fill(resting, quantity="0.004")
    desk.fill(resting)
    desk.trade("ETHUSDT", "sell", "0.500")
    desk.act("cancel", account=NAME, symbol="BTCUSDT", client_order_id=left)


async def recover_in_spite_of(path: str, *, answer: Mapping[str, object], count: int = 1) -> None:
    """A gap with fills, read while the next calls of a path are answered so. Proves: not live before, the same books after."""
    async with open_desk(recovery=SELDOM, stream=IMPATIENT) as desk:
        asked = desk.requests(path)
        desk.act("answer", path=path, count=count, **answer)
        await trade_in_the_dark(desk)
        await desk.until(lambda: desk.requests(path) - asked >= count, "the troubled calls")
        assert not desk.account.health.is_healthy
        assert desk.account.health.gap_since is not None
        await desk.until_same()
        await desk.until(lambda: desk.kinds()["gap_repaired"] == 1, "word of the repair")
        assert states_of_the_gap(desk) == [StreamState.STALE, StreamState.SYNCING]
        assert desk.requests(path) - asked > count
        assert desk.kinds()["gap_opened"] == desk.kinds()["gap_repaired"] == 1


def refusal(status: int, code: int, text: str, **headers: str) -> dict[str, object]:
    return {"status": status, "body": json.dumps({"code": code, "msg": text}), "headers": headers}


def half(**headers: str) -> dict[str, object]:
    """An answer that ends before the length it promised."""
    return {"status": 200, "headers": {"Content-Length": "4000", **headers}, "body": '[{"symbol":"BTCUSDT",'}


HTML_HEAD: Final = {"Content-Type": "text/html"}
TROUBLES: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "too many": refusal(429, -1003, "Too many requests.", **{"Retry-After": "1"}),
        "banned": refusal(418, -1003, "Way too many requests; IP banned.", **{"Retry-After": "1"}),
        "overloaded": refusal(503, -1008, "Server is currently overloaded with other requests. Please try again in a few minutes."),
        "unknown outcome": refusal(503, -1007, "Timeout waiting for response from backend server."),
        "internal": refusal(500, -1001, "Internal error; unable to process your request. Please try again."),
        "maintenance": refusal(400, -1109, "Invalid account."),
        "clock": refusal(400, -1021, "Timestamp for this request is outside of the recvWindow."),
        "gateway": {"status": 502, "headers": HTML_HEAD, "body": HTML},
        "page that says 200": {"status": 200, "headers": HTML_HEAD, "body": HTML},
        "no code": {"status": 200, "body": '{"239999":"internal error"}'},
        "no code, refused": {"status": 400, "body": '{"239999":"internal error"}'},
        "cut": {"abort": True},
        "half, then silence": half(),
        "half, then the end": half(Connection="close"),
    }
)
"""Answers that mean: not now."""


async def in_case(name: str, path: str, count: int) -> None:
    try:
        await recover_in_spite_of(path, answer=TROUBLES[name], count=count)
    except Exception as error:
        error.add_note(f"the case: {name} at {path}, {count} times")
        raise


async def test_trouble_while_a_gap_is_read() -> None:
    """Each trouble at two paths, each at an exchange of its own; some come again and again."""
    once = [(name, PATHS[(number + shift) % len(PATHS)], 1) for shift in (0, 3) for number, name in enumerate(TROUBLES)]
    async with asyncio.TaskGroup() as group:
        for case in (*once, ("overloaded", ORDERS, 2), ("no code", MOVEMENTS, 2)):
            group.create_task(in_case(*case))


async def test_every_answer_of_a_round_fails() -> None:
    async with open_desk(recovery=SELDOM, stream=STEADY) as desk:
        for path in PATHS:
            desk.act("answer", path=path, **TROUBLES["unknown outcome"])
        await trade_in_the_dark(desk)
        await desk.until_same()
        await desk.until(lambda: desk.kinds()["gap_repaired"] == 1, "word of the repair")
        assert states_of_the_gap(desk) == [StreamState.STALE, StreamState.SYNCING]


async def test_no_key_for_the_new_socket_yet() -> None:
    await asyncio.gather(*(refuse_the_key(TROUBLES[name]) for name in ("overloaded", "no code", "gateway", "cut", "too many")))


async def refuse_the_key(answer: Mapping[str, object]) -> None:
    async with open_desk(recovery=SELDOM, stream=STEADY) as desk:
        desk.act("answer", path="/fapi/v1/listenKey", method="POST", **answer)
        await trade_in_the_dark(desk)
        await desk.until_same()
        assert desk.account.health.reconnects == 1


async def test_a_socket_that_is_cut_again_while_the_books_are_read() -> None:
    async with open_desk(recovery=SELDOM, stream=STEADY) as desk:
        desk.act("answer", path=FILLS, count=2, **TROUBLES["overloaded"])
        asked = desk.requests(FILLS)
        await trade_in_the_dark(desk)
        await desk.until(lambda: desk.requests(FILLS) > asked, "the first refusal")
        desk.act("cut")
        desk.trade("ETHUSDT", "buy", "0.200")
        await desk.until(lambda: desk.account.health.reconnects == 2, "a second new socket")
        await desk.until_same()
        await desk.until(lambda: desk.kinds()["gap_repaired"] == 1, "word of the repair")


async def test_unreadable_answer_is_shown_and_nothing_counts_as_read() -> None:
    """A list that lacks what the documents promise: nothing is taken from it."""
    async with open_desk(recovery=SELDOM, stream=STEADY) as desk:
        desk.act("answer", path=FILLS, status=200, body='[{"symbol":"BTCUSDT"}]')
        await trade_in_the_dark(desk)
        await desk.until(lambda: desk.kinds()["unrecognized"] == 1, "the unrecognized answer")
        told = next(event for event in desk.events if isinstance(event, Unrecognized))
        assert told.name == "answer AskFills"
        assert not desk.account.health.is_healthy
        assert desk.account.state is StreamState.SYNCING


# --- clocks ------------------------------------------------------------------------------------------------------------


async def test_our_clock_is_wrong_from_the_start() -> None:
    await asyncio.gather(start_with_wrong_clock(30_000), start_with_wrong_clock(-30_000))


async def start_with_wrong_clock(ahead_ms: int) -> None:
    async with make_server(SteppedClock(ahead_ms)) as server, open_desk(server=server, recovery=SELDOM, stream=STEADY) as desk:
        await trade_in_the_dark(desk)
        await desk.until_same()
        assert desk.kinds()["mismatch"] == 0
        assert abs(desk.account.health.proven_until - desk.truth()["time"]) < 10_000


async def test_the_venue_is_suddenly_ahead() -> None:
    """As after a machine that slept: our steady clock stood still, the venue's did not."""
    clock = SteppedClock(0)
    async with make_server(clock) as server, open_desk(server=server, recovery=SELDOM, stream=STEADY) as desk:
        await desk.until_same()
        asked = desk.requests(CLOCK)
        clock.ahead_ms += 40_000
        await trade_in_the_dark(desk)
        await desk.until_same()
        assert desk.requests(CLOCK) > asked


async def test_the_gateway_steps_and_the_books_do_not() -> None:
    """The stated time alone is wrong, by less than what is read again."""
    await asyncio.gather(step_gateway(20_000), step_gateway(-3_000))


async def step_gateway(step_ms: int) -> None:
    recovery = RecoverySettings(lag_s=0.15, overlap_s=60.0, audit_s=1.0, history_s=2.0)
    async with open_desk(recovery=recovery) as desk:
        asked = desk.requests(CLOCK)
        desk.act("skew", ms=step_ms)
        await trade_in_the_dark(desk)
        await desk.until_same()
        assert desk.requests(CLOCK) > asked


async def test_the_gateway_was_ahead_and_is_set_right() -> None:
    """What was proven by the wrong clock is not taken for proven by the right one."""
    recovery = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=1.0, history_s=2.0)
    async with open_desk(recovery=recovery, skew_ms=30_000) as desk:
        desk.act("skew", ms=0)
        await trade_in_the_dark(desk)
        await desk.until_same()


# --- lag ---------------------------------------------------------------------------------------------------------------


async def test_books_that_are_shown_late() -> None:
    """The first reading shows the books as they were before the gap; only the confirming one counts."""
    recovery = RecoverySettings(lag_s=1.5, overlap_s=1.0, audit_s=600.0, history_s=600.0)
    async with open_desk(recovery=recovery, stream=STEADY, rest_lag_ms=1_200) as desk:
        await trade_in_the_dark(desk)
        await desk.until_same()
        await desk.until(lambda: desk.kinds()["gap_repaired"] == 1, "word of the repair")
        told = next(event for event in desk.events if isinstance(event, GapRepaired))
        assert told.fills == len(desk.truth()["fills"]) > 2
