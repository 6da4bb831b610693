"""Rounds at a venue that tells its past by symbol: which symbols are asked, and when nobody known explains what the wallets hold."""

from __future__ import annotations

from typing import Final

import msgspec

from tests.support.events import balance_set, filled, order_changed, snapshot_taken
from userstream.domain.account import Account
from userstream.domain.events import Event
from userstream.domain.fold import apply
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName
from userstream.wire.holdings import Holdings
from userstream.wire.question import (
    Answer,
    AskBalances,
    AskFills,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrders,
    AskSymbols,
    Pair,
    Question,
    Traits,
)
from userstream.wire.recovery import Round

STARTED: Final = Millis(1_790_000_100_000)
SINCE: Final = Millis(STARTED - 60_000)
OLD: Final = SINCE - 3_600_000
BTC, ETH, SOL = Symbol("BTCUSDT"), Symbol("ETHUSDT"), Symbol("SOLUSDT")
BY_SYMBOL: Final = Traits(positions=False, settings=False, conditional_orders=False, movements=False, by_symbol=True)
PAIRS: Final = tuple(Pair(Symbol(f"{base}USDT"), base, "USDT") for base in ("BTC", "ETH", "SOL"))
OPEN_ORDERS: Final = AskOpenOrders(conditional=False)


def history(symbol: Symbol) -> list[Question]:
    return [AskFills(symbol=symbol, since=SINCE, until=STARTED), AskOrders(since=SINCE, until=STARTED, symbol=symbol)]


class Reading:
    """A round and the account it is about. What earlier readings knew: 1000 USDT, all explained."""

    def __init__(self, *known: Event, full: bool = True, symbols: tuple[Symbol, ...] = (), only_symbols: bool = False) -> None:
        self.account = Account(AccountId("alice"), VenueName("binance-spot"))
        usdt = balance_set(asset="USDT", total="1000", transaction_time=OLD)
        for event in (usdt, snapshot_taken(epoch=1, proven_until=SINCE), *known):
            apply(self.account, event)
        self.holdings = Holdings(self.account)
        self.only_symbols = only_symbols
        self.begin(full=full, symbols=symbols)

    def begin(self, *, full: bool = True, symbols: tuple[Symbol, ...] = ()) -> None:
        traits = msgspec.structs.replace(BY_SYMBOL, symbols=symbols, only_symbols=self.only_symbols)
        self.round = Round(
            epoch=1, reason="test", full=full, settings=True, started=STARTED, since=SINCE, traits=traits, holdings=self.holdings
        )
        self.asked = self.round.take_ready()

    def take(self, question: Question, *events: Event, **fields: object) -> list[Question]:
        """An answer as the books take it; what follows from it."""
        for event in events:
            apply(self.account, event)
        self.round.take(question, Answer(events=events, **fields), self.account)  # type: ignore[arg-type]
        ready = self.round.take_ready()
        self.asked += ready
        return ready

    def take_rest(self, *but: Question) -> None:
        """Everything else that is open is answered with nothing."""
        for question in [question for question in self.asked if question not in but]:
            self.take(question)


def settle(reading: Reading) -> None:
    """The round is over, and its snapshot is told."""
    told = snapshot_taken(epoch=2, proven_until=reading.account.read_until + 1, unexplained=reading.round.unexplained)
    apply(reading.account, told)


def outcome(reading: Reading) -> tuple[bool, bool]:
    """Whether the round is over, and whether something is unexplained."""
    return reading.round.is_done, reading.holdings.has_difference


def balance(asset: str, total: str) -> Event:
    return balance_set(asset=asset, total=total, transaction_time=STARTED - 30_000, source="snapshot", as_of=STARTED)


def test_only_what_the_venue_has_is_asked() -> None:
    assert Reading().asked == [AskBalances(), OPEN_ORDERS]
    assert Reading(full=False).asked == [AskBalances()]


def test_configured_symbols_are_always_read() -> None:
    assert Reading(symbols=(BTC,)).asked == [AskBalances(), OPEN_ORDERS, *history(BTC)]


def test_symbols_with_orders_or_fills_in_memory_are_read_in_both_ways() -> None:
    reading = Reading(
        order_changed(symbol=BTC, order_id="1", status="new", transaction_time=OLD),
        order_changed(symbol=ETH, order_id="2", status="canceled", transaction_time=SINCE + 1),
        filled(symbol=SOL, order_id="3", trade_id="9", position_side=None, transaction_time=SINCE + 1, price="0.01", fee="0"),
    )
    reading.take(AskBalances())
    ready = reading.take(OPEN_ORDERS)
    assert [question for question in ready if not isinstance(question, AskOrder)] == [*history(BTC), *history(ETH), *history(SOL)]


def test_symbols_met_before_are_read_again_though_nothing_of_them_is_left() -> None:
    reading = Reading(order_changed(symbol=BTC, order_id="1", status="canceled", transaction_time=OLD))
    reading.take_rest()
    reading.take_rest(*reading.asked[:2])
    reading.account.orders.clear()
    reading.begin()
    reading.take(AskBalances())
    assert reading.take(OPEN_ORDERS) == history(BTC)


