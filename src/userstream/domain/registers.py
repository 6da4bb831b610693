"""Positions, balances and settings: values that replace each other, guarded by the venue's time.

Newer wins. Within one millisecond a socket tells the values in the order of their making: what another socket told before is a copy, and
what any socket repeats after more than the lag; what follows the newest known value is newer, and anything else is a tie that REST must
settle. A REST answer wins over an older time, and over any time that lies further back than its own lag allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias, TypeVar

import msgspec

from userstream.domain.account import Account, Doubt, Instant, Moment, Movement, PositionKey
from userstream.domain.events import AccountConfigChanged, BalanceMoved, BalanceSet, Event, LiabilityChanged, MarginCalled, PositionSet
from userstream.domain.words import STREAM, MarginType, PositionSide, Source
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, Symbol

Register = TypeVar("Register", PositionSet, BalanceSet)
Setting = TypeVar("Setting", int, MarginType)
Listed = TypeVar("Listed", PositionSet, BalanceSet, LiabilityChanged)
RegisterKey: TypeAlias = PositionKey | str

ABSENT_POSITION: Final = "absent from the venue's positions"
ABSENT_BALANCE: Final = "absent from the venue's balances"

LEVEL_STEP: Final = Decimal("0.01")
"""A margin level moves with every price: so much lower, it is worth telling again."""

SAME_MOVEMENT_MS: Final = 3_000
"""The stream and the cash history stamp one movement some milliseconds apart."""


class Verdict(Enum):
    """What becomes of a new word. TIES: two sockets tell different things of one instant. WINS_UNSURE: the stream tells another thing
    than a REST answer of the same instant that was too early to be the last word."""

    WINS = 1
    LOSES = 2
    TIES = 3
    WINS_UNSURE = 4


# Read for every message: see `words.STREAM`.
WINS: Final = Verdict.WINS
LOSES: Final = Verdict.LOSES
TIES: Final = Verdict.TIES
WINS_UNSURE: Final = Verdict.WINS_UNSURE
ONE_WAY: Final = PositionSide.BOTH


def apply_position(account: Account, event: PositionSet, connection: int) -> Event | None:
    key = (event.symbol, event.position_side)
    known = account.positions.get(key)
    if not _wins(account, key, known, event, connection):
        return None
    if known is not None and event.transaction_time < known.transaction_time:
        event = _not_older(event, known)
    account.positions[key] = event
    account.lines[key] = connection
    if event.leverage is not None:
        account.leverages[event.symbol] = event.leverage
    if event.margin_type is not None:
        account.margin_types[event.symbol] = event.margin_type
    if event.amount and account.hedge_mode is (event.position_side is ONE_WAY):
        account.doubt("mode", event.symbol, event.position_side)
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
    """An absent leg was flat at some moment between what the answer must include and its arrival."""
    key = (event.symbol, event.position_side)
    since, until = event.transaction_time, event.event_time if event.reason == ABSENT_POSITION else None
    known_since = account.positions_known_since
    if key not in account.watches and (known_since is None or since < known_since - account.lag_ms):
        watch = account.start_watch(key, event.amount, since, until)
    else:
        watch = account.watch_of(key) or account.start_watch(key, event.amount, since, until)
        watch.tell(since, event.amount, until)
    account.note_leg(key, watch)


def apply_balance(account: Account, event: BalanceSet, connection: int) -> Event | None:
    """What is available is told beside the total. Where the stream tells both, they win and lose together; where only REST does, the
    latest answer counts."""
    known, available = account.balances.get(event.asset), event.available
    told_before = known is not None and known.available is not None
    if available is not None and not told_before:
        _note_available(account, event.asset, available, event.as_of or event.event_time)
    if not _wins(account, event.asset, known, event, connection):
        return None
    if known is not None and event.transaction_time < known.transaction_time:
        event = _not_older(event, known)
    account.balances[event.asset] = event
    account.lines[event.asset] = connection
    if available is not None and told_before:
        account.available[event.asset] = (available, event.as_of or event.event_time)
    return None if known is not None and same_balance(known, event) and not _locks(known, event) else event


def settle_balances(account: Account, unexplained: Iterable[str]) -> None:
    """A reading ended: what it explained is what the next one starts from; an asset that it met first and cannot explain was not there."""
    left = set(unexplained)
    since = max((held_since(balance, account.lag_ms) for balance in account.settled.values()), default=Millis(0))
    for asset, balance in account.balances.items():
        if asset not in left:
            account.settled[asset] = balance
        elif asset not in account.settled:
            account.settled[asset] = msgspec.structs.replace(balance, total=ZERO, available=ZERO, transaction_time=since, as_of=Millis(0))


def held_since(balance: BalanceSet, lag_ms: int) -> Millis:
    """The last venue time up to which everything is surely in the wallet. An answer's own time says when the wallet changed last, if it has
    one at all; what holds is told by when it was asked."""
    return max(balance.transaction_time, Millis(balance.as_of - lag_ms)) if balance.as_of else balance.transaction_time


def _note_available(account: Account, asset: str, available: Decimal, time: Millis) -> None:
    known = account.available.get(asset)
    if known is None or known[1] <= time:
        account.available[asset] = (available, time)


def _locks(known: BalanceSet, event: BalanceSet) -> bool:
    """Whether the stream tells that another part of the same total is available: orders lock and free it."""
    return event.source is STREAM and _differs(known, event)


def same_balance(one: BalanceSet, other: BalanceSet) -> bool:
    return one.total == other.total and (one.cross_total == other.cross_total or None in (one.cross_total, other.cross_total))


def _wins(account: Account, key: RegisterKey, known: Register | None, event: Register, connection: int) -> bool:
    """Whether the event takes the place of what is known; opens and settles the doubt about two sockets that disagree."""
    verdict = _verdict(account, key, known, event, connection)
    if verdict is WINS:
        if account.doubts and known is not None and _ends_ties(known, event):
            account.doubts.pop(_tie_of(key), None)
        return True
    if verdict is LOSES:
        return False
    tie = _tie_of(key)
    account.doubt(tie.subject, tie.symbol, tie.key)
    return verdict is WINS_UNSURE


def _tie_of(key: RegisterKey) -> Doubt:
    return Doubt("tie", Symbol(""), key) if isinstance(key, str) else Doubt("tie", *key)


def _ends_ties(known: Register, event: Register) -> bool:
    return event.source is not STREAM or event.transaction_time > known.transaction_time


def _verdict(account: Account, key: RegisterKey, known: Register | None, event: Register, connection: int) -> Verdict:
    if known is None or event.transaction_time > known.transaction_time:
        return WINS
    settled_after = known.transaction_time + account.lag_ms
    if event.source is not STREAM:
        return WINS if event.as_of > settled_after else LOSES
    if event.transaction_time < known.transaction_time:
        return LOSES
    if known.source is STREAM:
        return _place_in_instant(account, key, known, event, connection)
    if known.as_of > settled_after or _says_the_same(known, event):
        return LOSES
    return WINS_UNSURE


def _not_older(event: Register, known: Register) -> Register:
    """A REST answer that wins over a newer time tells what holds at that time too: copies of older messages still lose against it."""
    return msgspec.structs.replace(event, transaction_time=known.transaction_time)


def _place_in_instant(account: Account, key: RegisterKey, known: Register, event: Register, connection: int) -> Verdict:
    instant = account.instants.get(key)
    if instant is None or instant.time != known.transaction_time:
        instant = account.instants[key] = Instant(known.transaction_time, [known], {account.lines.get(key, 0): 0})
    reached = instant.reached.get(connection, -1)
    is_late = event.received_time > known.received_time + account.lag_ms  # then a value told before is a copy, on the same socket too
    for place in range(0 if is_late else reached + 1, len(instant.told)):
        if _says_the_same(instant.told[place], event):
            instant.reached[connection] = max(reached, place)
            return LOSES
    if reached != len(instant.told) - 1:
        return TIES
    instant.told.append(event)
    instant.reached[connection] = reached + 1
    return WINS


def _says_the_same(known: PositionSet | BalanceSet, event: PositionSet | BalanceSet) -> bool:
    """One of two totals may lie in orders to another part: a lock says something else, where both tell it."""
    if isinstance(known, PositionSet) and isinstance(event, PositionSet):
        return same_position(known, event)
    return isinstance(known, BalanceSet) and isinstance(event, BalanceSet) and same_balance(known, event) and not _differs(known, event)


def _differs(known: BalanceSet, event: BalanceSet) -> bool:
    return None not in (known.available, event.available) and known.available != event.available


def apply_movement(account: Account, event: BalanceMoved, connection: int) -> Event | None:
    """One change of cash is told by the stream without an id and by the history with one: each is counted once."""
    known = next((movement for movement in account.movements if _is_same_movement(movement, event)), None)
    if known is None:
        streamed = event.source is STREAM
        made = Movement(event.asset, event.delta, event.transaction_time, event.movement_id, streamed, event.symbol)
        account.movements.append(made)
        return event
    known.movement_id = known.movement_id or event.movement_id
    if event.source is STREAM and not known.streamed:
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
    if known.symbol != event.symbol and None not in (known.symbol, event.symbol):
        return False  # funding of several symbols is booked at one time, and small amounts are often the same
    if known.streamed and event.source is STREAM:
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
    if event.source is STREAM:
        if event.transaction_time < told_time:
            return False
        account.config_times[place] = event.transaction_time
    elif told_time and event.as_of <= told_time + account.lag_ms:
        return False
    if name == "leverage":
        return event.symbol is not None and _learn_of_symbol(account.leverages, event.symbol, event.leverage, event.source)
    if name == "margin_type":
        return event.symbol is not None and _learn_of_symbol(account.margin_types, event.symbol, event.margin_type, event.source)
    known = getattr(account, name)
    setattr(account, name, value)
    return bool(known != value)


def _learn_of_symbol(place: dict[Symbol, Setting], symbol: Symbol, value: Setting | None, source: Source) -> bool:
    """What a first snapshot says of all of a venue's symbols is learned silently: nothing changed."""
    known = place.get(symbol)
    if value is None or value == known:
        return False
    place[symbol] = value
    return source is STREAM or known is not None


