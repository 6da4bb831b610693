"""The gate of the spot books: every reason to refuse an order before it exists, and what an order must be able to pay.

Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from userstream.sim.books import ZERO, Instrument, Order, Refused, Side
from userstream.sim.engine import Level, is_fillable, reaches, would_take
from userstream.sim.spot.books import (
    LIMIT_TYPES,
    ORDER_TYPES,
    PREVENTIONS,
    STOP_TYPES,
    NewSpotOrder,
    SpotOrder,
    is_stop,
    left_of,
    spot_order,
    triggers_rising,
)
from userstream.sim.spot.instruments import (
    MAX_OPEN_ORDERS,
    MAX_STOP_ORDERS,
    check_client_id,
    check_iceberg,
    check_notional,
    check_price,
    check_price_band,
    check_quantity,
    check_trailing,
)
from userstream.sim.spot.world import SpotAccount, SpotWorld

MARKET_BAND: Final = Decimal("0.1")  # how far from the last price a market order may go
MARKET_TYPES: Final = ORDER_TYPES - LIMIT_TYPES
TIMES_IN_FORCE: Final = frozenset({"gtc", "ioc", "fok"})


def executable(order: Order) -> Decimal:
    """How much of the order may still trade. A stop that waits is in no book and never asked."""
    return left_of(spot_order(order))


def taking_limit(world: SpotWorld, order: Order) -> Decimal:
    """The worst price the order may trade at: its own, or the band around the last price for a market order."""
    if order.order_type in LIMIT_TYPES:
        return order.price
    last = world.last_price(order.symbol)
    return last * (1 + MARKET_BAND if order.side is Side.BUY else 1 - MARKET_BAND)


def offers(world: SpotWorld, order: Order) -> Iterator[Level]:
    """What the order could take, best price first: strangers' resting orders and the outside. Its account's own are left out,
    so that the cost is never underrated."""
    book = world.books[order.symbol].side(Side.SELL if order.side is Side.BUY else Side.BUY)
    makers = (Level(maker.price, executable(maker)) for maker in book if maker.account != order.account)
    outside = world.markets[order.symbol].levels(order.side)
    maker, level = next(makers, None), next(outside, None)
    while maker is not None or level is not None:
        if maker is not None and (level is None or reaches(order.side, level.price, maker.price)):
            yield maker
            maker = next(makers, None)
        elif level is not None:
            yield level
            level = next(outside, None)


def cost_of_taking(world: SpotWorld, order: SpotOrder) -> Decimal:
    """What a buying market order pays for its whole remainder, or for as much as the band allows."""
    left, cost = left_of(order), ZERO
    limit = taking_limit(world, order)
    for level in offers(world, order):
        if left <= ZERO or not reaches(order.side, limit, level.price):
            break
        part = min(left, level.quantity)
        cost, left = cost + part * level.price, left - part
    return cost


def quantity_for(world: SpotWorld, order: SpotOrder) -> Decimal:
    """How much a market order that names its quote amount can trade, in whole steps and in full levels but the last."""
    step, left, quantity = world.instruments[order.symbol].step_size, order.quote_wish, ZERO
    limit = taking_limit(world, order)
    for level in offers(world, order):
        if not reaches(order.side, limit, level.price):
            break
        part = min(level.quantity, left // (level.price * step) * step)
        if part <= ZERO:
            break
        quantity, left = quantity + part, left - part * level.price
    return quantity


def need_of(world: SpotWorld, order: SpotOrder) -> Decimal:
    """How much of the asset that the order pays with it must be able to pay. A stop without a limit is reckoned at its stop."""
    left = left_of(order)
    if order.side is Side.SELL:
        return left
    if order.order_type in LIMIT_TYPES:
        return order.price * left
    if is_stop(order) and not order.working:
        return (order.stop_price or world.last_price(order.symbol)) * left
    return cost_of_taking(world, order)


def paid_asset(instrument: Instrument, side: Side) -> str:
    """The asset that an order of this side pays with."""
    return instrument.quote if side is Side.BUY else instrument.base


def paid_with(world: SpotWorld, order: SpotOrder) -> str:
    """The asset that the order pays with."""
    return paid_asset(world.instruments[order.symbol], order.side)


def check_funds(world: SpotWorld, account: SpotAccount, order: SpotOrder) -> None:
    asset = paid_with(world, order)
    if need_of(world, order) > account.wallets.free(asset):
        raise Refused("balance_insufficient", "account has insufficient balance")


def admit(world: SpotWorld, account: SpotAccount, new: NewSpotOrder, *, pending: bool = False) -> SpotOrder:
    """Check a wish against every rule but the funds and return the order, not yet known to anybody. Raises Refused.

    A pending order of a list is not held against the market: that happens when it begins.
    """
    if not account.settings.can_trade:
        raise Refused("trading_disabled", "the account may not trade")
    instrument = world.instrument(new.symbol)
    if account.only_symbol not in ("", new.symbol):
        raise Refused("only_own_pair", f"the account trades {account.only_symbol} only")
    if not account.may_trade(new.symbol):
        raise Refused("no_margin_pair", f"{new.symbol} is traded on spot only")
    _check_words(new)
    _check_client_id(account, new.client_order_id)
    _check_counts(account, new)
    order = order_of(world, account, new)
    if new.quote_quantity:
        _check_quote(new)
        order.quantity = quantity_for(world, order)
    _check_numbers(world, instrument, order)
    if not pending:
        check_market(world, order)
    order.order_id = world.next_order_id()
    order.client_order_id = new.client_order_id or f"auto-{order.order_id}"
    return order


def _check_words(new: NewSpotOrder) -> None:
    if new.order_type not in ORDER_TYPES:
        raise Refused("bad_order_type", f"order type {new.order_type} does not exist here")
    if new.time_in_force not in TIMES_IN_FORCE:
        raise Refused("bad_time_in_force", f"time in force {new.time_in_force} does not exist here")
    if new.self_trade_prevention not in PREVENTIONS:
        raise Refused("bad_self_trade_prevention", "unknown mode of self-trade prevention")
    if new.strategy_type is not None and new.strategy_type < 1_000_000:
        raise Refused("bad_strategy_type", "a strategy type is 1000000 or more")
    if (new.order_type in MARKET_TYPES) != (not new.price):
        raise Refused("bad_tick", f"a {new.order_type} order has {'no' if new.price else 'a'} price")
    _check_trigger_words(new)


def _check_trigger_words(new: NewSpotOrder) -> None:
    if is_stop(new) != bool(new.stop_price or new.trailing_delta):
        raise Refused("stop_missing", "stop price and trailing delta belong to stop orders, and a stop order needs one of them")
    check_trailing(new.trailing_delta)


def _check_quote(new: NewSpotOrder) -> None:
    if new.order_type != "market" or new.quantity or new.quote_quantity < ZERO:
        raise Refused("bad_quote_quantity", "a quote quantity is for market orders without a quantity")


def _check_client_id(account: SpotAccount, client_order_id: str) -> None:
    if not client_order_id:
        return
    check_client_id(client_order_id)
    if account.records.has_open_client_id(client_order_id):
        raise Refused("duplicate_client_order_id", "an open order has this client order id")


def _check_counts(account: SpotAccount, new: NewSpotOrder) -> None:
    known = account.records.open_by_symbol.get(new.symbol, {}).values()
    if len(known) >= MAX_OPEN_ORDERS:
        raise Refused("too_many_open_orders", f"more than {MAX_OPEN_ORDERS} open orders on the symbol")
    if new.order_type in STOP_TYPES and sum(is_stop(each) for each in known) >= MAX_STOP_ORDERS:
        raise Refused("too_many_stop_orders", f"more than {MAX_STOP_ORDERS} stop orders on the symbol")


def order_of(world: SpotWorld, account: SpotAccount, new: NewSpotOrder) -> SpotOrder:
    """The order that the wish would make, without an id."""
    return SpotOrder(
        order_id=0,
        account=account.name,
        symbol=new.symbol,
        client_order_id=new.client_order_id,
        side=new.side,
        order_type=new.order_type,
        original_type=new.order_type,
        time_in_force=new.time_in_force,
        price=new.price,
        stop_price=new.stop_price,
        trailing_delta=new.trailing_delta,
        quantity=new.quantity,
        quote_wish=new.quote_quantity,
        iceberg_quantity=new.iceberg_quantity,
        self_trade_prevention=new.self_trade_prevention,
        strategy_id=new.strategy_id,
        strategy_type=new.strategy_type,
        side_effect=new.side_effect,
        created_time=world.now,
        updated_time=world.now,
    )


def _check_numbers(world: SpotWorld, instrument: Instrument, order: SpotOrder) -> None:
    last, market = world.last_price(order.symbol), order.order_type in MARKET_TYPES
    for price in (order.price, order.stop_price):
        if price:
            check_price(instrument, price)
    if order.price:
        check_price_band(order.side, order.price, last)
    check_quantity(instrument, order.quantity, market=market)
    check_notional(instrument, order.price or order.stop_price or last, order.quantity, market=market)
    if order.iceberg_quantity and market:
        raise Refused("iceberg_not_gtc", "a market order cannot be an iceberg")
    check_iceberg(instrument, order.iceberg_quantity, order.quantity, order.time_in_force)


def check_market(world: SpotWorld, order: SpotOrder) -> None:
    """A maker order must not take, a stop must not be past its stop already (Binance Spot, 6.4)."""
    if order.order_type == "limit_maker" and takes_now(world, order):
        raise Refused("post_only_would_take", "the order would immediately match and take")
    if is_stop(order) and order.stop_price and not order.trailing_delta and is_due(order, world.last_price(order.symbol)):
        raise Refused("would_trigger_immediately", "the stop price would trigger immediately")


def is_due(order: SpotOrder, price: Decimal) -> bool:
    """Whether the price has reached the order's stop price."""
    rising = triggers_rising(order.order_type, order.side)
    return price >= order.stop_price if rising else price <= order.stop_price


def takes_now(world: SpotWorld, order: SpotOrder) -> bool:
    best = world.markets[order.symbol].best(order.side)
    return would_take(world.books[order.symbol], order.side, order.price, best)


def is_whole_fill(world: SpotWorld, order: SpotOrder) -> bool:
    """Whether a fill-or-kill order can be filled now; not when it would meet an order of its own that it must not trade with."""
    book, limit = world.books[order.symbol], taking_limit(world, order)
    opposite = book.side(Side.SELL if order.side is Side.BUY else Side.BUY)
    meets_own = any(maker.account == order.account and reaches(order.side, limit, maker.price) for maker in opposite)
    if meets_own and order.self_trade_prevention != "none":
        return False
    outside = world.markets[order.symbol].levels(order.side)
    return is_fillable(book, order.side, limit, left_of(order), outside, executable)
