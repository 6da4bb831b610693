"""The judge: what is lost, doubled, invented, wrong and late is counted, and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from userstream.entry.chaos.scoreboard import (
    BookFill,
    Books,
    Score,
    are_flawless,
    find_differences,
    find_late,
    is_complete,
    judge_fills,
    name_lost,
    read_books,
    total_of,
)
from userstream.entry.chaos.sightings import Sightings

SCORE = Score(client="a", script="s")
KEYS = st.lists(st.tuples(st.sampled_from(["BTCUSDT", "ETHUSDT"]), st.integers(1, 99).map(str)), min_size=1, unique=True)


def books_of(keys: list[tuple[str, str]]) -> Books:
    fills = {(*key, "1"): BookFill(price=Decimal(5), quantity=Decimal(2), time_ms=1_000) for key in keys}
    return Books(fills=fills, orders={}, legs={})


def tell(sightings: Sightings, kind: str, at_ms: int = 1_000, **fields: str) -> None:
    sightings.take(json.dumps({"kind": kind, "at_ms": at_ms} | fields).encode())


def tell_fill(sightings: Sightings, key: tuple[str, str], at_ms: int = 1_000, price: str = "5.0") -> None:
    tell(sightings, "fill", at_ms, symbol=key[0], trade_id=key[1], order_id="1", price=price, quantity="2")


@given(KEYS, st.integers(1, 4), st.data())
def test_lost_doubled_and_invented_are_counted_one_by_one(keys: list[tuple[str, str]], copies: int, data: st.DataObject) -> None:
    seen = data.draw(st.lists(st.sampled_from(keys), unique=True))
    strangers = data.draw(KEYS.map(lambda found: [key for key in found if key not in keys]))
    sightings = Sightings()
    for key in [*seen, *strangers]:
        for _ in range(copies):
            tell_fill(sightings, key)
    score = judge_fills(books_of(keys), sightings, SCORE)
    counted = (score.fills, score.lost, score.doubled, score.invented, score.wrong)
    assert counted == (len(keys), len(keys) - len(seen), len(seen) * (copies - 1), len(strangers), 0)
    assert score.is_flawless == (len(seen) == len(keys) and (copies == 1) and not strangers)


def test_the_staleness_is_that_of_the_first_telling_of_the_latest_fill() -> None:
    sightings = Sightings()
    for key, at_ms in ((("B", "1"), 1_250), (("B", "2"), 1_900), (("B", "2"), 9_000)):
        tell_fill(sightings, key, at_ms)
    score = judge_fills(books_of([("B", "1"), ("B", "2"), ("B", "3")]), sightings, SCORE)
    assert (score.stale_ms, score.lost, score.doubled) == (900, 1, 1)
    assert judge_fills(books_of([("B", "9")]), Sightings(), SCORE).stale_ms == 0


def test_an_account_that_trades_with_itself_has_two_fills_of_one_trade() -> None:
    fill = BookFill(price=Decimal(5), quantity=Decimal(2), time_ms=1_000)
    books = Books(fills={("B", "1", "1"): fill, ("B", "1", "2"): fill}, orders={}, legs={})
    sightings = Sightings()
    tell_fill(sightings, ("B", "1"))
    assert judge_fills(books, sightings, SCORE).lost == 1
    tell(sightings, "fill", symbol="B", trade_id="1", order_id="2", price="5", quantity="2")
    score = judge_fills(books, sightings, SCORE)
    assert (score.fills, score.lost, score.doubled) == (2, 0, 0)


def test_lost_fills_are_named_in_the_order_of_their_execution() -> None:
    books = books_of([("B", "1"), ("B", "2"), ("A", "3")])
    books.fills["B", "2", "1"] = msgspec.structs.replace(books.fills["B", "2", "1"], time_ms=900)
    sightings = Sightings()
    tell_fill(sightings, ("A", "3"))
    assert name_lost(books, sightings) == ("fill B/2/1: never told, executed at 900", "fill B/1/1: never told, executed at 1000")


@given(st.integers(0, 3_000), st.integers(0, 6_000), st.integers(0, 3_000), st.integers(1, 2_000))
def test_a_fill_must_be_told_within_the_patience_since_it_was_made_and_not_before_the_end(
    made_ms: int, told_ms: int, ended_ms: int, patience_ms: int
) -> None:
    books, sightings, key = books_of([("B", "1"), ("B", "2")]), Sightings(), ("B", "1", "1")
    books.fills[key] = msgspec.structs.replace(books.fills[key], time_ms=made_ms)
    tell_fill(sightings, ("B", "1"), told_ms)
    tell_fill(sightings, ("B", "1"), 90_000)
    late = find_late(books, sightings, ended_ms, patience_ms)
    assert late == ({key} if told_ms > max(made_ms, ended_ms) + patience_ms else set())
    score = judge_fills(books, sightings, SCORE, late)
    assert (score.lost, score.doubled) == (1 + len(late), 1)
    assert len(name_lost(books, sightings, late)) == score.lost


def test_another_price_of_a_fill_is_wrong() -> None:
    sightings = Sightings()
    tell_fill(sightings, ("B", "1"), price="5.1")
    assert judge_fills(books_of([("B", "1")]), sightings, msgspec.structs.replace(SCORE, wrong=2)).wrong == 3


def test_the_last_told_state_of_orders_and_legs_is_held_against_the_books() -> None:
    books = Books(
        fills={},
        orders={("B", "1"): ("filled", Decimal("0.010")), ("B", "2"): ("ended", Decimal(0)), ("B", "3"): ("open", Decimal(0))},
        legs={("B", "both"): Decimal("0.01"), ("E", "both"): Decimal(0)},
    )
    sightings = Sightings()
    tell(sightings, "order", symbol="B", order_id="1", status="FILLED".lower(), filled="0.01")
    tell(sightings, "order", symbol="B", order_id="2", status="expired_in_match", filled="0")
    tell(sightings, "order", symbol="B", order_id="3", status="new", filled="0")
    tell(sightings, "position", symbol="B", side="both", amount="0.010")
    assert find_differences(books, sightings) == {}
    assert is_complete(books, sightings)
    tell(sightings, "order", symbol="B", order_id="1", status="partially_filled", filled="0.004")
    tell(sightings, "order", symbol="B", order_id="9", status="new", filled="0")
    tell(sightings, "position", symbol="E", side="both", amount="-1")
    assert find_differences(books, sightings) == {
        "order B/1": "told open 0.004, is filled 0.01",
        "order B/9": "told open 0, is nothing",
        "position E/both": "told -1, is 0",
    }
    assert not is_complete(books, sightings)
    assert len(find_differences(books, Sightings())) == 4


def test_an_order_told_under_another_name_is_wrong_and_one_without_a_name_is_not() -> None:
    books = Books(fills={}, orders={("B", "1"): ("ended", Decimal(0))}, legs={}, names={("B", "1"): "mine"})
    sightings = Sightings()
    for name, wrong in (("mine", {}), ("", {}), ("cancelling", {"name of order B/1": "told cancelling, is mine"})):
        tell(sightings, "order", symbol="B", order_id="1", status="canceled", filled="0", client_order_id=name)
        assert find_differences(books, sightings) == wrong


def test_a_wallet_that_is_what_it_was_need_not_be_told() -> None:
    opening = {("BTC", "wallet"): Decimal(1), ("USDT", "wallet"): Decimal(90)}
    books = Books(fills={}, orders={}, legs=opening | {("BTC", "wallet"): Decimal(2)}, opening=opening)
    sightings = Sightings()
    assert find_differences(books, sightings) == {"position BTC/wallet": "told 1, is 2"}
    tell(sightings, "position", symbol="BTC", side="wallet", amount="2.0")
    assert find_differences(books, sightings) == {}
    tell(sightings, "position", symbol="USDT", side="wallet", amount="80")
    assert find_differences(books, sightings) == {"position USDT/wallet": "told 80, is 90"}


def test_a_fill_that_is_not_told_leaves_something_to_wait_for() -> None:
    sightings, books = Sightings(), books_of([("B", "1")])
    assert not is_complete(books, sightings)
    tell_fill(sightings, ("B", "1"))
    assert is_complete(books, sightings)


def test_books_are_read_from_the_truth() -> None:
    truth = {
        "fills": [{"symbol": "B", "trade_id": 7, "order_id": 1, "price": "1.50", "quantity": "2", "time": 1_790_000_000_000}],
        "orders": [{"symbol": "B", "order_id": 1, "client_order_id": "x", "status": "partially_filled", "filled_quantity": "2.0"}],
        "positions": [{"symbol": "B", "position_side": "both", "amount": "-2"}],
        "balances": [{"asset": "BTC", "wallet": "1.50"}],
    }
    books = read_books(truth)
    assert books.fills == {("B", "7", "1"): BookFill(price=Decimal("1.5"), quantity=Decimal(2), time_ms=1_790_000_000_000)}
    assert (books.orders, books.legs) == ({("B", "1"): ("open", Decimal(2))}, {("B", "both"): Decimal(-2)})
    assert books.names == {("B", "1"): "x"}
    opening = {("BTC", "wallet"): Decimal(1)}
    assert read_books(truth, opening).legs == {("B", "both"): Decimal(-2), ("BTC", "wallet"): Decimal("1.5")}


def test_a_total_adds_counts_keeps_the_worst_and_leaves_out_what_was_not_judged() -> None:
    first = Score(client="a", script="s", fills=3, lost=1, doubled=1, wrong=2, stale_ms=40, troubles=1)
    second = Score(client="a", script="t", fills=4, invented=1, stale_ms=900, recovered=False)
    absent = Score(client="a", script="u", is_judged=False, recovered=False, note="did not begin")
    elsewhere = Score(client="a", script="s", venue="binance-spot", lost=50)
    total = total_of("a", [first, absent, second, elsewhere, Score(client="b", script="s", lost=50)])
    assert total == Score(
        client="a", script="all", fills=7, lost=1, doubled=1, invented=1, wrong=2, stale_ms=900, recovered=False, troubles=1
    )
    assert not total_of("a", [absent]).is_judged


def test_flawless_is_zeros_in_every_column_and_alive() -> None:
    assert SCORE.is_flawless
    spoiled: list[dict[str, object]] = [
        {"lost": 1},
        {"doubled": 1},
        {"invented": 1},
        {"wrong": 1},
        {"recovered": False},
        {"is_judged": False},
    ]
    for change in spoiled:
        score = msgspec.structs.replace(SCORE, **change)
        assert not score.is_flawless
        assert not are_flawless([SCORE, score], "a")
        assert are_flawless([score], "b")


def test_the_first_differences_are_told_and_how_many_more_there_are() -> None:
    assert msgspec.structs.replace(SCORE, differences=("a", "b", "c")).words == "a; b; c"
    assert msgspec.structs.replace(SCORE, differences=("a", "b", "c", "d", "e")).words == "a; b; c; and 2 more"
    assert msgspec.structs.replace(SCORE, differences=("a",), note="the program ended: x").words == "the program ended: x"
    assert SCORE.words == ""


def test_amounts_are_told_without_exponents() -> None:
    books = Books(fills={}, orders={("B", "1"): ("open", Decimal("0E-8"))}, legs={("B", "both"): Decimal("1E-8")})
    sightings = Sightings()
    sightings.orders["B", "1"] = ("open", Decimal("1E+2"))
    sightings.names["B", "1"] = ""
    sightings.legs["B", "both"] = Decimal("-0E-7")
    assert find_differences(books, sightings) == {"order B/1": "told open 100, is open 0", "position B/both": "told 0, is 0.00000001"}
