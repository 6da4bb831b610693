"""What is really true of one account, in the venue's own time: orders, fills, legs and wallets with their whole past.

The measure against which a machine is held. Every deed leaves in `outbox` the frames in which a venue would tell it; nothing here knows
whether they arrive. Pure: no clock, no chance, no I/O.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from decimal import Decimal
from typing import Final, TypeAlias, TypeVar

import msgspec

from userstream.domain.account import FillKey, OrderKey, PositionKey
from userstream.domain.events import BalanceMoved, BalanceSet, Event, Filled, OrderChanged, PositionSet
from userstream.domain.words import FINAL, OrderStatus, PositionSide, Side
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import AccountId, ClientOrderId, Millis, OrderId, Symbol, VenueName

ALICE: Final = AccountId("alice")
SCRIPTED: Final = VenueName("scripted")
BTC: Final = Symbol("BTCUSDT")
ETH: Final = Symbol("ETHUSDT")
USDT: Final = "USDT"
PRICE: Final = Decimal("61250.10")
FEE: Final = Decimal("0.25")
OPENING: Final = Decimal("10000.00")

Frame: TypeAlias = tuple[Event, ...]
FillIdentity: TypeAlias = tuple[Symbol, FillKey]
Dated = TypeVar("Dated", OrderChanged, PositionSet, BalanceSet)


def identity(fill: Filled) -> FillIdentity:
    """What makes a fill the one that it is, on every way by which it is told."""
    return fill.symbol, (fill.trade_id, fill.order_id)


def _version_at(versions: list[Dated], time: Millis) -> Dated | None:
    """The newest version not later than `time`."""
    place = bisect_right(versions, time, key=lambda version: version.transaction_time)
    return versions[place - 1] if place else None


class Truth:
    """One account at the venue. Deeds come in the order of their times; `..._at` methods answer for any earlier time too."""

    def __init__(self, opened: Millis) -> None:
        self.fills: list[Filled] = []
        self.movements: list[BalanceMoved] = []
        self.outbox: list[Frame] = []
        self._orders: dict[OrderKey, list[OrderChanged]] = {}
        self._legs: dict[PositionKey, list[PositionSet]] = {}
        self._wallets: dict[str, list[BalanceSet]] = {}
        self._order_numbers, self._trade_numbers, self._movement_numbers = itertools.count(1), itertools.count(5_001), itertools.count(1)
        self._set_wallet(opened, OPENING, "deposit")

    # --- deeds ---

    def place(
        self,
        time: Millis,
        *,
        symbol: Symbol = BTC,
        side: Side = Side.BUY,
        quantity: str = "0.3",
        conditional: bool = False,
        original_type: str = "",
    ) -> OrderId:
        """A new limit order; `original_type` is another where a conditional one became it. Conditional orders count among ids of
        their own at real venues; here one counter serves both."""
        order_id = OrderId(str(next(self._order_numbers)))
        order = OrderChanged(
            account=ALICE,
            venue=SCRIPTED,
            event_time=time,
            symbol=symbol,
            order_id=order_id,
            client_order_id=ClientOrderId(f"bot-{order_id}"),
            side=side,
            order_type="limit",
            original_type=original_type or "limit",
            status=OrderStatus.NEW,
            execution_type="new",
            price=PRICE,
            quantity=Decimal(quantity),
            filled_quantity=ZERO,
            transaction_time=time,
            created_time=time,
            conditional=conditional,
        )
        self._orders[symbol, order_id, conditional] = [order]
        self.outbox.append((order,))
        return order_id

    def fill(self, time: Millis, order_id: OrderId, quantity: str, *, symbol: Symbol = BTC) -> Filled:
        """One execution: a frame with leg and wallet, then one with order and fill, as the venues with two kinds of messages do."""
        versions = self._orders[symbol, order_id, False]
        order, amount = versions[-1], Decimal(quantity)
        filled = order.filled_quantity + amount
        assert filled <= order.quantity
        assert order.status not in FINAL
        fill = Filled(
            account=ALICE,
            venue=SCRIPTED,
            event_time=time,
            symbol=symbol,
            order_id=order_id,
            client_order_id=order.client_order_id,
            trade_id=str(next(self._trade_numbers)),
            side=order.side,
            position_side=PositionSide.BOTH,
            price=order.price,
            quantity=amount,
            fee=FEE,
            fee_asset=USDT,
            maker=True,
            realized_pnl=ZERO,
            transaction_time=time,
        )
        status = OrderStatus.FILLED if filled == order.quantity else OrderStatus.PARTIALLY_FILLED
        self.fills.append(fill)
        leg = self._move_leg(time, symbol, amount if order.side is Side.BUY else -amount)
        wallet = self._set_wallet(time, self.wallet - FEE, "order")
        self.outbox.append((wallet, leg))
        self.outbox.append((fill, self._change(versions, time, status=status, execution_type="trade", filled_quantity=filled)))
        return fill

    def cancel(self, time: Millis, order_id: OrderId, *, symbol: Symbol = BTC, conditional: bool = False) -> None:
        versions = self._orders[symbol, order_id, conditional]
        self.outbox.append((self._change(versions, time, status=OrderStatus.CANCELED, execution_type="canceled"),))

    def trigger(self, time: Millis, order_id: OrderId, *, symbol: Symbol = BTC) -> OrderId:
        """A conditional order becomes a real one, which has an id of its own."""
        versions = self._orders[symbol, order_id, True]
        real = self.place(time, symbol=symbol, side=versions[-1].side, quantity=str(versions[-1].quantity), original_type="stop")
        changed = self._change(versions, time, status=OrderStatus.TRIGGERED, execution_type="triggered", triggered_order_id=real)
        self.outbox.append((changed,))
        return real

    def move_cash(self, time: Millis, delta: str, reason: str = "funding_fee") -> BalanceMoved:
        """Cash comes or goes without a trade."""
        moved = BalanceMoved(
            account=ALICE, venue=SCRIPTED, event_time=time, asset=USDT, delta=Decimal(delta), reason=reason, transaction_time=time
        )
        number = str(next(self._movement_numbers))
        self.movements.append(msgspec.structs.replace(moved, movement_id=number))
        self.outbox.append((self._set_wallet(time, self.wallet + Decimal(delta), reason), moved))
        return moved

    def move_leg(self, time: Millis, delta: str, *, symbol: Symbol = BTC) -> None:
        """A leg changes without a trade of its own, as at a settlement."""
        self.outbox.append((self._move_leg(time, symbol, Decimal(delta)),))

    def lose_order(self, order_id: OrderId, *, symbol: Symbol = BTC) -> None:
        """The venue forgets an order without a word, as test networks do."""
        del self._orders[symbol, order_id, False]

    # --- what is true ---

    @property
    def wallet(self) -> Decimal:
        return self._wallets[USDT][-1].total if USDT in self._wallets else ZERO

    def amount(self, symbol: Symbol = BTC) -> Decimal:
        """The leg's amount now."""
        versions = self._legs.get((symbol, PositionSide.BOTH))
        return versions[-1].amount if versions else ZERO

    def orders_at(self, time: Millis) -> list[OrderChanged]:
        """All orders there were, each as it was then."""
        return [order for versions in self._orders.values() if (order := _version_at(versions, time)) is not None]

    def open_orders_at(self, time: Millis) -> list[OrderChanged]:
        done = {*FINAL, OrderStatus.TRIGGERED}  # what was triggered lives on as the order that it became
        return [order for order in self.orders_at(time) if order.status not in done]

    def order_at(self, time: Millis, symbol: Symbol, order_id: OrderId, conditional: bool) -> OrderChanged | None:
        return _version_at(self._orders.get((symbol, order_id, conditional), []), time)

    def legs_at(self, time: Millis) -> list[PositionSet]:
        """The legs that were not flat."""
        return [leg for versions in self._legs.values() if (leg := _version_at(versions, time)) is not None and leg.amount]

    def wallets_at(self, time: Millis) -> list[BalanceSet]:
        return [wallet for versions in self._wallets.values() if (wallet := _version_at(versions, time)) is not None]

    def fills_between(self, since: Millis, until: Millis) -> list[Filled]:
        """Both ends included."""
        first = bisect_right(self.fills, since - 1, key=_when)
        return self.fills[first : bisect_right(self.fills, until, key=_when)]

    def movements_between(self, since: Millis, until: Millis) -> list[BalanceMoved]:
        return [moved for moved in self.movements if since <= moved.transaction_time <= until]

    # --- inside ---

    def _change(self, versions: list[OrderChanged], time: Millis, **news: object) -> OrderChanged:
        changed = msgspec.structs.replace(versions[-1], event_time=time, transaction_time=time, **news)
        versions.append(changed)
        return changed

    def _move_leg(self, time: Millis, symbol: Symbol, delta: Decimal) -> PositionSet:
        leg = PositionSet(
            account=ALICE,
            venue=SCRIPTED,
            event_time=time,
            symbol=symbol,
            position_side=PositionSide.BOTH,
            amount=self.amount(symbol) + delta,
            entry_price=PRICE,
            reason="order",
            transaction_time=time,
        )
        self._legs.setdefault((symbol, PositionSide.BOTH), []).append(leg)
        return leg

    def _set_wallet(self, time: Millis, total: Decimal, reason: str) -> BalanceSet:
        wallet = BalanceSet(account=ALICE, venue=SCRIPTED, event_time=time, asset=USDT, total=total, reason=reason, transaction_time=time)
        self._wallets.setdefault(USDT, []).append(wallet)
        return wallet


def _when(fill: Filled) -> Millis:
    return fill.transaction_time
