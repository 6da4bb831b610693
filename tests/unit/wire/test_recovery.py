from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.events import balance_set, filled, liability_changed, order_changed, position_set
from tests.support.truth import BTC, ETH
from userstream.domain.account import Account, Doubt
from userstream.domain.events import Event, LiabilityChanged
from userstream.domain.fold import apply, checkpoint_of
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName
from userstream.wire.holdings import Holdings
from userstream.wire.question import (
    Answer,
    AskBalances,
    AskClock,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrders,
    AskPositions,
    AskSettings,
    Question,
    Traits,
)
from userstream.wire.recovery import EDGE_MS, Round, absent_debts, absent_keys, questions_of, symbols_in_care

STARTED = Millis(1_760_000_100_000)
SINCE = Millis(STARTED - 60_000)
OLD = SINCE - 3_600_000
ORDERS = AskOrders(since=SINCE, until=STARTED)
FILLS = AskFills(symbol=BTC, since=SINCE, until=STARTED)
MOVEMENTS = AskMovements(since=Millis(SINCE + EDGE_MS), until=STARTED)
PLAIN, CONDITIONAL = AskOpenOrders(conditional=False), AskOpenOrders(conditional=True)


def account_of(*events: Event) -> Account:
    account = Account(AccountId("alice"), VenueName("binance-usdm"))
    for event in events:
        apply(account, event)
    return account


def a_round(
    *,
    full: bool = True,
    settings: bool = False,
    movements: bool = True,
    by_symbol: bool = False,
    since: Millis = SINCE,
    symbols: Sequence[Symbol] = (),
) -> Round:
    return Round(
        epoch=1,
        reason="test",
        full=full,
        settings=settings,
        started=STARTED,
        since=since,
        traits=Traits(movements=movements, by_symbol=by_symbol),
        holdings=Holdings(account_of()),
        symbols=symbols,
    )


def take(current: Round, account: Account, question: Question, *events: Event, **fields: object) -> list[Question]:
    """An answer as the books take it: its events first. Returns what follows from it; past conditional orders there are none."""
    for event in events:
        apply(account, event)
    current.take(question, Answer(events=events, **fields), account)  # type: ignore[arg-type]
    ready = current.take_ready()
    past = [follow for follow in ready if isinstance(follow, AskOrders) and follow.conditional]
    for follow in past:
        ready += take(current, account, follow)
    return [follow for follow in ready if follow not in past]


def answer_lists(current: Round, account: Account, *, but: tuple[Question, ...] = ()) -> list[Question]:
    """All first questions of a full round are answered with nothing, except some."""
    current.take_ready()
    follow: list[Question] = []
    for question in (AskBalances(), AskPositions(), ORDERS, PLAIN, CONDITIONAL, MOVEMENTS):
        if question not in but:
            follow += take(current, account, question)
    return follow


# --- what a round asks at first ---


def test_a_full_round_asks_registers_orders_and_the_cash_history() -> None:
    assert a_round().take_ready() == [AskBalances(), AskPositions(), ORDERS, PLAIN, CONDITIONAL, MOVEMENTS]


def test_one_by_one_the_next_question_comes_when_none_is_on_its_way() -> None:
    account, current = account_of(), a_round()
    current.one_by_one = True
    expected = a_round().take_ready()
    for question in expected:
        assert current.take_ready() == [question]
        assert current.take_ready() == []
        current.take(question, Answer(), account)
    assert current.is_done


def test_a_round_that_hurries_asks_all_that_is_left() -> None:
    current = a_round()
    current.one_by_one = True
    asked = current.take_ready()
    current.one_by_one = False
    assert asked + current.take_ready() == a_round().take_ready()


def test_an_audit_compares_registers_and_orders_only() -> None:
    assert a_round(full=False).take_ready() == [AskBalances(), AskPositions(), ORDERS]


def test_an_audit_lists_the_open_orders_where_it_reads_no_past_ones_and_asks_for_those_that_are_missing() -> None:
    wallets = Traits(positions=False, conditional_orders=False, movements=False, by_symbol=True, audits_list_orders=True)
    account = account_of(order_changed(order_id="90"), order_changed(order_id="91"))
    current = Round(
        epoch=1, reason="t", full=False, settings=False, started=STARTED, since=SINCE, traits=wallets, holdings=Holdings(account)
    )
    assert current.take_ready() == [AskBalances(), PLAIN]
    follow = take(current, account, PLAIN, order_changed(order_id="91"), order_changed(order_id="92"))
    assert follow == [AskOrder(BTC, OrderId("90"), False)]


