"""Several accounts in one process against the paper exchange: one's trouble is its own, and together they stay below the venue's limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pytest

from tests.support.desk import LONG_S, SHORT_PINGS, VENUE, WIDE, Desk
from userstream import AuthenticationError, Event, Fleet, LiveAccount, RecoverySettings, StreamChanged, StreamSettings, StreamState
from userstream.adapters.clock import LoopTimer, SystemClock
from userstream.adapters.http import AiohttpClient
from userstream.adapters.memory import MemoryJournal
from userstream.adapters.ws import PicowsTransport
from userstream.entry.bootstrap import Application
from userstream.kernel.ids import Millis
from userstream.sim.books import Millis as ExchangeMillis
from userstream.sim.limits import LimitSettings
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountListing, AccountSpec, SimulatorSettings

QUIET: Final = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=600.0, history_s=600.0)
"""Nothing is read but what a gap asks for, so that every call can be counted."""

OFTEN: Final = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=1.0, history_s=600.0)
HASTE: Final = 40
MINUTE_MS: Final = 60_000
PATIENCE_S: Final = 600.0
"""Of a hasty clock's seconds."""

STRANGER: Final = "A" * 64
"""A key of the right form that nobody has."""


class Member(Desk):
    """One of several accounts at a desk."""

    def truth(self) -> Any:
        return self.server.control.truth(self.account.id)

    def buy(self, symbol: str = "BTCUSDT", quantity: str = "0.010") -> None:
        self.act("place", account=self.account.id, symbol=symbol, side="buy", quantity=quantity, order_type="market")

    @property
    def failures(self) -> list[StreamChanged]:
        return [event for event in self.events if isinstance(event, StreamChanged) and event.state is StreamState.FAILED]

    async def until_failed(self) -> None:
        await self.until(lambda: len(self.failures) == 1, "word of the failure")


@asynccontextmanager
async def open_exchange(*names: str, limits: LimitSettings = WIDE) -> AsyncIterator[PaperExchangeServer]:
    specs = tuple(AccountSpec(account=name, balances={"USDT": Decimal(100_000)}) for name in names)
    async with PaperExchangeServer(SimulatorSettings(accounts=specs, limits=limits)) as server:
        yield server


async def join(
    fleet: Fleet,
    server: PaperExchangeServer,
    key: AccountListing,
    recovery: RecoverySettings = QUIET,
    stream: StreamSettings = SHORT_PINGS,
) -> Member:
    """Runs an account of the exchange with this key."""
    place = server.listing.venues[VENUE]
    account = await fleet.add(
        key.account,
        VENUE,
        api_key=key.api_key,
        api_secret=key.api_secret,
        rest_url=place.rest_url,
        ws_url=place.ws_url,
        recovery=recovery,
        stream=stream,
    )
    return Member(server, fleet, account)


def asked(server: PaperExchangeServer) -> int:
    """Calls and sockets that reached the exchange."""
    return sum(server.control.requests.values())


def seen_by(server: PaperExchangeServer) -> Any:
    """What the venue counted of its clients."""
    state: Any = server.control.state()
    return state["venues"][VENUE]


async def read_to_the_end(account: LiveAccount) -> list[Event]:
    return [event async for event in account.events()]


async def prove_again(member: Member) -> None:
    """After a cut: lit, proven, and the same books."""
    await member.until(lambda: member.account.health.reconnects == 1, "a new socket")
    await member.account.wait_proven(PATIENCE_S)
    await member.until_same()
    await member.until(lambda: member.kinds()["gap_repaired"] == 1, "word of the repair")


async def assert_nothing_is_asked(server: PaperExchangeServer, fleet: Fleet) -> None:
    """No call and no socket in the time of many shortest delays."""
    before = asked(server)
    await fleet.application.clock.sleep(int(SHORT_PINGS.max_delay_s * 3_000))
    assert asked(server) == before


async def test_refused_accounts_fail_alone_and_at_once() -> None:
    """One has a key that nobody has, one a wrong secret."""
    async with open_exchange("good", "strange", "careless") as server, Fleet(weight_limit=1_000_000) as fleet:
        good_key, strange_key, careless_key = server.listing.accounts
        good = await join(fleet, server, good_key)
        await good.account.wait_proven(LONG_S)
        before = asked(server)
        strange = await join(fleet, server, msgspec.structs.replace(strange_key, api_key=STRANGER))
        careless = await join(fleet, server, msgspec.structs.replace(careless_key, api_secret=STRANGER))
        for bad in (strange, careless):
            with pytest.raises(AuthenticationError):
                await bad.account.wait_proven(LONG_S)
            await bad.until_failed()
            assert bad.account.state is StreamState.FAILED
            assert STRANGER not in repr(bad.account) + str(bad.failures)
        assert asked(server) - before <= 2 * 12  # one reading of the books each at most, with the key's and the socket's call

        await assert_nothing_is_asked(server, fleet)
        good.act("cut", account="good")
        good.buy()
        await good.until_same()
        assert [len(member.failures) for member in (good, strange, careless)] == [0, 1, 1]
        assert good.account.health.mismatches == 0


