"""Carrying out actions: what the control interface and the fault script ask for, done to the house.

Raises Refused when the books say no, UnknownAccount, and BadAction for what cannot be carried out.
"""

from decimal import Decimal
from functools import singledispatch

import msgspec

from userstream.sim import actions as act
from userstream.sim.books import Millis, NewOrder, Order, Refused
from userstream.sim.exchange import Exchange, contracts_of
from userstream.sim.house import Hall, House
from userstream.sim.keys import mask
from userstream.sim.lanes import Kind, Parcel
from userstream.sim.rules import show_given
from userstream.sim.spot.exchange import SpotExchange, spot_of
from userstream.sim.venue import Json, Subscribed


def plain(value: object) -> Json:
    """A record of the books as JSON values with the books' own names: decimals as text without exponent, enums as words."""
    return _flatten(msgspec.to_builtins(value, builtin_types=(Decimal,)))


def _flatten(value: object) -> Json:
    match value:
        case Decimal():
            return f"{value:f}"
        case dict():
            return {str(name): _flatten(each) for name, each in value.items()}
        case list() | tuple():
            return [_flatten(each) for each in value]
        case bool() | int() | str() | None:
            return value
    return str(value)


@singledispatch
def perform(action: act.Action, house: House, now: Millis) -> Json:
    """Do it and return what a person wants to know about it. News are published by the caller."""
    del house, now
    raise act.BadAction(f"action {act.name_of(action)!r}: it cannot be carried out")


def explain_refusal(action: act.Action, wrong: Exception) -> str:
    """Why it was not carried out, for people: the action with the values that were given, the rule, what it says."""
    if isinstance(wrong, act.BadAction):
        return str(wrong)
    rule = f"refused by the rule {wrong.rule}: " if isinstance(wrong, Refused) and str(wrong) != wrong.rule else "refused: "
    return f"action {act.name_of(action)!r}: {show_given(action)}: {rule}{wrong}"


# --- the market and the accounts ---------------------------------------------------------------------------------------


@perform.register
def _place(action: act.Place, house: House, now: Millis) -> Json:
    order = NewOrder(
        symbol=action.symbol,
        side=action.side,
        position_side=action.position_side,
        order_type=action.order_type,
        time_in_force=action.time_in_force,
        quantity=action.quantity,
        price=action.price,
        client_order_id=action.client_order_id,
        reduce_only=action.reduce_only,
        good_till_time=Millis(action.good_till_time),
    )
    return plain(house.hall_of(action.account).room.exchange.place(action.account, order, now))


@perform.register
def _cancel(action: act.Cancel, house: House, now: Millis) -> Json:
    exchange = house.hall_of(action.account).room.exchange
    if action.order_id is None and action.client_order_id is None:
        return {"canceled": exchange.cancel_all(action.account, action.symbol, now)}
    order_id, client_order_id = action.order_id, action.client_order_id
    return plain(exchange.cancel(action.account, action.symbol, order_id=order_id, client_order_id=client_order_id, now=now))


@perform.register
def _fill(action: act.FillOrder, house: House, now: Millis) -> Json:
    exchange = house.hall_of(action.account).room.exchange
    order: Order = exchange.order(action.account, action.symbol, order_id=action.order_id, client_order_id=action.client_order_id)
    return plain(exchange.counter_fill(action.account, order.order_id, action.symbol, action.quantity, now, price=action.price))


@perform.register
def _move_price(action: act.MovePrice, house: House, now: Millis) -> Json:
    exchange = house.hall_with(action.symbol, action.venue).room.exchange
    exchange.move_price(action.symbol, action.price, now)
    return {"mark_price": plain(exchange.mark_price(action.symbol))}


@perform.register
def _liquidate(action: act.Liquidate, house: House, now: Millis) -> Json:
    place = house.hall_of(action.account).room.exchange
    if isinstance(place, SpotExchange):
        place.liquidate(action.account, now)
        return None
    return plain(contracts_of(place).liquidate(action.account, action.symbol, action.position_side, now, action.quantity))


