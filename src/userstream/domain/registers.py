"""Positions, balances and settings: values that replace each other, guarded by the venue's time.

Newer wins. Within one millisecond a socket tells the values in the order of their making: what another socket told before is a copy, what
follows the newest known value is newer, and anything else is a tie that REST must settle. A REST answer wins over an older time, and over
any time that lies further back than its own lag allows.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from userstream.domain.account import Account, Doubt, Instant, Movement
from userstream.domain.events import AccountConfigChanged, BalanceMoved, BalanceSet, Event, MarginCalled, PositionSet
from userstream.domain.words import PositionSide, Source
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, Symbol

Register = TypeVar("Register", PositionSet, BalanceSet)

SAME_MOVEMENT_MS = 3_000
"""The stream and the cash history stamp one movement some milliseconds apart."""


def apply_position(account: Account, event: PositionSet, connection: int) -> Event | None:
    key = (event.symbol, event.position_side)
    if event.leverage is not None:
        account.leverages[event.symbol] = event.leverage
    if event.margin_type is not None:
        account.margin_types[event.symbol] = event.margin_type
    if event.amount and account.hedge_mode is (event.position_side is PositionSide.BOTH):
        account.doubt("mode", event.symbol, event.position_side)
    known = account.positions.get(key)
    verdict = _verdict(account, key, known, event, connection)
    if verdict == "tie":
        account.doubt("tie", event.symbol, event.position_side)
    if verdict != "wins":
        return None
    account.positions[key] = event
    account.lines[key] = connection
    if account.doubts and event.source is not Source.STREAM:
        account.doubts.pop(Doubt("tie", event.symbol, event.position_side), None)
    _tell_watch(account, event)
    return None if known is not None and same_position(known, event) else event


def same_position(one: PositionSet, other: PositionSet) -> bool:
    """Whether two copies say the same of what only the account's own deeds change (marks drift by themselves)."""
    return (
        one.amount == other.amount
        and (one.entry_price == other.entry_price or not other.amount)
        and (one.isolated_wallet == other.isolated_wallet or None in (one.isolated_wallet, other.isolated_wallet))
        and (one.margin_type is other.margin_type or None in (one.margin_type, other.margin_type))
    )


def _tell_watch(account: Account, event: PositionSet) -> None:
    key = (event.symbol, event.position_side)
    watch = account.watch_of(key)
    if watch is None:
        account.start_watch(key, event.amount, event.transaction_time)
        return
    watch.tell(event.transaction_time, event.amount)
    account.note_leg(key, watch)


def apply_balance(account: Account, event: BalanceSet, connection: int) -> Event | None:
    known = account.balances.get(event.asset)
    if event.available is not None:
        account.available[event.asset] = (event.available, event.as_of or event.event_time)
    verdict = _verdict(account, event.asset, known, event, connection)
    if verdict == "tie":
        account.doubt("tie", Symbol(""), event.asset)
    if verdict != "wins":
        return None
    account.balances[event.asset] = event
    account.lines[event.asset] = connection
    if account.doubts and event.source is not Source.STREAM:
        account.doubts.pop(Doubt("tie", Symbol(""), event.asset), None)
    return None if known is not None and same_balance(known, event) else event


def same_balance(one: BalanceSet, other: BalanceSet) -> bool:
    return one.total == other.total and (one.cross_total == other.cross_total or None in (one.cross_total, other.cross_total))


def _verdict(account: Account, key: tuple[Symbol, PositionSide] | str, known: Register | None, event: Register, connection: int) -> str:
    """wins, loses, or tie (two sockets tell different things of one instant)."""
    if known is None or event.transaction_time > known.transaction_time:
        return "wins"
    if event.source is not Source.STREAM:
        return "wins" if event.as_of > known.transaction_time + account.lag_ms else "loses"
    if event.transaction_time < known.transaction_time:
        return "loses"
    return "wins" if known.source is not Source.STREAM else _place_in_instant(account, key, known, event, connection)


def _place_in_instant(account: Account, key: tuple[Symbol, PositionSide] | str, known: Register, event: Register, connection: int) -> str:
    instant = account.instants.get(key)
    if instant is None or instant.time != known.transaction_time:
        instant = account.instants[key] = Instant(known.transaction_time, [known], {account.lines.get(key, 0): 0})
    reached = instant.reached.get(connection, -1)
    for place in range(reached + 1, len(instant.told)):
        if _says_the_same(instant.told[place], event):
            instant.reached[connection] = place
            return "loses"
    if reached != len(instant.told) - 1:
        return "tie"
    instant.told.append(event)
    instant.reached[connection] = reached + 1
    return "wins"


def _says_the_same(known: PositionSet | BalanceSet, event: PositionSet | BalanceSet) -> bool:
    match known, event:
        case PositionSet(), PositionSet():
            return same_position(known, event)
        case BalanceSet(), BalanceSet():
            return same_balance(known, event)
    return False


