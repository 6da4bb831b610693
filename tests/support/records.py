"""Records for tests of journals and tables: one in a word, and histories of several accounts drawn by chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from hypothesis import strategies as st

from tests.support.events import BUILDERS, balance_set, fill_completed, filled, order_changed, position_set
from userstream.adapters.sequences import last_of
from userstream.adapters.sqlite_batches import Batch, OpenBatch
from userstream.domain.events import Event, Frame, stamp
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Record, StoredRecord

ACCOUNTS: Final = ("alice", "bob", "чарли")


def record(*events: Event, account: str = "alice", sequence: int = 1, frame: bytes = b'{"e":"X"}', received_time: int = 1_000) -> Record:
    """A record whose events have places from `sequence` on and the bytes of the frame."""
    told = Frame.of(frame) if frame else None
    for place, event in enumerate(events, sequence):
        stamp(event, place, told)
    return Record(AccountId(account), sequence, Millis(received_time), 1, frame, events)


def row_of_records(count: int, *, account: str = "alice", first: int = 1, build: Callable[..., Event] | None = None) -> list[Record]:
    """Records of one event each, with sequences that follow each other."""
    make = build or BUILDERS[1]
    return [record(make(account=account), account=account, sequence=first + place) for place in range(count)]


def place(records: list[Record], first: int = 1) -> list[StoredRecord]:
    """Positions as some journal would give them."""
    return [StoredRecord(position, one) for position, one in enumerate(records, first)]


AMOUNTS: Final = st.decimals(min_value=-1_000, max_value=1_000, places=8).map(str) | st.sampled_from(
    ["0", "0.00000000", "0.000000010", "5"]
)
TIMES: Final = st.integers(min_value=1, max_value=60)
CHOICES: Final[Mapping[str, st.SearchStrategy[object]]] = MappingProxyType(
    {
        "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        "order_id": st.sampled_from(["1", "2"]),
        "trade_id": st.sampled_from(["71", "72"]),
        "conditional": st.booleans(),
        "status": st.sampled_from(["new", "partially_filled", "filled", "canceled"]),
        "asset": st.sampled_from(["USDT", "BNB"]),
        "price": AMOUNTS,
        "amount": AMOUNTS,
        "total": AMOUNTS,
        "delta": AMOUNTS,
        "fee": st.none() | AMOUNTS,
        "maker": st.none() | st.booleans(),
        "movement_id": st.sampled_from(["", "9001", "9002"]),
        "since": TIMES,
        "until": TIMES,
        "started_time": TIMES,
        "proven_until": st.just(0) | TIMES,
        "event_time": st.just(0) | TIMES,
        "received_time": TIMES,
        "state": st.sampled_from(["connecting", "syncing", "live", "stale", "polling", "failed", "stopped"]),
        "name": st.sampled_from(["event NEWS", 'a "quoted" \\ name', "новое", '"price":"1E-9"']),
        "source": st.sampled_from(["stream", "snapshot", "poll"]),
    }
)


# What replaces and completes comes often, so that events of one key meet.
KINDS: Final = (*BUILDERS, *(order_changed, filled, fill_completed, position_set, balance_set) * 4)


@st.composite
def some_event(draw: st.DrawFn, account: str) -> Event:
    """Any kind of event, its keys from a few, so that events meet."""
    build: Callable[..., Event] = draw(st.sampled_from(KINDS))
    kind = type(build())
    names = kind.__struct_fields__
    fields = {name: draw(choice) for name, choice in CHOICES.items() if name in names and (kind.__name__, name) not in WORDS}
    return build(account=account, **fields)


WORDS: Final = frozenset({("OrderListChanged", "status"), ("StrategyChanged", "status")})


@st.composite
def histories(draw: st.DrawFn, max_size: int = 12) -> list[Record]:
    """Records of some accounts, mixed; each account's sequences grow, with holes."""
    reached: dict[str, int] = {}
    history: list[Record] = []
    for _ in range(draw(st.integers(min_value=1, max_value=max_size))):
        account = draw(st.sampled_from(ACCOUNTS))
        events = draw(st.lists(some_event(account), max_size=3))
        sequence = reached.get(account, 0) + draw(st.integers(min_value=1, max_value=3))
        frame = draw(st.sampled_from([b"", b'{"e":"ORDER_TRADE_UPDATE"}', b"\x00\xff"]))
        history.append(record(*events, account=account, sequence=sequence, frame=frame, received_time=draw(TIMES)))
        reached[account] = last_of(history[-1])
    return history


@st.composite
def cut(draw: st.DrawFn, records: list[Record]) -> list[list[Record]]:
    """The records in batches of any size."""
    batches: list[list[Record]] = [[]]
    for one in records:
        if draw(st.booleans()) and batches[-1]:
            batches.append([])
        batches[-1].append(one)
    return batches


def cut_histories(max_size: int = 12) -> st.SearchStrategy[list[list[Record]]]:
    return histories(max_size).flatmap(cut)


def make_batch(records: Iterable[Record], next_position: int, *, keeps_records: bool = True) -> Batch:
    """A batch of these records, its rows from that position on."""
    batch = OpenBatch(keeps_records=keeps_records)
    for one in records:
        batch.add(one)
    return batch.close(next_position)
