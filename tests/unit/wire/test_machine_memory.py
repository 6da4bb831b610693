"""What a machine keeps of the venue's bytes, and until when."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from tests.support.machine import BRISK, Driver
from tests.unit.wire.kit import facts_of
from userstream.domain.events import Filled
from userstream.domain.fold import count_remembered
from userstream.kernel.ids import Millis
from userstream.wire.agenda import SOONEST_HISTORY
from userstream.wire.machine import BYTES_AT_A_TURN, FRESH_MS, MOST_UNREAD, NEXT_TURN_MS

MINUTE_MS = 60_000
DAILY = msgspec.structs.replace(BRISK, books=msgspec.structs.replace(BRISK.books, history_ms=86_400_000, audit_ms=86_400_000))
"""Between readings lies a day: nothing is forgotten meanwhile."""


def live() -> Driver:
    driver = Driver(policy=DAILY).start()
    driver.run_until_live()
    return driver


def remembered(driver: Driver) -> list[Filled]:
    return [fill for fills in driver.account.fills.values() for fill in fills.values()]


def with_bytes(driver: Driver) -> int:
    return sum(fill.raw() is not None for fill in remembered(driver))


def test_what_ended_keeps_its_bytes_for_a_while_and_loses_them_within_the_next() -> None:
    driver = live()
    order_id = driver.trade("0.3")
    driver.run_for(FRESH_MS - 100)
    assert with_bytes(driver) == 1
    driver.run_for(FRESH_MS + 200)
    assert (with_bytes(driver), len(remembered(driver))) == (0, 1)
    order = driver.account.order_by_id(order_id)
    assert order is not None
    assert (order.has_ended, order.raw()) == (True, None)
    assert [fill.raw() is None for fill in facts_of(driver, Filled)] == [False], "who heard of it has its bytes"


def test_a_storm_is_let_go_of_in_portions() -> None:
    driver = live()
    for _ in range(2 * BYTES_AT_A_TURN):
        driver.trade("0.1")
    driver.run_for(1_000)
    assert len(driver.account.fresh) > 2 * BYTES_AT_A_TURN
    left = []
    for _ in range(2 * FRESH_MS // NEXT_TURN_MS + 10):
        driver.run_for(NEXT_TURN_MS)
        left.append(len(driver.account.fresh))
    assert max(before - after for before, after in pairwise(left)) <= BYTES_AT_A_TURN
    assert (left[-1], with_bytes(driver)) == (0, 0)


def test_an_account_at_rest_is_not_woken_for_bytes() -> None:
    driver = live()
    driver.trade()
    driver.run_for(4 * FRESH_MS)
    assert not driver.account.fresh
    assert driver.machine.deadline() > driver.now


def test_what_a_busy_account_remembers_is_read_early_and_forgotten() -> None:
    hours = msgspec.structs.replace(BRISK, books=msgspec.structs.replace(BRISK.books, history_ms=8 * MINUTE_MS * SOONEST_HISTORY))
    driver = Driver(policy=hours).start()
    driver.run_until_live()
    most = 0
    for _ in range(16):
        for _ in range(MOST_UNREAD // 10):
            driver.trade("0.1")
        if driver.machine.wants_history(driver.now):
            driver.machine.read_history_early()
        driver.run_for(MINUTE_MS)
        most = max(most, len(remembered(driver)))
    assert MOST_UNREAD // 2 < most <= MOST_UNREAD, "a trade is an order and a fill, and each minute there is a look"


def test_what_a_reading_leaves_in_memory_still_counts() -> None:
    """What is younger than the reading by less than its overlap is not forgotten."""
    driver = live()
    for _ in range(MOST_UNREAD // 2 + 10):
        driver.trade("0.1")
    driver.run_for(2 * FRESH_MS + 10 * NEXT_TURN_MS)
    assert driver.machine.wants_history(Millis(driver.now + DAILY.books.history_ms // 10))
    assert driver.machine.books is not None
    driver.machine.books.read_again("a wish")
    driver.run_for(1_000)
    left = len(remembered(driver))
    driver.trade("0.1")
    driver.run_for(3 * FRESH_MS)
    assert count_remembered(driver.account) == 2 * len(remembered(driver)) == 2 * (left + 1)
    assert driver.machine.wants_history(Millis(driver.now + DAILY.books.history_ms // 10)) is (2 * (left + 1) > MOST_UNREAD)


def test_nothing_is_read_early_unasked() -> None:
    driver = live()
    much = []
    for trades in (MOST_UNREAD // 4, MOST_UNREAD // 4 + 1):
        for _ in range(trades):
            driver.trade("0.1")
        driver.run_for(10 * MINUTE_MS)
        much.append([driver.machine.wants_history(Millis(driver.now + later_ms)) for later_ms in (0, DAILY.books.history_ms // 10)])
    assert (much, len(remembered(driver))) == ([[False, False], [False, True]], MOST_UNREAD // 2 + 1)
