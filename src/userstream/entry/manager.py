"""Which accounts run: the plan carried out at every change of the registry, and from time to time.

It decides nothing: what to do, and in which order, is said by `domain.plan`. One account's trouble is logged and is no other's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from userstream.domain.plan import Action, Connection, Place, PlanPolicy, Reconnect, Restart, Start, Stop, Wait, Wanted, plan
from userstream.domain.words import StreamState
from userstream.entry.addresses import endpoints_of
from userstream.entry.bootstrap import AccountSettings
from userstream.entry.descriptors import make_room, need_of, told_about
from userstream.entry.exposure import read_exposed
from userstream.entry.gates import budget_name
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.runtime.live import LiveAccount
from userstream.runtime.runner import AccountRunner
from userstream.venues import find_venue
from userstream.wire.venue import VenueSpec

if TYPE_CHECKING:
    from userstream.entry.bootstrap import Application
    from userstream.entry.configuration import ManagerSection
    from userstream.entry.registered import RefusedAccount, RegisteredAccounts
    from userstream.entry.registry import AccountDesk

LOOK_MS: Final = 1_000
"""How often it is asked whether somebody changed the registry: another process cannot tell in any other way."""

OPENING_SHARE: Final = 0.5
"""Of a request budget, for openings: the books of those that run already must be read meanwhile."""

OPENING_WEIGHT: Final = 2
"""A listen key and the venue's time."""

NO_CONNECTIONS: Final = "WEBSOCKET_ENABLED is false: started without connections"
DISCONNECTED: Final = "disconnected by a person"

StartAccount = Callable[[AccountSettings], Awaitable[LiveAccount]]
_log = structlog.stdlib.get_logger("userstream.manager")


