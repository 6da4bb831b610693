"""The life of spot orders: accepted, matched, executed, amended, ended; and the news of each step in its order.

An order's money: placing locks what the order may have to pay, each execution pays out of that, and the end of the order gives
back the rest. Every news of an order is followed by the balances it may have changed.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple

from userstream.sim.books import ZERO, Amendment, Execution, Fill, Order, OrderStatus, Refused, Side
from userstream.sim.engine import FINAL, PRICE_DIGITS, Match, Prevented, match, reaches
from userstream.sim.instruments import is_amount, is_multiple
from userstream.sim.market import cross
from userstream.sim.spot.admission import (
    admit,
    check_funds,
    executable,
    is_whole_fill,
    need_of,
    paid_with,
    taking_limit,
)
from userstream.sim.spot.books import (
    LIMIT_TYPES,
    Expiry,
    NewSpotOrder,
    PreventedMatch,
    Prevention,
    SpotOrder,
    is_stop,
    left_of,
    spot_order,
)
from userstream.sim.spot.instruments import MAX_AMENDMENTS, check_client_id, check_notional, check_price, check_quantity
from userstream.sim.spot.world import SpotAccount, SpotWorld

RESTING: Final = frozenset({"gtc"})
REJECTABLE: Final = frozenset({"balance_insufficient", "post_only_would_take", "would_trigger_immediately"})


class Ending(NamedTuple):
    """How an order ends without being filled."""

    status: OrderStatus
    expiry: Expiry = Expiry.NONE
    request_id: str = ""  # of a cancellation


class SpotTrading:
    """Carries out what accounts and the market do to orders. Every change is followed by its news.

    `on_fill` is told before an order is filled, prevented or triggered, `on_ended` after an order ended, `on_waiting` when a stop
    begins to wait, `on_settled` after the news of a fill; `need` says how much an order must have locked.
    """

    def __init__(self, world: SpotWorld) -> None:
        self._world = world
        self.on_fill: Callable[[SpotOrder], None] = lambda _: None
        self.on_ended: Callable[[SpotOrder, Ending | None], None] = lambda _, __: None
        self.on_settled: Callable[[SpotOrder, Fill], None] = lambda _, __: None
        self.on_waiting: Callable[[SpotOrder], None] = lambda _: None
        self.need: Callable[[SpotOrder], Decimal] = partial(need_of, world)

    # --- placing ---

    def place(self, account: SpotAccount, new: NewSpotOrder) -> SpotOrder:
        """Accept the order or raise Refused; when it returns, everything that follows at once has happened."""
        order = admit(self._world, account, new)
        check_funds(self._world, account, order)
        account.records.add(order)
        self.start(account, order, self.need(order))
        return order

    def start(self, account: SpotAccount, order: SpotOrder, lock: Decimal) -> None:
        """Let an order that is in the records live: its money is locked, NEW is told, then it waits, trades, rests or ends."""
        self._lock(account, order, lock)
        order.status = OrderStatus.NEW
        order.updated_time = self._world.now
        if is_stop(order):
            self._tell(account, order, Execution.NEW)
            self.on_waiting(order)
            return
        self._begin(order)
        self._tell(account, order, Execution.NEW)
        self._take(account, order)

    def trigger(self, order: SpotOrder) -> None:
        """A waiting stop begins to work; one that pays by the market may find that it cannot pay any more."""
        account = self._world.owner(order)
        self.on_fill(order)
        self._begin(order)
        order.updated_time = self._world.now
        short = self._lock_again(account, order)
        self._tell(account, order, Execution.NEW)
        if short:
            self.end(order, Ending(OrderStatus.EXPIRED, Expiry.INSUFFICIENT_LIQUIDITY))
        else:
            self._take(account, order)

    def _begin(self, order: SpotOrder) -> None:
        order.working = True
        order.working_time = self._world.now

    def _lock(self, account: SpotAccount, order: SpotOrder, amount: Decimal) -> None:
        account.wallets.lock(paid_with(self._world, order), amount, self._world.now)
        order.locked += amount

    def _lock_again(self, account: SpotAccount, order: SpotOrder) -> bool:
        """Bring the lock to what the order needs now; True when the account cannot pay that."""
        needed, asset = self.need(order), paid_with(self._world, order)
        if needed - order.locked > account.wallets.free(asset):
            return True
        self.lock_exactly(order, needed)
        return False

    def lock_exactly(self, order: SpotOrder, amount: Decimal) -> None:
        """Change what the order has locked. The caller knows that the account can."""
        account, asset, now = self._world.owner(order), paid_with(self._world, order), self._world.now
        if amount > order.locked:
            account.wallets.lock(asset, amount - order.locked, now)
        elif amount < order.locked:
            account.wallets.unlock(asset, order.locked - amount, now)
        order.locked = amount

    def _take(self, account: SpotAccount, order: SpotOrder) -> None:
        """Match the order now, then rest or expire what is left."""
        world, book = self._world, self._world.books[order.symbol]
        if order.time_in_force == "fok" and not is_whole_fill(world, order):
            self.end(order, Ending(OrderStatus.EXPIRED, Expiry.UNFILLED_FOK))
            return
        outside = world.markets[order.symbol].levels(order.side)
        for meeting in match(book, order, taking_limit(world, order), outside, executable):
            if isinstance(meeting, Prevented):
                self._prevent(order, spot_order(meeting.maker))
            else:
                self._trade(account, order, meeting)
        if order.status in FINAL:
            return
        if order.order_type not in LIMIT_TYPES:
            self.end(order, Ending(OrderStatus.EXPIRED, Expiry.INSUFFICIENT_LIQUIDITY))
        elif order.time_in_force in RESTING:
            book.insert(order)
        else:
            self.end(order, Ending(OrderStatus.EXPIRED, Expiry.UNFILLED_IOC))

    def _trade(self, account: SpotAccount, taker: SpotOrder, meeting: Match) -> None:
        trade_id = self._world.next_trade_id(taker.symbol)
        if meeting.maker is not None:
            self.fill(spot_order(meeting.maker), meeting.price, meeting.quantity, trade_id=trade_id, maker=True)
        self.fill(taker, meeting.price, meeting.quantity, trade_id=trade_id, maker=False)

    def _shrink_lock(self, order: SpotOrder) -> None:
        """The order became smaller. What a buying market order has locked stays until its end: its next prices are not known."""
        if left_of(order) <= ZERO:
            self.lock_exactly(order, ZERO)
        elif order.side is Side.SELL or order.order_type in LIMIT_TYPES:
            self.lock_exactly(order, min(order.locked, self.need(order)))

    # --- self-trade prevention ---

    def _prevent(self, taker: SpotOrder, maker: SpotOrder) -> None:
        """Two orders of one account met: the taker's mode says what of which is taken away (Binance Spot, 7.3)."""
        mode, common = taker.self_trade_prevention, min(left_of(taker), left_of(maker))
        from_maker = left_of(maker) if mode in {"expire_maker", "expire_both"} else ZERO
        from_taker = left_of(taker) if mode in {"expire_taker", "expire_both"} else ZERO
        if mode == "decrement":
            from_maker = from_taker = common
        world = self._world
        found = PreventedMatch(
            match_id=world.next_prevented_id(),
            account=taker.account,
            symbol=taker.symbol,
            taker_order_id=taker.order_id,
            maker_order_id=maker.order_id,
            group_id=world.owner(taker).number,
            mode=mode,
            price=maker.price,
            maker_prevented=from_maker,
            taker_prevented=from_taker,
            time=world.now,
        )
        world.owner(taker).records.prevented.append(found)
        self._take_away(maker, taker, found, from_maker, common)
        self._take_away(taker, maker, found, from_taker, common)

    def _take_away(self, order: SpotOrder, counter: SpotOrder, found: PreventedMatch, quantity: Decimal, common: Decimal) -> None:
        if not quantity:
            return
        self.on_fill(order)
        account = self._world.owner(order)
        order.prevented_quantity += quantity
        order.prevented_match_id = found.match_id
        order.updated_time = self._world.now
        if left_of(order) <= ZERO:
            order.status = OrderStatus.EXPIRED_IN_MATCH
            self._close(account, order)
        self._shrink_lock(order)
        seen = Prevention(
            match_id=found.match_id,
            group_id=found.group_id,
            counter_order_id=counter.order_id,
            counter_symbol=counter.symbol,
            prevented=quantity,
            quantity=common,
            price=found.price,
        )
        self._tell(account, order, Execution.TRADE_PREVENTION, prevention=seen)
        if order.status in FINAL:
            self.on_ended(order, Ending(OrderStatus.EXPIRED_IN_MATCH))

    # --- executions ---

    def fill(self, order: SpotOrder, price: Decimal, quantity: Decimal, *, trade_id: int, maker: bool) -> Fill:
        """Book one execution and tell of it: the order first, then the balances it changed."""
        self.on_fill(order)
        account = self._world.owner(order)
        fill = self._settle(account, order, price, quantity, trade_id=trade_id, maker=maker)
        account.records.add_fill(fill)
        if order.status in FINAL:
            self._close(account, order)
            self.lock_exactly(order, ZERO)
        instrument = self._world.instruments[order.symbol]
        self._world.tell_order(order, Execution.TRADE, fill)
        self._world.tell_balances(account, (instrument.base, instrument.quote, fill.fee_asset))
        self.on_settled(order, fill)
        if order.status in FINAL:
            self.on_ended(order, None)
        return fill

    def _settle(self, account: SpotAccount, order: SpotOrder, price: Decimal, quantity: Decimal, *, trade_id: int, maker: bool) -> Fill:
        """The order and the wallets after this execution. Quote amounts are exact, fees are rounded to 8 decimals."""
        world, instrument = self._world, self._world.instruments[order.symbol]
        buys, quote = order.side is Side.BUY, price * quantity
        paid, cost = (instrument.quote, quote) if buys else (instrument.base, quantity)
        received, amount = (instrument.base, quantity) if buys else (instrument.quote, quote)
        reserved = order.price * quantity if buys and order.order_type in LIMIT_TYPES else cost
        self.lock_exactly(order, max(order.locked - reserved, ZERO))
        _execute(order, price, quantity)
        order.updated_time = world.now
        post, number = account.wallets.post, str(trade_id)
        post("trade", paid, -cost, world.now, symbol=order.symbol, trade_id=number)
        post("trade", received, amount, world.now, symbol=order.symbol, trade_id=number)
        fee = world.fee(account, instrument, received, amount, maker=maker)
        if fee.amount:
            post("commission", fee.asset, -fee.amount, world.now, symbol=order.symbol, trade_id=number)
        return Fill(
            account=order.account,
            symbol=order.symbol,
            trade_id=trade_id,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            side=order.side,
            position_side=order.position_side,
            price=price,
            quantity=quantity,
            quote_quantity=quote,
            fee=fee.amount,
            fee_asset=fee.asset,
            realized_pnl=ZERO,
            maker=maker,
            time=world.now,
        )

    def fill_from_outside(self, order: SpotOrder, price: Decimal, quantity: Decimal) -> Fill:
        """Somebody outside takes a part of a resting order."""
        return self.fill(order, price, quantity, trade_id=self._world.next_trade_id(order.symbol), maker=True)

    def counter_fill(self, order: SpotOrder, quantity: Decimal | None, price: Decimal | None) -> Fill:
        """As `fill_from_outside`, with the wish checked. Left out, the quantity is the whole remainder and the price the order's."""
        instrument = self._world.instruments[order.symbol]
        wanted = left_of(order) if quantity is None else quantity
        if not order.working or order.order_type not in LIMIT_TYPES:
            raise Refused("not_resting", "the order does not rest in the book")
        if not is_amount(wanted) or wanted <= ZERO or not is_multiple(wanted, instrument.step_size):
            raise Refused("bad_lot", "quantity is not a positive multiple of the step")
        if wanted > left_of(order):
            raise Refused("bad_lot", f"only {left_of(order)} of the order can be filled")
        if price is not None:
            check_price(instrument, price)
            if not reaches(order.side, order.price, price):
                raise Refused("bad_tick", f"the order does not accept the price {price}")
        return self.fill_from_outside(order, order.price if price is None else price, wanted)

    def cross(self, symbol: str, *, in_parts: bool) -> None:
        """Fill the resting orders that the outside prices have reached, sometimes only a part at a time."""
        world = self._world
        cross(world.books[symbol], world.markets[symbol], executable, self._fill_crossed, in_parts=in_parts)

    def _fill_crossed(self, order: Order, quantity: Decimal) -> None:
        self.fill_from_outside(spot_order(order), order.price, quantity)

    # --- amending ---

    def amend(self, account: SpotAccount, order: SpotOrder, quantity: Decimal, client_order_id: str) -> Amendment:
        """Make an open order smaller; it keeps its id and its place in the queue and gets a new client id (Binance Spot, 6.4).

        At or below what is filled already, the order expires.
        """
        self._check_amendment(account, order, quantity, client_order_id)
        world, former, before = self._world, order.client_order_id, order.quantity
        order.amendments += 1
        account.records.rename(order, client_order_id or f"auto-{order.order_id}-{order.amendments}")
        order.quantity, order.updated_time = max(quantity, order.filled_quantity + order.prevented_quantity), world.now
        self._shrink_lock(order)
        execution_id = self._tell(account, order, Execution.AMENDMENT, former_client_id=former)
        made = Amendment(
            amendment_id=execution_id,
            account=account.name,
            symbol=order.symbol,
            order_id=order.order_id,
            client_order_id=former,
            price_before=order.price,
            price_after=order.price,
            quantity_before=before,
            quantity_after=order.quantity,
            count=order.amendments,
            modify_id=order.client_order_id,
            time=world.now,
        )
        account.records.amendments.setdefault(order.order_id, []).append(made)
        if left_of(order) <= ZERO:
            self.end(order, Ending(OrderStatus.EXPIRED))
        return made

    def _check_amendment(self, account: SpotAccount, order: SpotOrder, quantity: Decimal, client_order_id: str) -> None:
        instrument = self._world.instruments[order.symbol]
        if not account.settings.can_trade:
            raise Refused("trading_disabled", "the account may not trade")
        if order.amendments >= MAX_AMENDMENTS:
            raise Refused("too_many_amendments", "the order was amended too often")
        check_quantity(instrument, quantity, market=False)
        if quantity >= order.quantity:
            raise Refused("amend_not_smaller", "an amendment only makes the quantity smaller")
        if order.status is OrderStatus.PENDING_NEW or order.quote_wish:
            raise Refused("amend_not_possible", "this order cannot be amended")
        if quantity > order.filled_quantity:
            check_notional(instrument, order.price or self._world.last_price(order.symbol), quantity, market=False)
        if client_order_id:
            check_client_id(client_order_id)
            if account.records.has_open_client_id(client_order_id) and client_order_id != order.client_order_id:
                raise Refused("duplicate_client_order_id", "an open order has this client order id")

    # --- ending ---

    def end(self, order: SpotOrder, ending: Ending) -> None:
        """End an open order without an execution, with its news."""
        account = self._world.owner(order)
        waited = order.status is OrderStatus.PENDING_NEW
        order.status, order.expiry, order.updated_time = ending.status, ending.expiry, self._world.now
        order.cancel_id = ending.request_id
        self._close(account, order)
        self.lock_exactly(order, ZERO)
        execution = Execution.CANCELED if ending.status is OrderStatus.CANCELED else Execution.EXPIRED
        if waited:
            self._world.tell_order(order, execution, request_id=ending.request_id)
        else:
            self._tell(account, order, execution, request_id=ending.request_id)
        self.on_ended(order, ending)

    def _close(self, account: SpotAccount, order: SpotOrder) -> None:
        self._world.books[order.symbol].discard(order)
        account.records.close(order)

    def _tell(
        self,
        account: SpotAccount,
        order: SpotOrder,
        execution: Execution,
        *,
        request_id: str = "",
        former_client_id: str = "",
        prevention: Prevention | None = None,
    ) -> int:
        """The order's news and the balance that it locks or unlocks."""
        execution_id = self._world.tell_order(
            order, execution, request_id=request_id, former_client_id=former_client_id, prevention=prevention
        )
        self._world.tell_balances(account, (paid_with(self._world, order),))
        return execution_id


def _execute(order: SpotOrder, price: Decimal, quantity: Decimal) -> None:
    """Book one execution on the order. The average price is rounded half-even to 8 decimals; `filled_quote` stays exact."""
    order.filled_quantity += quantity
    order.filled_quote += price * quantity
    order.average_price = (order.filled_quote / order.filled_quantity).quantize(PRICE_DIGITS)
    order.status = OrderStatus.FILLED if left_of(order) <= ZERO else OrderStatus.PARTIALLY_FILLED
