"""Time passes on a fixed grid, with deadlines between its steps, whoever lets it pass."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import START, accounts_told, hold, later, limit, open_exchange, orders_told
from userstream.sim.books import Millis
from userstream.sim.exchange import Exchange

HOUR_MS = 3_600_000


def quiet(seed: int = 1) -> Exchange:
    exchange = open_exchange(seed=seed, funding_interval_ms=1000)
    hold(exchange, "alice", "1")
    for tick in range(20):
        exchange.place("alice", limit("sell", "0.05", str(80000 + tick * 5)), START)
        exchange.place("bob", limit("buy", "0.05", str(Decimal("79999") - tick * 5)), START)
    exchange.drain()
    return exchange


@given(st.lists(st.integers(0, 700), max_size=30))
def test_portions_do_not_matter(portions: list[int]) -> None:
    whole, parts = quiet(), quiet()
    for portion in portions:
        parts.advance(Millis(parts.time + portion))
    whole.advance(later(sum(portions)))
    assert whole.time == parts.time == START + sum(portions)
    assert whole.drain() == parts.drain()


def test_prices_stand_still_between_steps() -> None:
    exchange = open_exchange()
    before = exchange.last_price("BTCUSDT"), exchange.mark_price("BTCUSDT")
    exchange.advance(later(99))
    assert (exchange.last_price("BTCUSDT"), exchange.mark_price("BTCUSDT")) == before
    seen = set()
    for step in range(1, 20):
        exchange.advance(later(step * 100))
        seen.add(exchange.last_price("BTCUSDT"))
    assert len(seen) > 5


def test_time_never_goes_back() -> None:
    exchange = open_exchange()
    exchange.advance(later(500))
    order = exchange.place("alice", limit("buy", "1", "70000"), later(100))
    assert order.created_time == START + 500
    exchange.advance(START)
    assert exchange.time == START + 500


def test_funding_comes_at_each_multiple_of_the_interval() -> None:
    interval_ms = HOUR_MS // 12
    exchange = open_exchange(funding_interval_ms=interval_ms)
    hold(exchange, "alice", "1")
    exchange.advance(later(HOUR_MS))
    times = [news.time for news in accounts_told(exchange.drain()) if news.reason == "funding_fee"]
    assert len(times) == 12
    assert all(time % interval_ms == 0 for time in times)


def test_a_deadline_between_steps_keeps_its_own_time() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("buy", "1", "70000"), START)
    exchange.place("bob", limit("buy", "1", "70000"), START)
    exchange.set_countdown("bob", "BTCUSDT", 333, START)
    exchange.set_countdown("alice", "BTCUSDT", 150, START)
    exchange.drain()
    exchange.advance(later(10_000))
    told = exchange.drain()
    assert [news.time - START for news in orders_told(told, "alice")] == [150]
    assert [news.time - START for news in orders_told(told, "bob")] == [333]


def test_a_deadline_comes_before_the_step_of_the_same_moment() -> None:
    filled = []
    for guarded in (False, True):
        for seed in range(20):
            exchange = open_exchange(seed=seed)
            exchange.place("alice", limit("buy", "0.001", "79999.9"), START)
            exchange.set_countdown("alice", "BTCUSDT", 100 if guarded else 0, START)
            exchange.advance(later(100))
            filled.append((guarded, len(exchange.fills("alice"))))
    assert (False, 1) in filled
    assert (True, 1) not in filled


def test_an_order_placed_after_a_deadline_does_not_see_what_ended() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("sell", "1", "80000"), START)
    exchange.set_countdown("alice", "BTCUSDT", 50, START)
    order = exchange.place("bob", limit("buy", "1", "80000"), later(51))
    assert order.filled_quantity == 0


def test_a_jump_triggers_fills_and_liquidates_at_once() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    exchange.place("bob", limit("buy", "0.1", "75000"), START)
    exchange.drain()
    exchange.move_price("BTCUSDT", Decimal(70000), START)
    assert {news.time for news in exchange.drain()} == {START}
    assert exchange.positions("alice") == []
    assert exchange.positions("bob")[0].amount == Decimal("0.1")
