"""The accounts of a user of margin, and money that moves between them."""

from decimal import Decimal

import pytest

from userstream.sim.books import AccountHappened, Millis, Refused
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.spot.instruments import DEFAULT_PAIRS

START = Millis(1_790_000_000_000)


def open_exchange() -> SpotExchange:
    exchange = SpotExchange(DEFAULT_PAIRS, start_time=START)
    exchange.open_margin_account("alice", {"USDT": Decimal(1000)})
    exchange.open_account("bob", {"USDT": Decimal(1000)})
    exchange.drain()
    return exchange


def wallet(exchange: SpotExchange, account: str, asset: str = "USDT") -> Decimal:
    return next((each.wallet for each in exchange.balances(account) if each.asset == asset), Decimal(0))


def test_a_user_of_margin_has_a_cross_and_a_spot_account() -> None:
    exchange = open_exchange()
    assert exchange.accounts() == ("alice", "alice.spot", "bob")
    assert (exchange.margin_account("alice"), exchange.spot_account("alice")) == ("alice", "alice.spot")
    assert exchange.spot_account("bob") == "bob"
    assert len({exchange.number(account) for account in exchange.accounts()}) == 3


def test_an_isolated_account_is_opened_once_and_named_by_its_pair() -> None:
    exchange = open_exchange()
    assert exchange.isolated_accounts("alice") == []
    for _ in range(2):
        assert exchange.margin_account("alice", "BTCUSDT") == "alice.BTCUSDT"
    assert exchange.isolated_accounts("alice") == ["alice.BTCUSDT"]
    assert exchange.balances("alice.BTCUSDT") == []


@pytest.mark.parametrize(
    ("user", "symbol", "rule"),
    [
        ("bob", "", "no_margin_account"),
        ("bob", "BTCUSDT", "no_margin_account"),
        ("alice", "NOPE", "unknown_symbol"),
        ("eve", "", "unknown_account"),
    ],
)
def test_accounts_that_are_not_there(user: str, symbol: str, rule: str) -> None:
    with pytest.raises(Refused) as wrong:
        open_exchange().margin_account(user, symbol)
    assert wrong.value.rule == rule


def test_money_that_moves_is_told_to_both_and_none_is_lost() -> None:
    exchange = open_exchange()
    exchange.move_between("alice", "alice.spot", "USDT", Decimal("250.5"), START)
    assert (wallet(exchange, "alice"), wallet(exchange, "alice.spot")) == (Decimal("749.5"), Decimal("250.5"))
    told = [each for each in exchange.drain() if isinstance(each, AccountHappened)]
    assert [(each.account, each.deltas["USDT"]) for each in told] == [("alice", Decimal("-250.5")), ("alice.spot", Decimal("250.5"))]


@pytest.mark.parametrize(
    ("target", "asset", "amount", "rule"),
    [
        ("alice.spot", "USDT", "1000.01", "balance_insufficient"),
        ("alice.spot", "USDT", "0", "bad_amount"),
        ("alice.spot", "USDT", "-1", "bad_amount"),
        ("alice.BTCUSDT", "ETH", "1", "asset_not_lent"),
        ("nobody", "USDT", "1", "unknown_account"),
    ],
)
def test_a_refused_move_changes_nothing(target: str, asset: str, amount: str, rule: str) -> None:
    exchange = open_exchange()
    exchange.margin_account("alice", "BTCUSDT")
    with pytest.raises(Refused) as wrong:
        exchange.move_between("alice", target, asset, Decimal(amount), START)
    assert wrong.value.rule == rule
    assert wallet(exchange, "alice") == 1000
    assert exchange.drain() == []


def test_a_user_without_margin_owes_nothing() -> None:
    exchange = open_exchange()
    assert exchange.debts("bob") == []
    assert exchange.loans("bob") == []


def test_a_pair_that_is_traded_on_spot_only_has_no_isolated_account() -> None:
    with pytest.raises(Refused) as wrong:
        open_exchange().margin_account("alice", "BNBBTC")
    assert wrong.value.rule == "no_margin_pair"