def test_settings_are_asked_where_wanted() -> None:
    assert AskSettings() in a_round(settings=True).take_ready()


def test_without_a_cash_history_or_a_window_for_it_none_is_asked() -> None:
    assert MOVEMENTS not in a_round(movements=False).take_ready()
    assert not any(isinstance(question, AskMovements) for question in a_round(since=Millis(STARTED - EDGE_MS)).take_ready())


def test_past_orders_are_asked_for_each_symbol_in_care_where_the_venue_wants_one() -> None:
    of_btc, of_eth = (AskOrders(since=SINCE, until=STARTED, symbol=symbol) for symbol in (BTC, ETH))
    assert a_round(full=False, by_symbol=True, symbols=(BTC, ETH)).take_ready() == [AskBalances(), AskPositions(), of_btc, of_eth]
    assert a_round(by_symbol=True, symbols=(ETH,)).take_ready() == [AskBalances(), AskPositions(), PLAIN, CONDITIONAL, MOVEMENTS, of_eth]


def test_a_symbol_that_the_cash_history_names_is_asked_for_its_orders_too() -> None:
    current, account = a_round(by_symbol=True), account_of()
    current.take_ready()
    for question in (AskBalances(), AskPositions(), PLAIN, CONDITIONAL):
        assert take(current, account, question) == []
    assert take(current, account, MOVEMENTS, traded=((ETH, "5"),)) == [
        AskFills(symbol=ETH, since=SINCE, until=STARTED),
        AskOrders(since=SINCE, until=STARTED, symbol=ETH),
    ]
    take(current, account, AskFills(symbol=ETH, since=SINCE, until=STARTED))
    take(current, account, AskOrders(since=SINCE, until=STARTED, symbol=ETH))
    assert current.is_done, "a cash history makes a search by balances needless"


def test_the_symbols_in_care_have_an_order_a_fill_or_a_leg() -> None:
    traits = Traits(by_symbol=True)
    account = account_of(
        order_changed(symbol="AUSD", order_id="1", status="canceled"),
        filled(symbol="BUSD", order_id="2"),
        position_set(symbol="CUSD", amount="1"),
        position_set(symbol="DUSD", amount="0"),
    )
    assert symbols_in_care(account, traits) == ["AUSD", "BUSD", "CUSD"]
    assert symbols_in_care(account, Traits()) == symbols_in_care(account, Traits(by_symbol=True, movements=False)) == []


def test_questions_are_handed_out_once() -> None:
    current = a_round()
    current.take_ready()
    assert current.take_ready() == []


# --- what follows from answers ---


def test_a_round_over_an_idle_account_is_done_when_its_first_questions_are_answered() -> None:
    current, account = a_round(), account_of()
    assert not current.is_done
    assert answer_lists(current, account) == []
    assert current.is_done


def test_pages_belong_to_the_round() -> None:
    current, account = a_round(full=False), account_of()
    current.take_ready()
    page = AskOrders(since=SINCE, until=STARTED, cursor="100")
    assert take(current, account, ORDERS, more=(page, page)) == [page]
    take(current, account, AskBalances())
    take(current, account, AskPositions())
    assert not current.is_done
    take(current, account, page)
    assert current.is_done


@pytest.mark.parametrize(
    "event",
    [
        order_changed(transaction_time=STARTED, filled_quantity="0.1", status="partially_filled"),
        position_set(transaction_time=OLD),
        order_changed(transaction_time=STARTED),
    ],
)
def test_the_history_of_an_active_symbol_is_read(event: Event) -> None:
    current, account = a_round(), account_of(event)
    assert FILLS in answer_lists(current, account)


def test_the_history_of_a_symbol_with_a_recent_fill_is_read_and_of_an_old_one_not() -> None:
    recent, old = account_of(filled(transaction_time=SINCE)), account_of(filled(transaction_time=SINCE - 1))
    for account in (recent, old):
        account.doubts.clear()
    assert answer_lists(a_round(), recent) == [FILLS]
    assert answer_lists(a_round(), old) == []


