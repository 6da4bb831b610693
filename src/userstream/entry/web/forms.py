"""What the API answers with: the common vocabulary as plain JSON, decimals as text, times in milliseconds. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from userstream.domain.access import Role
from userstream.domain.account import Account
from userstream.domain.audit import AuditEntry
from userstream.domain.certificate import Certificate, public_certificate
from userstream.domain.figures import Balance, Order, Position, balance_of, order_of, position_of
from userstream.domain.words import StreamState
from userstream.entry.web.last_known import LastKnown, known_of_ended
from userstream.kernel.amount import plain_amount
from userstream.runtime.live import LiveAccount
from userstream.runtime.views import Health

WHOLE: Final = "False while the registry cannot be read: accounts that it keeps switched off, or was given a moment ago, are missing then."


class OrderForm(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it is now."""

    symbol: str
    order_id: str
    client_order_id: str
    side: str
    position_side: str
    order_type: str
    time_in_force: str
    status: str
    price: str
    stop_price: str | None
    average_price: str | None
    quantity: str
    filled_quantity: str
    reduce_only: bool
    post_only: bool
    conditional: bool
    triggered_order_id: str
    origin: str
    updated_time: int
    is_open: bool


class PositionForm(msgspec.Struct, frozen=True, kw_only=True):
    """One leg as it is now; short amounts are negative, and null is what the venue has not said."""

    symbol: str
    position_side: str
    amount: str
    entry_price: str
    break_even_price: str | None
    unrealized_pnl: str | None
    mark_price: str | None
    liquidation_price: str | None
    margin_type: str | None
    isolated_wallet: str | None
    leverage: int | None
    updated_time: int


class BalanceForm(msgspec.Struct, frozen=True, kw_only=True):
    """One asset as it is now."""

    asset: str
    total: str
    cross_total: str | None
    available: str | None
    available_time: int
    updated_time: int


class AccountPosition(PositionForm, frozen=True, kw_only=True):
    """A leg, and whose it is. known_until: as in `StateForm`."""

    account: str
    known_until: int | None = None


class AccountBalance(BalanceForm, frozen=True, kw_only=True):
    """A wallet, and whose it is. known_until: as in `StateForm`."""

    account: str
    known_until: int | None = None


class AccountForm(msgspec.Struct, frozen=True, kw_only=True):
    """An account that the service knows. is_enabled: whether it is to run; false for one that the registry keeps switched off.
    is_connected: whether it runs. health: null where it does not, except that of one which was
    given up, as the venue refuses its key: it says why. sequence: its newest event."""

    account: str
    venue: str
    is_enabled: bool = True
    is_connected: bool
    is_healthy: bool
    sequence: int | None = None
    complete_since: int | None = None
    health: Health | None = None


