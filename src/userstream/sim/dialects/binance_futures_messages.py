"""The events of the private stream as Binance USD-M writes them (Binance USD-M, 4.1).

Within one type the order of the happenings is kept; an ACCOUNT_UPDATE may come before or after the ORDER_TRADE_UPDATE of its fill,
and a TRADE_LITE comes before both (5.1, 5.7).
"""

import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from userstream.sim.books import (
    AccountHappened,
    AlgoHappened,
    AssetModeHappened,
    Execution,
    Fill,
    Happening,
    LeverageHappened,
    LiabilityHappened,
    ListHappened,
    MarginCallHappened,
    MarginLevelHappened,
    Millis,
    Order,
    OrderHappened,
    Position,
)
from userstream.sim.dialects.binance_futures_words import margin_word, text_of, word_of
from userstream.sim.venue import Frame, Json

EVENT_NAMES = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "MARGIN_CALL",
    "ACCOUNT_CONFIG_UPDATE",
    "TRADE_LITE",
    "ALGO_UPDATE",
    "listenKeyExpired",
    "STRATEGY_UPDATE",
    "GRID_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT",
)
BEFORE_TRIGGER = frozenset({"new", "canceled", "triggering", "rejected", "expired"})


class MessageWriter:
    """Writes happenings as frames. Chance decides only which of two independent event types comes first."""

    event_names = frozenset(EVENT_NAMES)

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def write(self, happenings: Sequence[Happening], now: Millis) -> list[Frame]:
        frames: list[Frame] = []
        for happening in happenings:
            made = list(self._frames(happening, now))
            if self._belong_together(frames, happening) and self._chance.random() < 0.5:
                frames[-1:] = [*made, frames[-1]]
            else:
                frames += made
        return frames

    def rare_event(self, account: str, name: str, fields: Mapping[str, str | int | bool], now: Millis) -> dict[str, Json]:
        """A sample of an event that the books never cause. Raises ValueError for another name."""
        del account
        return rare_event(name, fields, now)

    def _belong_together(self, frames: list[Frame], happening: Happening) -> bool:
        if not isinstance(happening, AccountHappened) or happening.reason != "order" or not frames:
            return False
        return frames[-1].event == "ORDER_TRADE_UPDATE" and frames[-1].account == happening.account

    def _frames(self, happening: Happening, now: Millis) -> Iterator[Frame]:
        if isinstance(happening, OrderHappened) and happening.fill is not None and happening.execution is Execution.TRADE:
            yield frame_of(happening.account, trade_lite(happening.order, happening.fill, now))
        yield frame_of(happening.account, message_of(happening, now))


def frame_of(account: str, message: Mapping[str, Json], key: str = "") -> Frame:
    return Frame(account=account, event=str(message["e"]), body=msgspec.json.encode(message), key=key)


def message_of(happening: Happening, now: Millis) -> dict[str, Json]:
    """The event of one happening; `now` is the time the message is generated."""
    match happening:
        case OrderHappened():
            return order_trade_update(happening, now)
        case AccountHappened():
            return account_update(happening, now)
        case MarginCallHappened():
            return margin_call(happening, now)
        case AlgoHappened():
            return algo_update(happening, now)
        case LeverageHappened(symbol=symbol, leverage=leverage):
            return _stamped("ACCOUNT_CONFIG_UPDATE", happening.time, now) | {"ac": {"s": symbol, "l": leverage}}
        case AssetModeHappened(multi_assets=multi_assets):
            return _stamped("ACCOUNT_CONFIG_UPDATE", happening.time, now) | {"ai": {"j": multi_assets}}
        case ListHappened() | LiabilityHappened() | MarginLevelHappened():
            raise ValueError(f"{type(happening).__name__} does not happen to contracts")


