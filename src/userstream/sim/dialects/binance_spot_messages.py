"""The events of the user data stream as Binance Spot writes them, without their envelope (Binance Spot, 4.3)."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from userstream.sim.books import (
    AccountHappened,
    Balance,
    Execution,
    Fill,
    Happening,
    LiabilityHappened,
    ListHappened,
    MarginLevelHappened,
    Millis,
)
from userstream.sim.dialects.binance_margin_messages import level_change, liability_change
from userstream.sim.dialects.binance_spot_words import execution_word, reject_word, text_of, word_of
from userstream.sim.engine import is_open
from userstream.sim.spot.books import Prevention, SpotOrder, SpotOrderHappened
from userstream.sim.venue import Frame, Json

ZERO_TEXT = "0.00000000"
EVENT_NAMES = frozenset(
    {"executionReport", "outboundAccountPosition", "balanceUpdate", "listStatus", "externalLockUpdate", "eventStreamTerminated"}
)
RARE_EVENTS = ("externalLockUpdate", "listStatus")


def write(happenings: Sequence[Happening], now: Millis) -> list[Frame]:
    """The events of these happenings in their order; `now` is the time the messages are generated."""
    return [frame_of(happening.account, message) for happening in happenings for message in _messages(happening, now)]


def frame_of(account: str, message: Mapping[str, Json]) -> Frame:
    return Frame(account=account, event=str(message["e"]), body=msgspec.json.encode(message))


def _messages(happening: Happening, now: Millis) -> Iterator[dict[str, Json]]:
    match happening:
        case SpotOrderHappened():
            yield execution_report(happening, now)
        case AccountHappened():
            yield from _account_messages(happening, now)
        case ListHappened():
            yield list_status(happening, now)
        case LiabilityHappened():
            yield liability_change(happening, now)
        case MarginLevelHappened():
            yield level_change(happening, now)
        case _:
            raise ValueError(f"{type(happening).__name__} does not happen on spot")


def _account_messages(happening: AccountHappened, now: Millis) -> Iterator[dict[str, Json]]:
    """What moved by itself is told with its amount, then all that may have changed with its absolute figures (Binance Spot, 4.3.3)."""
    name = "externalLockUpdate" if happening.reason == "external_lock" else "balanceUpdate"
    stated = max(now, happening.time)
    for asset, delta in happening.deltas.items():
        yield {"e": name, "E": stated, "a": asset, "d": text_of(delta), "T": happening.time}
    yield account_position(happening.balances, happening.time, stated)


def account_position(balances: Sequence[Balance], updated: Millis, stated: Millis) -> dict[str, Json]:
    """outboundAccountPosition (Binance Spot, 4.3.2)."""
    return {
        "e": "outboundAccountPosition",
        "E": stated,
        "u": updated,
        "B": [
            {"a": balance.asset, "f": text_of(balance.available), "l": text_of(balance.wallet - balance.available)} for balance in balances
        ],
    }


def execution_report(happening: SpotOrderHappened, now: Millis) -> dict[str, Json]:
    """executionReport (Binance Spot, 4.3.1)."""
    order, fill = happening.order, happening.fill
    current, original = _client_ids(happening)
    return {
        "e": "executionReport",
        "E": max(now, happening.time),
        "s": order.symbol,
        "c": current,
        **_wish_part(order),
        "g": order.list_id,
        "C": original,
        "x": execution_word(happening.execution),
        "X": word_of(order.status),
        "r": reject_word(happening.reject_reason),
        "i": order.order_id,
        **_fill_part(order, fill),
        "T": happening.time,
        "t": fill.trade_id if fill else -1,
        "I": happening.execution_id,
        "w": order.working and is_open(order),
        "m": fill.maker if fill else False,
        "M": fill is not None,
        "O": order.created_time,
        "Z": text_of(order.filled_quote),
        "Y": text_of(fill.quote_quantity) if fill else ZERO_TEXT,
        "Q": text_of(order.quote_wish),
        "V": word_of(order.self_trade_prevention),
        **_conditional_part(order),
        **_prevention_part(order, happening.prevention),
    }


def _client_ids(happening: SpotOrderHappened) -> tuple[str, str]:
    """`c` and `C`: a cancelled order's own id stands in `C`, and so does the former id of an amended order."""
    order = happening.order
    match happening.execution:
        case Execution.CANCELED:
            return happening.request_id, order.client_order_id
        case Execution.AMENDMENT:
            return order.client_order_id, happening.former_client_id
    return order.client_order_id, ""