class AccountList(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts of a service, as far as they can be known now: a list that is not whole still has those that run or are to run."""

    items: list[AccountForm]
    is_whole: Annotated[bool, Meta(description=WHOLE)]


class StateForm(msgspec.Struct, frozen=True, kw_only=True):
    """All that is true of an account after the event `sequence`: open orders, held legs, wallets. Of one that does not run it is what the
    store knew last: `health` is null then (of one that was given up it says why), and known_until says when the newest of it came (our
    clock, ms; 0: never heard of). It is null where the account runs."""

    account: str
    venue: str
    sequence: int
    is_connected: bool
    known_until: int | None
    health: Health | None
    orders: list[OrderForm]
    positions: list[PositionForm]
    balances: list[BalanceForm]


class PositionList(msgspec.Struct, frozen=True, kw_only=True):
    items: list[AccountPosition]


class BalanceList(msgspec.Struct, frozen=True, kw_only=True):
    items: list[AccountBalance]


class IntervalForm(msgspec.Struct, frozen=True, kw_only=True):
    """Venue time (ms) from `since` to before `until`; `fills` counts those known, by the way they were learned."""

    since: int
    until: int
    state: str
    fills: dict[str, int] = {}


class CertificateForm(msgspec.Struct, frozen=True, kw_only=True):
    """What can be said of the account's fills; the same as `userstream audit --json`."""

    account: str
    venue: str
    since: int
    until: int
    is_whole: bool
    is_growing: bool
    complete_since: int | None
    proven_until: int | None
    intervals: list[IntervalForm]
    holes: list[IntervalForm]
    mismatches: list[dict[str, str | int | bool | None]]


class AuditForm(msgspec.Struct, frozen=True, kw_only=True):
    """A deed, and its place in the chain of hashes."""

    sequence: int
    time: int
    actor: str
    origin: str
    action: str
    subject: str
    result: str
    detail: str
    previous: str
    hash: str


class AuditList(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first; next_after: what to give as `after` for what follows, null at the end."""

    items: list[AuditForm]
    next_after: int | None


class TicketForm(msgspec.Struct, frozen=True, kw_only=True):
    """Opens one live feed, once, within `lives_ms`."""

    ticket: str
    lives_ms: int


class CallerForm(msgspec.Struct, frozen=True, kw_only=True):
    """Whose token it is."""

    token_id: str
    name: str
    role: Role


class ServiceHealth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """status: ok or failing. Callers with a token are told more: `unhealthy` names the accounts that are not, with the reason."""

    status: str
    accounts: int | None = None
    unhealthy: dict[str, str] | None = None


def order_form(order: Order) -> OrderForm:
    return msgspec.convert(_plain(order, ("is_gone",)) | {"is_open": order.is_open}, OrderForm)


def position_form(position: Position) -> PositionForm:
    return msgspec.convert(_plain(position), PositionForm)


def balance_form(balance: Balance) -> BalanceForm:
    return msgspec.convert(_plain(balance), BalanceForm)


def has_ended(account: LiveAccount) -> bool:
    """Whether it was given up, or stopped: nothing is heard of it any more, and nothing is tried."""
    return account.state in (StreamState.FAILED, StreamState.STOPPED)


def account_form(account: LiveAccount) -> AccountForm:
    """An account that runs, or was given up."""
    health = account.health
    return AccountForm(
        account=account.id,
        venue=account.venue,
        is_connected=not has_ended(account),
        is_healthy=health.is_healthy,
        sequence=account.sequence,
        complete_since=account.complete_since,
        health=health,
    )


def dark_form(name: str, venue: str, *, is_enabled: bool = True) -> AccountForm:
    """An account that does not run."""
    return AccountForm(account=name, venue=venue, is_enabled=is_enabled, is_connected=False, is_healthy=False)


def state_form(live: LiveAccount) -> StateForm:
    """The picture as it is now, of one moment: nothing is awaited while it is taken. Of an account that was given up, the last one."""
    if has_ended(live):
        return last_state_form(known_of_ended(live), live.health)
    orders, positions, balances = picture_of(live.parts[0].account)
    return StateForm(
        account=live.id,
        venue=live.venue,
        sequence=live.sequence,
        is_connected=True,
        known_until=None,
        health=live.health,
        orders=orders,
        positions=positions,
        balances=balances,
    )


def last_state_form(known: LastKnown, health: Health | None = None) -> StateForm:
    """The picture of an account that does not run; `health`: of one that was given up."""
    orders, positions, balances = picture_of(known.account)
    return StateForm(
        account=known.account.id,
        venue=known.account.venue,
        sequence=known.sequence,
        is_connected=False,
        known_until=known.known_until,
        health=health,
        orders=orders,
        positions=positions,
        balances=balances,
    )


def picture_of(account: Account) -> tuple[list[OrderForm], list[PositionForm], list[BalanceForm]]:
    """Open orders, held legs and all wallets."""
    return (
        [order_form(order_of(event)) for event in account.open_orders()],
        [position_form(position_of(account, event)) for event in account.positions.values() if event.amount],
        [balance_form(balance_of(account, event)) for event in account.balances.values()],
    )


def certificate_form(certificate: Certificate) -> CertificateForm:
    return msgspec.convert(msgspec.to_builtins(public_certificate(certificate)), CertificateForm)


def audit_form(entry: AuditEntry) -> AuditForm:
    fields = msgspec.structs.asdict(entry.note)
    return AuditForm(sequence=entry.sequence, **fields, previous=entry.previous, hash=entry.hash)


def owned_position(state: StateForm, form: PositionForm) -> AccountPosition:
    return AccountPosition(account=state.account, known_until=state.known_until, **msgspec.structs.asdict(form))


def owned_balance(state: StateForm, form: BalanceForm) -> AccountBalance:
    return AccountBalance(account=state.account, known_until=state.known_until, **msgspec.structs.asdict(form))


def _plain(value: msgspec.Struct, without: tuple[str, ...] = ()) -> dict[str, object]:
    """Fields with amounts as text; words of the vocabulary are text already, and are made plain."""
    return {name: _text(getattr(value, name)) for name in value.__struct_fields__ if name not in without}


def _text(value: object) -> object:
    if isinstance(value, Decimal):
        return plain_amount(value)
    return str(value) if isinstance(value, str) else value