def order_trade_update(happening: OrderHappened, now: Millis) -> dict[str, Json]:
    """ORDER_TRADE_UPDATE (Binance USD-M, 4.1.1)."""
    order, fill = happening.order, happening.fill
    body: dict[str, Json] = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": word_of(order.side),
        "o": word_of(order.order_type),
        "f": word_of(order.time_in_force),
        "q": text_of(order.quantity),
        "p": text_of(order.price),
        "ap": text_of(order.average_price),
        "sp": text_of(order.stop_price),
        "x": word_of(happening.execution),
        "X": word_of(order.status),
        "i": order.order_id,
        **_execution_part(order, fill),
        "T": happening.time,
        "t": fill.trade_id if fill else 0,
        "b": text_of(happening.bid_notional),
        "a": text_of(happening.ask_notional),
        "m": fill.maker if fill else False,
        **_order_part(order),
        "rp": text_of(fill.realized_pnl) if fill else "0",
        "pP": order.price_protect,
        "si": 0,
        "ss": 0,
        "V": word_of(order.self_trade_prevention),
        "pm": word_of(order.price_match),
        "gtd": order.good_till_time,
        "er": str(order.expiry_reason),
    }
    if happening.execution is Execution.AMENDMENT and order.modify_id:
        body["M"] = order.modify_id
    return _stamped("ORDER_TRADE_UPDATE", happening.time, now) | {"o": body}


def _execution_part(order: Order, fill: Fill | None) -> dict[str, Json]:
    if fill is None:
        return {"l": "0", "z": text_of(order.filled_quantity), "L": "0"}
    return {
        "l": text_of(fill.quantity),
        "z": text_of(order.filled_quantity),
        "L": text_of(fill.price),
        "n": text_of(fill.fee),
        "N": fill.fee_asset,
    }


def _order_part(order: Order) -> dict[str, Json]:
    return {
        "R": order.reduce_only,
        "wt": word_of(order.working_type),
        "ot": word_of(order.original_type),
        "ps": word_of(order.position_side),
        "cp": order.close_position,
    }


def trade_lite(order: Order, fill: Fill, now: Millis) -> dict[str, Json]:
    """TRADE_LITE (Binance USD-M, 4.1.2)."""
    return {
        "e": "TRADE_LITE",
        "E": max(now, fill.time),
        "T": fill.time,
        "s": order.symbol,
        "q": text_of(order.quantity),
        "p": text_of(order.price),
        "m": fill.maker,
        "c": order.client_order_id,
        "S": word_of(order.side),
        "L": text_of(fill.price),
        "l": text_of(fill.quantity),
        "t": fill.trade_id,
        "i": order.order_id,
    }


def account_update(happening: AccountHappened, now: Millis) -> dict[str, Json]:
    """ACCOUNT_UPDATE (Binance USD-M, 4.1.3)."""
    body: dict[str, Json] = {"m": word_of(happening.reason)}
    if happening.reason == "funding_fee":
        body["S"] = happening.symbol
    body["B"] = [
        {
            "a": balance.asset,
            "wb": text_of(balance.wallet),
            "cw": text_of(balance.cross_wallet),
            "bc": text_of(happening.deltas[balance.asset]) if balance.asset in happening.deltas else "0",
        }
        for balance in happening.balances
    ]
    body["P"] = [_position_part(position) for position in happening.positions]
    return _stamped("ACCOUNT_UPDATE", happening.time, now) | {"a": body}


def _position_part(position: Position) -> dict[str, Json]:
    return {
        "s": position.symbol,
        "pa": text_of(position.amount),
        "ep": text_of(position.entry_price),
        "bep": text_of(position.break_even_price),
        "cr": text_of(position.realized_pnl),
        "up": text_of(position.unrealized_pnl),
        "mt": position.margin_type,
        "iw": text_of(position.isolated_wallet),
        "ps": word_of(position.position_side),
    }


