"""REST answers to facts (Binance USD-M, 6.1, 6.5). What is read is pure; a missing or broken field is named, with its call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Final, TypedDict, TypeVar

import msgspec
from msgspec.structs import replace

from userstream.domain.events import NO_TIME, AccountConfigChanged, BalanceMoved, BalanceSet, Filled, OrderChanged, PositionSet
from userstream.domain.words import MarginType, OrderStatus, Origin, PositionSide, Side, Source
from userstream.kernel.amount import ZERO, parse_amount
from userstream.kernel.errors import DecodeError, RetryLater
from userstream.kernel.ids import AccountId, Millis, OrderId, VenueName
from userstream.venues.binance.amounts import has_numbers, read_amount, read_optional, text_keys, unsound_paths
from userstream.venues.binance.drift import Drift, Word
from userstream.venues.binance.errors import is_keyless_error
from userstream.venues.binance.messages import NO_ORDER
from userstream.venues.binance.order_facts import algo_status
from userstream.venues.binance.reasons import reason_of
from userstream.venues.binance.rows import (
    AccountConfigRow,
    AccountRow,
    AlgoRow,
    BalanceRow,
    IncomeRow,
    ModeRow,
    OrderRow,
    PositionRow,
    Row,
    SymbolConfigRow,
    TradeRow,
)
from userstream.venues.binance.words import (
    INCOME_TYPES,
    MARGIN_TYPES,
    ORDER_TYPES,
    ORIGIN_PREFIXES,
    POSITION_SIDES,
    POST_ONLY,
    SELF_TRADE_PREVENTIONS,
    SIDES,
    STATUS_ORIGINS,
    STATUSES,
    TIMES_IN_FORCE,
    TRAILING,
    WORKING_TYPES,
    origin_of,
)

MOST_LEVERAGE_DIGITS: Final = 9
SNAPSHOT_EXECUTION: Final = "snapshot"
"""The execution type of an order that was read, not told: no single execution brought it about."""

_words_of = attrgetter(
    "side",
    "position_side",
    "order_type",
    "original_type",
    "time_in_force",
    "status",
    "self_trade_prevention",
    "working_type",
    "reduce_only",
    "close_position",
)
"""All that a pattern of an order is made of."""

RowKind = TypeVar("RowKind", bound=Row)

_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NUMBER_STARTS: Final = tuple(b"%c" % start for start in b"-0123456789")


@cache
def _decoder_of(kind: type[RowKind]) -> Callable[[bytes | msgspec.Raw], RowKind]:
    """Made once: it reads all annotations of the row."""
    return msgspec.json.Decoder(kind).decode


@cache
def _list_decoder_of(kind: type[RowKind]) -> Callable[[bytes], list[RowKind]]:
    return msgspec.json.Decoder(list[kind]).decode  # type: ignore[valid-type]


def read_row(body: bytes | msgspec.Raw, kind: type[RowKind], label: str) -> RowKind:
    """One object of an answer. Raises DecodeError that names the field and the call; RetryLater where the body is not the venue's."""
    try:
        row: RowKind = _decoder_of(kind)(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        try:
            row = _read_with_numbers(body, kind)
        except (msgspec.MsgspecError, ValueError, RecursionError) as other:
            named = other if isinstance(other, msgspec.ValidationError) else error
            raise _unreadable(bytes(body), named, label) from None
    _check_sound(row, label)
    return row


def _read_with_numbers(body: bytes | msgspec.Raw, kind: type[RowKind]) -> RowKind:
    """As `read_row`, where amounts that are kept as text came as numbers: the venue's digits become that text. Raises ValueError,
    RecursionError or a MsgspecError where something else is wrong."""
    keys = text_keys(kind)
    texts = {key: _quoted(value) if key in keys else value for key, value in _FIELDS(body).items()}
    row: RowKind = _decoder_of(kind)(msgspec.json.encode(texts))
    return row


def _quoted(value: msgspec.Raw) -> msgspec.Raw:
    digits = bytes(value).strip()
    return msgspec.Raw(b'"%b"' % digits) if digits.startswith(_NUMBER_STARTS) else value


def _check_sound(row: Row, label: str) -> None:
    for path in unsound_paths(row, label):
        raise DecodeError(f"{label}: field {path.removeprefix(label + '.')} is no finite number")


def read_rows(body: bytes, kind: type[RowKind], label: str) -> list[RowKind]:
    """A list of objects; raises as `read_row` does."""
    try:
        rows: list[RowKind] = _list_decoder_of(kind)(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _read_one_by_one(body, kind, label)
    if has_numbers(kind):  # amounts that are text are checked when they are read
        for row in rows:
            _check_sound(row, label)
    return rows


def _read_one_by_one(body: bytes, kind: type[RowKind], label: str) -> list[RowKind]:
    """Where something is wrong: the first row that is says what."""
    try:
        found = _LIST(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _unreadable(body, error, label) from None
    return [read_row(row, kind, label) for row in found]


def _unreadable(body: bytes, error: Exception, label: str) -> DecodeError | RetryLater:
    if not isinstance(error, msgspec.ValidationError) or is_keyless_error(body):
        return RetryLater(f"{label}: an answer that is not the venue's own ({reason_of(error)})")
    return DecodeError(f"{label}: {reason_of(error)}")


class Stamp(TypedDict):
    """What all facts of an answer carry. The venue's time of a fact that was read is the time of what it tells."""

    account: AccountId
    venue: VenueName
    event_time: Millis
    received_time: Millis
    source: Source
    as_of: Millis


class Reading:
    """Makes the facts of one answer. `label` is the call; unknown words are counted under it."""

    __slots__ = ("_drift", "_label", "_patterns", "_received_time", "as_of")

    def __init__(self, drift: Drift, label: str, as_of: Millis, received_time: Millis) -> None:
        self._drift, self._label, self.as_of, self._received_time = drift, label, as_of, received_time
        self._patterns: dict[tuple[object, ...], OrderChanged] = {}

    def stamp(self, event_time: Millis) -> Stamp:
        """The fields that every fact of this answer carries."""
        return {
            "account": self._drift.account,
            "venue": self._drift.venue,
            "event_time": event_time,
            "received_time": self._received_time,
            "source": Source.SNAPSHOT,
            "as_of": self.as_of,
        }

    def word(self, table: dict[str, Word], name: str, word: str, unknown: Word) -> Word:
        """Our word for the venue's in the field `name`; `unknown`, counted, where the table has none."""
        return table.get(word) or self._drift.word(f"{self._label}.{name}", word, unknown)

    def side(self, word: str) -> Side:
        return self.word(SIDES, "side", word, Side.UNKNOWN)

    def _position_side(self, word: str) -> PositionSide:
        return POSITION_SIDES.get(word) or self._drift.word(f"{self._label}.positionSide", word, PositionSide.UNKNOWN)

    def text(self, table: dict[str, str], name: str, word: str) -> str:
        """As `word`, for free text: an unknown word stays itself, in lower case."""
        return table.get(word) or self._drift.text(f"{self._label}.{name}", word)

    def balance(self, row: BalanceRow) -> BalanceSet:
        return BalanceSet(
            **self.stamp(row.update_time),
            asset=row.asset,
            total=row.balance,
            cross_total=row.cross_wallet,
            available=row.available,
            transaction_time=row.update_time,
        )

    def position(self, row: PositionRow) -> PositionSet:
        """USD-M does not tell the margin type here (Binance USD-M, 6.1), COIN-M does."""
        return PositionSet(
            **self.stamp(row.update_time),
            symbol=row.symbol,
            position_side=self._position_side(row.position_side),
            amount=row.amount,
            entry_price=row.entry_price,
            break_even_price=row.break_even_price,
            unrealized_pnl=row.unrealized_pnl,
            margin_type=None if row.margin_type is None else self._margin_type(row.margin_type),
            isolated_wallet=row.isolated_wallet,
            mark_price=row.mark_price,
            liquidation_price=row.liquidation_price,
            transaction_time=row.update_time,
        )

    def account_config(self, row: ModeRow) -> AccountConfigChanged:
        """The modes, and where they are told together whether the account may trade."""
        told = row if isinstance(row, AccountConfigRow) else None
        return AccountConfigChanged(
            **self.stamp(self.as_of),
            hedge_mode=row.hedge_mode,
            multi_asset_mode=None if told is None else told.multi_asset_mode,
            can_trade=None if told is None else told.can_trade,
            transaction_time=self.as_of,
        )

    def account_settings(self, row: AccountRow) -> Iterator[AccountConfigChanged]:
        """Whether the account may trade, then each symbol's settings, once."""
        yield AccountConfigChanged(**self.stamp(self.as_of), can_trade=row.can_trade, transaction_time=self.as_of)
        for symbol, told in {told.symbol: told for told in row.positions}.items():
            yield AccountConfigChanged(
                **self.stamp(self.as_of),
                symbol=symbol,
                leverage=self._leverage(told.leverage),
                margin_type=MarginType.ISOLATED if told.isolated else MarginType.CROSS,
                transaction_time=self.as_of,
            )

    def _leverage(self, told: str | int) -> int:
        text = str(told)
        if not (text.isascii() and text.isdigit() and len(text) <= MOST_LEVERAGE_DIGITS):
            raise DecodeError(f"{self._label}: field positions.leverage is no count")
        return int(text)

    def _margin_type(self, word: str) -> MarginType:
        return MARGIN_TYPES.get(word) or self._drift.word(f"{self._label}.marginType", word, MarginType.UNKNOWN)

    def symbol_config(self, row: SymbolConfigRow) -> AccountConfigChanged:
        return AccountConfigChanged(
            **self.stamp(self.as_of),
            symbol=row.symbol,
            leverage=row.leverage,
            margin_type=self._margin_type(row.margin_type),
            transaction_time=self.as_of,
        )

    def order(self, row: OrderRow) -> OrderChanged:
        """Most words of an order come in few combinations: what one means is found out once, and each row fills in what is its own."""
        try:
            changed = replace(
                self._patterns.get(_words_of(row)) or self._pattern(row),
                event_time=row.update_time,
                symbol=row.symbol,
                order_id=str(row.order_id),
                client_order_id=row.client_order_id,
                price=read_amount(row.price),
                stop_price=read_optional(row.stop_price),
                average_price=read_optional(row.average_price),
                quantity=read_amount(row.quantity),
                filled_quantity=read_amount(row.filled_quantity),
                transaction_time=row.update_time,
                created_time=row.created_time,
            )
            plain = row.activation_price is row.callback_rate is None and row.order_type != TRAILING and not row.good_till_time
            return changed if plain and not row.client_order_id.startswith(ORIGIN_PREFIXES) else _with_rarities(changed, row)
        except DecodeError:
            _check_sound(row, self._label)
            raise

    def _pattern(self, row: OrderRow) -> OrderChanged:
        """Kept unless it holds a word that no table knows: such a word is counted each time."""
        seen_before = self._drift.seen
        pattern = OrderChanged(
            **self.stamp(NO_TIME),
            symbol=row.symbol,
            order_id=NO_ORDER,
            client_order_id=row.client_order_id,
            side=self.side(row.side),
            position_side=self._position_side(row.position_side),
            order_type=self.text(ORDER_TYPES, "type", row.order_type),
            original_type=self.text(ORDER_TYPES, "origType", row.original_type),
            time_in_force=self.text(TIMES_IN_FORCE, "timeInForce", row.time_in_force),
            status=STATUSES.get(row.status) or self._drift.word(f"{self._label}.status", row.status, OrderStatus.UNKNOWN),
            execution_type=SNAPSHOT_EXECUTION,
            price=ZERO,
            quantity=ZERO,
            filled_quantity=ZERO,
            reduce_only=row.reduce_only,
            post_only=row.time_in_force in POST_ONLY,
            close_position=row.close_position,
            origin=STATUS_ORIGINS.get(row.status, Origin.OWN),
            transaction_time=NO_TIME,
            self_trade_prevention=self.text(SELF_TRADE_PREVENTIONS, "selfTradePreventionMode", row.self_trade_prevention),
            working_type=self.text(WORKING_TYPES, "workingType", row.working_type),
        )
        if self._drift.seen == seen_before:
            self._patterns[_words_of(row)] = pattern
        return pattern

    def conditional_order(self, row: AlgoRow) -> OrderChanged:
        triggered = "" if row.actual_order_id in (None, 0, "0") else str(row.actual_order_id)
        filled = self._amount("actualQty", row.actual_quantity) or ZERO
        return OrderChanged(
            **self.stamp(row.update_time),
            symbol=row.symbol,
            order_id=OrderId(str(row.algo_id)),
            client_order_id=row.client_algo_id,
            side=self.side(row.side),
            position_side=self._position_side(row.position_side),
            order_type=self.text(ORDER_TYPES, "orderType", row.order_type),
            time_in_force=self.text(TIMES_IN_FORCE, "timeInForce", row.time_in_force),
            status=algo_status(self._drift, f"{self._label}.algoStatus", row.status, row.quantity, filled),
            execution_type=SNAPSHOT_EXECUTION,
            price=row.price,
            stop_price=row.trigger_price,
            average_price=self._amount("actualPrice", row.actual_price) if triggered else None,
            quantity=row.quantity,
            filled_quantity=filled,
            reduce_only=row.reduce_only,
            post_only=row.time_in_force in POST_ONLY,
            close_position=row.close_position,
            origin=origin_of(row.client_algo_id),
            transaction_time=row.update_time,
            created_time=row.created_time,
            good_till_time=row.good_till_time,
            conditional=True,
            triggered_order_id=OrderId(triggered),
            self_trade_prevention=self.text(SELF_TRADE_PREVENTIONS, "selfTradePreventionMode", row.self_trade_prevention),
            working_type=self.text(WORKING_TYPES, "workingType", row.working_type),
        )

    def _amount(self, name: str, text: str | None) -> Decimal | None:
        try:
            return parse_amount(text) if text else None
        except ValueError:
            raise DecodeError(f"{self._label}: field {name} is no finite number") from None

    def fill(self, row: TradeRow) -> Filled:
        """The trade history does not tell client order ids (Binance USD-M, 6.1)."""
        try:
            return Filled(
                **self.stamp(row.time),
                symbol=row.symbol,
                order_id=OrderId(str(row.order_id)),
                trade_id=str(row.trade_id),
                side=self.side(row.side),
                position_side=self._position_side(row.position_side),
                price=read_amount(row.price),
                quantity=read_amount(row.quantity),
                fee=read_optional(row.fee),
                fee_asset=None if row.fee is None else row.fee_asset,
                maker=row.maker,
                realized_pnl=read_optional(row.realized_pnl),
                transaction_time=row.time,
            )
        except DecodeError:
            _check_sound(row, self._label)
            raise

    def movement(self, row: IncomeRow) -> BalanceMoved:
        """The id is unique: the venue's own one is so for its type only."""
        return BalanceMoved(
            **self.stamp(row.time),
            asset=row.asset,
            delta=row.income,
            reason=self.text(INCOME_TYPES, "incomeType", row.income_type),
            symbol=row.symbol or None,
            movement_id=f"{row.income_type}:{row.transfer_id}",
            transaction_time=row.time,
        )


def _with_rarities(changed: OrderChanged, row: OrderRow) -> OrderChanged:
    """With what few orders have."""
    origin = origin_of(row.client_order_id)
    return replace(
        changed,
        stop_price=None if row.order_type == TRAILING else changed.stop_price,
        origin=changed.origin if origin is Origin.OWN else origin,
        good_till_time=row.good_till_time,
        activation_price=read_optional(row.activation_price),
        callback_rate=read_optional(row.callback_rate),
    )
