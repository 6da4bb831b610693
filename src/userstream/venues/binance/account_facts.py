"""Messages about wallets, positions, margin and settings to facts (Binance USD-M, 4.1.3-4.1.5, 4.1.8). Pure functions of one message."""

from __future__ import annotations

from userstream.domain.events import AccountConfigChanged, BalanceMoved, BalanceSet, Event, MarginCalled, PositionSet, StrategyChanged
from userstream.domain.words import MarginType, PositionSide
from userstream.kernel.errors import DecodeError
from userstream.kernel.ids import Millis, Symbol
from userstream.venues.binance.amounts import check_amounts, read_amount, read_optional
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.messages import (
    AccountConfigUpdate,
    AccountUpdate,
    BalancePart,
    GridUpdate,
    MarginCall,
    PositionAtRisk,
    PositionPart,
    StrategyUpdate,
)
from userstream.venues.binance.words import (
    ACCOUNT_REASONS,
    MARGIN_TYPES,
    POSITION_SIDES,
    STRATEGY_REASONS,
    STRATEGY_STATUSES,
    STRATEGY_TYPES,
)


def account_facts(drift: Drift, message: AccountUpdate, received_time: Millis) -> tuple[Event, ...]:
    """Wallets, then legs: only what changed is in the message (Binance USD-M, 4.1.3)."""
    account = message.account
    reason = ACCOUNT_REASONS.get(account.reason) or drift.text("ACCOUNT_UPDATE.a.m", account.reason)
    facts: list[Event] = []
    for balance in account.balances:
        facts.append(_balance_set(drift, message, balance, reason, received_time))
        if read_amount(balance.change):
            facts.append(_balance_moved(drift, message, balance, reason, received_time))
    facts += [_position_set(drift, message, position, reason, received_time) for position in account.positions]
    return tuple(facts)


def _balance_set(drift: Drift, message: AccountUpdate, balance: BalancePart, reason: str, received_time: Millis) -> BalanceSet:
    return BalanceSet(
        account=drift.account,
        venue=drift.venue,
        event_time=message.event_time,
        received_time=received_time,
        asset=balance.asset,
        total=read_amount(balance.wallet),
        cross_total=read_amount(balance.cross_wallet),
        reason=reason,
        transaction_time=message.transaction_time,
    )


def _balance_moved(drift: Drift, message: AccountUpdate, balance: BalancePart, reason: str, received_time: Millis) -> BalanceMoved:
    return BalanceMoved(
        account=drift.account,
        venue=drift.venue,
        event_time=message.event_time,
        received_time=received_time,
        asset=balance.asset,
        delta=read_amount(balance.change),
        reason=reason,
        symbol=message.account.funding_symbol or None,
        transaction_time=message.transaction_time,
    )


def _position_set(drift: Drift, message: AccountUpdate, position: PositionPart, reason: str, received_time: Millis) -> PositionSet:
    return PositionSet(
        account=drift.account,
        venue=drift.venue,
        event_time=message.event_time,
        received_time=received_time,
        symbol=position.symbol,
        position_side=POSITION_SIDES.get(position.position_side)
        or drift.word("ACCOUNT_UPDATE.a.P.ps", position.position_side, PositionSide.UNKNOWN),
        amount=read_amount(position.amount),
        entry_price=read_amount(position.entry_price),
        break_even_price=read_optional(position.break_even_price),
        unrealized_pnl=read_optional(position.unrealized_pnl),
        realized_pnl=read_optional(position.realized_pnl),
        margin_type=_margin_type(drift, "ACCOUNT_UPDATE.a.P.mt", position.margin_type),
        isolated_wallet=read_optional(position.isolated_wallet),
        reason=reason,
        transaction_time=message.transaction_time,
    )


def _margin_type(drift: Drift, path: str, word: str | None) -> MarginType | None:
    if word is None:
        return None
    return MARGIN_TYPES.get(word) or drift.word(path, word, MarginType.UNKNOWN)


def margin_call_facts(drift: Drift, message: MarginCall, received_time: Millis) -> tuple[Event, ...]:
    """One warning for each position at risk (Binance USD-M, 4.1.4)."""
    if not message.positions:
        raise DecodeError("MARGIN_CALL that names no position")
    check_amounts((message.cross_wallet,))
    return tuple(_margin_called(drift, message, position, received_time) for position in message.positions)