def apply_margin_call(account: Account, event: MarginCalled, connection: int) -> Event | None:
    key = f"{event.symbol}.{event.position_side}"
    if event.source is not Source.SNAPSHOT:
        return news_of(account, event, key, connection)
    last = _last_told(account, event, key)
    known = last if isinstance(last, MarginCalled) else None
    if not _is_level_news(known, event):
        return None
    if known is not None and not event.status:
        event = msgspec.structs.replace(event, status=known.status)
    return _note_reading(account, event, key)


def _is_level_news(known: MarginCalled | None, event: MarginCalled) -> bool:
    """A reading tells the level that holds now: a warning that nobody told, one that has become more serious, and its end."""
    level = event.margin_level
    if known is None or known.is_over:
        return bool(event.status) and not event.is_over
    if event.is_over:
        return level != known.margin_level
    return level is not None and known.margin_level is not None and level <= known.margin_level - LEVEL_STEP


def apply_liability(account: Account, event: LiabilityChanged, connection: int) -> Event | None:
    """The stream tells changes, a reading all that is owed: it is compared with the reading before."""
    if event.source is not Source.SNAPSHOT:
        return news_of(account, event, event.asset, connection)
    key = f"{event.asset} read"
    known = _last_told(account, event, key)
    was = (known.principal, known.interest) if isinstance(known, LiabilityChanged) else (ZERO, ZERO)
    return None if was == (event.principal, event.interest) else _note_reading(account, event, key)