def _wish_part(order: SpotOrder) -> dict[str, Json]:
    return {
        "S": word_of(order.side),
        "o": word_of(order.order_type),
        "f": word_of(order.time_in_force),
        "q": text_of(order.quantity),
        "p": text_of(order.price),
        "P": text_of(order.stop_price),
        "F": text_of(order.iceberg_quantity),
    }


def _fill_part(order: SpotOrder, fill: Fill | None) -> dict[str, Json]:
    return {
        "l": text_of(fill.quantity) if fill else ZERO_TEXT,
        "z": text_of(order.filled_quantity),
        "L": text_of(fill.price) if fill else ZERO_TEXT,
        "n": text_of(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
    }


def _conditional_part(order: SpotOrder) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if order.working_time:
        found["W"] = order.working_time
    if order.trailing_delta:
        found["d"] = order.trailing_delta
    if order.trailing_time:
        found["D"] = order.trailing_time
    if order.strategy_id is not None:
        found["j"] = order.strategy_id
    if order.strategy_type is not None:
        found["J"] = order.strategy_type
    if order.expiry:
        found["eR"] = word_of(order.expiry)
    return found


def _prevention_part(order: SpotOrder, prevention: Prevention | None) -> dict[str, Json]:
    if not order.prevented_match_id:
        return {}
    known: dict[str, Json] = {"v": order.prevented_match_id, "A": text_of(order.prevented_quantity)}
    if prevention is None:
        return known
    return known | {
        "B": text_of(prevention.prevented),
        "u": prevention.group_id,
        "U": prevention.counter_order_id,
        "Cs": prevention.counter_symbol,
        "pl": text_of(prevention.quantity),
        "pL": text_of(prevention.price),
        "pY": text_of(prevention.price * prevention.quantity),
    }


def list_status(happening: ListHappened, now: Millis) -> dict[str, Json]:
    """listStatus (Binance Spot, 4.3.4)."""
    return {
        "e": "listStatus",
        "E": max(now, happening.time),
        "s": happening.symbol,
        "g": happening.list_id,
        "c": word_of(happening.contingency),
        "l": word_of(happening.status_type),
        "L": word_of(happening.order_status),
        "r": "NONE",
        "C": happening.client_list_id,
        "T": happening.time,
        "O": [{"s": each.symbol, "i": each.order_id, "c": each.client_order_id} for each in happening.orders],
    }


def stream_terminated(now: Millis) -> dict[str, Json]:
    """eventStreamTerminated (Binance Spot, 4.3.6)."""
    return {"e": "eventStreamTerminated", "E": now}


def server_shutdown(now: Millis) -> dict[str, Json]:
    """The notice that the server will go down (Binance Spot, 3.1)."""
    return {"e": "serverShutdown", "E": now}


def rare_event(name: str, fields: Mapping[str, str | int | bool], now: Millis) -> dict[str, Json]:
    """A sample of an event that the books do not cause by themselves. Raises ValueError for another name."""
    samples: dict[str, dict[str, Json]] = {
        "externalLockUpdate": {"a": "NEO", "d": "10.00000000", "T": now},
        "listStatus": {
            "s": "ETHUSDT",
            "g": 2,
            "c": "OCO",
            "l": "RESPONSE",
            "L": "REJECT",
            "r": "OCO_BAD_PRICES",
            "C": "list-rejected",
            "T": now,
            "O": [],
        },
    }
    if name not in samples:
        raise ValueError(f"no rare event {name!r}; there are {', '.join(RARE_EVENTS)}")
    return {"e": name, "E": now, **samples[name], **fields}
