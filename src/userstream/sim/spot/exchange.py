"""The spot exchange: one deterministic object. Time is always an argument, and the same seed and calls give the same books.

Every call that takes `now` first lets the exchange's time pass up to that moment. A `now` before the exchange's time counts as the
exchange's time: its clock never goes back.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from userstream.sim.books import (
    ZERO,
    AlgoOrder,
    Amendment,
    Balance,
    Execution,
    Fill,
    Income,
    Instrument,
    Millis,
    NewOrder,
    OrderStatus,
    Position,
    Refused,
)
from userstream.sim.instruments import is_amount
from userstream.sim.ledger import money
from userstream.sim.market import STEP_MS, grid_after
from userstream.sim.marketplace import Marketplace
from userstream.sim.spot.admission import order_of
from userstream.sim.spot.books import NewList, NewSpotOrder, OrderList, PreventedMatch, Replaced, SpotOrder
from userstream.sim.spot.borrower import Borrower
from userstream.sim.spot.instruments import check_client_id, check_price
from userstream.sim.spot.lists import Lists
from userstream.sim.spot.loans import MarginAccount
from userstream.sim.spot.margin import MarginSide
from userstream.sim.spot.stops import Stops
from userstream.sim.spot.trader import SpotTrader
from userstream.sim.spot.trading import REJECTABLE, Ending
from userstream.sim.spot.world import SpotAccount, SpotWorld

RESTRICTIONS = {"only_new": OrderStatus.NEW, "only_partially_filled": OrderStatus.PARTIALLY_FILLED}


class SpotExchange(MarginSide):
    """All books of one spot exchange. Raises Refused, and nothing else, when it says no; a refused call changes no books."""

    def __init__(self, instruments: Sequence[Instrument], *, seed: int = 0, start_time: Millis) -> None:
        super().__init__(SpotWorld(instruments, seed, start_time))
        self._stops = Stops(self._world, self._trading)
        self._lists = Lists(self._world, self._trading)
        self._trader = SpotTrader(self._world, self._trading, self._lists)
        self._borrower = Borrower(self._world, self.lending, self._trader, self._isolate)
        self._next_step = grid_after(start_time, STEP_MS)

    # --- trading ---

    def place(self, account: str, order: NewOrder, now: Millis) -> SpotOrder:
        """Place an order and carry out all that follows at once; returns a copy of the order as it stands then."""
        owner = self._enter(account, now)
        wish = order if isinstance(order, NewSpotOrder) else _as_spot(order)
        loan = self.lending.borrow_for(owner, wish)
        placed = self._trading.place(owner, wish)
        placed.borrowed = ZERO if loan is None else loan.principal
        return self._shown(placed)

    def amend(
        self,
        account: str,
        symbol: str,
        *,
        order_id: int | None = None,
        client_order_id: str | None = None,
        quantity: Decimal,
        new_client_order_id: str = "",
        now: Millis,
    ) -> Amendment:
        """Make an open order smaller; it keeps its place. Refused("unknown_order") for an order that is not open."""
        owner = self._enter(account, now)
        order = owner.records.open_order(symbol, order_id, client_order_id)
        made = self._trading.amend(owner, order, quantity, new_client_order_id)
        self._lists.amended(order)
        self._lists.settle()
        return made

    def cancel(
        self,
        account: str,
        symbol: str,
        *,
        order_id: int | None = None,
        client_order_id: str | None = None,
        new_client_order_id: str = "",
        restriction: str = "",
        now: Millis,
    ) -> SpotOrder:
        """Cancel an order, and with it the list it belongs to. `restriction` is only_new, only_partially_filled or nothing."""
        order = self._cancelable(self._enter(account, now), symbol, order_id, client_order_id, new_client_order_id, restriction)
        self._trading.end(order, Ending(OrderStatus.CANCELED, request_id=self._request_id(new_client_order_id)))
        return self._shown(order)

    def cancel_all(self, account: str, symbol: str, now: Millis) -> int:
        """Cancel all open orders and lists of the symbol. Returns how many orders there were."""
        return len(self.cancel_open(account, symbol, now))

    def cancel_open(self, account: str, symbol: str, now: Millis) -> list[SpotOrder]:
        """As `cancel_all`; returns the orders, oldest first."""
        owner = self._enter(account, now)
        self._world.instrument(symbol)
        orders = owner.records.open_orders(symbol)
        for order in orders:
            if order.status in _OPEN:
                self._trading.end(order, Ending(OrderStatus.CANCELED, request_id=self._request_id("")))
        return [copy.copy(order) for order in sorted(orders, key=lambda order: order.order_id)]

    def replace(
        self,
        account: str,
        symbol: str,
        wish: NewSpotOrder,
        now: Millis,
        *,
        order_id: int | None = None,
        client_order_id: str | None = None,
        new_client_order_id: str = "",
        restriction: str = "",
        stop_on_failure: bool,
    ) -> Replaced:
        """Cancel one order, then place another one, also when nothing could be cancelled unless `stop_on_failure`."""
        owner = self._enter(account, now)
        done = Replaced()
        try:
            order = self._cancelable(owner, symbol, order_id, client_order_id, new_client_order_id, restriction)
            self._trading.end(order, Ending(OrderStatus.CANCELED, request_id=self._request_id(new_client_order_id)))
            done = msgspec.structs.replace(done, canceled=copy.copy(order))
        except Refused as refused:
            done = msgspec.structs.replace(done, cancel_refusal=(refused.rule, refused.text))
            if stop_on_failure:
                return done
        try:
            return msgspec.structs.replace(done, placed=self._shown(self._trading.place(owner, wish)))
        except Refused as refused:
            self._tell_rejection(owner, wish, refused.rule)
            return msgspec.structs.replace(done, refusal=(refused.rule, refused.text))

    def _tell_rejection(self, owner: SpotAccount, wish: NewSpotOrder, rule: str) -> None:
        """The new half of a replacement that the books refuse for the state they are in makes news, other refusals do not."""
        if rule not in REJECTABLE:
            return
        order = order_of(self._world, owner, wish)
        order.order_id = self._world.next_order_id()
        order.client_order_id = wish.client_order_id or f"auto-{order.order_id}"
        order.status = OrderStatus.REJECTED
        self._world.tell_order(order, Execution.REJECTED, reject_reason=rule)

    def _cancelable(
        self,
        owner: SpotAccount,
        symbol: str,
        order_id: int | None,
        client_order_id: str | None,
        new_client_order_id: str,
        restriction: str,
    ) -> SpotOrder:
        if new_client_order_id:
            check_client_id(new_client_order_id)
        order = owner.records.open_order(symbol, order_id, client_order_id)
        if restriction and order.status is not RESTRICTIONS.get(restriction):
            raise Refused("cancel_restricted", "the order is not in the state that the request asks for")
        return order

    def _request_id(self, wanted: str) -> str:
        return wanted or f"cancel-{self._world.next_request_id()}"

    # --- lists ---

    def place_list(self, account: str, wish: NewList, now: Millis) -> OrderList:
        owner = self._enter(account, now)
        placed = self._lists.place(owner, wish)
        self._lists.settle()
        return copy.copy(placed)

    def cancel_list(
        self,
        account: str,
        symbol: str,
        *,
        list_id: int | None = None,
        client_list_id: str | None = None,
        new_client_order_id: str = "",
        now: Millis,
    ) -> OrderList:
        """Cancel all open orders of a list. Refused("unknown_list") for one that has ended or is of another symbol."""
        owner = self._enter(account, now)
        found = owner.records.list_of(list_id, client_list_id)
        if found.is_done or found.symbol != symbol:
            raise Refused("unknown_list", "order list is not open")
        self._lists.cancel(found, self._request_id(new_client_order_id))
        return copy.copy(found)

    def order_list(self, account: str, *, list_id: int | None = None, client_list_id: str | None = None) -> OrderList:
        return copy.copy(self._world.account(account).records.list_of(list_id, client_list_id))

    def order_lists(self, account: str, *, open_only: bool = False) -> list[OrderList]:
        """Oldest first."""
        records = self._world.account(account).records
        return [copy.copy(each) for each in (records.open_lists if open_only else records.lists).values()]

    # --- settings and money ---

    def set_can_trade(self, account: str, flag: bool, now: Millis) -> None:
        """Lock the account for new orders and amendments (Refused("trading_disabled")), or unlock it."""
        owner = self._enter(account, now)
        owner.settings.can_trade = flag
        owner.settings.updated_time = self._world.now

    def convert_fee_asset(self, account: str, asset: str) -> None:
        """Pay fees in this asset, with a discount, while it lasts; an empty name means what each trade brings in."""
        self._world.account(account).fee_asset = asset

    def lock_externally(self, account: str, asset: str, amount: Decimal, now: Millis) -> None:
        """Another system locks a positive amount of the free part, or unlocks a negative one (Binance Spot, 4.3.5)."""
        owner = self._enter(account, now)
        if not asset or not is_amount(amount) or not amount or money(amount) != amount:
            raise Refused("bad_amount", "amount must not be 0 and have at most 8 decimals")
        owner.wallets.hold(asset, amount, self._world.now)
        self._world.tell_balances(owner, [asset], "external_lock", {asset: amount})

    # --- what the world does ---

    def counter_fill(
        self, account: str, order_id: int, symbol: str, quantity: Decimal | None, now: Millis, *, price: Decimal | None = None
    ) -> Fill:
        """Somebody outside takes this much (None: all) of the account's resting order, at its price if none is given."""
        owner = self._enter(account, now)
        fill = self._trading.counter_fill(owner.records.open_order(symbol, order_id, None), quantity, price)
        self._lists.settle()
        return fill

    def move_price(self, symbol: str, price: Decimal, now: Millis) -> None:
        """The last price is this at once; crossed orders fill and stops begin."""
        self.advance(now)
        check_price(self._world.instrument(symbol), price)
        self._world.markets[symbol].jump(price)
        self._trading.cross(symbol, in_parts=False)
        self._stops.watch(symbol)
        self._lists.settle()
        self.lending.look_at_levels()

    def advance(self, now: Millis) -> None:
        """Let time pass: market steps and the orders they reach, up to `now`."""
        while self._next_step <= now:
            self._step()
        self._world.now = max(self._world.now, now)

    def _step(self) -> None:
        world = self._world
        world.now = self._next_step
        self._next_step = Millis(self._next_step + STEP_MS)
        world.step_markets()
        for symbol, book in world.books.items():
            if not book.is_empty:
                self._trading.cross(symbol, in_parts=True)
            self._stops.watch(symbol)
        self._lists.settle()
        self.lending.step()

    def trade_randomly(self, account: str, now: Millis) -> None:
        """One random but sensible action of a trading account."""
        owner = self._enter(account, now)
        if isinstance(owner, MarginAccount):
            self._borrower.act(self._borrower.choose([owner, *map(self.margin_of, self.isolated_accounts(account))]))
        else:
            self._trader.act(owner)
        self._lists.settle()

    # --- reading ---

    def income(self, account: str) -> Sequence[Income]:
        return list(self._world.account(account).wallets.income)

    def amendments(self, account: str, symbol: str, order_id: int) -> list[Amendment]:
        """Of one order, oldest first; raises Refused("unknown_order"). `modify_id` is the client id that the amendment gave."""
        records = self._world.account(account).records
        return list(records.amendments.get(records.order(symbol, order_id, None).order_id, []))

    def prevented_matches(self, account: str, symbol: str) -> list[PreventedMatch]:
        """Oldest first."""
        return [each for each in self._world.account(account).records.prevented if each.symbol == symbol]

    def positions(self, account: str, *, all: bool = False) -> Sequence[Position]:
        """There are none on spot."""
        del all
        return self.told_positions(account)

    def told_positions(self, account: str) -> Sequence[Position]:
        """There are none on spot."""
        self._world.account(account)
        return []

    def balances(self, account: str) -> Sequence[Balance]:
        """By asset; `available` is the free part, the rest of `wallet` is locked."""
        wallets = self._world.account(account).wallets
        return [wallets.balance(asset) for asset in sorted(wallets.wallets)]

    def algo_orders(self, account: str, symbol: str | None = None, open_only: bool = False) -> Sequence[AlgoOrder]:
        """There are none: a stop is an order of its own on spot."""
        del symbol, open_only
        self._world.account(account)
        return []

    def updated_time(self, account: str) -> Millis:
        """When a wallet of the account changed last."""
        return self._world.account(account).wallets.updated_time

    def number(self, account: str) -> int:
        """The account's number at the exchange, from 1 on."""
        return self._world.account(account).number

    def mark_price(self, symbol: str) -> Decimal:
        """On spot the last price."""
        return self.last_price(symbol)

    # --- within ---

    def _isolate(self, owner: MarginAccount, symbol: str, amount: Decimal) -> None:
        target = self.margin_account(owner.user, symbol)
        self.move_between(owner.name, target, self._world.instrument(symbol).quote, amount, self._world.now)

    def _shown(self, order: SpotOrder) -> SpotOrder:
        self._lists.settle()
        return copy.copy(order)


_OPEN = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_NEW})


def _as_spot(order: NewOrder) -> NewSpotOrder:
    """A wish in the words that all books share. What belongs to contracts is refused."""
    if order.reduce_only or order.good_till_time or order.price_match != "none" or order.position_side != "both":
        raise Refused("not_on_spot", "reduce-only, position sides, good-till times and price matches are for contracts")
    maker = order.time_in_force == "gtx"
    return NewSpotOrder(
        symbol=order.symbol,
        side=order.side,
        order_type="limit_maker" if maker and order.order_type == "limit" else order.order_type,
        time_in_force="gtc" if maker else order.time_in_force,
        quantity=order.quantity,
        price=order.price,
        client_order_id=order.client_order_id,
        self_trade_prevention=order.self_trade_prevention,
    )


def spot_of(place: Marketplace) -> SpotExchange:
    """The exchange, if it is a spot exchange. Raises Refused("only_spot") for another one."""
    if isinstance(place, SpotExchange):
        return place
    raise Refused("only_spot", "this is for spot; the account is at a venue of contracts")
