"""The manager against the paper exchange: accounts come, go and change while others trade, keys go bad, and all sockets are cut at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.scenario.test_usdm_fleet import HastyClock, HastyFleet, HastyWall
from tests.support.desk import WIDE, Desk
from tests.support.managed import SAFE
from tests.support.vaults import make_vault
from userstream import Event, Fleet, LiveAccount, StreamState
from userstream.adapters.sqlite_registry import SqliteRegistry
from userstream.domain.events import Filled, GapRepaired, SnapshotTaken
from userstream.domain.words import Source
from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.entry.configuration import Configuration, read_configuration
from userstream.entry.exposure import read_exposed
from userstream.entry.manager import AccountManager
from userstream.entry.registered import RegisteredAccounts
from userstream.entry.registry import AccountDesk, Caller, NewAccount
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.sim.limits import LimitSettings
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountListing, AccountSpec, SimulatorSettings
from userstream.wire.registration import AccountOptions
from userstream.wire.rights import KeyRights

VENUE: Final = "binance-usdm"
QUICK: Final = (
    "[registry]\n[manager]\nhealth_s = 2\nretry_s = 10\n[recovery]\nlag_s = 0.15\noverlap_s = 1.0\naudit_s = 600.0\nhistory_s = 600.0\n"
    "[stream]\nown_ping_s = 0.2\nsilence_s = 0.6\nfirst_delay_s = 0.05\nmax_delay_s = 0.4\n"
)
SLOW: Final = "[registry]\n"
HASTE: Final = 10
WEIGHT_PER_MINUTE: Final = 12_000


class Member(Desk):
    """One account of the service, and all that was told of it, by this connection or an earlier one."""

    def __init__(self, server: PaperExchangeServer, fleet: Fleet, account: LiveAccount, events: list[Event]) -> None:
        super().__init__(server, fleet, account)
        self.events = events
        account.on(handler=events.append)

    def truth(self) -> Any:
        return self.server.control.truth(self.account.id)

    def differences(self) -> list[str]:
        """But for what ended before the account came into our care, which need not be told: the exchange trades with it earlier."""
        truth, began = self.truth(), self.account.parts[0].account.began
        fills = ((row["symbol"], str(row["trade_id"]), str(row["order_id"])) for row in truth["fills"] if row["time"] < began)
        orders = (str(row["order_id"]) for row in truth["orders"] if row["updated_time"] < began)
        early = {f"fill {key} missing" for key in fills} | {f"order {order_id} unknown" for order_id in orders}
        return [words for words in super().differences() if words not in early]

    def buy(self, quantity: str = "0.010") -> None:
        self.act("place", account=self.account.id, symbol="BTCUSDT", side="buy", quantity=quantity, order_type="market")

    def assert_untouched(self) -> None:
        """Still on its first socket."""
        assert (self.account.health.reconnects, self.account.health.connections, self.account.state) == (0, 1, StreamState.LIVE)


class Service:
    """What `userstream run` puts together, and beside it the desk of another process over the same file."""

    def __init__(
        self, server: PaperExchangeServer, fleet: Fleet, own: AccountDesk, other: AccountDesk, configuration: Configuration
    ) -> None:
        self.server, self.fleet, self.other = server, fleet, other
        self._own, self._configuration = own, configuration
        self.registered = RegisteredAccounts(own, fleet.application.clock)
        self.members: dict[str, Member] = {}
        self.started: list[str] = []
        self._manager: AccountManager | None = None

    @property
    def manager(self) -> AccountManager:
        assert self._manager is not None
        return self._manager

    async def start(self, settings: AccountSettings) -> LiveAccount:
        account = await self.fleet.application.add(settings, through=self.registered.way_of(settings.name))
        former = self.members.get(settings.name)
        self.members[settings.name] = Member(self.server, self.fleet, account, [] if former is None else former.events)
        self.started.append(settings.name)
        return account

    async def begin(self) -> None:
        self.registered = RegisteredAccounts(self._own, self.fleet.application.clock)
        await self.registered.read(self._configuration)
        application, settings = self.fleet.application, self._configuration.manager
        self._manager = AccountManager(application, self.registered, (), self.start, settings)
        await self._manager.begin()

    async def restart(self) -> None:
        """All accounts end, and begin again as the store knows them."""
        await self.manager.close()
        for name in list(self.fleet.application.accounts):
            await self.fleet.remove(name)
        self.started.clear()
        await self.begin()

    async def add(self, key: AccountListing, **changed: str) -> None:
        """Another process adds an account of the exchange."""
        place = self.server.listing.venues[VENUE]
        options = AccountOptions(rest_url=place.rest_url, ws_url=place.ws_url)
        wish = NewAccount(account=AccountId(key.account), user="desk", venue=VenueName(VENUE), options=options)
        given = msgspec.structs.replace(key, **changed)
        await self.other.add(wish, credentials_of(given.api_key, given.api_secret, None))

    async def proven(self, *names: str) -> None:
        await self.until(lambda: all(self.state(name) is StreamState.LIVE for name in names), f"proof of {names}")

    def state(self, name: str) -> StreamState | None:
        account = self.fleet.application.accounts.get(name)
        return None if account is None else account.state

    async def until(self, holds: Callable[[], bool], what: str, limit_s: int = 20) -> None:
        clock = self.fleet.application.clock
        end = clock.now() + limit_s * 1_000
        while not holds():
            assert clock.now() < end, f"never came: {what}; {[(name, self.state(name)) for name in self.members]}"
            await clock.sleep(5)


async def ask_nobody(settings: AccountSettings) -> KeyRights:
    return SAFE


@asynccontextmanager
async def open_service(
    folder: Path,
    names: tuple[str, ...],
    *,
    text: str = QUICK,
    clock: HastyClock | None = None,
    limits: LimitSettings = WIDE,
) -> AsyncIterator[Service]:
    """An exchange with accounts of these names, none of them registered yet."""
    (folder / "userstream.toml").write_text(text)
    specs = tuple(AccountSpec(account=name, balances={"USDT": Decimal(100_000)}) for name in names)
    settings = SimulatorSettings(accounts=specs, limits=limits)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(PaperExchangeServer(settings, clock=None if clock is None else HastyWall(clock)))
        store = folder / "desk.db"
        fleet = await stack.enter_async_context(Fleet(store=store, weight_limit=1_000_000) if clock is None else HastyFleet(clock))
        fleet.application.weight_limit = limits.weight_per_minute
        desks: list[AccountDesk] = []
        for actor in ("service", "command"):
            registry = await stack.enter_async_context(await SqliteRegistry.open(store))
            desks.append(AccountDesk(registry, make_vault(seed=len(desks)), fleet.application.clock, Caller(actor, "here"), ask_nobody, {}))
        service = Service(server, fleet, desks[0], desks[1], read_configuration(folder / "userstream.toml", {}))
        try:
            yield service
        finally:
            await service.manager.close()
            await service.registered.close()


async def test_accounts_come_go_and_change_under_traffic_and_no_other_socket_is_dialled_again(tmp_path: Path) -> None:
    names = ("calm", "switched", "rotated", "removed", "late")
    async with open_service(tmp_path, names) as service:
        keys = {key.account: key for key in service.server.listing.accounts}
        for name in names[:-1]:
            await service.add(keys[name])
        await service.begin()
        await service.proven(*names[:-1])
        calm, rotated = service.members["calm"], service.members["rotated"]
        calm.act("rate", events_per_s=60)  # what was traded before anybody looked is nobody's care
        first = calm.account
        await service.other.set_active(AccountId("switched"), False)
        await service.other.remove(AccountId("removed"))
        await service.add(keys["late"])
        await service.until(lambda: service.state("removed") is None and service.state("switched") is None, "the end of two")
        await service.proven("late")
        await service.other.rotate(AccountId("rotated"), credentials_of(keys["rotated"].api_key, keys["rotated"].api_secret, None))
        await service.until(lambda: service.members["rotated"] is not rotated, "the new key of rotated")
        await service.other.set_active(AccountId("switched"), True)
        await service.proven("switched", "rotated", "late", "calm")
        assert service.fleet["calm"] is first
        calm.assert_untouched()
        calm.act("rate", events_per_s=0)
        for name in ("calm", "switched", "rotated", "late"):
            service.members[name].buy()
        for name in ("calm", "switched", "rotated", "late"):
            await service.members[name].until_same()
        calm.assert_untouched()


async def test_what_happens_in_the_darkness_of_a_new_key_is_told_once_and_so_is_the_darkness(tmp_path: Path) -> None:
    async with open_service(tmp_path, ("rotated",)) as service:
        [key] = service.server.listing.accounts
        await service.add(key)
        await service.begin()
        await service.proven("rotated")
        former = service.members["rotated"]
        former.buy()
        await former.until_same()
        dark, gaps = list[str](), list[Millis | None]()

        def trade(account: LiveAccount) -> None:
            """The former connection has ended, and no socket of the new one is open yet."""
            assert former.account.health.connections == account.health.connections == 0
            gaps.append(account.health.gap_since)
            dark.extend(str(fill["trade_id"]) for fill in former.truth()["fills"])
            former.act("place", account="rotated", symbol="BTCUSDT", side="sell", quantity="0.004", order_type="market")

        service.fleet.application.on_started.append(trade)
        await service.other.rotate(AccountId("rotated"), credentials_of(key.api_key, key.api_secret, None))
        await service.until(lambda: service.members["rotated"] is not former, "the new key")
        member = service.members["rotated"]
        await service.proven("rotated")
        await member.until_same()
        missed = {str(fill["trade_id"]) for fill in member.truth()["fills"]} - set(dark)
        told = [fill for fill in member.told(Filled) if fill.trade_id in missed]
        assert missed and sorted(fill.trade_id for fill in told) == sorted(missed)
        assert {fill.source for fill in told} == {Source.SNAPSHOT}
        [gap] = gaps
        repaired = member.told(GapRepaired)[-1]
        assert gap is not None and repaired.since <= gap and repaired.fills == len(missed)


async def test_a_bad_key_is_tried_alone_and_mended_by_its_owner(tmp_path: Path) -> None:
    names = ("good", "strange", "careless")
    async with open_service(tmp_path, names) as service:
        good, strange, careless = service.server.listing.accounts
        await service.add(good)
        await service.add(strange, api_key="A" * 64)
        await service.add(careless, api_secret="B" * 64)
        await service.begin()
        await service.proven("good")
        bad = ("strange", "careless")
        await service.until(lambda: all(service.state(name) is StreamState.FAILED for name in bad), "both failures")
        asked = sum(service.server.control.requests.values())
        await service.fleet.application.clock.sleep(2_500)
        assert sum(service.server.control.requests.values()) - asked <= 2, "a bad key asks in a loop"
        for key in (strange, careless):
            await service.other.rotate(AccountId(key.account), credentials_of(key.api_key, key.api_secret, None))
        await service.proven(*bad)
        for name in names:
            service.members[name].buy()
            await service.members[name].until_same()
        service.members["good"].assert_untouched()
        assert service.started.count("good") == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_hundred_accounts_cut_at_once_are_proven_again_within_the_budget_and_exposed_ones_first(tmp_path: Path) -> None:
    """Minutes of a budget that is too small for all at once, in a time that runs ten times as fast."""
    names = tuple(f"account-{number:03}" for number in range(100))
    held = names[90:]
    clock, limits = HastyClock(HASTE, second=10), LimitSettings(weight_per_minute=WEIGHT_PER_MINUTE)
    async with open_service(tmp_path, names, text=SLOW, clock=clock, limits=limits) as service:
        for key in service.server.listing.accounts:
            await service.add(key)
        await service.begin()
        await service.until(lambda: len(service.members) == 100, "all starts", 600)
        await service.until(lambda: all(service.state(name) is StreamState.LIVE for name in names), "first proofs", 2_400)
        for name in held:
            service.members[name].buy()
        await service.until(lambda: all(service.members[name].account.positions.open() for name in held), "positions", 60)
        order: list[str] = []
        for member in service.members.values():
            member.account.on(SnapshotTaken, handler=lambda event: order.append(event.account))
        service.members[held[0]].act("cut")
        await service.until(lambda: all(service.state(name) is not StreamState.LIVE for name in names), "the cut", 60)
        await service.until(lambda: all(service.state(name) is StreamState.LIVE for name in names), "second proofs", 2_400)
        state: Any = service.server.control.state()
        seen = state["venues"][VENUE]
        assert (seen["answered_429"], seen["answered_418"]) == (0, 0)
        assert WEIGHT_PER_MINUTE // 2 < seen["highest_weight_per_minute"] < WEIGHT_PER_MINUTE
        first = list(dict.fromkeys(order))
        assert max(first.index(name) for name in held) < len(names) // 2
        assert service.started == sorted(names), "nobody was begun anew: each came back by itself"
        assert all(member.account.health.is_healthy for member in service.members.values())


async def test_after_a_restart_whoever_has_something_at_stake_is_started_first(tmp_path: Path) -> None:
    names = ("alice", "bob", "yan", "zoe")
    async with open_service(tmp_path, names) as service:
        for key in service.server.listing.accounts:
            await service.add(key)
        await service.begin()
        await service.proven(*names)
        assert service.started == sorted(names)
        service.members["zoe"].buy()
        yan = service.members["yan"]
        yan.act("place", account="yan", symbol="ETHUSDT", side="buy", quantity="0.300", price="1000")
        store = service.fleet.application.store
        while await read_exposed(store, names) != {"yan", "zoe"}:
            await service.fleet.application.clock.sleep(5)
        await service.restart()
        await service.proven(*names)
        assert service.started == ["yan", "zoe", "alice", "bob"]


async def test_the_service_stops_while_accounts_come_and_go(tmp_path: Path) -> None:
    names = ("alice", "bob")
    async with open_service(tmp_path, names) as service:
        keys = service.server.listing.accounts
        await service.add(keys[0])
        await service.begin()
        await service.proven("alice")
        changing = asyncio.ensure_future(service.add(keys[1]))
        await service.manager.close()
        await changing
        await service.manager.close()
        assert "alice" in service.fleet
