"""One small builder for each kind of event: a realistic event, any field of it by keyword.

Text is taken for amounts and words (`price="0.10"`, `status="filled"`), so that a test reads like a message of the venue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from userstream.domain import events as facts
from userstream.domain.events import Event

EventT = TypeVar("EventT", bound=Event)

A_TIME: Final = 1_760_000_000_000
COMMON: Final[Mapping[str, object]] = MappingProxyType(
    {"account": "alice", "venue": "binance-usdm", "event_time": A_TIME + 2, "received_time": A_TIME + 20}
)


def build(kind: type[EventT], defaults: Mapping[str, object], fields: Mapping[str, object]) -> EventT:
    """An event of the kind; a field that it does not have is a mistake of the test."""
    unknown = sorted(fields.keys() - set(kind.__struct_fields__))
    if unknown:
        raise TypeError(f"{kind.__name__} has no field {', '.join(unknown)}")
    return msgspec.convert({**COMMON, **defaults, **fields}, kind)


def order_changed(**fields: object) -> facts.OrderChanged:
    defaults: dict[str, object] = {
        "symbol": "BTCUSDT",
        "order_id": "8886774",
        "client_order_id": "bot-1",
        "side": "buy",
        "order_type": "limit",
        "original_type": "limit",
        "time_in_force": "gtc",
        "status": "new",
        "execution_type": "new",
        "price": "61250.10",
        "quantity": "0.300",
        "filled_quantity": "0",
        "transaction_time": A_TIME,
    }
    return build(facts.OrderChanged, defaults, fields)


def filled(**fields: object) -> facts.Filled:
    defaults: dict[str, object] = {
        "symbol": "BTCUSDT",
        "order_id": "8886774",
        "client_order_id": "bot-1",
        "trade_id": "5012",
        "side": "buy",
        "position_side": "both",
        "price": "61250.10",
        "quantity": "0.100",
        "fee": "1.22500200",
        "fee_asset": "USDT",
        "maker": True,
        "realized_pnl": "0",
        "transaction_time": A_TIME,
    }
    return build(facts.Filled, defaults, fields)


def fill_completed(**fields: object) -> facts.FillCompleted:
    defaults: dict[str, object] = {
        "symbol": "BTCUSDT",
        "order_id": "8886774",
        "trade_id": "5012",
        "position_side": "both",
        "fee": "1.22500200",
        "fee_asset": "USDT",
        "maker": True,
        "realized_pnl": "0",
        "transaction_time": A_TIME,
    }
    return build(facts.FillCompleted, defaults, fields)


def balance_set(**fields: object) -> facts.BalanceSet:
    defaults: dict[str, object] = {"asset": "USDT", "total": "10000.00000000", "reason": "order", "transaction_time": A_TIME}
    return build(facts.BalanceSet, defaults, fields)


def balance_moved(**fields: object) -> facts.BalanceMoved:
    defaults: dict[str, object] = {"asset": "USDT", "delta": "-0.35000000", "reason": "funding_fee", "transaction_time": A_TIME}
    return build(facts.BalanceMoved, defaults, fields)


def balance_locked(**fields: object) -> facts.BalanceLocked:
    return build(facts.BalanceLocked, {"asset": "NEO", "delta": "10.00", "transaction_time": A_TIME}, fields)


def position_set(**fields: object) -> facts.PositionSet:
    defaults: dict[str, object] = {
        "symbol": "BTCUSDT",
        "position_side": "both",
        "amount": "0.100",
        "entry_price": "61250.10",
        "margin_type": "cross",
        "reason": "order",
        "transaction_time": A_TIME,
    }
    return build(facts.PositionSet, defaults, fields)


def margin_called(**fields: object) -> facts.MarginCalled:
    defaults: dict[str, object] = {
        "symbol": "BTCUSDT",
        "position_side": "long",
        "amount": "1.327",
        "margin_type": "cross",
        "mark_price": "58717.40",
        "unrealized_pnl": "-1166.07",
        "maintenance_margin": "1614.44",
        "transaction_time": A_TIME,
    }
    return build(facts.MarginCalled, defaults, fields)


def liability_changed(**fields: object) -> facts.LiabilityChanged:
    defaults: dict[str, object] = {"asset": "USDT", "reason": "borrow", "principal": "100", "interest": "0.01", "transaction_time": A_TIME}
    return build(facts.LiabilityChanged, defaults, fields)


def account_config_changed(**fields: object) -> facts.AccountConfigChanged:
    return build(facts.AccountConfigChanged, {"symbol": "BTCUSDT", "leverage": 25, "transaction_time": A_TIME}, fields)


def order_list_changed(**fields: object) -> facts.OrderListChanged:
    defaults: dict[str, object] = {
        "symbol": "BTCUSDT",
        "order_list_id": "42",
        "status": "executing",
        "order_ids": ("8886774", "8886775"),
        "transaction_time": A_TIME,
    }
    return build(facts.OrderListChanged, defaults, fields)


def strategy_changed(**fields: object) -> facts.StrategyChanged:
    defaults: dict[str, object] = {
        "strategy_id": "176054594",
        "strategy_type": "grid",
        "status": "working",
        "symbol": "BTCUSDT",
        "transaction_time": A_TIME,
    }
    return build(facts.StrategyChanged, defaults, fields)


def trigger_rejected(**fields: object) -> facts.TriggerRejected:
    defaults: dict[str, object] = {
        "symbol": "BTCUSDT",
        "order_id": "2000001",
        "reason": "reduce-only order would open a position",
        "transaction_time": A_TIME,
    }
    return build(facts.TriggerRejected, defaults, fields)


def stream_changed(**fields: object) -> facts.StreamChanged:
    return build(facts.StreamChanged, {"state": "live", "reason": "complete", "connection": 1}, fields)


def gap_opened(**fields: object) -> facts.GapOpened:
    return build(facts.GapOpened, {"since": A_TIME, "reason": "socket closed"}, fields)


def gap_repaired(**fields: object) -> facts.GapRepaired:
    return build(facts.GapRepaired, {"since": A_TIME, "until": A_TIME + 4_000, "fills": 1}, fields)


def snapshot_taken(**fields: object) -> facts.SnapshotTaken:
    defaults: dict[str, object] = {"epoch": 1, "reason": "start", "started_time": A_TIME, "proven_until": A_TIME + 5_000, "weight": 75}
    return build(facts.SnapshotTaken, defaults, fields)


def mismatch(**fields: object) -> facts.Mismatch:
    defaults: dict[str, object] = {"subject": "position", "key": "BTCUSDT both", "ours": "0.100", "theirs": "0.300", "since": A_TIME}
    return build(facts.Mismatch, defaults, fields)


def unrecognized(**fields: object) -> facts.Unrecognized:
    defaults: dict[str, object] = {"name": "event NEWS", "reason": "not in the venue's documents", "sample": '{"e":"NEWS"}'}
    return build(facts.Unrecognized, defaults, fields)


BUILDERS: Final[tuple[Callable[..., Event], ...]] = (
    order_changed,
    filled,
    fill_completed,
    balance_set,
    balance_moved,
    balance_locked,
    position_set,
    margin_called,
    liability_changed,
    account_config_changed,
    order_list_changed,
    strategy_changed,
    trigger_rejected,
    stream_changed,
    gap_opened,
    gap_repaired,
    snapshot_taken,
    mismatch,
    unrecognized,
)
"""Every kind of event, for tests that must hold for all of them."""
