"""One reader of the live feed: who it is, which accounts it watches, and what it is told. A slow one hurts nobody but itself.

In order: the reader says hello with a token or a ticket; each account begins with a snapshot, or where the reader left off; from then on
come deltas. Messages: docs/reference/http.md.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec
from wsproto.frame_protocol import CloseReason

from userstream.domain.events import public_form
from userstream.entry.web.access import Access, Principal
from userstream.entry.web.checks import Refusal
from userstream.entry.web.coalescer import Coalescer, Delta
from userstream.entry.web.desk import WebDesk
from userstream.entry.web.forms import BalanceForm, OrderForm, PositionForm, StateForm, state_form
from userstream.kernel.errors import UserStreamError, nearest
from userstream.kernel.secret import Secret
from userstream.kernel.text import printable
from userstream.runtime.live import EventStream, LiveAccount
from userstream.runtime.views import Health

HELLO_LIMIT_S: Final = 5.0
SEND_LIMIT_S: Final = 20.0
INTERVAL_MS: Final = 100
LONGEST_REASON: Final = 123
"""Bytes: what a closing frame holds of a reason."""
LONGEST_SHOWN: Final = 40
LOOK_MS: Final = 2_000
"""How often the token is looked at again: a revoked one closes its sockets in less than 5 s."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="hello"):
    """The reader's first message. accounts: which ones, null for all that are connected. resume: the last sequence seen, by account."""

    token: str | None = None
    ticket: str | None = None
    accounts: tuple[str, ...] | None = None
    resume: dict[str, int] = {}


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="welcome"):
    """The token is known. Deltas come every so many ms at most."""

    name: str
    interval_ms: int


class SnapshotMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """Forget what was told of the account: this is all. reason: begin, not_resumable (events after the place to resume are not kept),
    or slow (more waited than may wait; the fills in between are in /api/fills)."""

    account: str
    sequence: int
    reason: str
    state: StateForm


class Resumed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="resumed"):
    """Deltas go on behind this sequence."""

    account: str
    sequence: int


class DeltaMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="delta"):
    """What changed after one sequence up to another: an order that is not open, and a leg of amount 0, leave the picture."""

    account: str
    after: int
    sequence: int
    orders: list[OrderForm]
    positions: list[PositionForm]
    balances: list[BalanceForm]
    events: list[dict[str, object]]
    health: Health | None


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="gone"):
    """The account is not connected any more: what was told of it is old."""

    account: str


class Wire(Protocol):
    """The socket as the feed needs it."""

    async def receive_text(self) -> str: ...

    async def send_text(self, data: str) -> None: ...


class Ending(Exception):
    """The feed ends, with the code and the reason that the reader is told."""

    def __init__(self, code: CloseReason, reason: str) -> None:
        # a frame that is too long would be refused by our own side
        reason = reason.encode("utf-8", "replace")[:LONGEST_REASON].decode("utf-8", "ignore")
        super().__init__(reason)
        self.code, self.reason = code, reason


_hello: Final = msgspec.json.Decoder(Hello)
_RULES: Final = {
    "type": '"hello"',
    "token": "text",
    "ticket": "text",
    "accounts": 'a list of names, such as ["alice"]',
    "resume": 'a table of names and sequences, such as {"alice": 812}',
}


def read_hello(text: str) -> Hello:
    """The reader's first message. Raises Ending for what is no hello, with the field and its rule; values are not shown: they may be
    tokens."""
    try:
        return _hello.decode(text)
    except msgspec.MsgspecError as error:
        raise Ending(CloseReason.POLICY_VIOLATION, f"the first message must be a hello: {_why_no_hello(error)}") from None


def _why_no_hello(error: msgspec.MsgspecError) -> str:
    if not isinstance(error, msgspec.ValidationError):
        return "this is no JSON"
    rule, _, place = str(error).partition(" - at `")
    field = place.rpartition("$.")[2].partition("[")[0].rstrip("`")
    if field in _RULES:
        return f"{field} must be {_RULES[field]}"
    _, is_unknown, name = rule.partition("unknown field `")
    return f"there is no field {_shown(name[:-1])}: {nearest(name[:-1], _RULES)}" if is_unknown else "it must be a JSON object"


