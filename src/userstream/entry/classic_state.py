"""`StateManager`: what a handler would add up from messages, read from the account instead, so that it is right after every gap."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

from userstream.domain.events import BalanceSet, Event, GapRepaired, OrderChanged, PositionSet, StreamChanged
from userstream.domain.figures import Balance, Order, Position
from userstream.domain.words import PositionSide, StreamState
from userstream.kernel.amount import format_amount
from userstream.kernel.errors import ConnectionError, SettingsError, UserStreamError
from userstream.runtime.live import LiveAccount

Row = dict[str, str]
Rows = dict[str, Row]
REMEMBERED_ORDERS: Final = 1_000


class Stream(Protocol):
    """What is needed of a `UserDataStreamAPI`."""

    @property
    def account(self) -> LiveAccount | None: ...

    @property
    def can_recover(self) -> bool: ...


class StateManager:
    """Positions, balances and orders of a stream, always as new as its last event, and right again after every gap.

    What a handler adds up from messages is wrong once messages were lost; this is read from the account, which reads the venue's books
    after a gap (with `api_secret` in the stream's config). `on_recovered` is called on the event loop when that has happened. All reads
    are copies in the venue's words, amounts as text; they are safe from any thread. Make it when the stream has started (else it raises
    UserStreamError).
    """

    def __init__(self, stream: Stream, on_recovered: Callable[[StateManager], None] | None = None) -> None:
        self._stream, self._on_recovered = stream, on_recovered
        self._account: LiveAccount | None = None
        self._lock = Lock()
        self._positions: Rows = {}
        self._balances: Rows = {}
        self._orders: Rows = {}
        self._ended: dict[str, None] = {}
        self._copy_all(self._follow())

    @property
    def positions(self) -> Rows:
        """The legs that are held, by symbol; in hedge mode by `SYMBOL:LONG` and `SYMBOL:SHORT`."""
        return self._copy_of(self._positions)

    @property
    def balances(self) -> Rows:
        """The wallets, by asset."""
        return self._copy_of(self._balances)

    @property
    def orders(self) -> Rows:
        """The open orders and the last 1000 that ended, by client order id."""
        return self._copy_of(self._orders)

    async def sync_state(self, timeout: float | None = 30.0) -> None:
        """Returns when everything is proven equal to the venue's books. `timeout` in seconds. Raises SettingsError when the stream's
        config has no `api_secret`, ConnectionError when the time is over, AuthenticationError when the venue refuses the key."""
        if not self._stream.can_recover:
            raise SettingsError("the state is read by REST, which needs api_secret in the stream's config")
        account = self._follow()
        try:
            await account.wait_proven(timeout)
        except TimeoutError as error:
            raise ConnectionError(str(error)) from None
        self._copy_all(account)

    def _follow(self) -> LiveAccount:
        account = self._stream.account
        if account is None:
            raise UserStreamError("the stream is not running: start it first")
        if account is not self._account:
            self._account = account
            account.on(OrderChanged, PositionSet, BalanceSet, GapRepaired, StreamChanged, handler=self._take)
        return account

    def _take(self, event: Event) -> None:
        account = self._account
        if account is None or event.account != account.id:
            return
        match event:
            case OrderChanged(order_id=order_id) if (order := account.orders.get(order_id)) is not None:
                self._put_order(order)
            case PositionSet(symbol=symbol, position_side=side):
                self._put_position(account.positions.leg(symbol, side))
            case BalanceSet(asset=asset) if (balance := account.balances.get(asset)) is not None:
                self._put_balance(balance)
            case GapRepaired() | StreamChanged(state=StreamState.LIVE):
                self._copy_all(account)
                if self._on_recovered is not None:
                    self._on_recovered(self)
            case _:
                pass

    def _copy_all(self, account: LiveAccount) -> None:
        """Orders that the account has forgotten are forgotten here; nobody sees a state in between."""
        with self._lock:
            for rows in (self._positions, self._balances, self._orders, self._ended):
                rows.clear()
            for order in account.orders:
                self._set_order(order)
            for position in account.positions:
                self._set_position(position)
            for balance in account.balances:
                self._balances[balance.asset] = _balance_row(balance)

    def _put_order(self, order: Order) -> None:
        with self._lock:
            self._set_order(order)

    def _put_position(self, position: Position) -> None:
        with self._lock:
            self._set_position(position)

    def _put_balance(self, balance: Balance) -> None:
        with self._lock:
            self._balances[balance.asset] = _balance_row(balance)

    def _set_order(self, order: Order) -> None:
        key = order.client_order_id or order.order_id
        self._orders[key] = _order_row(order)
        self._ended.pop(key, None)
        if not order.is_open:
            self._ended[key] = None
            if len(self._ended) > REMEMBERED_ORDERS:
                oldest = next(iter(self._ended))
                del self._ended[oldest], self._orders[oldest]

    def _set_position(self, position: Position) -> None:
        both = position.position_side is PositionSide.BOTH
        key = str(position.symbol) if both else f"{position.symbol}:{position.position_side.upper()}"
        if position.amount:
            self._positions[key] = _position_row(position)
        else:
            self._positions.pop(key, None)

    def _copy_of(self, rows: Rows) -> Rows:
        with self._lock:
            return {key: dict(row) for key, row in rows.items()}


def _order_row(order: Order) -> Row:
    return {
        "symbol": order.symbol,
        "side": order.side.upper(),
        "type": order.order_type.upper(),
        "status": order.status.upper(),
        "price": format_amount(order.price),
        "quantity": format_amount(order.quantity),
        "filled_quantity": format_amount(order.filled_quantity),
        "order_id": order.order_id,
    }


def _position_row(position: Position) -> Row:
    profit = position.unrealized_pnl
    return {
        "amount": format_amount(position.amount),
        "entry_price": format_amount(position.entry_price),
        "unrealized_pnl": "" if profit is None else format_amount(profit),
    }


def _balance_row(balance: Balance) -> Row:
    cross = balance.cross_total
    return {"wallet_balance": format_amount(balance.total), "cross_wallet_balance": "" if cross is None else format_amount(cross)}
