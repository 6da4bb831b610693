"""What is really true in a simulation: the paper exchange's own books, and each execution with the moment at which it happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from userstream.kernel.ids import Millis
from userstream.sim.actions import Action
from userstream.sim.books import Fill, Happening, Order, OrderHappened, Refused
from userstream.sim.books import Millis as BooksMillis
from userstream.sim.house import Hall, House
from userstream.sim.performing import perform
from userstream.sim.settings import AccountListing
from userstream.sim.spot.books import OrderList
from userstream.sim.spot.exchange import SpotExchange

Truth: TypeAlias = dict[tuple[str, str, str], tuple[object, ...]]


def user_of(account: str) -> str:
    """Whose account it is: an isolated one bears the user's name and its pair's."""
    return account.partition(".")[0]


def pair_of(account: str) -> str:
    """The pair of an isolated account; empty for all others."""
    return account.partition(".")[2]


class TrueFill(msgspec.Struct, frozen=True, kw_only=True):
    """An execution in the exchange's books and the moment (steady clock) at which it happened."""

    fill: Fill
    happened: Millis

    @property
    def name(self) -> tuple[str, str, str]:
        return (self.fill.symbol, str(self.fill.trade_id), str(self.fill.order_id))


class TrueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it became, and the moment (steady clock) at which it did."""

    order: Order
    happened: Millis


class Ground:
    """One venue of a house. `steady_now`: milliseconds that never jump; `last_trouble`: when a call last failed, in them: bounds of time
    hold from there on. `besides`: the isolated accounts of margin that clients of ours have, as USER.PAIR."""

    def __init__(self, house: House, venue: str, steady_now: Callable[[], Millis], besides: Sequence[str] = ()) -> None:
        self.house = house
        self.hall: Hall = house.halls[venue]
        self.steady_now = steady_now
        self.last_trouble = Millis(0)
        self.truth: dict[str, list[TrueFill]] = {account: [] for account in (*house.accounts, *besides)}
        self.orders: dict[str, list[TrueOrder]] = {account: [] for account in self.truth}
        house.on_news = self._note

    def now(self) -> BooksMillis:
        """The venue's time, in milliseconds since 1970."""
        return self.house.now()

    # --- what happens to it ---

    def listing(self, account: str) -> AccountListing:
        return next(each for each in self.house.listings if each.account == user_of(account))

    def perform(self, action: Action) -> bool:
        """Does an action of the control interface; False if the books refuse it."""
        try:
            perform(action, self.house, self.now())
        except Refused:
            return False
        finally:
            self.house.publish(self.hall, self.now())
        return True

    def trade(self, account: str) -> None:
        self.hall.room.exchange.trade_randomly(account, self.now())
        self.house.publish(self.hall, self.now())

    def _note(self, happenings: Sequence[Happening]) -> None:
        """Accounts that a user opened by playing, and that no client of ours has, are nobody's here."""
        for happening in happenings:
            if isinstance(happening, OrderHappened) and happening.account in self.truth:
                now = self.steady_now()
                self.orders[happening.account].append(TrueOrder(order=happening.order, happened=now))
                if happening.fill is not None:
                    self.truth[happening.account].append(TrueFill(fill=happening.fill, happened=now))

    # --- what is true ---

    @property
    def symbols(self) -> list[str]:
        return list(self.hall.room.exchange.instruments)

    def open_orders(self, account: str) -> Truth:
        books = self.hall.room.exchange
        plain: Truth = {
            (order.symbol, str(order.order_id), ""): (order.quantity, order.filled_quantity) for order in books.open_orders(account)
        }
        return plain | {
            (algo.symbol, str(algo.algo_id), "algo"): (algo.quantity, algo.filled_quantity)
            for algo in books.algo_orders(account, open_only=True)
        }

    def positions(self, account: str) -> Truth:
        legs = self.hall.room.exchange.told_positions(account)
        return {(leg.symbol, str(leg.position_side), ""): (leg.amount, leg.entry_price) for leg in legs if leg.amount}

    def order_lists(self, account: str) -> Sequence[OrderList]:
        """None where orders do not hang on each other."""
        books = self.hall.room.exchange
        return books.order_lists(account) if isinstance(books, SpotExchange) else ()

    def balances(self, account: str) -> Truth:
        return {(each.asset, "", ""): (each.wallet,) for each in self.hall.room.exchange.balances(account) if each.wallet}
