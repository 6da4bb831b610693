"""The calls of one account: what its machine and its sessions ask the venue over REST, and the way back of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import structlog
from msgspec import structs

from userstream.domain.events import Event
from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import Millis
from userstream.ports import Clock, HttpClient, Timer
from userstream.runtime.gate import Gate
from userstream.runtime.veil import Veil
from userstream.wire.feed import NEVER, SessionCall
from userstream.wire.machine import OWN_FACTS, Machine
from userstream.wire.request import HttpResponse

FAULT_PAUSE_MS: Final = 1_000
LONGEST_FAULT_PAUSE_MS: Final = 60_000
WORTH_TELLING_MS: Final = 5_000
"""A wait that is longer than this is told in the log, if the gate has anything to say of it; else one looks again after as long."""

_log = structlog.get_logger("userstream.calls")


class CallOwner(Protocol):
    """Who hears what the answers tell, and whose time goes on meanwhile."""

    def take_facts(self, connection: int, frame: bytes, facts: tuple[Event, ...], wall: Millis) -> None: ...

    def take_error(self, error: UserStreamError) -> None: ...

    def take_own_fault(self, consequence: str) -> None:
        """Called while the exception is handled."""

    def mind_deadlines(self) -> None: ...


class Calls:
    """Each call waits for its weight at the gate; it is signed when it goes out, and not before."""

    def __init__(
        self, owner: CallOwner, machine: Machine, veil: Veil, *, clock: Clock, gate: Gate, http: HttpClient | None, limit_ms: int
    ) -> None:
        """`http`: the connections for calls (None: those of the gate). `limit_ms`: how long one call may take."""
        self._owner, self._machine, self._veil = owner, machine, veil
        self._clock, self._gate, self._http, self._limit_ms = clock, gate, http, limit_ms
        self._waiting = 0
        self._alarm: Timer | None = None

    @property
    def words_for_wait(self) -> str:
        """What the calls wait for at the gate, for people; empty while none does."""
        return self._gate.words_for_wait() if self._waiting else ""

    def refrain(self, pause_ms: int) -> None:
        """The venue wants to hear nothing for so long."""
        self._gate.refrain(pause_ms)

    # --- of sessions ---

    async def call_for_session(self, call: SessionCall) -> None:
        """Carries out what a socket needs before or while it is open, such as a listen key."""
        if not await self._pass_gate(call):
            return
        response = await self._gate.send(call.request, time_limit_ms=self._limit_ms, http=self._http)
        now, wall = self._clock.now(), self._clock.wall()
        facts = self._machine.session_response(call.connection, call.tag, response, now, wall)
        self._veil.learn(line.session.listen_key for line in self._machine.feed.lines.values())
        self._owner.take_facts(call.connection, b"", facts, wall)

    async def _pass_gate(self, call: SessionCall) -> bool:
        """Waits until the call may go out; False if nobody wants it any more. A pause that the venue asked for is no fault of the socket:
        it does not count against the time in which that must open, so that no second socket asks for the same."""
        line = self._machine.feed.lines.get(call.connection)
        if line is None:  # a farewell: its line is gone already
            await self._gate.grant_vital(call.request.weight)
            return True
        began, dialing_since = self._clock.now(), line.dialing_since
        line.dialing_since = NEVER
        try:
            with self._waited():
                await self._gate.grant_vital(call.request.weight)
        finally:
            line.dialing_since = Millis(dialing_since + self._clock.now() - began)
        self._owner.mind_deadlines()
        return self._machine.feed.lines.get(call.connection) is line

    # --- of the machine ---

    async def ask(self, number: int, weight: int, urgent: bool) -> None:
        """Asks the machine's question with this number until there is an answer that can be read."""
        faults = 0
        while True:
            await self._grant(weight, urgent)
            try:
                response = await self._asked(number)
                if response is not None:
                    self._take_answer(number, response)
                elif faults:
                    self._owner.take_error(UserStreamError("a fault of our own left an answer half read: see the log, and start again"))
                return
            except Exception:
                # a question without an answer would hold up its round for ever
                faults += 1
                self._owner.take_own_fault("the venue is asked again")
            await self._clock.sleep(min(FAULT_PAUSE_MS * 2**faults, LONGEST_FAULT_PAUSE_MS))

    async def _grant(self, weight: int, urgent: bool) -> None:
        with self._waited():
            await self._gate.grant(weight, urgent=urgent)

    @contextmanager
    def _waited(self) -> Iterator[None]:
        """While the block lasts, a call of the account waits at the gate."""
        if not self._waiting:
            self._set_alarm()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting and self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None

    def _set_alarm(self) -> None:
        due = max(self._clock.now() + WORTH_TELLING_MS, self._gate.told_until)
        self._alarm = self._clock.call_at(Millis(due), self._tell_wait)

    def _tell_wait(self) -> None:
        gate = self._gate
        reason = gate.words_for_wait()
        if reason and gate.may_tell(self._clock.now()):
            _log.warning(reason, action="budget_wait", budget=gate.name, waiting=gate.waiting)
        self._set_alarm()

    async def _asked(self, number: int) -> HttpResponse | None:
        request = self._machine.prepare(number, self._clock.now())
        return None if request is None else await self._gate.send(request, time_limit_ms=self._limit_ms, http=self._http)

    def _take_answer(self, number: int, response: HttpResponse) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        response = structs.replace(response, body=self._veil.hide_in_answer(response.body))
        facts = self._machine.answered(number, response, now, wall)
        self._gate.learn_clock(self._machine.clock.measurement)
        told_by_venue = any(type(fact) not in OWN_FACTS for fact in facts)
        self._owner.take_facts(0, response.body if told_by_venue else b"", facts, wall)