async def test_keys_revoked_while_running() -> None:
    """Noticed by an audit, by a new socket, and by a reading of the books."""
    async with open_exchange("good", "audited", "cut", "garbled") as server, Fleet(weight_limit=1_000_000) as fleet:
        keys = server.listing.accounts
        good, *bad = [await join(fleet, server, key, OFTEN if key.account == "audited" else QUIET) for key in keys]
        readings = [asyncio.create_task(read_to_the_end(member.account)) for member in bad]
        await asyncio.gather(*(member.account.wait_proven(LONG_S) for member in (good, *bad)))
        for member in bad:
            good.act("revoke_api_key", account=member.account.id)
        good.act("cut", account="cut")
        good.act("raw", account="garbled", text='{"e":')
        for reading in readings:
            with pytest.raises(AuthenticationError):
                await asyncio.wait_for(reading, LONG_S)

        for member in bad:
            good.act("restore_api_key", account=member.account.id)  # only a person brings the account back
        await assert_nothing_is_asked(server, fleet)
        assert {(member.account.state, len(member.failures), member.account.health.connections) for member in bad} == {
            (StreamState.FAILED, 1, 0)
        }
        good.buy()
        await good.until_same()
        assert good.failures == []


async def test_banned_address_is_silent_until_the_ban_is_over() -> None:
    async with open_exchange("alice", "bob", "carol") as server, Fleet(weight_limit=1_000_000) as fleet:
        members = [await join(fleet, server, key) for key in server.listing.accounts]
        for member in members:
            await member.account.wait_proven(LONG_S)
        members[0].act("ban", seconds=2)
        members[0].act("cut")
        for member in members:
            member.buy()
        await members[0].until(lambda: seen_by(server)["answered_418"] > 0, "the ban's first word")
        await asyncio.gather(*(prove_again(member) for member in members))
        assert seen_by(server)["answered_418"] <= len(members)  # those that were under way together


async def test_whoever_listens_after_the_failure_is_told_as_well() -> None:
    async with open_exchange("bad") as server, Fleet() as fleet:
        bad = await join(fleet, server, msgspec.structs.replace(server.listing.accounts[0], api_key=STRANGER))
        with pytest.raises(AuthenticationError):
            await bad.account.wait_proven(LONG_S)
        with pytest.raises(AuthenticationError):
            await asyncio.wait_for(read_to_the_end(bad.account), 2)


async def test_refused_account_comes_back_with_another_key() -> None:
    """What happened since its first, vain start is told then."""
    async with open_exchange("alice") as server, Fleet() as fleet:
        key = server.listing.accounts[0]
        refused = await join(fleet, server, msgspec.structs.replace(key, api_secret=STRANGER))
        with pytest.raises(AuthenticationError):
            await refused.account.wait_proven(LONG_S)
        refused.buy("ETHUSDT", "0.300")
        await fleet.remove("alice")
        mended = await join(fleet, server, key)
        await mended.account.wait_proven(LONG_S)
        mended.buy()
        await mended.until_same()


# --- one budget for all ------------------------------------------------------------------------------------------------


class HastyClock:
    """Time that runs `times` as fast as the world's, for a venue and its client alike: minutes of a budget pass in seconds. It begins
    in the given second of a minute."""

    def __init__(self, times: int, *, second: int) -> None:
        self._times, self._true = times, SystemClock()
        self._started = self._true.now()
        self._wall = self._true.wall() // MINUTE_MS * MINUTE_MS + second * 1_000

    def now(self) -> Millis:
        return Millis((self._true.now() - self._started) * self._times)

    def wall(self) -> Millis:
        return Millis(self._wall + self.now())

    def call_at(self, when: Millis, callback: Callable[[], None]) -> LoopTimer:
        return self._true.call_at(Millis(self._true.now() + -(-(when - self.now()) // self._times)), callback)

    async def sleep(self, duration_ms: int) -> None:
        await self._true.sleep(-(-duration_ms // self._times))

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        return self._true.spawn(work, name)

    @property
    def task_failures(self) -> int:
        return self._true.task_failures

    def chance(self) -> float:
        return self._true.chance()


class HastyWall:
    """The same time as the exchange reads it."""

    def __init__(self, clock: HastyClock) -> None:
        self._clock = clock

    def now(self) -> ExchangeMillis:
        return ExchangeMillis(self._clock.wall())


class HastyFleet(Fleet):
    """A fleet whose time is that of a `HastyClock`."""

    def __init__(self, clock: HastyClock) -> None:
        super().__init__()
        self._clock, self._http, self._transport = clock, AiohttpClient(), PicowsTransport(clock)

    async def __aenter__(self) -> Self:
        self._application = Application(self._clock, self._transport, self._http, MemoryJournal())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await super().__aexit__(kind, error, trace)
        await self._transport.close()
        await self._http.close()


@pytest.mark.parametrize("second", [0, 50])
async def test_eight_accounts_cut_at_once_stay_below_the_limit(second: int) -> None:
    """Under the venue's own limit and with the settings nobody changed; what they read together is more than a minute allows."""
    clock = HastyClock(HASTE, second=second)
    names = tuple(f"account-{number}" for number in range(8))
    specs = tuple(AccountSpec(account=name, balances={"USDT": Decimal(100_000)}) for name in names)
    async with PaperExchangeServer(SimulatorSettings(accounts=specs), clock=HastyWall(clock)) as server, HastyFleet(clock) as fleet:
        members = [await join(fleet, server, key, RecoverySettings(), StreamSettings()) for key in server.listing.accounts]
        await asyncio.gather(*(member.account.wait_proven(PATIENCE_S) for member in members))
        members[0].act("cut")
        for member in members:
            member.buy()
            member.buy("ETHUSDT", "0.300")
        await asyncio.gather(*(prove_again(member) for member in members))
        seen = seen_by(server)
        assert (seen["answered_429"], seen["answered_418"]) == (0, 0)
        assert 1_200 < seen["highest_weight_per_minute"] < LimitSettings().weight_per_minute
        assert all(member.account.health.mismatches == 0 for member in members)