def test_an_open_order_that_is_not_listed_any_more_is_asked() -> None:
    reading = Reading(order_changed(symbol=BTC, order_id="1", status="new", transaction_time=OLD))
    reading.take(AskBalances())
    assert AskOrder(symbol=BTC, order_id=OrderId("1"), conditional=False) in reading.take(OPEN_ORDERS)


def test_a_round_that_adds_up_ends_without_the_list_of_symbols() -> None:
    reading = Reading()
    reading.take(AskBalances(), balance("USDT", "1000"))
    assert reading.take(OPEN_ORDERS) == [] and reading.round.is_done


def test_a_difference_leads_to_the_list_then_to_its_symbols_then_to_the_order() -> None:
    reading = Reading()
    reading.take(AskBalances(), balance("USDT", "900"), balance("ETH", "1"))
    assert reading.take(OPEN_ORDERS) == [AskSymbols()]
    assert reading.take(AskSymbols(), pairs=PAIRS) == history(ETH)
    fills, orders = history(ETH)
    facts = {"symbol": ETH, "side": "buy", "order_id": "7", "trade_id": "1", "quantity": "1", "price": "100", "fee": "0"}
    found = filled(**facts, position_side=None, transaction_time=STARTED - 31_000)
    follow = reading.take(fills, found)
    assert follow == [AskOrder(symbol=ETH, order_id=OrderId("7"), conditional=False)]
    reading.take(orders)
    reading.take(follow[0])
    assert outcome(reading) == (True, False)


def test_the_first_reading_asks_for_orders_only_where_it_found_a_fill() -> None:
    reading = Reading()
    reading.account, reading.holdings = (account := Account(AccountId("alice"), VenueName("binance-margin"))), Holdings(account)
    reading.begin()
    wallets = [balance_set(asset=asset, total="5", transaction_time=0, as_of=STARTED, source="snapshot") for asset in ("USDT", "ETH")]
    reading.take(AskBalances(), *wallets)
    assert reading.take(OPEN_ORDERS) == [AskSymbols()]
    fills, orders = history(ETH)
    assert reading.take(AskSymbols(), pairs=PAIRS) == [fills]
    found = filled(symbol=ETH, order_id="7", trade_id="1", position_side=None, transaction_time=STARTED - 31_000)
    assert reading.take(fills, found) == [AskOrder(symbol=ETH, order_id=OrderId("7"), conditional=False), orders]


def test_where_a_searched_symbol_tells_no_fills_its_orders_tell_that_one_is_missing() -> None:
    reading = Reading()
    reading.take(AskBalances(), balance("USDT", "900"), balance("ETH", "1"))
    reading.take(OPEN_ORDERS)
    reading.take(AskSymbols(), pairs=PAIRS)
    fills, orders = history(ETH)
    assert reading.take(fills) == []
    order = order_changed(symbol=ETH, order_id="7", status="filled", filled_quantity="1", created_time=SINCE, transaction_time=SINCE + 1)
    [asked] = reading.take(orders, order)
    assert isinstance(asked, AskOrderFills)
    assert reading.round.asked_fills_of(order)
    assert not reading.round.asked_fills_of(msgspec.structs.replace(order, order_id=OrderId("8")))


def test_wallets_of_one_pair_are_never_explained_by_another() -> None:
    reading = Reading(symbols=(BTC,), only_symbols=True)
    stray = filled(symbol=ETH, order_id="7", trade_id="1", quantity="2", price="100", position_side=None, transaction_time=STARTED - 31_000)
    reading.take(AskBalances(), balance("USDT", "900"), balance("ETH", "1"), stray)
    reading.take_rest(AskBalances())
    assert reading.asked == [AskBalances(), OPEN_ORDERS, *history(BTC)]
    assert reading.round.is_done and set(reading.round.unexplained) == {"USDT", "ETH"}


def test_what_is_searched_in_vain_is_searched_wider_once_more_and_then_let_go() -> None:
    reading = Reading()
    reading.take(AskBalances(), balance("USDT", "1100"))
    reading.take(OPEN_ORDERS)
    reading.take(AskSymbols(), pairs=PAIRS)
    assert outcome(reading) == (True, True)
    settle(reading)
    reading.begin()
    reading.take(AskBalances())
    searched = reading.take(OPEN_ORDERS)
    assert searched == [*history(BTC), *history(ETH), *history(SOL)]
    for question in searched:
        reading.take(question)
    assert outcome(reading) == (True, True)
    settle(reading)
    reading.begin()
    reading.take(AskBalances())
    assert reading.take(OPEN_ORDERS) == [] and reading.round.is_done


def test_an_audit_finds_a_difference_that_no_amount_alone_shows() -> None:
    reading = Reading(full=False)
    fresh = balance_set(asset="USDT", total="900", transaction_time=STARTED, source="snapshot", as_of=STARTED)
    reading.take(AskBalances(), fresh)
    assert not reading.round.finds_difference([fresh], STARTED - 5_000), "its fill may be on its way"
    reading.begin(full=False)
    reading.take(AskBalances())
    assert reading.round.finds_difference([], STARTED - 5_000), "it is still there"
    old = Reading(full=False)
    old.take(AskBalances(), balance("USDT", "900"))
    assert old.round.finds_difference([], STARTED - 5_000)
    quiet = Reading(full=False)
    quiet.take(AskBalances(), balance("USDT", "1000"))
    assert not quiet.round.finds_difference([], STARTED - 5_000)