def test_a_symbol_that_the_cash_history_names_is_read() -> None:
    current, account = a_round(), account_of()
    current.take_ready()
    assert take(current, account, MOVEMENTS, traded=((BTC, "5012"), (BTC, "5013"))) == [FILLS]


def test_a_listed_order_with_fills_leads_to_its_symbols_history_once() -> None:
    current, account = a_round(), account_of()
    current.take_ready()
    order = order_changed(filled_quantity="0.1", status="partially_filled", transaction_time=STARTED)
    assert take(current, account, ORDERS, order) == [FILLS]
    assert FILLS not in take(current, account, PLAIN, order)


def test_the_order_of_an_unknown_fill_is_asked() -> None:
    current, account = a_round(), account_of(position_set(transaction_time=OLD))
    assert answer_lists(current, account) == [FILLS]
    assert take(current, account, FILLS, filled(transaction_time=STARTED)) == [AskOrder(BTC, OrderId("8886774"), False)]


def test_the_order_that_a_triggered_one_became_is_asked_unless_it_is_known() -> None:
    current, account = a_round(), account_of()
    current.take_ready()
    triggered = order_changed(order_id="90", conditional=True, status="triggered", triggered_order_id="91", transaction_time=OLD)
    assert take(current, account, ORDERS, triggered) == [AskOrder(BTC, OrderId("91"), False)]
    current, account = a_round(), account_of(order_changed(order_id="91", transaction_time=OLD))
    current.take_ready()
    assert take(current, account, ORDERS, triggered) == []


def test_a_triggered_order_that_names_no_real_one_asks_nothing() -> None:
    current, account = a_round(), account_of()
    current.take_ready()
    for number in ("0", ""):
        order = order_changed(order_id="90", conditional=True, status="canceled", triggered_order_id=number, transaction_time=OLD)
        assert take(current, account, ORDERS, order) == []


@pytest.mark.parametrize("conditional", [False, True])
def test_an_open_order_that_is_not_listed_is_asked_and_never_assumed_gone(conditional: bool) -> None:
    current, account = a_round(), account_of(order_changed(order_id="90", conditional=conditional, transaction_time=STARTED))
    assert AskOrder(BTC, OrderId("90"), conditional) in answer_lists(current, account)
    [order] = account.open_orders()
    assert order.status == "new"


def test_a_listed_order_and_one_younger_than_the_round_are_not_asked() -> None:
    listed, young = order_changed(transaction_time=OLD), order_changed(order_id="99", transaction_time=STARTED + 1)
    current, account = a_round(), account_of(listed, young)
    answer_lists(current, account, but=(PLAIN,))
    assert take(current, account, PLAIN, listed) == [FILLS]


def test_an_order_in_doubt_is_asked_when_the_fills_are_in() -> None:
    current = a_round()
    account = account_of(order_changed(filled_quantity="0.2", status="partially_filled", transaction_time=OLD))
    listed = order_changed(filled_quantity="0.2", status="partially_filled", transaction_time=OLD)
    answer_lists(current, account, but=(PLAIN,))
    assert take(current, account, PLAIN, listed) == [FILLS]  # its answer may settle the doubt
    assert take(current, account, FILLS) == [AskOrderFills(BTC, OrderId("8886774"), SINCE, STARTED)]


def test_doubts_about_other_things_are_no_business_of_a_round() -> None:
    current, account = a_round(), account_of()
    account.doubt("tie", Symbol(""), "USDT")
    assert answer_lists(current, account) == []
    assert current.is_done


def test_a_list_of_open_orders_lists_orders() -> None:
    current, account = a_round(), account_of()
    current.take_ready()
    assert take(current, account, PLAIN, filled(transaction_time=STARTED)) == [AskOrder(BTC, OrderId("8886774"), False), FILLS]


def test_an_audit_asks_nothing_more() -> None:
    current, account = a_round(full=False), account_of()
    current.take_ready()
    assert take(current, account, ORDERS, order_changed(filled_quantity="0.1", transaction_time=STARTED)) == []


def test_a_question_without_an_answer_is_closed() -> None:
    current, account = a_round(), account_of(order_changed(order_id="90", transaction_time=STARTED))
    answer_lists(current, account)
    take(current, account, FILLS)
    assert not current.is_done
    current.close(AskOrder(BTC, OrderId("90"), False), account)
    assert current.is_done