@perform.register
def _deleverage(action: act.Adl, house: House, now: Millis) -> Json:
    exchange = _contracts(house, action.account)
    return plain(exchange.auto_deleverage(action.account, action.symbol, action.position_side, now, action.quantity))


@perform.register
def _settle(action: act.Settle, house: House, now: Millis) -> Json:
    _contracts_with(house, action.symbol, action.venue).settle(action.symbol, now)
    return None


@perform.register
def _fund(action: act.Fund, house: House, now: Millis) -> Json:
    _contracts_with(house, action.symbol, action.venue).fund(action.symbol, action.rate, now)
    return None


@perform.register
def _transfer(action: act.Transfer, house: House, now: Millis) -> Json:
    exchange = house.hall_of(action.account).room.exchange
    reason = action.reason or ("deposit" if action.amount > 0 else "withdraw")
    exchange.transfer(action.account, action.asset, action.amount, now, reason=reason)
    return plain([balance for balance in exchange.balances(action.account) if balance.asset == action.asset])


@perform.register
def _call_margin(action: act.MarginCall, house: House, now: Millis) -> Json:
    place = house.hall_of(action.account).room.exchange
    if isinstance(place, SpotExchange):
        place.call_margin(action.account, now)
    else:
        contracts_of(place).margin_call(action.account, now)
    return None


@perform.register
def _borrow(action: act.Borrow, house: House, now: Millis) -> Json:
    exchange = spot_of(house.hall_of(action.account).room.exchange)
    return plain(exchange.borrow(action.account, action.asset, action.amount, now))


@perform.register
def _repay(action: act.Repay, house: House, now: Millis) -> Json:
    exchange = spot_of(house.hall_of(action.account).room.exchange)
    return plain(exchange.repay(action.account, action.asset, action.amount, now))


@perform.register
def _set_leverage(action: act.Leverage, house: House, now: Millis) -> Json:
    exchange = _contracts(house, action.account)
    return {"leverage": exchange.set_leverage(action.account, action.symbol, action.leverage, now)}


@perform.register
def _set_margin_type(action: act.MarginType, house: House, now: Millis) -> Json:
    _contracts(house, action.account).set_margin_type(action.account, action.symbol, action.margin_type, now)
    return None


@perform.register
def _set_hedge_mode(action: act.HedgeMode, house: House, now: Millis) -> Json:
    _contracts(house, action.account).set_hedge_mode(action.account, action.on, now)
    return None


@perform.register
def _set_fee_asset(action: act.FeeAsset, house: House, now: Millis) -> Json:
    del now
    house.hall_of(action.account).room.exchange.convert_fee_asset(action.account, action.asset)
    return None


@perform.register
def _lock_externally(action: act.ExternalLock, house: House, now: Millis) -> Json:
    exchange = spot_of(house.hall_of(action.account).room.exchange)
    exchange.lock_externally(action.account, action.asset, action.amount, now)
    return plain([balance for balance in exchange.balances(action.account) if balance.asset == action.asset])


def _contracts(house: House, account: str) -> Exchange:
    """The books of an account that can have positions. Raises Refused("only_contracts") for another one."""
    return contracts_of(house.hall_of(account).room.exchange)


def _contracts_with(house: House, symbol: str, venue: str) -> Exchange:
    """The books of the named venue, or of the first one where the symbol is a contract."""
    places = [hall.room.exchange for hall in house.halls.values() if venue in ("", hall.venue.name)]
    trading = (place for place in places if isinstance(place, Exchange) and symbol in place.instruments)
    return next(trading, None) or contracts_of(house.hall_with(symbol, venue).room.exchange)


# --- keys --------------------------------------------------------------------------------------------------------------


@perform.register
def _expire_key(action: act.ExpireKey, house: House, now: Millis) -> Json:
    hall = _hall_with_listen_keys(house, action.account)
    known = hall.room.listen_keys.expire(action.account, now)
    house.send_frames(hall, hall.dialect.tick(now), now)
    return {"listen_key": None if known is None else mask(known.key)}