def apply_movement(account: Account, event: BalanceMoved, connection: int) -> Event | None:
    """One change of cash is told by the stream without an id and by the history with one: each is counted once."""
    known = next((movement for movement in account.movements if _is_same_movement(movement, event)), None)
    if known is None:
        streamed = event.source is Source.STREAM
        account.movements.append(Movement(event.asset, event.delta, event.transaction_time, event.movement_id, streamed))
        return event
    known.movement_id = known.movement_id or event.movement_id
    if event.source is Source.STREAM and not known.streamed:
        known.streamed, known.time = True, event.transaction_time
    account.duplicates += 1
    return None


def _is_same_movement(known: Movement, event: BalanceMoved) -> bool:
    """Ids decide where both have one. Else one source has told it and the other follows: a source that told one of two alike changes
    within a moment tells the second at another time."""
    if known.movement_id and event.movement_id:
        return known.movement_id == event.movement_id
    if known.asset != event.asset or known.delta != event.delta:
        return False
    if known.streamed and event.source is Source.STREAM:
        return known.time == event.transaction_time
    return abs(known.time - event.transaction_time) <= SAME_MOVEMENT_MS


def apply_settings(account: Account, event: AccountConfigChanged, connection: int) -> Event | None:
    """Keeps what differs; a REST answer only where the stream said nothing newer than its lag allows."""
    news = [name for name, value in _told(event) if _learn(account, event, name, value)]
    return event if news else None


def _told(event: AccountConfigChanged) -> list[tuple[str, object]]:
    names = ("leverage", "margin_type", "hedge_mode", "multi_asset_mode", "can_trade")
    return [(name, getattr(event, name)) for name in names if getattr(event, name) is not None]


def _learn(account: Account, event: AccountConfigChanged, name: str, value: object) -> bool:
    place = f"{event.symbol or ''}.{name}"
    told_time = account.config_times.get(place, Millis(0))
    if event.source is Source.STREAM:
        if event.transaction_time < told_time:
            return False
        account.config_times[place] = event.transaction_time
    elif told_time and event.as_of <= told_time + account.lag_ms:
        return False
    if name in ("leverage", "margin_type"):
        return event.symbol is not None and _learn_of_symbol(account, event, event.symbol)
    known = getattr(account, name)
    setattr(account, name, value)
    return bool(known != value)


def _learn_of_symbol(account: Account, event: AccountConfigChanged, symbol: Symbol) -> bool:
    """What a first snapshot says of all of a venue's symbols is learned silently: nothing changed."""
    known = (account.leverages.get(symbol), account.margin_types.get(symbol))
    if event.leverage is not None:
        account.leverages[symbol] = event.leverage
    if event.margin_type is not None:
        account.margin_types[symbol] = event.margin_type
    after = (account.leverages.get(symbol), account.margin_types.get(symbol))
    return known != after and (event.source is Source.STREAM or known != (None, None))


def apply_margin_call(account: Account, event: MarginCalled, connection: int) -> Event | None:
    return news_of(account, event, f"{event.symbol}.{event.position_side}")


def news_of(account: Account, event: Event, key: str) -> Event | None:
    """For rare events without a place in the state: a copy of the last one of its key is no news."""
    place = (type(event).__name__, key)
    known = account.seen_last.get(place)
    if known is not None and known.event_time == event.event_time and _content(known) == _content(event):
        account.duplicates += 1
        return None
    account.seen_last[place] = event
    return event


def _content(event: Event) -> tuple[object, ...]:
    skipped = ("received_time", "sequence", "source", "as_of")
    return tuple(getattr(event, name) for name in event.__struct_fields__ if name not in skipped)


def flat_position(known: PositionSet, as_of: Millis, lag_ms: int, received_time: Millis) -> PositionSet:
    """What a complete list of positions says of a leg that is not in it: flat at the latest instant that the answer must include."""
    return msgspec.structs.replace(
        known,
        sequence=0,
        source=Source.SNAPSHOT,
        as_of=as_of,
        received_time=received_time,
        amount=ZERO,
        entry_price=ZERO,
        unrealized_pnl=ZERO,
        reason="absent from the venue's positions",
        transaction_time=Millis(as_of - lag_ms),
    )


def empty_balance(known: BalanceSet, as_of: Millis, lag_ms: int, received_time: Millis) -> BalanceSet:
    """What a complete list of wallets says of an asset that is not in it."""
    return msgspec.structs.replace(
        known,
        sequence=0,
        source=Source.SNAPSHOT,
        as_of=as_of,
        received_time=received_time,
        total=ZERO,
        cross_total=ZERO,
        available=ZERO,
        reason="absent from the venue's balances",
        transaction_time=Millis(as_of - lag_ms),
    )