def debts_read(account: Account) -> list[LiabilityChanged]:
    """What is owed as the readings told it last: of each asset with a debt."""
    told = [last.told[-1] for (kind, key), last in account.seen_last.items() if kind == "LiabilityChanged" and key.endswith(" read")]
    return [debt for debt in told if isinstance(debt, LiabilityChanged) and (debt.principal or debt.interest)]


def paid_debt(known: LiabilityChanged, as_of: Millis, received_time: Millis) -> LiabilityChanged:
    """What a complete list of debts says of an asset that is not in it."""
    return _unlisted(
        known,
        as_of,
        received_time,
        principal=ZERO,
        interest=ZERO,
        transaction_time=as_of,
    )


def _last_told(account: Account, event: Event, key: str) -> Event | None:
    """What a reading is compared with: itself, where it may be too early to know of what was told last."""
    known = account.seen_last.get((type(event).__name__, key))
    if known is None:
        return None
    return event if event.as_of <= known.time + account.lag_ms else known.told[-1]


def _note_reading(account: Account, event: Event, key: str) -> Event:
    """What the stream tells of times that the reading need not include is still news."""
    account.seen_last[type(event).__name__, key] = Moment(Millis(event.as_of - account.lag_ms), [event], {})
    return event


def news_of(account: Account, event: Event, key: str, connection: int) -> Event | None:
    """For rare events without a place in the state: what is older than the last one of its key is no news, nor is a copy of what another
    socket told of the last millisecond, nor what a socket tells twice in a row (a doubled frame)."""
    place = (type(event).__name__, key)
    known = account.seen_last.get(place)
    if known is None or event.event_time > known.time:
        account.seen_last[place] = Moment(event.event_time, [event], {connection: [0]})
        return event
    if event.event_time < known.time or _was_told(known, event, connection):
        account.duplicates += 1
        return None
    known.heard[connection].append(len(known.told))
    known.told.append(event)
    return event