@perform.register
def _expire_token(action: act.ExpireToken, house: House, now: Millis) -> Json:
    hall = house.hall_of(action.account)
    tokens = hall.room.listen_tokens.expire(action.account, now)
    house.send_frames(hall, hall.dialect.tick(now), now)
    return {"tokens": tokens}


@perform.register
def _token_life(action: act.TokenLife, house: House, now: Millis) -> Json:
    del now
    life_ms = None if action.life_s is None else max(1, int(action.life_s * 1000))
    house.hall_of(action.account).room.listen_tokens.limit_life(action.account, life_ms)
    return {"life_ms": life_ms}


@perform.register
def _delete_key(action: act.DeleteKey, house: House, now: Millis) -> Json:
    del now
    known = _hall_with_listen_keys(house, action.account).room.listen_keys.close(action.account)
    return {"listen_key": None if known is None else mask(known.key)}


@perform.register
def _replace_key(action: act.ReplaceKey, house: House, now: Millis) -> Json:
    return {"listen_key": mask(_hall_with_listen_keys(house, action.account).room.listen_keys.replace(action.account, now).key)}


def _hall_with_listen_keys(house: House, account: str) -> Hall:
    hall = house.hall_of(account)
    if not hall.venue.has_listen_keys:
        raise Refused("no_listen_keys", f"{hall.venue.name} has no listen keys; end a subscription with terminate_subscription")
    return hall


@perform.register
def _revoke(action: act.RevokeApiKey, house: House, now: Millis) -> Json:
    del now
    return {"keys": house.hall_of(action.account).room.keys.revoke(action.account)}


@perform.register
def _restore(action: act.RestoreApiKey, house: House, now: Millis) -> Json:
    del now
    return {"keys": house.hall_of(action.account).room.keys.restore(action.account)}


# --- sockets -----------------------------------------------------------------------------------------------------------


@perform.register
def _cut(action: act.Cut, house: House, now: Millis) -> Json:
    del now
    lanes = [lane for _, lane in house.lanes(action.account)]
    for lane in lanes:
        house.doors.abort(lane)
    return {"sockets": len(lanes)}


@perform.register
def _close(action: act.Close, house: House, now: Millis) -> Json:
    del now
    lanes = [lane for _, lane in house.lanes(action.account)]
    for lane in lanes:
        house.doors.close(lane, action.code, action.reason)
    return {"sockets": len(lanes)}


@perform.register
def _silence(action: act.Silence, house: House, now: Millis) -> Json:
    lanes = [lane for _, lane in house.lanes(action.account)]
    active = house.faults.silence(action, now)
    for lane in lanes:
        lane.silence(active)
        house.doors.wake(lane)
    return {"sockets": len(lanes)}


@perform.register
def _resume(action: act.Resume, house: House, now: Millis) -> Json:
    del now
    lanes = [lane for _, lane in house.lanes(action.account)]
    house.faults.resume(action.account)
    for lane in lanes:
        lane.resume()
        house.doors.wake(lane)
    return {"sockets": len(lanes)}


@perform.register
def _delay(action: act.Delay, house: House, now: Millis) -> Json:
    del now
    _check_account(house, action.account)
    house.faults.delay(action)
    return None


@perform.register(act.Drop)
@perform.register(act.Double)
@perform.register(act.Reorder)
@perform.register(act.Omit)
def _install(action: act.FrameRules, house: House, now: Millis) -> Json:
    _check_account(house, action.account)
    house.faults.install(action, now)
    return None


@perform.register
def _send_raw(action: act.Raw, house: House, now: Millis) -> Json:
    del now
    if action.hex is not None:
        return _send(house, action.account, Parcel(kind=Kind.BINARY, body=bytes.fromhex(action.hex)))
    return _send(house, action.account, Parcel(kind=Kind.TEXT, body=(action.text or "").encode()))


