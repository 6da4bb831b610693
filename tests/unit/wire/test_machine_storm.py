"""The machine in any trouble that deeds and chance make, and then in quiet. The driver holds the laws after every step."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.machine import BRISK, START, Driver, Storm, Swell
from tests.support.scripted import BREAK, GARBAGE, ROTATE, Script
from userstream.domain.events import GapOpened, Mismatch
from userstream.domain.words import Side
from userstream.kernel.ids import Millis

QUIET_MS = 240_000
"""Long enough for every back-off, every pause and a full reading."""

DEEDS = (
    "trade",
    "trade",
    "trade",
    "place",
    "fill",
    "cancel",
    "withhold",
    "cut",
    "cut all",
    "garbage",
    "rotate",
    "break",
    "deafen",
    "freeze",
    "skew",
    "burst",
    "sell",
    "cash",
    "restart",
    "stall",
    "trigger",
)


def do(driver: Driver, deed: str, pick: int) -> None:
    """One thing that happens in the account or to its sockets; without an order or a socket to choose, nothing."""
    connections = driver.connections
    connection = connections[pick % len(connections)] if connections else None
    orders = [order for order in driver.truth.open_orders_at(driver.venue_now) if not order.conditional]
    order_id = orders[pick % len(orders)].order_id if orders else None
    if order_id is not None and deed in ("fill", "cancel"):
        driver.fill(order_id) if deed == "fill" else driver.cancel(order_id)
    elif connection is not None and deed in ("garbage", "rotate", "break"):
        driver.send(connection, {"garbage": GARBAGE, "rotate": ROTATE, "break": BREAK}[deed])
    elif connection is not None and deed == "cut":
        driver.cut(connection)
    elif connection is not None and deed in ("deafen", "freeze"):
        socket = driver.sockets[connection]
        socket.deaf, socket.frozen = True, deed == "freeze"
    else:
        do_alone(driver, deed, pick)


def do_alone(driver: Driver, deed: str, pick: int) -> None:
    match deed:
        case "trade":
            driver.trade()
        case "place":
            driver.place(conditional=pick % 3 == 0)
        case "withhold":
            driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now), "0.1")
            driver.tell_nobody()
        case "cut all":
            driver.cut_all()
        case "burst":
            order_id = driver.truth.place(driver.venue_now)
            for _ in range(3):
                driver.truth.fill(driver.venue_now, order_id, "0.1")
            driver.tell()
        case "sell":
            driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now, side=Side.SELL), "0.2")
            driver.tell()
        case "cash":
            driver.truth.move_cash(driver.venue_now, "-0.35")
            driver.tell()
        case "trigger":
            driver.truth.trigger(driver.venue_now, driver.truth.place(driver.venue_now, conditional=True))
            driver.tell()
        case "stall":
            driver.stall(pick * 1_500)
        case "restart":
            driver.restart(pick * 1_000)
        case "skew":
            driver.venue_ahead_ms += pick


STEPS = st.lists(st.tuples(st.integers(0, 5_000), st.sampled_from(DEEDS), st.integers(0, 9)), max_size=30)


Steps: TypeAlias = list[tuple[int, str, int]]


def lived_through(steps: Steps, seed: int, redundancy: int) -> Driver:
    """A driver after all deeds, when the storm is just over."""
    stormy_ms = sum(wait for wait, _, _ in steps)
    policy = msgspec.structs.replace(BRISK, feed=msgspec.structs.replace(BRISK.feed, redundancy=redundancy))
    storm = Storm(seed, until=Millis(START + stormy_ms), lag_ms=BRISK.books.lag_ms)
    driver = Driver(storm, policy=policy, script=Script(page=2 + seed % 5)).start()
    for wait_ms, deed, pick in steps:
        driver.run_for(wait_ms)
        do(driver, deed, pick)
    return driver


@given(steps=STEPS, seed=st.integers(0, 2**32), redundancy=st.sampled_from([1, 1, 2]))
@settings(max_examples=150)
def test_after_any_trouble_and_then_quiet_the_account_is_live_and_holds_the_truth(steps: Steps, seed: int, redundancy: int) -> None:
    driver = lived_through(steps, seed, redundancy)
    driver.run_for(QUIET_MS)
    driver.laws.hold_at_rest(driver.venue_now)


CALM_DEEDS = ("trade", "burst", "sell", "place", "fill", "cancel", "cash", "trigger")
CALM_STEPS = st.lists(st.tuples(st.integers(0, 5_000), st.sampled_from(CALM_DEEDS), st.integers(0, 9)), max_size=30)


@given(steps=CALM_STEPS, seed=st.integers(0, 2**32), redundancy=st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_lags_and_delays_alone_are_no_trouble(steps: Steps, seed: int, redundancy: int) -> None:
    policy = msgspec.structs.replace(BRISK, feed=msgspec.structs.replace(BRISK.feed, redundancy=redundancy))
    driver = Driver(Swell(seed, lag_ms=BRISK.books.lag_ms), policy=policy).start().run_until_live()
    for wait_ms, deed, pick in steps:
        driver.run_for(wait_ms)
        do(driver, deed, pick)
    driver.run_for(30_000)
    assert [fact for fact in driver.facts if isinstance(fact, GapOpened | Mismatch)] == []
    assert driver.machine.books is not None
    assert driver.machine.books.missed_by_stream == 0
    assert driver.machine.feed.opened_count == redundancy
    driver.laws.hold_at_rest(driver.venue_now)


@given(steps=STEPS, seed=st.integers(0, 2**32))
@settings(max_examples=20)
def test_a_run_can_be_run_again(steps: Steps, seed: int) -> None:
    once, again = lived_through(steps, seed, 1), lived_through(steps, seed, 1)
    assert once.facts == again.facts
    assert once.asked == again.asked