def _margin_called(drift: Drift, message: MarginCall, position: PositionAtRisk, received_time: Millis) -> MarginCalled:
    check_amounts((position.amount, position.isolated_wallet, position.mark_price, position.unrealized_pnl, position.maintenance_margin))
    return MarginCalled(
        account=drift.account,
        venue=drift.venue,
        event_time=message.event_time,
        received_time=received_time,
        symbol=position.symbol,
        position_side=POSITION_SIDES.get(position.position_side)
        or drift.word("MARGIN_CALL.p.ps", position.position_side, PositionSide.UNKNOWN),
        amount=position.amount,
        margin_type=MARGIN_TYPES.get(position.margin_type) or drift.word("MARGIN_CALL.p.mt", position.margin_type, MarginType.UNKNOWN),
        isolated_wallet=position.isolated_wallet,
        mark_price=position.mark_price,
        unrealized_pnl=position.unrealized_pnl,
        maintenance_margin=position.maintenance_margin,
        cross_wallet=message.cross_wallet,
        transaction_time=message.event_time,
    )


def config_facts(drift: Drift, message: AccountConfigUpdate, received_time: Millis) -> tuple[Event, ...]:
    """Leverage of a symbol, or the asset mode of the account (Binance USD-M, 4.1.5)."""
    facts: list[Event] = []
    if message.leverage is not None:
        symbol = message.leverage.symbol
        facts.append(_config_changed(drift, message, received_time, symbol=symbol, leverage=message.leverage.leverage))
    if message.asset_mode is not None:
        facts.append(_config_changed(drift, message, received_time, multi_asset_mode=message.asset_mode.multi_asset_mode))
    if not facts:
        raise DecodeError("ACCOUNT_CONFIG_UPDATE that names no setting")
    return tuple(facts)


def _config_changed(
    drift: Drift,
    message: AccountConfigUpdate,
    received_time: Millis,
    *,
    symbol: Symbol | None = None,
    leverage: int | None = None,
    multi_asset_mode: bool | None = None,
) -> AccountConfigChanged:
    return AccountConfigChanged(
        account=drift.account,
        venue=drift.venue,
        event_time=message.event_time,
        received_time=received_time,
        symbol=symbol,
        leverage=leverage,
        multi_asset_mode=multi_asset_mode,
        transaction_time=message.transaction_time,
    )


def strategy_facts(drift: Drift, message: StrategyUpdate, received_time: Millis) -> tuple[Event, ...]:
    """A strategy at the venue changed; the operation code says why (Binance USD-M, 4.1.8)."""
    strategy = message.strategy
    code = strategy.operation
    return (
        StrategyChanged(
            account=drift.account,
            venue=drift.venue,
            event_time=message.event_time,
            received_time=received_time,
            strategy_id=str(strategy.strategy_id),
            strategy_type=STRATEGY_TYPES.get(strategy.strategy_type) or drift.text("STRATEGY_UPDATE.su.st", strategy.strategy_type),
            status=STRATEGY_STATUSES.get(strategy.status) or drift.text("STRATEGY_UPDATE.su.ss", strategy.status),
            symbol=strategy.symbol,
            reason=STRATEGY_REASONS.get(code) or drift.word("STRATEGY_UPDATE.su.c", str(code), f"code {code}"),
            transaction_time=message.transaction_time,
        ),
    )


def grid_facts(drift: Drift, message: GridUpdate, received_time: Millis) -> tuple[Event, ...]:
    """A grid's figures changed (Binance USD-M, 4.1.8)."""
    grid = message.grid
    check_amounts((grid.realized_pnl, grid.unmatched_average_price, grid.unmatched_quantity, grid.unmatched_fee, grid.matched_pnl))
    return (
        StrategyChanged(
            account=drift.account,
            venue=drift.venue,
            event_time=message.event_time,
            received_time=received_time,
            strategy_id=str(grid.strategy_id),
            strategy_type=STRATEGY_TYPES.get(grid.strategy_type) or drift.text("GRID_UPDATE.gu.st", grid.strategy_type),
            status=STRATEGY_STATUSES.get(grid.status) or drift.text("GRID_UPDATE.gu.ss", grid.status),
            symbol=grid.symbol,
            realized_pnl=grid.realized_pnl,
            unmatched_average_price=grid.unmatched_average_price,
            unmatched_quantity=grid.unmatched_quantity,
            unmatched_fee=grid.unmatched_fee,
            matched_pnl=grid.matched_pnl,
            transaction_time=message.transaction_time,
        ),
    )
