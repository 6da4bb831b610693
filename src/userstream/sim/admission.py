"""The gate: every reason to refuse an order before it exists. Nothing here changes anything."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from userstream.sim.books import ZERO, Instrument, Millis, NewOrder, Order, PositionSide, Refused, Side
from userstream.sim.engine import OPPOSITE, is_fillable, is_open, remaining, would_take
from userstream.sim.instruments import check_client_id, check_notional, check_price, check_price_band, check_quantity, price_limit
from userstream.sim.ledger import signed
from userstream.sim.margin import available, bound_notional
from userstream.sim.records import OpenNotional, is_reducing
from userstream.sim.world import Account, World

GOOD_TILL_LEAD_MS: Final = 600_000
LATEST_GOOD_TILL: Final = 253_402_300_799_000
MAX_OPEN_ORDERS: Final = 200
MARKET_MARGIN_SHARE: Final = Decimal("1.0005")  # a market order is reserved a little above the best price

ORDER_TYPES: Final = frozenset({"limit", "market"})
TIMES_IN_FORCE: Final = frozenset({"gtc", "ioc", "fok", "gtx", "gtd"})
PREVENTIONS: Final = frozenset({"none", "expire_taker", "expire_maker", "expire_both"})
MATCH_DEPTH: Final = {
    "opponent": 1,
    "opponent_5": 5,
    "opponent_10": 10,
    "opponent_20": 20,
    "queue": 1,
    "queue_5": 5,
    "queue_10": 10,
    "queue_20": 20,
}


def closable(account: Account, symbol: str, position_side: PositionSide, side: Side) -> Decimal:
    """How much an order of this side could close of the leg."""
    amount = account.ledger.amount(symbol, position_side)
    return abs(amount) if (amount > ZERO) == (side is Side.SELL) else ZERO


def executable(world: World, order: Order) -> Decimal:
    """How much of the order may still trade: nothing once it has ended, and no more than its position if it only reduces."""
    if not is_open(order):
        return ZERO
    left = remaining(order)
    if not is_reducing(order):
        return left
    return min(left, closable(world.accounts[order.account], order.symbol, order.position_side, order.side))


def priority(order: Order) -> tuple[bool, Decimal, int]:
    """Sorts the orders of one side: who trades first comes first. A market order trades before any limit."""
    return (bool(order.price), -order.price if order.side is Side.BUY else order.price, order.order_id)


def check_position_side(account: Account, position_side: PositionSide, *, reduce_only: bool) -> None:
    """Legs are for hedge mode, the one side for one-way mode; reduce-only is for one-way mode (Binance USD-M, 7.4)."""
    if (position_side is not PositionSide.BOTH) != account.settings.hedge_mode:
        raise Refused("position_side_mismatch", "position side does not match the position mode")
    if reduce_only and account.settings.hedge_mode:
        raise Refused("reduce_only_rejected", "reduce-only is not available in hedge mode")


def check_may_trade(account: Account, now: Millis) -> None:
    if now < account.liquidated_until:
        raise Refused("user_in_liquidation", "the account is being liquidated")
    if not account.settings.can_trade:
        raise Refused("trading_disabled", "the account may not trade")


def check_good_till(time_in_force: str, good_till_time: Millis, now: Millis) -> None:
    if time_in_force == "gtd" and not now + GOOD_TILL_LEAD_MS < good_till_time < LATEST_GOOD_TILL:
        raise Refused("good_till_too_soon", "good-till time must be more than 600 s from now")


def admit(world: World, account: Account, new: NewOrder, now: Millis) -> Order:
    """Check a wish for an order against every rule and return the order, not yet known to anybody. Raises Refused.

    The lead of a good-till time is the caller's to check: it is asked of a person, not of a triggered order.
    """
    check_may_trade(account, now)
    instrument = world.instrument(new.symbol)
    check_position_side(account, new.position_side, reduce_only=new.reduce_only)
    _check_words(new)
    check_quantity(instrument, new.quantity, market=new.order_type == "market")
    price = _price_of(world, instrument, new)
    _check_client_id(account, new.client_order_id)
    if len(account.records.open_by_symbol.get(new.symbol, {})) >= MAX_OPEN_ORDERS:
        raise Refused("too_many_open_orders", f"more than {MAX_OPEN_ORDERS} open orders on the symbol")
    order = _order_of(account, new, price, now)
    _check_reduction(account, order)
    _check_worth(world, account, instrument, order)
    check_taking(world, order)
    order.order_id = world.next_order_id()
    order.client_order_id = new.client_order_id or f"x-{order.order_id}"
    return order


def _check_words(new: NewOrder) -> None:
    if new.order_type not in ORDER_TYPES:
        raise Refused("bad_order_type", f"order type {new.order_type} is not accepted here")
    if new.time_in_force not in TIMES_IN_FORCE or (new.order_type == "market" and new.time_in_force not in {"gtc", "ioc", "fok"}):
        raise Refused("bad_time_in_force", f"time in force {new.time_in_force} is not accepted for a {new.order_type} order")
    if new.self_trade_prevention not in PREVENTIONS:
        raise Refused("bad_self_trade_prevention", "unknown mode of self-trade prevention")


def _price_of(world: World, instrument: Instrument, new: NewOrder) -> Decimal:
    """The limit price: given, taken from the queue by price match, or none for a market order."""
    if new.price_match != "none":
        return _matched_price(world, new)
    if new.order_type == "market":
        if new.price:
            raise Refused("bad_tick", "a market order has no price")
        return ZERO
    check_price(instrument, new.price)
    check_price_band(new.side, new.price, world.mark_price(new.symbol))
    return new.price


def _matched_price(world: World, new: NewOrder) -> Decimal:
    depth = MATCH_DEPTH.get(new.price_match)
    if depth is None or new.order_type != "limit" or new.price:
        raise Refused("bad_price_match", "price match is for limit orders without a price")
    opponent = new.price_match.startswith("opponent")
    return world.markets[new.symbol].depth_price(new.side if opponent else OPPOSITE[new.side], depth)


def _check_client_id(account: Account, client_order_id: str) -> None:
    if not client_order_id:
        return
    check_client_id(client_order_id)
    if account.records.has_open_client_id(client_order_id):
        raise Refused("duplicate_client_order_id", "an open order has this client order id")


def _order_of(account: Account, new: NewOrder, price: Decimal, now: Millis) -> Order:
    return Order(
        order_id=0,
        account=account.name,
        symbol=new.symbol,
        client_order_id=new.client_order_id,
        side=new.side,
        position_side=new.position_side,
        order_type=new.order_type,
        original_type=new.order_type,
        time_in_force=new.time_in_force,
        price=price,
        quantity=new.quantity,
        reduce_only=new.reduce_only,
        good_till_time=new.good_till_time if new.time_in_force == "gtd" else Millis(0),
        self_trade_prevention=new.self_trade_prevention,
        price_match=new.price_match,
        created_time=now,
        updated_time=now,
    )


def _check_reduction(account: Account, order: Order) -> None:
    """An order that only reduces must find something to reduce that no order before it in the queue will take."""
    if not is_reducing(order):
        return
    most = closable(account, order.symbol, order.position_side, order.side)
    others = [each for each in account.records.reducing(order.symbol, order.position_side) if each.side is order.side]
    order.order_id = 1 << 62  # behind all others of its price while it is only a wish
    ahead = sum((remaining(each) for each in others if priority(each) < priority(order)), ZERO)
    hedged_too_much = order.position_side is not PositionSide.BOTH and order.quantity > most
    if ahead >= most or hedged_too_much:
        raise Refused("reduce_only_rejected", "there is nothing left to reduce")


def _check_worth(world: World, account: Account, instrument: Instrument, order: Order) -> None:
    if is_reducing(order):
        return
    check_notional(instrument, order.price or world.mark_price(order.symbol), order.quantity)
    price = order.price or world.markets[order.symbol].best(order.side) * MARKET_MARGIN_SHARE
    check_margin(world, account, order, price, order.quantity, ZERO)


def check_margin(world: World, account: Account, order: Order, price: Decimal, quantity: Decimal, worth_before: Decimal) -> None:
    """The account can bear the order: what it binds more than before, and its loss at the mark price, is available.

    `worth_before` is what the order counts for already (an amendment), 0 for a new one.
    """
    symbol, side = order.symbol, order.position_side
    mark = world.mark_price(symbol)
    contract = world.instruments[symbol].contract
    held = contract.worth(mark, account.ledger.amount(symbol, side))
    before = account.records.opening_notional(symbol, side)
    after = OpenNotional(before.bids, before.asks)
    after.add(order.side, contract.worth(price, quantity) - worth_before)
    more = (bound_notional(side, held, after) - bound_notional(side, held, before)) / account.ledger.terms_of(symbol).leverage
    loss = -contract.profit(signed(order.side, quantity), price, mark)
    needed = more + max(loss, ZERO)
    if more > ZERO and needed > available(account, world.instruments[symbol].margin_asset, world):
        raise Refused("margin_insufficient", "margin is insufficient")


def taking_limit(world: World, order: Order) -> Decimal:
    """The worst price the order may trade at: its own, or the price band for a market order."""
    return order.price or price_limit(order.side, world.mark_price(order.symbol))


def takes_now(world: World, order: Order) -> bool:
    best = world.markets[order.symbol].best(order.side)
    return would_take(world.books[order.symbol], order.side, order.price, best)


def check_taking(world: World, order: Order) -> None:
    """Post-only must not trade at once, fill-or-kill must trade at once and wholly (Binance USD-M, 6.4)."""
    if order.time_in_force == "gtx" and takes_now(world, order):
        raise Refused("post_only_would_take", "a post-only order would take")
    if order.time_in_force != "fok":
        return
    book, outside = world.books[order.symbol], world.markets[order.symbol].levels(order.side)
    limit = taking_limit(world, order)
    if not is_fillable(book, order.side, limit, order.quantity, outside, lambda maker: executable(world, maker)):
        raise Refused("fok_not_fillable", "the order cannot be filled wholly at once")
