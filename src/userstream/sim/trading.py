"""The life of plain orders: accepted, matched, executed, amended, ended; and the news of each step in its order."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Final

from userstream.sim.admission import (
    admit,
    check_good_till,
    check_margin,
    check_may_trade,
    closable,
    executable,
    priority,
    takes_now,
    taking_limit,
)
from userstream.sim.books import BUY, SELL, ZERO, Amendment, Execution, ExpiryReason, Fill, NewOrder, Order, OrderStatus, Refused
from userstream.sim.engine import Match, Prevented, execute, finish, is_open, match, remaining
from userstream.sim.instruments import check_notional, check_price, check_price_band, check_quantity, is_amount, is_multiple
from userstream.sim.market import cross
from userstream.sim.records import is_reducing
from userstream.sim.world import Account, World

MAX_AMENDMENTS: Final = 10_000
RESTING: Final = frozenset({"gtc", "gtx", "gtd"})
REMAINDER_REASON: Final = {"ioc": ExpiryReason.IOC_REMAINDER, "fok": ExpiryReason.FOK_NOT_FILLABLE}


class Trading:
    """Carries out what accounts and the market do to plain orders. Every change is followed by its news."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._executable = partial(executable, world)
        self.on_ended: Callable[[Order], None] = lambda _: None  # told after the news of an order's end

    # --- placing ---

    def place(self, account: Account, new: NewOrder) -> Order:
        """Accept the order or raise Refused; when it returns, everything that follows at once has happened."""
        check_good_till(new.time_in_force, new.good_till_time, self._world.now)
        order = admit(self._world, account, new, self._world.now)
        self.start(account, order)
        return order

    def start(self, account: Account, order: Order) -> None:
        """Let an admitted order live: NEW, then its executions, then it rests or ends."""
        account.records.add(order)
        self._world.tell_order(account, order, Execution.NEW)
        if order.time_in_force == "gtd":
            self._world.at(order.good_till_time, partial(self._expire_in_time, account, order))
        self._take(account, order)
        if is_reducing(order):
            self.displace(account, order)

    def _take(self, account: Account, order: Order) -> None:
        """Match the order now, then rest or expire what is left."""
        world = self._world
        outside = world.markets[order.symbol].levels(order.side)
        book = world.books[order.symbol]
        for meeting in match(book, order, taking_limit(world, order), outside, self._executable):
            if isinstance(meeting, Prevented):
                self._prevent(account, order, meeting.maker)
            else:
                self._trade(account, order, meeting)
        if not is_open(order):
            return
        if order.order_type == "market":
            self.end(account, order, OrderStatus.EXPIRED, ExpiryReason.MARKET_REMAINDER)
        elif order.time_in_force in RESTING:
            book.insert(order)
        else:
            self.end(account, order, OrderStatus.EXPIRED, REMAINDER_REASON[order.time_in_force])

    def _trade(self, account: Account, taker: Order, meeting: Match) -> None:
        trade_id = self._world.next_trade_id(taker.symbol)
        maker = meeting.maker
        if maker is not None:
            self.fill(self._world.accounts[maker.account], maker, meeting.price, meeting.quantity, trade_id=trade_id, maker=True)
        self.fill(account, taker, meeting.price, meeting.quantity, trade_id=trade_id, maker=False)
        # Only now: between its two halves a trade of an account with itself leaves the position wrong.
        if maker is not None:
            self.displace(self._world.accounts[maker.account], maker)
        self.displace(account, taker)

    def _prevent(self, account: Account, taker: Order, maker: Order) -> None:
        """Two orders of one account met: the taker's mode says which of them ends."""
        mode = taker.self_trade_prevention
        if mode in {"expire_maker", "expire_both"}:
            self.end(account, maker, OrderStatus.EXPIRED_IN_MATCH, ExpiryReason.SELF_TRADE)
        if mode in {"expire_taker", "expire_both"}:
            reason = ExpiryReason.IOC_SELF_TRADE if taker.time_in_force == "ioc" else ExpiryReason.SELF_TRADE
            self.end(account, taker, OrderStatus.EXPIRED_IN_MATCH, reason)

    # --- executions ---

    def fill(
        self,
        account: Account,
        order: Order,
        price: Decimal,
        quantity: Decimal,
        *,
        trade_id: int,
        maker: bool,
        execution: Execution = Execution.TRADE,
    ) -> Fill:
        """Book one execution and tell of it: the order first, then the balances and the position it changed."""
        world, now = self._world, self._world.now
        instrument = world.instruments[order.symbol]
        execute(order, price, quantity, now, instrument.contract)
        fee = world.fee_terms(account, instrument, instrument.contract.worth(price, quantity), maker=maker)
        fill = account.ledger.trade(order, instrument, price, quantity, trade_id=trade_id, maker=maker, fee=fee, now=now)
        account.records.add_fill(fill)
        account.records.weigh(order)
        if not is_open(order):
            self._close(account, order)
        world.touch(account, order.symbol)
        world.tell_order(account, order, execution, fill)
        assets = dict.fromkeys((instrument.margin_asset, fee.asset))
        world.tell_account(account, "order", assets, [account.ledger.leg(instrument, order.position_side)], dict.fromkeys(assets, ZERO))
        if not is_open(order):
            self.on_ended(order)
        return fill

    def fill_from_outside(self, account: Account, order: Order, price: Decimal, quantity: Decimal) -> Fill:
        """Somebody outside takes a part of a resting order."""
        trade_id = self._world.next_trade_id(order.symbol)
        fill = self.fill(account, order, price, quantity, trade_id=trade_id, maker=True)
        self.displace(account, order)
        return fill

    def counter_fill(self, account: Account, order_id: int, symbol: str, quantity: Decimal | None, price: Decimal | None) -> Fill:
        """As `fill_from_outside`, with the wish checked. Left out, the quantity is the whole remainder and the price the order's."""
        instrument = self._world.instrument(symbol)
        order = account.records.open_order(symbol, order_id, None)
        most = executable(self._world, order)
        wanted = most if quantity is None else quantity
        if not is_amount(wanted) or wanted <= ZERO or not is_multiple(wanted, instrument.step_size):
            raise Refused("bad_step", "quantity is not a positive multiple of the step")
        if wanted > most:
            raise Refused("quantity_too_large", f"only {most} of the order can be filled")
        if price is not None:
            check_price(instrument, price)
        return self.fill_from_outside(account, order, order.price if price is None else price, wanted)

    def cross(self, symbol: str, *, in_parts: bool) -> None:
        """Fill the resting orders that the outside prices have reached, sometimes only a part at a time."""
        world = self._world
        cross(world.books[symbol], world.markets[symbol], self._executable, self._fill_crossed, in_parts=in_parts)

    def _fill_crossed(self, order: Order, quantity: Decimal) -> None:
        self.fill_from_outside(self._world.accounts[order.account], order, order.price, quantity)

    # --- amending ---

    def amend(self, account: Account, order: Order, quantity: Decimal | None, price: Decimal | None, modify_id: str) -> None:
        """Change price and quantity of an open limit order; it loses its place in the queue (Binance USD-M, 7.6)."""
        wanted_quantity = order.quantity if quantity is None else quantity
        wanted_price = order.price if price is None else price
        self._check_amendment(account, order, wanted_quantity, wanted_price)
        if wanted_quantity <= order.filled_quantity:
            self.end(account, order, OrderStatus.CANCELED)
            return
        self._apply_amendment(account, order, wanted_quantity, wanted_price, modify_id)
        if order.time_in_force == "gtx" and takes_now(self._world, order):
            self.end(account, order, OrderStatus.CANCELED, ExpiryReason.POST_ONLY_WOULD_TAKE)
            return
        self._take(account, order)
        if is_reducing(order):
            self.displace(account, order)

    def _check_amendment(self, account: Account, order: Order, quantity: Decimal, price: Decimal) -> None:
        world, instrument = self._world, self._world.instruments[order.symbol]
        check_may_trade(account, world.now)
        if quantity == order.quantity and price == order.price:
            raise Refused("amend_no_change", "price and quantity are as before")
        if order.amendments >= MAX_AMENDMENTS:
            raise Refused("too_many_amendments", "the order was amended too often")
        check_price(instrument, price)
        check_quantity(instrument, quantity, market=False)
        check_price_band(order.side, price, world.mark_price(order.symbol))
        if is_reducing(order) or quantity <= order.filled_quantity:
            return
        check_notional(instrument, price, quantity)
        check_margin(world, account, order, price, quantity - order.filled_quantity, account.records.worth(order))

    def _apply_amendment(self, account: Account, order: Order, quantity: Decimal, price: Decimal, modify_id: str) -> None:
        world = self._world
        world.books[order.symbol].discard(order)
        made = account.records.amendments.setdefault(order.order_id, [])
        order.amendments += 1
        made.append(
            Amendment(
                amendment_id=order.order_id * MAX_AMENDMENTS + order.amendments,
                account=account.name,
                symbol=order.symbol,
                order_id=order.order_id,
                client_order_id=order.client_order_id,
                price_before=order.price,
                price_after=price,
                quantity_before=order.quantity,
                quantity_after=quantity,
                count=order.amendments,
                modify_id=modify_id,
                time=world.now,
            )
        )
        order.price, order.quantity, order.modify_id, order.updated_time = price, quantity, modify_id, world.now
        account.records.weigh(order)
        world.tell_order(account, order, Execution.AMENDMENT)

    # --- ending ---

    def cancel(self, account: Account, order: Order) -> None:
        self.end(account, order, OrderStatus.CANCELED)

    def end(self, account: Account, order: Order, status: OrderStatus, reason: ExpiryReason = ExpiryReason.NONE) -> None:
        """End an open order without an execution, with its news."""
        finish(order, status, self._world.now, reason)
        self._close(account, order)
        self._world.tell_order(account, order, Execution.CANCELED if status is OrderStatus.CANCELED else Execution.EXPIRED)
        self.on_ended(order)

    def end_all(self, account: Account, symbol: str, status: OrderStatus, reason: ExpiryReason = ExpiryReason.NONE) -> int:
        """End all open orders of the account on the symbol; returns how many there were."""
        orders = account.records.open_orders(symbol)
        for order in orders:
            self.end(account, order, status, reason)
        return len(orders)

    def _close(self, account: Account, order: Order) -> None:
        self._world.books[order.symbol].discard(order)
        account.records.close(order)

    def _expire_in_time(self, account: Account, order: Order) -> None:
        if is_open(order):
            self.end(account, order, OrderStatus.EXPIRED)

    def displace(self, account: Account, cause: Order) -> None:
        """After `cause` or its position changed: end the reducing orders of its leg that no longer have anything to reduce."""
        reducing = account.records.reducing(cause.symbol, cause.position_side)
        for side in (BUY, SELL):
            queue = [order for order in reducing if order.side is side]
            if queue:
                self._displace_queue(account, queue)

    def _displace_queue(self, account: Account, queue: list[Order]) -> None:
        left = closable(account, queue[0].symbol, queue[0].position_side, queue[0].side)
        for order in sorted(queue, key=priority):
            if left <= ZERO:
                self.end(account, order, OrderStatus.EXPIRED, ExpiryReason.REDUCE_ONLY)
            left -= remaining(order)