class AccountManager:
    """Runs what is to run, from `begin` to `close`. `wanted`: all accounts that are to run, by name, those too that a person
    disconnected."""

    def __init__(
        self,
        application: Application,
        registered: RegisteredAccounts,
        configured: Sequence[AccountSettings],
        start: StartAccount,
        settings: ManagerSection,
        *,
        connects: bool = True,
    ) -> None:
        """`configured`: those of the file, which stay as they are. `start`: how one is started. `connects`: False where no connection is to
        be made at all."""
        self._application, self._registered, self.configured, self._start = application, registered, configured, start
        self._clock, self.connects = application.clock, connects
        self._health_ms = int(settings.health_s * 1_000)
        self._policy = PlanPolicy(dark_limit_ms=int(settings.dark_limit_s * 1_000), first_retry_ms=int(settings.retry_s * 1_000))
        self.wanted: dict[str, AccountSettings] = {}
        self._revisions: dict[str, str] = {}
        self._connections: dict[str, Connection] = {}
        self._places: dict[str, Place] = {}
        self._held: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._exposed_before: frozenset[str] = frozenset()
        self._room = 0
        self._due = Millis(0)
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._in_trouble = False
        self._stopped = asyncio.Event()
        self._take_wanted()

    @property
    def desk(self) -> AccountDesk | None:
        """Where accounts of the registry come in and go; None where none is used."""
        return self._registered.desk

    @property
    def user(self) -> str:
        """For whom accounts are added where nobody is named."""
        return self._registered.user

    @property
    def refused(self) -> Mapping[str, RefusedAccount]:
        """Accounts of the registry that are to run and cannot be opened."""
        return self._registered.refused

    def expected(self) -> set[str]:
        """The names of those that are to be connected now."""
        return (self.wanted.keys() | self.refused.keys()) - self._held if self.connects else set()

    def expected_venues(self) -> dict[AccountId, VenueName]:
        """The same with their venues."""
        found: Mapping[str, AccountSettings | RefusedAccount] = {**self.refused, **self.wanted}
        return {AccountId(name): VenueName(found[name].venue) for name in self.expected()}

    # --- life ---

    async def begin(self, stopped: asyncio.Event | None = None) -> None:
        """Starts all that the budgets allow now; the rest follows. `stopped`: once it is set, no further one is started. Raises what the
        start of an account of the file raises, whose writer is here to hear of a slip, and StoreError."""
        self._stopped = stopped or self._stopped
        if not self.connects:
            _log.warning(NO_CONNECTIONS, action="disabled")
        elif not self.wanted and self.refused:
            _log.warning("none of the accounts that are active can be run: nothing is", action="no_account_opened")
        elif not self.wanted:
            also = ", and the registry has no active one (userstream accounts add, or enable)" if self.desk is not None else ""
            _log.warning(f"the configuration has no account that is enabled{also}: nothing is run", action="no_account_enabled")
        self._exposed_before = await read_exposed(self._application.store, self.wanted)
        async with self._lock:
            await self._carry_out(is_beginning=True)
        self._task = self._clock.spawn(self._run(), "account manager")

    async def close(self) -> None:
        """Nothing is started or stopped from now on. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def take_up(self) -> None:
        """Makes what runs equal to what is to run, as far as that can be done now. Raises StoreError when the registry cannot be read."""
        async with self._lock:
            await self._registered.refresh()
            self._take_wanted()
            await self._carry_out()

    # --- what a person does with one account ---

    async def connect(self, settings: AccountSettings) -> LiveAccount:
        """Starts an account that a person had disconnected, or anew one that was given up. Raises SettingsError where nothing is connected,
        or the account is not to run, and what its start raises."""
        if not self.connects:
            raise SettingsError(NO_CONNECTIONS)
        async with self._lock:
            if settings.name not in self.wanted:
                raise SettingsError(f"account {settings.name!r} is not to run")
            self._held.discard(settings.name)
            if (running := self._application.accounts.get(settings.name)) is not None:
                if running.state is not StreamState.FAILED:
                    return running
                await self._application.remove(settings.name)
            return await self._begin_for_a_person(settings.name)

    async def _begin_for_a_person(self, name: str) -> LiveAccount:
        try:
            return await self._begin(name)
        except UserStreamError as error:
            self._connections[name] = self._given_up(self._connections[name], str(error), "account_refused")
            raise

    async def disconnect(self, name: str) -> None:
        """Stops an account, or keeps it from being started, until a person connects it again, or this process ends. Raises StoreError."""
        async with self._lock:
            self._held.add(name)
            self._connections.pop(name, None)
            if name in self._application.accounts:
                await self._application.remove(name)

    def why_dark(self, name: str) -> str:
        """Why an account is not connected, for people; empty if nobody knows better."""
        if not self.connects:
            return NO_CONNECTIONS
        return DISCONNECTED if name in self._held else self._reasons.get(name, "")

    # --- looking ---

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_MS)
            try:
                await self._look_after()
            except Exception:
                _log.exception("a fault of our own: the accounts are looked after again", action="own_fault")
                self._due = Millis(self._clock.now() + self._health_ms)

    async def _look_after(self) -> None:
        try:
            if not self._lock.locked():  # else somebody is in the middle of stopping one to begin it anew
                self._look()
            if self._clock.now() >= self._due or await self._registered.has_changed():
                await self.take_up()
            self._in_trouble = False
        except UserStreamError as error:
            await self._go_on_without(error)

    async def _go_on_without(self, error: UserStreamError) -> None:
        """The registry cannot be read: what runs is looked after all the same."""
        if not self._in_trouble:
            _log.error("the registry cannot be read: its changes have to wait", action="registry_trouble", reason=str(error))
        self._in_trouble = True
        if self._clock.now() >= self._due:
            async with self._lock:
                await self._carry_out()

    def _take_wanted(self) -> None:
        """In place: whoever was given `wanted` sees it change. The revisions are those of these very settings."""
        found = {settings.name: settings for settings in (*self.configured, *self._registered.settings)}
        self.wanted.clear()
        self.wanted.update(found)
        self._revisions = {name: self._registered.revision_of(name) for name in found}
        self._held &= found.keys() | self.refused.keys()

    def _look(self) -> None:
        """How those that run have fared since the last look."""
        now = self._clock.now()
        for name, connection in list(self._connections.items()):
            if name in self._application.accounts:
                self._connections[name] = self._looked_at(connection, now)
            elif connection.failed_at is None:
                del self._connections[name]

    def _looked_at(self, connection: Connection, now: Millis) -> Connection:
        runner = self._application.runner(connection.account)
        if runner.failed is not None:
            return connection if connection.failed_at is not None else self._given_up(connection, str(runner.failed))
        if not self._is_heard(runner):
            return connection if connection.dark_since is not None else replace(connection, dark_since=now)
        if runner.account.state is StreamState.LIVE and (connection.failures or connection.reconnects):
            connection = replace(connection, failures=0, reconnects=0)
        return connection if connection.dark_since is None else replace(connection, dark_since=None)

    def _is_heard(self, runner: AccountRunner) -> bool:
        """A socket delivers, or the books are polled meanwhile with success: to begin anew would only interrupt that."""
        if runner.machine.feed.is_lit:
            return True
        age_ms = runner.machine.clock.at(self._clock.now()) - runner.account.read_until
        return runner.account.state is StreamState.POLLING and age_ms < self._policy.dark_limit_ms

    def _given_up(self, connection: Connection, reason: str, action: str = "account_given_up") -> Connection:
        failures, now = connection.failures + 1, self._clock.now()
        wait_ms = self._policy.retry_ms(failures)
        self._due = min(self._due, Millis(now + wait_ms))
        wait_s = -(-wait_ms // 1_000)
        words = f"an account is not run; it is tried again in {wait_s} s, or once its key is changed"
        _log.error(words, action=action, account=connection.account, attempts=failures, reason=reason)
        self._reasons[connection.account] = reason
        return replace(connection, failed_at=now, failures=failures)

    # --- the plan ---

    async def _carry_out(self, *, is_beginning: bool = False) -> None:
        now = self._clock.now()
        self._due = Millis(now + self._health_ms)
        if not self.connects:
            return
        self._make_room()
        self._look()
        wishes = [self._wish(settings) for name, settings in self.wanted.items() if name not in self._held]
        actions = plan(wishes, self._connections.values(), now, self._places, self._policy)
        self._due = min([self._due, *(action.until for action in actions if isinstance(action, Wait))])
        by_name = {wish.account: wish for wish in wishes}
        # all that ends has ended before anything begins: two accounts may have exchanged a key
        await asyncio.gather(*(self._end(action) for action in actions if not isinstance(action, Start | Wait)))
        for action in actions:
            if not (isinstance(action, Stop | Wait) or self._stopped.is_set()):
                await self._open(action.account, by_name[action.account], is_beginning=is_beginning)

    def _wish(self, settings: AccountSettings) -> Wanted:
        spec = find_venue(settings.venue)
        place = budget_name(spec, endpoints_of(settings, spec, os.environ).rest_url)
        self._places[place] = self._place(place, spec)
        return Wanted(
            account=AccountId(settings.name),
            revision=self._revisions[settings.name],
            place=place,
            weight=opening_weight(spec),
            is_exposed=self._is_exposed(settings.name),
        )

    def _place(self, name: str, spec: VenueSpec) -> Place:
        """What is known of a request budget now."""
        former, now = self._places.get(name), self._clock.now()
        gate = next((gate for gate in self._application.gates if gate.name == name), None)
        limit = (self._application.weight_limit or spec.weight_limit_per_minute) if gate is None else gate.budget.limit
        closed_until = Millis(0) if former is None else former.closed_until
        if gate is not None and gate.pause_ms:
            closed_until = Millis(now + gate.pause_ms)
        return Place(
            weight_per_minute=max(1, int(limit * OPENING_SHARE)),
            starts=() if former is None else former.starts,
            closed_until=closed_until,
        )

    def _is_exposed(self, name: str) -> bool:
        """Only asked of those that something may be done with: to count a running account's positions at each look would cost too much."""
        live, connection = self._application.accounts.get(name), self._connections.get(name)
        if live is None or connection is None:
            return name in self._exposed_before
        is_untouched = connection.dark_since is None and connection.revision == self._revisions[name]
        return not is_untouched and self._application.runner(name).account.is_exposed

    def _make_room(self) -> None:
        if len(self.wanted) <= self._room:
            return
        self._room = len(self.wanted)
        need = need_of(self._room)
        if (limit := make_room(need)) < need:
            _log.warning(told_about(limit, self._room, need), action="few_descriptors")

    # --- actions ---

    async def _end(self, action: Action) -> None:
        """Stops an account, for good or to begin it anew."""
        name = action.account
        match action:
            case Stop():
                _log.info("stopped", action="account_stopped", account=name)
            case Restart():
                _log.info("begun anew with its new key", action="account_restarted", account=name)
            case Reconnect():
                _log.warning("begun anew", action="account_reconnected", account=name, reason=action.reason)
        try:
            if name in self._application.accounts:
                await self._application.remove(name)
        except UserStreamError as error:
            _log.warning("an account did not end as it should", action="account_stop_failed", account=name, reason=str(error))
        if isinstance(action, Stop):
            self._connections.pop(name, None)
            self._reasons.pop(name, None)

    async def _open(self, name: str, wish: Wanted, *, is_beginning: bool = False) -> None:
        self._places[wish.place] = self._places[wish.place].after(self._clock.now(), wish.weight)
        try:
            await self._begin(name)
        except UserStreamError as error:
            if is_beginning and (not self._revisions[name] or not isinstance(error, SettingsError)):
                raise
            self._connections[name] = self._given_up(self._connections[name], str(error), "account_refused")

    async def _begin(self, name: str) -> LiveAccount:
        revision, now = self._revisions[name], self._clock.now()
        former = self._connections.get(name)
        same = former if former is not None and former.revision == revision else None
        was_dark = same is not None and same.failed_at is None and same.dark_since is not None
        self._connections[name] = Connection(
            account=AccountId(name),
            revision=revision,
            began=now,
            dark_since=now,
            failures=0 if same is None else same.failures,
            reconnects=0 if same is None else same.reconnects + was_dark,
        )
        self._reasons.pop(name, None)
        return await self._start(self.wanted[name])


def opening_weight(spec: VenueSpec) -> int:
    """What it costs at most, of the request budget, until a socket of the product delivers."""
    return OPENING_WEIGHT if spec.sharing is None else spec.sharing.dial_weight + spec.sharing.line_weight