def test_trades_that_no_fill_explains_are_unknown() -> None:
    current, account = a_round(), account_of(filled(trade_id="5012"))
    current.take_ready()
    take(current, account, MOVEMENTS, traded=((BTC, "5012"), (ETH, "5012"), (BTC, "5011")))
    assert current.unknown_trades(account) == [(BTC, "5011"), (ETH, "5012")]


# --- doubts ---


def order_doubt() -> Doubt:
    return Doubt("order", BTC, "8886774")


def test_fewer_fills_than_the_order_says_ask_the_fills() -> None:
    account = account_of(order_changed(filled_quantity="0.2"), filled())
    assert questions_of(account, order_doubt(), SINCE, STARTED) == [AskOrderFills(BTC, OrderId("8886774"), SINCE, STARTED)]


@pytest.mark.parametrize("known", [(), (order_changed(filled_quantity="0"),)])
def test_more_fills_than_the_order_says_or_no_order_ask_the_order(known: tuple[Event, ...]) -> None:
    account = account_of(*known, filled())
    assert questions_of(account, order_doubt(), SINCE, STARTED) == [AskOrder(BTC, OrderId("8886774"), False)]


@pytest.mark.parametrize(
    ("doubt", "questions"),
    [
        (Doubt("position", BTC, "both"), [FILLS, AskPositions()]),
        (Doubt("tie", BTC, "both"), [AskPositions()]),
        (Doubt("tie", Symbol(""), "USDT"), [AskBalances()]),
        (Doubt("mode", BTC, "both"), [AskSettings(), AskPositions()]),
    ],
)
def test_each_doubt_asks_what_settles_it(doubt: Doubt, questions: list[Question]) -> None:
    assert questions_of(account_of(), doubt, SINCE, STARTED) == questions


# --- what a complete list does not mention ---


def test_a_leg_that_a_complete_list_leaves_out_is_absent_if_it_held_something_or_is_in_doubt() -> None:
    held, flat, told = position_set(), position_set(symbol="ETHUSDT", amount="0"), position_set(symbol="BNBUSDT")
    account = account_of(held, flat, told)
    assert absent_keys(account, Answer(events=(told,)), AskPositions()) == [held]
    account.doubt("tie", ETH, "both")
    assert absent_keys(account, Answer(events=(told,)), AskPositions()) == [held, flat]


def test_a_wallet_that_a_complete_list_leaves_out_is_absent_if_it_held_something_or_is_in_doubt() -> None:
    held, empty, told = balance_set(), balance_set(asset="BNB", total="0"), balance_set(asset="BUSD")
    account = account_of(held, empty, told)
    assert absent_keys(account, Answer(events=(told,)), AskBalances()) == [held]
    account.doubt("tie", Symbol(""), "BNB")
    assert absent_keys(account, Answer(events=(told,)), AskBalances()) == [held, empty]


def test_other_answers_say_nothing_of_what_they_leave_out() -> None:
    assert absent_keys(account_of(position_set(), balance_set()), Answer(), AskClock()) == []


def test_a_debt_that_is_listed_no_more_is_paid_also_after_a_restart() -> None:
    before = Account(AccountId("alice"), VenueName("binance-margin-risk"))
    for at, asset in enumerate(("BTC", "ETH")):
        apply(before, liability_changed(asset=asset, principal="1", interest="0.5", source="snapshot", as_of=Millis(1_000 + at)))
    account = Account(AccountId("alice"), VenueName("binance-margin-risk"))
    for event in checkpoint_of(before):
        apply(account, event)
    listed = Answer(events=(liability_changed(asset="ETH", principal="1", source="snapshot", as_of=Millis(90_000)),))
    [paid] = absent_debts(account, listed, AskBalances(), Millis(90_000), Millis(90_001))
    assert isinstance(paid, LiabilityChanged)
    assert (paid.asset, paid.principal, paid.interest, paid.as_of) == ("BTC", ZERO, ZERO, Millis(90_000))
    assert apply(account, paid) is not None
    assert absent_debts(account, listed, AskBalances(), Millis(99_000), Millis(99_001)) == []
    assert absent_debts(account, Answer(), AskPositions(), Millis(99_000), Millis(99_001)) == []