@perform.register
def _send_oversize(action: act.Oversize, house: House, now: Millis) -> Json:
    del now
    front, back = b'{"e":"OVERSIZE","pad":"', b'"}'
    body = front + b"x" * max(0, action.size_bytes - len(front) - len(back)) + back
    return _send(house, action.account, Parcel(kind=Kind.TEXT, body=body))


@perform.register
def _notify_shutdown(action: act.ShutdownNotice, house: House, now: Millis) -> Json:
    lanes = list(house.lanes(action.account))
    for hall, lane in lanes:
        lane.send(Parcel(kind=Kind.TEXT, body=lane.session.announce(hall.dialect.shutdown_notice(now))))
        if action.close_after_s is not None:
            lane.close_at = Millis(now + int(action.close_after_s * 1000))
        house.doors.wake(lane)
    return {"sockets": len(lanes)}


@perform.register
def _terminate(action: act.TerminateSubscription, house: House, now: Millis) -> Json:
    """Each subscription ends at once; events that a fault holds back come after its end."""
    ended = 0
    for hall, lane in house.lanes(action.account):
        accounts = lane.session.accounts if action.account == act.EVERYBODY else {action.account}
        if not isinstance(lane.session, Subscribed):
            continue
        for account in sorted(accounts):
            for body in lane.session.terminate(account, now):
                ended += 1
                lane.send(Parcel(kind=Kind.TEXT, body=body))
        hall.hub.refile(lane)
        house.doors.wake(lane)
    return {"subscriptions": ended}


@perform.register
def _send_event(action: act.Event, house: House, now: Millis) -> Json:
    hall = house.hall_of(action.account)
    try:
        frame = hall.dialect.rare_event(action.account, action.name, action.fields, now)
    except ValueError as wrong:
        raise act.BadAction(f"action 'event': {wrong}") from wrong
    house.send_frames(hall, [frame], now)
    return {"sockets": len(list(house.lanes(action.account)))}


@perform.register
def _clear(action: act.Clear, house: House, now: Millis) -> Json:
    del action
    house.faults.clear()
    house.set_rest_lag(0)
    for limits in house.budgets:
        limits.ban_all(0, now)
    for _, lane in house.lanes():
        lane.resume()
        house.doors.wake(lane)
    return None


def _send(house: House, account: str, parcel: Parcel) -> Json:
    lanes = [lane for _, lane in house.lanes(account)]
    for lane in lanes:
        lane.send(parcel)
        house.doors.wake(lane)
    return {"sockets": len(lanes)}


def _check_account(house: House, account: str) -> None:
    if account != act.EVERYBODY:
        house.hall_of(account)


# --- REST, limits, the loop --------------------------------------------------------------------------------------------


@perform.register
def _prepare_answer(action: act.Answer, house: House, now: Millis) -> Json:
    del now
    house.faults.prepare(action)
    return None


@perform.register
def _lag(action: act.RestLag, house: House, now: Millis) -> Json:
    del now
    house.set_rest_lag(action.ms)
    return None


@perform.register
def _skew(action: act.Skew, house: House, now: Millis) -> Json:
    del now
    house.faults.skew_ms = action.ms
    return None


@perform.register
def _ban(action: act.Ban, house: House, now: Millis) -> Json:
    for limits in house.budgets:
        limits.ban_all(action.seconds, now)
    return None


@perform.register
def _set_strict(action: act.Strict, house: House, now: Millis) -> Json:
    del now
    house.faults.strict = action.on
    return None


@perform.register
def _set_rate(action: act.Rate, house: House, now: Millis) -> Json:
    del now
    house.pace.events_per_s = float(action.events_per_s)
    return None


@perform.register
def _pause_trading(action: act.PauseTrading, house: House, now: Millis) -> Json:
    del action, now
    house.pace.paused = True
    return None


@perform.register
def _resume_trading(action: act.ResumeTrading, house: House, now: Millis) -> Json:
    del action, now
    house.pace.paused = False
    return None