def _was_told(known: Moment, event: Event, connection: int) -> bool:
    """By this socket just before, or by another one and not by this one yet."""
    content, heard = _content(event), known.heard.setdefault(connection, [])
    if heard and _content(known.told[heard[-1]]) == content:
        return True
    for place, told in enumerate(known.told):
        if place not in heard and _content(told) == content:
            heard.append(place)
            return True
    return False


def _content(event: Event) -> tuple[object, ...]:
    skipped = ("received_time", "sequence", "source", "as_of", "frame")
    return tuple(getattr(event, name) for name in event.__struct_fields__ if name not in skipped)


def flat_position(known: PositionSet, as_of: Millis, lag_ms: int, received_time: Millis, answered: Millis | None = None) -> PositionSet:
    """What a complete list of positions says of a leg that is not in it: flat at the latest instant that the answer must include
    (`transaction_time`), or a little later, but not after it was `answered` (venue time)."""
    return _unlisted(
        known,
        as_of,
        received_time,
        event_time=as_of if answered is None else answered,
        amount=ZERO,
        entry_price=ZERO,
        unrealized_pnl=ZERO,
        reason=ABSENT_POSITION,
        transaction_time=Millis(as_of - lag_ms),
    )


def empty_balance(known: BalanceSet, as_of: Millis, lag_ms: int, received_time: Millis) -> BalanceSet:
    """What a complete list of wallets says of an asset that is not in it."""
    return _unlisted(
        known,
        as_of,
        received_time,
        total=ZERO,
        cross_total=ZERO,
        available=ZERO,
        reason=ABSENT_BALANCE,
        transaction_time=Millis(as_of - lag_ms),
    )


def _unlisted(known: Listed, as_of: Millis, received_time: Millis, **changes: object) -> Listed:
    """What a complete list says of something that is not in it: the fact that was known, as read now."""
    told = {"sequence": 0, "event_time": as_of, "source": Source.SNAPSHOT, "as_of": as_of, "received_time": received_time}
    return msgspec.structs.replace(known, **(told | changes))
