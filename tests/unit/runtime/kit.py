"""One account of the real venue dialect in a shell whose network, journal and clock a test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from tests.support.clock import ManualClock
from tests.support.transport import PipeSocket, PipeTransport, RecordingHttp, json_answer
from tests.unit.venues.binance.kit import encoded, order_frame, place
from userstream.adapters.memory import MemoryJournal
from userstream.domain.events import Event
from userstream.domain.words import StreamState
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.ports import Journal, Record
from userstream.runtime.gate import Gate
from userstream.runtime.live import LiveAccount
from userstream.runtime.runner import AccountRunner
from userstream.venues import find_venue
from userstream.wire.machine import Machine, MachinePolicy
from userstream.wire.pacing import WeightBudget
from userstream.wire.question import Answer, Question, RestDialect, Traits
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.venue import AccountPlace, Credentials

SPEC = find_venue("binance-usdm")
STREAM_ONLY = Credentials(api_key=Secret("keyWithoutASecret"))
CREATE = "POST /fapi/v1/listenKey"
CLOSE = "DELETE /fapi/v1/listenKey"
STOP_MS = 5_000
LIVE_MS = 300_000


class HeldJournal(MemoryJournal):
    """Says so many records wait as a test wants; refuses when it has a `refusal`; `is_stuck`: flushes never end."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.refusal: str | None = None
        self.is_stuck = self.is_refusing_records = False

    @property
    def backlog(self) -> int:
        return self.held or super().backlog

    def append(self, record: Record) -> None:
        if self.refusal is not None or self.is_refusing_records:
            raise StoreError(self.refusal or "no more are taken")
        super().append(record)

    async def flush(self) -> None:
        if self.refusal is not None:
            raise StoreError(self.refusal)
        if self.is_stuck:
            await asyncio.get_running_loop().create_future()
        await super().flush()


class CountedDialect:
    """A dialect that counts how often a call was made, which is how often it was signed."""

    def __init__(self, dialect: RestDialect) -> None:
        self._dialect = dialect
        self.signed = 0
        self.weighed: list[tuple[int, int]] = []
        self.spoiled: Answer | None = None
        self.faults: Iterator[Exception] = iter(())
        self.weightless = 0

    def weight(self, question: Question) -> int:
        """Fails as often as `weightless` says: a fault in the middle of a tick."""
        if self.weightless:
            self.weightless -= 1
            raise RuntimeError("never thought of")
        self.weighed.append((self._dialect.weight(question), self._dialect.request(question, Millis(0)).weight))
        return self._dialect.weight(question)

    def request(self, question: Question, venue_now: Millis) -> HttpRequest:
        self.signed += 1
        return self._dialect.request(question, venue_now)

    def answer(self, question: Question, response: HttpResponse, as_of: Millis, received_time: Millis) -> Answer:
        for fault in self.faults:
            raise fault
        if self.spoiled is not None:
            return self.spoiled
        return self._dialect.answer(question, response, as_of, received_time)

    def history_depth_ms(self) -> int:
        return self._dialect.history_depth_ms()

    def unfilled_depth_ms(self) -> int:
        return self._dialect.unfilled_depth_ms()

    def traits(self) -> Traits:
        return self._dialect.traits()


class Shell:
    """A running account. The venue answers every question with empty books unless a test plans otherwise."""

    def __init__(self, journal: Journal | None = None, account_place: AccountPlace | None = None) -> None:
        self.clock, self.transport = ManualClock(), PipeTransport()
        self.held = HeldJournal()
        self.journal: Journal = journal or self.held
        self.http = RecordingHttp(default=json_answer([]))
        self.http.plan(CREATE, json_answer({"listenKey": "k" * 64}))
        self.http.plan("GET /fapi/v1/time", lambda request: json_answer({"serverTime": self.clock.wall()}))
        modes = {"canTrade": True, "dualSidePosition": False, "multiAssetsMargin": False}
        self.http.plan("GET /fapi/v1/accountConfig", json_answer(modes))
        self.gate = Gate("http://venue", WeightBudget(2_400), self.http, self.clock, pause_of=SPEC.pause_of)
        self.dialects: list[CountedDialect] = []
        self.records: list[Record] = []
        self.runner = self._make_runner(account_place or place())
        self.account = LiveAccount(self.runner, self.clock, self.journal)
        self._trades = 5_200_000

    def _make_runner(self, account_place: AccountPlace) -> AccountRunner:
        spec = msgspec.structs.replace(SPEC, make_dialect=self._make_dialect)
        machine = Machine(spec, account_place, MachinePolicy(), now=self.clock.now(), wall=self.clock.wall())
        runner = AccountRunner(
            machine,
            clock=self.clock,
            transport=self.transport,
            gate=self.gate,
            journal=self.journal,
            dial_limit_ms=10_000,
            call_limit_ms=10_000,
        )
        runner.on_record = self.records.append
        return runner

    def _make_dialect(self, account_place: AccountPlace) -> CountedDialect:
        self.dialects.append(CountedDialect(SPEC.make_dialect(account_place)))
        return self.dialects[-1]

    @property
    def id(self) -> AccountId:
        return self.runner.account.id

    @property
    def socket(self) -> PipeSocket:
        """The newest socket."""
        return self.transport.sockets[-1]

    @property
    def events(self) -> Sequence[Event]:
        return [event for record in self.records for event in record.events]

    @property
    def readers(self) -> int:
        """How many readers the account keeps a queue for."""
        return len(self.runner.listeners._readers)

    async def start(self) -> None:
        await self.runner.start()
        await self.clock.settle()

    async def go_live(self) -> None:
        """Lets the time pass until what was read has proven the account."""
        await self.clock.advance_until(lambda: self.account.state is StreamState.LIVE, limit_ms=LIVE_MS)

    async def stop(self) -> None:
        """Stops, as far as the clock must be turned for it; nothing may be left behind."""
        stopping = asyncio.ensure_future(self.runner.stop())
        await self.clock.advance_until(stopping.done, limit_ms=STOP_MS)
        await stopping
        await self.gate.close()
        await self.transport.close()
        await self.clock.settle()
        assert self.clock.failures == []
        assert self.clock.running == []
        assert self.transport.open_sockets == []

    async def trade(self, times: int = 1, **fields: object) -> None:
        """An order of its own is filled, so many times."""
        for _ in range(times):
            self._trades += 1
            self.socket.deliver(
                order_frame(
                    x="TRADE", X="FILLED", i=self._trades, t=self._trades, l="0.050", z="0.050", L="81000.0", ap="81000.0", **fields
                )
            )
        await self.clock.settle()


def balance_frame(wallet: str = "1000.00", *, event_time: int = 1_790_000_001_203) -> bytes:
    """The wallet is so full after a deposit."""
    change = {"m": "DEPOSIT", "B": [{"a": "USDT", "wb": wallet, "cw": wallet, "bc": "0"}], "P": []}
    return encoded({"e": "ACCOUNT_UPDATE", "E": event_time, "T": event_time - 3, "a": change})