def _shown(text: str) -> str:
    return repr(printable(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."))


class Watch:
    """One account of one reader: a task brings its events to the coalescer."""

    def __init__(self, live: LiveAccount, stream: EventStream, after: int) -> None:
        self.live, self._stream, self.coalescer = live, stream, Coalescer(after)
        self.task: asyncio.Task[None] | None = None
        self.trouble = False

    async def follow(self) -> None:
        """Until the account ends, or its journal cannot give what comes next."""
        try:
            async for event in self._stream:
                self.coalescer.note(event)
        except UserStreamError:
            self.trouble = True

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        await self._stream.aclose()


class LiveFeed:
    """A reader from its hello to its end."""

    def __init__(self, desk: WebDesk, wire: Wire, address: str) -> None:
        self._desk, self._wire, self._address = desk, wire, address
        self._access: Access = desk.access
        self._watches: dict[str, Watch] = {}
        self._hello = Hello()
        self._principal: Principal | None = None

    async def greet(self) -> Principal:
        """Waits for the first message. Raises Ending for what is no hello, and for a token or ticket that opens nothing."""
        try:
            async with asyncio.timeout(HELLO_LIMIT_S):
                text = await self._wire.receive_text()
        except TimeoutError:
            raise Ending(CloseReason.POLICY_VIOLATION, "no hello came") from None
        self._hello = read_hello(text)
        self._principal = principal = await self._recognize(self._hello)
        self._choose(self._hello.accounts)
        await self._send(Welcome(name=principal.name, interval_ms=INTERVAL_MS))
        return principal

    def _choose(self, names: tuple[str, ...] | None) -> None:
        """A hello may name an account very often: it is watched once, and looked for once."""
        if names is None:
            return
        self._hello = msgspec.structs.replace(self._hello, accounts=tuple(dict.fromkeys(names)))
        known = set(self._desk.names())
        if (unknown := next((name for name in names if name not in known), None)) is not None:
            raise Ending(CloseReason.POLICY_VIOLATION, f"the hello names an account that is not known: {_shown(unknown)}")

    async def _recognize(self, hello: Hello) -> Principal:
        if hello.token is None and hello.ticket is None:
            raise Ending(CloseReason.POLICY_VIOLATION, "the hello needs a token or a ticket")
        found: Principal | Refusal | None = self._access.refuse_address(self._address)
        if found is None:
            if hello.token is not None:
                found = await self._access.recognize(Secret(hello.token), self._address)
            else:
                found = await self._access.redeem(Secret(hello.ticket or ""), self._address)
        if isinstance(found, Principal):
            return found
        if found.retry_after_ms:
            raise Ending(CloseReason.TRY_AGAIN_LATER, f"{found.message} {-(-found.retry_after_ms // 1_000)} s")
        raise Ending(CloseReason.POLICY_VIOLATION, "no such token or ticket, or it is over")

    async def run(self) -> None:
        """Tells news until something ends it. Raises Ending."""
        looked = self._desk.clock.now()
        try:
            while True:
                await self._attend()
                for watch in list(self._watches.values()):
                    await self._tell(watch)
                await self._desk.clock.sleep(INTERVAL_MS)
                if self._desk.clock.now() - looked >= LOOK_MS:
                    looked = self._desk.clock.now()
                    await self._check_token()
        finally:
            await self.close()

    async def close(self) -> None:
        """Watches nothing any more. May be called twice."""
        while self._watches:
            _, watch = self._watches.popitem()
            await watch.close()

    async def _check_token(self) -> None:
        if self._principal is None or not await self._access.is_live(self._principal):
            raise Ending(CloseReason.POLICY_VIOLATION, "the token is over")

    async def _attend(self) -> None:
        """Accounts come and go while somebody watches."""
        running = self._desk.application.accounts
        for name, watch in list(self._watches.items()):
            if running.get(name) is not watch.live:
                await self._watches.pop(name).close()
                await self._send(Gone(account=name))
        for name in running.keys() - self._watches.keys() if self._hello.accounts is None else self._hello.accounts:
            if name in running and name not in self._watches:
                await self._begin(name, running[name])

    async def _begin(self, name: str, live: LiveAccount) -> None:
        place = self._hello.resume.pop(name, None)
        if place is None:
            await self._show(name, live, "begin")
        elif 0 <= place <= live.sequence:
            self._follow(name, live, place)
            await self._send(Resumed(account=name, sequence=place))
        else:
            await self._show(name, live, "not_resumable")

    async def _show(self, name: str, live: LiveAccount, reason: str) -> None:
        # nothing is awaited between the picture and the place from which its changes are heard
        state = state_form(live)
        self._follow(name, live, state.sequence)
        await self._send(SnapshotMessage(account=name, sequence=state.sequence, reason=reason, state=state))

    def _follow(self, name: str, live: LiveAccount, after: int) -> None:
        stream = live.events() if after == live.sequence else live.events(after=after)
        watch = self._watches[name] = Watch(live, stream, after)
        watch.task = self._desk.clock.spawn(watch.follow(), f"{name}: live feed")

    async def _tell(self, watch: Watch) -> None:
        if watch.coalescer.has_overflowed or watch.trouble:
            reason = "slow" if watch.coalescer.has_overflowed else "not_resumable"
            await watch.close()
            await self._show(watch.live.id, watch.live, reason)
            return
        delta = watch.coalescer.take(watch.live.parts[0].account)
        if delta is not None:
            await self._send(_message(watch.live, delta))

    async def _send(self, message: msgspec.Struct) -> None:
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._wire.send_text(msgspec.json.encode(message).decode())
        except TimeoutError:
            raise Ending(CloseReason.TRY_AGAIN_LATER, "the reader takes nothing") from None


def _message(live: LiveAccount, delta: Delta) -> DeltaMessage:
    return DeltaMessage(
        account=live.id,
        after=delta.after,
        sequence=delta.sequence,
        orders=delta.orders,
        positions=delta.positions,
        balances=delta.balances,
        events=[public_form(event) for event in delta.events],
        health=live.health if delta.has_health_news else None,
    )