def margin_call(happening: MarginCallHappened, now: Millis) -> dict[str, Json]:
    """MARGIN_CALL (Binance USD-M, 4.1.4). It has no `T`."""
    message: dict[str, Json] = {"e": "MARGIN_CALL", "E": max(now, happening.time)}
    if happening.cross_wallet is not None:
        message["cw"] = text_of(happening.cross_wallet)
    message["p"] = [
        {
            "s": position.symbol,
            "ps": word_of(position.position_side),
            "pa": text_of(position.amount),
            "mt": margin_word(position.margin_type),
            "iw": text_of(position.isolated_wallet),
            "mp": text_of(position.mark_price),
            "up": text_of(position.unrealized_pnl),
            "mm": text_of(position.maintenance_margin),
        }
        for position in happening.positions
    ]
    return message


def algo_update(happening: AlgoHappened, now: Millis) -> dict[str, Json]:
    """ALGO_UPDATE (Binance USD-M, 4.1.6)."""
    algo = happening.algo
    body: dict[str, Json] = {
        "caid": algo.client_algo_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": word_of(algo.order_type),
        "s": algo.symbol,
        "S": word_of(algo.side),
        "ps": word_of(algo.position_side),
        "f": word_of(algo.time_in_force),
        "q": text_of(algo.quantity),
        "X": word_of(algo.status),
        "ai": str(algo.order_id) if algo.order_id else "",
        "ap": text_of(algo.average_price),
        "aq": text_of(algo.filled_quantity),
        "act": "0" if algo.status in BEFORE_TRIGGER else word_of(happening.actual_type or "0"),
        "tp": text_of(algo.trigger_price),
        "p": text_of(algo.price),
        "V": word_of(algo.self_trade_prevention),
        "wt": word_of(algo.working_type),
        "pm": word_of(algo.price_match),
        "cp": algo.close_position,
        "pP": algo.price_protect,
        "R": algo.reduce_only,
        "tt": algo.triggered_time,
        "gtd": algo.good_till_time,
        "rm": algo.reject_reason,
    }
    if algo.order_type == "trailing_stop_market":
        body["ia"] = algo.activated
    return _stamped("ALGO_UPDATE", happening.time, now) | {"o": body}


def listen_key_expired(key: str, now: Millis) -> dict[str, Json]:
    """listenKeyExpired (Binance USD-M, 4.1.9)."""
    return {"e": "listenKeyExpired", "E": now, "listenKey": key}


def server_shutdown(now: Millis) -> dict[str, Json]:
    """The notice that the server will go down (Binance USD-M, 3.1)."""
    return {"e": "serverShutdown", "E": now}


def rare_event(name: str, fields: Mapping[str, str | int | bool], now: Millis) -> dict[str, Json]:
    """One of the events that the books never cause (Binance USD-M, 4.1.7 and 4.1.8). Raises ValueError for another name."""
    samples: dict[str, tuple[str, dict[str, Json]]] = {
        "CONDITIONAL_ORDER_TRIGGER_REJECT": (
            "or",
            {"s": "ETHUSDT", "i": 155618472834, "r": "Due to the order could not be filled immediately."},
        ),
        "STRATEGY_UPDATE": ("su", {"si": 176054594, "st": "GRID", "ss": "NEW", "s": "BTCUSDT", "ut": now, "c": 8007}),
        "GRID_UPDATE": (
            "gu",
            {
                "si": 176057039,
                "st": "GRID",
                "ss": "WORKING",
                "s": "BTCUSDT",
                "r": "-0.00300716",
                "up": "16720",
                "uq": "-0.001",
                "uf": "-0.00300716",
                "mp": "0.0",
                "ut": now,
            },
        ),
    }
    if name not in samples:
        raise ValueError(f"no rare event {name!r}; there are {', '.join(samples)}")
    place, sample = samples[name]
    return _stamped(name, now, now) | {place: sample | dict(fields)}


def _stamped(event: str, happened: Millis, now: Millis) -> dict[str, Json]:
    return {"e": event, "T": happened, "E": max(now, happened)}
