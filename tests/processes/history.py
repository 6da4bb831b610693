"""A history beside the truth: what a store says happened to an account, held against the exchange's own books.

The store is read as any other process would read it, the books come from the exchange. Each law is a function that answers with findings
in words; no finding means that the law holds. The laws:
- sequences grow, and the events of a record follow each other;
- each fill stands in the journal once, with the amounts of the books, and none was invented;
- orders only go forward, and never beyond the books;
- coverage is honest at every moment of the journal: what it calls PROVEN or REPAIRED lacked no fill when it said so;
- the tables are the fold of the journal up to the position that they name;
- a checkpoint says what the journal says up to its sequence;
- once all has come to rest, nothing is missing since the certificate began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from userstream.adapters.memory import MemoryProjection
from userstream.adapters.sequences import last_of
from userstream.adapters.sqlite import open_reader
from userstream.domain.account import Account
from userstream.domain.coverage import COVERAGE_EVENTS, Coverage, CoverageState, fold_coverage
from userstream.domain.events import Event, FillCompleted, Filled, OrderChanged
from userstream.domain.fold import apply
from userstream.domain.words import FINAL, OrderStatus
from userstream.entry.followers import PROJECTOR
from userstream.kernel.ids import AccountId, VenueName
from userstream.ports import Record, StoredRecord

Row: TypeAlias = dict[str, object]
FOLDED: Final = ("orders", "fills", "positions", "balances", "movements", "margin_calls", "account_events", "coverage")
CLAIMS: Final = frozenset({CoverageState.PROVEN, CoverageState.REPAIRED})
ALL: Final = 10_000_000
PAGE: Final = 5_000


class FillName(NamedTuple):
    """What makes a fill the one that it is."""

    symbol: str
    trade_id: str
    order_id: str


class BookFill(msgspec.Struct, frozen=True):
    """A fill in the exchange's books."""

    symbol: str
    trade_id: int
    order_id: int
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    time: int

    @property
    def name(self) -> FillName:
        return FillName(self.symbol, str(self.trade_id), str(self.order_id))


class BookOrder(msgspec.Struct, frozen=True):
    """An order in the exchange's books."""

    symbol: str
    order_id: int
    status: str
    filled_quantity: Decimal


