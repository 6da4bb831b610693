"""What the risk feed of a cross margin account says: how near its liquidation is, and what it owes (Binance margin, 2.5 and 4.4).

The names of the two messages are documented in two spellings; both are known here, and `spellings` brings all others to one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec
from msgspec import field

from userstream.domain.events import Event, LiabilityChanged, MarginCalled
from userstream.domain.words import MarginType, PositionSide
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, Symbol
from userstream.venues.binance.amounts import check_amounts
from userstream.venues.binance.answers import Reading
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.messages import Ignored, ListenKeyExpired, Message, ServerShutdown
from userstream.venues.binance.spot_rows import CrossAccountRow, WalletRow

WHOLE_ACCOUNT: Final = Symbol("")

# The statuses of sister products, not confirmed for margin: an open set.
MARGIN_STATUSES: Final = {word: word.lower() for word in ("NORMAL", "MARGIN_CALL", "REDUCE_ONLY", "FORCE_LIQUIDATION")}
LIABILITY_REASONS: Final = {word: word.lower() for word in ("BORROW", "REPAY", "INTEREST")}

WARNED_LEVEL: Final = Decimal("1.3")
SAFE_LEVEL: Final = Decimal("1.5")
"""The documents name no levels. These are as people know them for three times leverage: warned at the one, free to borrow at the other;
accounts of a higher leverage are warned later. Between them a reading says nothing but that a warning has become more serious."""


class MarginLevelStatusChange(Message, frozen=True, kw_only=True, tag="MARGIN_LEVEL_STATUS_CHANGE"):
    """Binance margin, 4.4."""

    margin_level: Decimal = field(name="l")
    status: str = field(name="s")


class CamelMarginLevelStatusChange(MarginLevelStatusChange, frozen=True, kw_only=True, tag="marginLevelStatusChange"):
    """The same under its other name."""


class UserLiabilityChange(Message, frozen=True, kw_only=True, tag="USER_LIABILITY_CHANGE"):
    """Binance margin, 4.4."""

    asset: str = field(name="a")
    change: str = field(name="t")
    principal: Decimal = field(name="p")
    interest: Decimal = field(name="i")


class CamelUserLiabilityChange(UserLiabilityChange, frozen=True, kw_only=True, tag="userLiabilityChange"):
    """The same under its other name."""


RiskMessage: TypeAlias = (
    MarginLevelStatusChange
    | CamelMarginLevelStatusChange
    | UserLiabilityChange
    | CamelUserLiabilityChange
    | ListenKeyExpired
    | ServerShutdown
)


class RiskEnvelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Binance margin, 2.5: how the access mode `/stream` wraps a message. `stream` is the listen key and is not kept."""

    stream: Ignored
    data: RiskMessage


def level_facts(drift: Drift, message: MarginLevelStatusChange, received_time: Millis) -> tuple[Event, ...]:
    """A warning for the account as a whole, or its end."""
    check_amounts((message.margin_level,))
    return (
        MarginCalled(
            account=drift.account,
            venue=drift.venue,
            event_time=message.event_time,
            received_time=received_time,
            symbol=WHOLE_ACCOUNT,
            position_side=PositionSide.BOTH,
            amount=ZERO,
            margin_type=MarginType.CROSS,
            margin_level=message.margin_level,
            status=MARGIN_STATUSES.get(message.status) or drift.text("MARGIN_LEVEL_STATUS_CHANGE.s", message.status),
            transaction_time=message.event_time,
        ),
    )


def risk_facts(reading: Reading, row: CrossAccountRow) -> tuple[Event, ...]:
    """The level as it is, and all that is owed, in each asset: the warnings and changes themselves have no history."""
    check_amounts((row.margin_level or ZERO,))
    level = () if row.margin_level is None else (_level_read(reading, row.margin_level),)
    return (*level, *debt_facts(reading, row.wallets))


def debt_facts(reading: Reading, wallets: Iterable[WalletRow]) -> tuple[LiabilityChanged, ...]:
    """All that is owed: an asset without a debt is not among them. Raises DecodeError for amounts that cannot be (Binance margin, 4.4)."""
    owed = [wallet for wallet in wallets if wallet.borrowed or wallet.interest]
    check_amounts(amount for wallet in owed for amount in (wallet.borrowed, wallet.interest))
    return tuple(
        LiabilityChanged(
            **reading.stamp(reading.as_of),
            asset=wallet.asset,
            reason="reading",
            principal=wallet.borrowed,
            interest=wallet.interest,
            transaction_time=reading.as_of,
        )
        for wallet in owed
    )


def _level_read(reading: Reading, level: Decimal) -> MarginCalled:
    return MarginCalled(
        **reading.stamp(reading.as_of),
        symbol=WHOLE_ACCOUNT,
        position_side=PositionSide.BOTH,
        amount=ZERO,
        margin_type=MarginType.CROSS,
        margin_level=level,
        status="margin_call" if level <= WARNED_LEVEL else "normal" if level >= SAFE_LEVEL else "",
        transaction_time=reading.as_of,
    )


def liability_facts(drift: Drift, message: UserLiabilityChange, received_time: Millis) -> tuple[Event, ...]:
    """What is owed in one asset changed."""
    check_amounts((message.principal, message.interest))
    return (
        LiabilityChanged(
            account=drift.account,
            venue=drift.venue,
            event_time=message.event_time,
            received_time=received_time,
            asset=message.asset,
            reason=LIABILITY_REASONS.get(message.change) or drift.text("USER_LIABILITY_CHANGE.t", message.change),
            principal=message.principal,
            interest=message.interest,
            transaction_time=message.event_time,
        ),
    )