class Books(msgspec.Struct, frozen=True):
    """The exchange's own books of one account."""

    account: str
    time: int
    orders: list[BookOrder]
    fills: list[BookFill]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a store holds of one account, read at one moment at which nobody wrote."""

    account: str
    records: list[StoredRecord]
    position: int
    tables: dict[str, list[Row]]
    checkpoint: tuple[int, tuple[Event, ...]]

    @property
    def own(self) -> list[Record]:
        """The account's records in the order of the journal."""
        return [stored.record for stored in self.records if stored.record.account == self.account]

    @property
    def events(self) -> Iterator[Event]:
        return (event for record in self.own for event in record.events)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a history stands. Sound: no law is broken."""

    records: int
    fills: int
    lost: int
    doubled: int
    invented: int
    findings: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        return not self.findings


async def read_history(path: Path, account: str) -> History:
    """Reads a store from outside. Raises StoreError where that cannot be done."""
    records: list[StoredRecord] = []
    async with open_reader(path) as reader:
        while part := await reader.read(after=records[-1].position if records else 0, limit=PAGE):
            records += part
        return History(
            account=account,
            records=records,
            position=await reader.position(PROJECTOR),
            tables={table: await reader.rows(table, limit=ALL) for table in FOLDED},
            checkpoint=await reader.load_checkpoint(AccountId(account)),
        )


async def judge(history: History, books: Books, *, settled: bool = False) -> Verdict:
    """Holds a history against the books. `settled`: the account was healthy at the end and nothing was traded since, so that nothing at
    all may be missing."""
    doubled, invented = find_doubled(history), find_invented(history, books)
    lost = find_lost(history, books) if settled else []
    findings = [
        *(f"doubled: fill {name}" for name in doubled),
        *(f"invented: fill {name}" for name in invented),
        *(f"lost: fill {name}" for name in lost),
        *check_sequences(history),
        *check_fills(history, books),
        *check_orders(history, books),
        *check_coverage(history, books),
        *await check_tables(history),
        *check_checkpoint(history),
    ]
    return Verdict(
        records=len(history.own),
        fills=len(set(_fill_names(history))),
        lost=len(lost),
        doubled=len(doubled),
        invented=len(invented),
        findings=tuple(findings),
    )


# --- fills ---


def _name_of(event: Filled | FillCompleted) -> FillName:
    return FillName(str(event.symbol), event.trade_id, str(event.order_id))


def _fill_names(history: History) -> list[FillName]:
    return [_name_of(event) for event in history.events if isinstance(event, Filled)]


def find_doubled(history: History) -> list[FillName]:
    """Fills that the journal tells more than once."""
    return [name for name, times in Counter(_fill_names(history)).items() if times > 1]


def find_invented(history: History, books: Books) -> list[FillName]:
    """Fills that the exchange knows nothing of."""
    return sorted(set(_fill_names(history)) - {fill.name for fill in books.fills})


def find_lost(history: History, books: Books) -> list[FillName]:
    """Fills of the books since the certificate began that the journal does not tell."""
    coverage = fold_coverage(Coverage(), history.events)
    began = coverage.spans[0].since if coverage.spans else books.time
    told = set(_fill_names(history))
    return [fill.name for fill in books.fills if fill.time >= began and fill.name not in told]


def check_fills(history: History, books: Books) -> list[str]:
    """What is told of a fill is what the books say of it, and its rest follows it, once."""
    true, told, completed, wrong = {fill.name: fill for fill in books.fills}, set[FillName](), set[FillName](), []
    for event in history.events:
        if not isinstance(event, Filled | FillCompleted):
            continue
        name = _name_of(event)
        fee = true[name].fee if name in true else None
        if isinstance(event, Filled):
            told.add(name)
            amounts = (event.side.value, event.price, event.quantity)
            if name in true and amounts != (true[name].side, true[name].price, true[name].quantity):
                wrong.append(f"fill {name} is told as {amounts}")
        elif name not in told or name in completed:
            wrong.append(f"the rest of fill {name} came alone or twice ({event.sequence})")
        if event.fee is not None:
            completed.add(name)
            if fee is not None and event.fee != fee:
                wrong.append(f"fill {name} has fee {event.fee}, in the books {fee}")
    return wrong


# --- orders ---


def check_orders(history: History, books: Books) -> list[str]:
    """No order goes back, leaves a final state, or is further than in the books. Conditional orders stand in books of their own."""
    true = {(order.symbol, str(order.order_id)): order for order in books.orders}
    known: dict[tuple[str, str], OrderChanged] = {}
    wrong = []
    for event in history.events:
        if not isinstance(event, OrderChanged) or event.conditional:
            continue
        key = (str(event.symbol), str(event.order_id))
        before = known.get(key)
        if before is not None and not _is_forward(before, event):
            wrong.append(f"order {key} went from {_stage(before)} back to {_stage(event)} ({event.sequence})")
        if key not in true:
            wrong.append(f"order {key} was invented")
        elif not _is_within(event, true[key]):
            wrong.append(f"order {key} is told as {_stage(event)}, in the books {true[key].status} {true[key].filled_quantity}")
        known[key] = event
    return wrong


def _stage(order: OrderChanged) -> str:
    return f"{order.status} {order.filled_quantity}"


def _is_forward(before: OrderChanged, after: OrderChanged) -> bool:
    if before.status in FINAL and after.status is not before.status:
        return False
    return after.filled_quantity >= before.filled_quantity


def _is_within(told: OrderChanged, true: BookOrder) -> bool:
    if told.filled_quantity > true.filled_quantity:
        return False
    status = OrderStatus.EXPIRED if true.status == "expired_in_match" else true.status
    return told.status not in FINAL or told.status == status


# --- the journal ---


def check_sequences(history: History) -> list[str]:
    """Records grow in position and sequence; the events of a record count on from it."""
    wrong, position, reached = [], 0, 0
    for stored in history.records:
        if stored.position <= position:
            wrong.append(f"position {stored.position} comes after {position}")
        position = stored.position
    for record in history.own:
        if record.sequence <= reached:
            wrong.append(f"sequence {record.sequence} comes after {reached}")
        if [event.sequence for event in record.events] != list(range(record.sequence, record.sequence + len(record.events))):
            wrong.append(f"the events of record {record.sequence} do not count on")
        reached = last_of(record)
    return wrong


def check_coverage(history: History, books: Books) -> list[str]:
    """At every moment of the journal: time that was called PROVEN or REPAIRED then lacked none of its fills then."""
    missing = {fill.name: fill.time for fill in books.fills}
    coverage, wrong = Coverage(), []
    for event in history.events:
        if isinstance(event, Filled):
            missing.pop(_name_of(event), None)
        elif isinstance(event, COVERAGE_EVENTS):
            coverage = fold_coverage(coverage, [event])
            found = {name: time for name, time in missing.items() if _claims(coverage, time)}
            wrong += [
                f"dishonest: {event.sequence} claims the time {time}, at which fill {name} is missing" for name, time in found.items()
            ]
            missing = {name: time for name, time in missing.items() if name not in found}
    return wrong


def _claims(coverage: Coverage, time: int) -> bool:
    return any(span.state in CLAIMS and span.since <= time and (span.until is None or time < span.until) for span in coverage.spans)


async def check_tables(history: History) -> list[str]:
    """The tables are what the journal makes, up to the position that is saved with them."""
    reached = [stored for stored in history.records if stored.position <= history.position]
    fold = MemoryProjection()
    await fold.apply(PROJECTOR, reached)
    kept, made = history.tables, {table: await fold.rows(table, limit=ALL) for table in FOLDED}
    torn = [table for table in FOLDED if made[table] != kept[table]]
    wrong = [f"table {table} is not the fold of the journal: {_contrast(made[table], kept[table])}" for table in torn]
    if history.position and (not reached or reached[-1].position != history.position):
        wrong.append(f"the tables stand at position {history.position}, which the journal does not have")
    return wrong


def _contrast(made: list[Row], kept: list[Row]) -> str:
    """The first of what differs; nothing where only the order does."""
    absent, extra = [row for row in made if row not in kept], [row for row in kept if row not in made]
    return f"{len(absent)} rows absent {absent[:1]}, {len(extra)} rows too many {extra[:1]}"


def check_checkpoint(history: History) -> list[str]:
    """What a restart would read from the checkpoint is what it would read from the journal."""
    sequence, events = history.checkpoint
    if not sequence:
        return []
    told = [event for record in history.own if last_of(record) <= sequence for event in record.events]
    saved, folded = _account_of(history, events), _account_of(history, told)
    wrong = [f"the checkpoint at {sequence} differs in {what}" for what, kept in _summary(saved).items() if kept != _summary(folded)[what]]
    fills = {key for symbol in folded.fills.values() for key in symbol}
    wrong += [f"the checkpoint at {sequence} invents fill {key}" for symbol in saved.fills.values() for key in symbol if key not in fills]
    return wrong


def _account_of(history: History, events: tuple[Event, ...] | list[Event]) -> Account:
    # what was told had won already, by whatever lag that client allows for
    account = Account(AccountId(history.account), VenueName(""), lag_ms=0)
    for event in events:
        apply(account, event)
    return account


def _summary(account: Account) -> dict[str, object]:
    """All that is open, without stamps: those change with every copy of the same news."""
    return {
        "open orders": {key: (order.status, order.filled_quantity, order.quantity) for key, order in _open_orders(account)},
        "positions": {key: leg.amount for key, leg in account.positions.items() if leg.amount},
        "balances": {asset: balance.total for asset, balance in account.balances.items() if balance.total},
    }


def _open_orders(account: Account) -> list[tuple[object, OrderChanged]]:
    return [(key, order) for key, order in account.orders.items() if order.status not in FINAL]
