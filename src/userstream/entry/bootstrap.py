"""Puts the parts together: chooses adapters by the settings, starts them in order, stops them in the reverse order.

Adapters are imported when they are needed, so that a program that only reads types pays for nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from userstream.entry.account_words import check_name, check_symbols
from userstream.entry.addresses import ADDRESSES, check_addresses, endpoints_of
from userstream.entry.followers import PROJECTOR, open_journal, prepare_postgres, start_postgres, start_tables
from userstream.entry.gates import GATES, AddressedHttp
from userstream.entry.key_owners import KeyOwners
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import AccountId, Symbol, VenueName
from userstream.kernel.secret import Secret
from userstream.kernel.settings import MOST_OF_A_LIFE, SHORTEST_DRAIN_S, SHORTEST_LIFE_S, RecoverySettings, StreamSettings, check
from userstream.ports import Clock, EvidenceReader, HttpClient, Journal, Record, Transport
from userstream.runtime.gate import Gate
from userstream.runtime.live import LiveAccount
from userstream.runtime.meter import Meter
from userstream.runtime.pressure import BackPressure
from userstream.runtime.runner import AccountRunner
from userstream.runtime.shared_sockets import SharedSockets
from userstream.venues import find_venue
from userstream.wire.feed import FeedPolicy
from userstream.wire.machine import Machine, MachinePolicy
from userstream.wire.pacing import RISK_RESERVE, Backoff
from userstream.wire.recovery import Policy
from userstream.wire.venue import AccountPlace, Credentials, VenueSpec, shared_place

if TYPE_CHECKING:
    from userstream.adapters.metrics import PrometheusMetrics
    from userstream.adapters.sqlite import SqliteStore
    from userstream.entry.storage import PostgresFeed, PostgresTarget
    from userstream.runtime.pump import Pump

Way = Callable[[HttpClient], HttpClient]
"""What an account's calls pass before they go out."""


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One account to run. Endpoints left out are the venue's real ones, or those of the environment. symbols: those whose history is
    always read, where the venue tells it by symbol; session_logon: log in on the socket, where the venue offers it; isolated_symbol: the
    pair of an isolated margin account, which is an account of its own; shared_socket: whether it may share its sockets with other
    accounts of the process, where the venue lets them and `rotate_s` is long enough; microseconds: ask for the stream's times in that
    unit, where the venue has it."""

    name: str
    venue: str
    credentials: Credentials
    rest_url: str | None = None
    ws_url: str | None = None
    ws_api_url: str | None = None
    recovery: RecoverySettings = RecoverySettings()
    stream: StreamSettings = StreamSettings()
    events: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    session_logon: bool = False
    isolated_symbol: str = ""
    shared_socket: bool = True
    microseconds: bool = False


class Application:
    """All that one process runs: accounts, their shared sockets' and calls' machinery, the store. `on_started`: called with each account
    before it is told anything. `numbers`: all that is counted."""

    def __init__(
        self, clock: Clock, transport: Transport, http: HttpClient, journal: Journal, metrics: PrometheusMetrics | None = None
    ) -> None:
        from userstream.adapters.metrics import PrometheusMetrics

        self.clock, self.transport, self.http, self.journal = clock, transport, http, journal
        self.numbers = metrics or PrometheusMetrics()
        self._meter = Meter(self.numbers, clock, journal)
        self.store: SqliteStore | None = None
        self.pump: Pump | None = None
        self.postgres: PostgresFeed | None = None
        self.evidence: EvidenceReader | None = None
        self.weight_limit: int | None = None
        self.risk_reserve = RISK_RESERVE
        self.accounts: dict[str, LiveAccount] = {}
        self.on_started: list[Callable[[LiveAccount], None]] = []
        self._runners: dict[str, AccountRunner] = {}
        self._keys = KeyOwners()
        self._gates: dict[str, Gate] = {}
        self._shared: dict[str, SharedSockets] = {}
        self._pressure = BackPressure(journal, clock)
        self._stack = AsyncExitStack()
        self._stopped = False
        self._stopping = asyncio.Lock()

    async def add(
        self, settings: AccountSettings, *, on_record: Callable[[Record], None] | None = None, through: Way | None = None
    ) -> LiveAccount:
        """Starts an account; returns at once, long before its state is proven. `through`: what its calls pass on their way. Raises
        SettingsError for a wrong name or setting, StoreError when the journal cannot be read, ConnectionError when the account is removed
        meanwhile."""
        if self._stopped:
            raise UserStreamError(f"account {settings.name!r} cannot be added: all was stopped")
        check_account(settings, os.environ)
        if settings.name in self.accounts:
            raise SettingsError(f"account {settings.name!r} is running already: names are unique, choose another")
        spec = find_venue(settings.venue)
        place = place_of(settings, spec)
        guard_secrets(place.credentials)
        machine = Machine(spec, place, policy_of(settings, place.jitter_seed), now=self.clock.now(), wall=self.clock.wall())
        gate = self.take_gate(spec, place.endpoints.rest_url)
        host = gate if spec.host_of is None else self.take_gate(find_venue(spec.host_of), place.endpoints.rest_url)
        runner = AccountRunner(
            machine,
            clock=self.clock,
            transport=self._transport_of(spec, place, host),
            gate=gate,
            journal=self.journal,
            http=AddressedHttp(place.endpoints.rest_url, self.http if through is None else through(self.http), host),
            dial_limit_ms=int(settings.stream.dial_limit_s * 1000),
            call_limit_ms=int(settings.stream.call_limit_s * 1000),
            pressure=self._pressure,
        )
        runner.on_record, runner.count = on_record, self._meter.count
        runner.veil.on_known, runner.veil.on_gone = hide_in_logs, show_in_logs
        account = LiveAccount(runner, self.clock, self.journal, self.evidence, trouble_beside=self._pump_trouble)
        self._keys.claim(settings, os.environ)
        await self._start(settings.name, account, runner)
        return account

    async def _start(self, name: str, account: LiveAccount, runner: AccountRunner) -> None:
        self.accounts[name], self._runners[name] = account, runner
        try:
            await runner.start()
        except BaseException:
            if self._runners.get(name) is runner:
                del self._runners[name]
                runner.abandon()
                self._forget(name, runner)
            raise
        for tell in self.on_started:
            tell(account)

    def take_gate(self, spec: VenueSpec, rest_url: str) -> Gate:
        """Of the product's request budget at that address. Raises UserStreamError once all was stopped."""
        if self._stopped:
            raise UserStreamError(f"{spec.name} is asked nothing more: all was stopped")
        gate = GATES.take(self, spec, rest_url, self.http, self.clock, self.weight_limit, reserve=self.risk_reserve)
        self._gates[gate.name] = gate
        return gate

    def _transport_of(self, spec: VenueSpec, place: AccountPlace, gate: Gate) -> Transport:
        """`gate`: of the budget in which the venue counts what is asked on the product's sockets."""
        if spec.sharing is None:
            return self.transport
        if gate.name not in self._shared:
            pace = GATES.pace_of(gate, spec.sharing, self.clock)
            self._shared[gate.name] = SharedSockets(self.transport, self.clock, gate, spec.sharing, pace)
        shared = self._shared[gate.name]
        return shared.line_transport(place) if spec.sharing.may_share(place) else shared.own_transport(place)

    @property
    def shared_sockets(self) -> list[SharedSockets]:
        """The sockets that several accounts use, for each request budget."""
        return list(self._shared.values())

    async def remove(self, name: str) -> None:
        """Stops an account; the others do not notice. Handlers that are behind hold this up for 1.5 s at most, a store in trouble for
        2 s. Raises SettingsError when it is not running."""
        runner = self._runners.pop(name, None)
        if runner is None:
            raise SettingsError(f"account {name!r} is not running")
        try:
            await runner.stop()
        finally:
            self._forget(name, runner)

    def _forget(self, name: str, runner: AccountRunner) -> None:
        del self.accounts[name]
        self._keys.release(name)
        self._meter.forget_account(runner.id)

    def _pump_trouble(self) -> str:
        trouble = None if self.pump is None else self.pump.trouble
        if trouble is not None:
            return f"the tables do not follow the journal: {trouble}"
        beside = None if self.postgres is None else self.postgres.trouble
        return "" if beside is None else f"PostgreSQL does not follow the journal: {beside}"

    def expect(self, accounts: Callable[[], Mapping[AccountId, VenueName]]) -> None:
        """Who is to run: the metrics tell of those that do not."""
        self._meter.expected = accounts

    def metrics(self) -> str:
        """All numbers of this process as they are now, in the text form that Prometheus reads. Call it on the event loop."""
        self._meter.report(self.accounts.values(), self._gates.values(), sink_lags=self._sink_lags())
        return self.numbers.render().decode()

    async def read_metrics(self) -> str:
        """As `metrics`, but hundreds of accounts do not hold up messages meanwhile."""
        await self._meter.report_in_turns(self.accounts, self._gates.values(), sink_lags=self._sink_lags())
        return (await self.numbers.render_in_turns(self.clock)).decode()

    def _sink_lags(self) -> dict[str, int]:
        pumps = {PROJECTOR: self.pump, "postgres": None if self.postgres is None else self.postgres.pump}
        return {name: pump.lag for name, pump in pumps.items() if pump is not None}

    @property
    def gates(self) -> list[Gate]:
        """The gates that its accounts' calls pass, shared with whoever else asks the same addresses from here."""
        return list(self._gates.values())

    def runner(self, name: str) -> AccountRunner:
        return self._runners[name]

    async def stop(self) -> None:
        """Accounts first, all at once (as long as `remove` of one), then what they hand over to, then the store, also if an account
        failed to stop. Safe to call twice: the second call waits for the first."""
        self._stopped = True
        async with self._stopping:
            for runner in self._runners.values():
                runner.begin_stop()
            try:
                outcomes = await asyncio.gather(*map(self.remove, list(self._runners)), return_exceptions=True)
            finally:
                self._abandon_rest()
                await self._stop_common_parts()
        for failure in filter(None, outcomes):
            raise failure

    def _abandon_rest(self) -> None:
        """A stop that was cancelled before it came to an account."""
        while self._runners:
            name, runner = self._runners.popitem()
            runner.abandon()
            self._forget(name, runner)

    async def _stop_common_parts(self) -> None:
        for shared in self._shared.values():
            await shared.close()
        self._shared.clear()
        await GATES.leave(self)
        self._gates.clear()
        await self._stack.aclose()


def _check_text(field: str, value: object, *, is_needed: bool) -> None:
    """Never shows the value, which may be a secret."""
    if value is None and is_needed:
        raise SettingsError(f"{field} is None: it must be text; is the environment variable set that holds it?")
    if not (value is None or isinstance(value, str)):
        raise SettingsError(f"{field} is no text but of the type {type(value).__name__}")


def _check_common(store: object, keep_days: object, weight_limit: object) -> None:
    """What all accounts share. Raises SettingsError."""
    check(store is None or isinstance(store, str | Path), "store", store, "must be the path of a file, or None")
    check(_is_count(keep_days, 36_500), "keep_days", keep_days, "must be between 1 and 36500 (days)")
    check(weight_limit is None or _is_count(weight_limit), "weight_limit", weight_limit, "must be a whole number above 0, or None")


def _is_count(value: object, most: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1 and (most is None or value <= most)


async def start_application(
    store: str | Path | None,
    *,
    keep_days: int = 14,
    weight_limit: int | None = None,
    risk_reserve: float = RISK_RESERVE,
    postgres: PostgresTarget | None = None,
) -> Application:
    """Builds and starts everything but accounts. `store`: a database file, or None to keep the journal in memory. `weight_limit`: the
    request weight a minute that this process may count on at each venue (None: the venue's whole limit); `risk_reserve`: the share of it
    that is kept for risk actions. `postgres`: a database that is filled from the journal too; its server may be away. Raises
    SettingsError for what cannot be, StoreError when the file cannot be used."""
    _check_common(store, keep_days, weight_limit)
    check(store is not None or postgres is None, "store", store, "must be a file where PostgreSQL is filled: it is filled from there")
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.http import AiohttpClient
    from userstream.adapters.logs import configure_library_logs
    from userstream.adapters.metrics import PrometheusMetrics
    from userstream.adapters.ws import PicowsTransport
    from userstream.runtime.stages import TimedTransport

    configure_library_logs()
    clock = SystemClock()
    feed = await prepare_postgres(postgres, store, clock)
    stack = AsyncExitStack()
    journal, sqlite = await open_journal(store, keep_days, clock)
    stack.push_async_callback(journal.close)
    metrics = PrometheusMetrics()
    http, transport = AiohttpClient(metrics), TimedTransport(PicowsTransport(clock), metrics, time.perf_counter_ns)
    stack.push_async_callback(http.close)
    stack.push_async_callback(transport.close)
    application = Application(clock, transport, http, journal, metrics)
    application.store, application.weight_limit, application.risk_reserve = sqlite, weight_limit, risk_reserve
    if sqlite is not None and store is not None:
        start_tables(application, sqlite, Path(store), stack)
        await start_postgres(application, feed, sqlite, stack)
    application._stack = stack
    return application


def hide_in_logs(secret: Secret) -> None:
    """No log shows it from now on."""
    from userstream.adapters.logs import register_secret

    register_secret(secret)


def show_in_logs(secret: Secret) -> None:
    """It has lost its power, or is no longer ours: as often hidden as shown again, it is forgotten."""
    from userstream.adapters.logs import forget_secret

    forget_secret(secret)


def guard_secrets(credentials: Credentials) -> None:
    """No log shows them from now on."""
    for secret in (credentials.api_key, credentials.api_secret, credentials.passphrase):
        if secret is not None and secret:
            hide_in_logs(secret)


def place_of(settings: AccountSettings, spec: VenueSpec) -> AccountPlace:
    """Everything a venue needs to speak for the account; endpoints from the settings, else the environment, else the real venue."""
    stream = settings.stream
    place = AccountPlace(
        account=AccountId(settings.name),
        venue=spec.name,
        credentials=settings.credentials,
        endpoints=endpoints_of(settings, spec, os.environ),
        jitter_seed=zlib.crc32(f"{spec.name}:{settings.name}".encode()),
        listen_key_keep_alive_ms=int(stream.keep_alive_s * 1000),
        own_ping_ms=int(stream.own_ping_s * 1000),
        first_delay_ms=int(stream.first_delay_s * 1000),
        max_delay_ms=int(stream.max_delay_s * 1000),
        silence_limit_ms=int(stream.silence_s * 1000),
        rotate_after_ms=int(stream.rotate_s * 1000),
        events=settings.events,
        close_listen_key_on_stop=stream.close_listen_key_on_stop,
        symbols=tuple(Symbol(name) for name in settings.symbols),
        session_logon=settings.session_logon,
        isolated_symbol=Symbol(settings.isolated_symbol),
        # who shares stays on a socket for half of its life
        shared_socket=settings.shared_socket and stream.rotate_s >= 2 * SHORTEST_LIFE_S,
        microseconds=settings.microseconds,
    )
    return shared_place(place) if spec.sharing is not None and spec.sharing.may_share(place) else place


def check_account(settings: AccountSettings, environment: Mapping[str, str]) -> None:
    """Raises SettingsError for what no account can be run with, before anything is opened: a name, a venue, settings, addresses."""
    check_name(settings.name)
    try:
        _check_types(settings)
        check_symbols("symbols", settings.symbols)
        if settings.isolated_symbol:
            check_symbols("isolated_symbol", (settings.isolated_symbol,))
        spec = find_venue(settings.venue)
        check_addresses(settings, spec, environment)
        check_offered(settings, spec)
    except SettingsError as error:
        raise SettingsError(f"account {settings.name!r}: {error}") from None


def _check_types(settings: AccountSettings) -> None:
    """A program without a type checker hears of its slip here, and not from the depths of a running account."""
    for field in ("venue", "isolated_symbol", *ADDRESSES):
        value: object = getattr(settings, field)
        check(isinstance(value, str) or (value is None and field in ADDRESSES), field, value, "must be text")
    for field, kind in (("recovery", RecoverySettings), ("stream", StreamSettings)):
        value = getattr(settings, field)
        check(isinstance(value, kind), field, value, f"must be userstream.{kind.__name__}(...)")
    for field in ("shared_socket", "microseconds"):
        value = getattr(settings, field)
        check(isinstance(value, bool), field, value, "must be True or False")


def check_offered(settings: AccountSettings, spec: VenueSpec) -> None:
    """Raises SettingsError for the pair of an isolated account where the venue has none, and for a unit of time that it cannot tell."""
    if settings.isolated_symbol and not spec.has_isolated_accounts:
        raise SettingsError(f"isolated_symbol = {settings.isolated_symbol!r} has no meaning at {spec.name}: leave it out")
    if settings.microseconds and not spec.has_microseconds:
        raise SettingsError(f"microseconds = true has no meaning at {spec.name}, whose times are milliseconds: leave it out")


def symbols_of(symbols: object) -> tuple[str, ...]:
    """The names of a list. Raises SettingsError for a text, whose letters would be taken for names, and for what is no name."""
    if isinstance(symbols, str) or not isinstance(symbols, Iterable):
        raise SettingsError(f"symbols = {symbols!r} must be a list of names, such as ['BTCUSDT']")
    names = tuple(symbols)
    check_symbols("symbols", names)
    return names


def policy_of(settings: AccountSettings, seed: int) -> MachinePolicy:
    recovery, stream = settings.recovery, settings.stream
    return MachinePolicy(
        feed=FeedPolicy(
            redundancy=stream.redundancy,
            drain_ms=int(min(max(recovery.lag_s, SHORTEST_DRAIN_S), stream.rotate_s * MOST_OF_A_LIFE) * 1000),
            backoff=Backoff(
                first_delay_ms=int(stream.first_delay_s * 1000),
                max_delay_ms=int(stream.max_delay_s * 1000),
                seed=seed,
            ),
        ),
        books=Policy(
            lag_ms=int(recovery.lag_s * 1000),
            overlap_ms=int(recovery.overlap_s * 1000),
            audit_ms=int(recovery.audit_s * 1000),
            history_ms=int(recovery.history_s * 1000),
            poll_ms=int(recovery.poll_s * 1000),
            backfill_ms=int(recovery.backfill_s * 1000),
        ),
        polling_after_failures=stream.polling_after_failures,
    )


def credentials_of(api_key: str, api_secret: str | None, passphrase: str | None = None) -> Credentials:
    """Wraps a key. Raises SettingsError for what cannot be a key: not given, empty, or with blanks around it."""
    for field, given in (("api_key", api_key), ("api_secret", api_secret), ("passphrase", passphrase)):
        _check_text(field, given, is_needed=field == "api_key")
    for field, value in (("api_key", api_key), ("api_secret", api_secret)):
        if value is not None and (not value.strip() or (value != value.strip() and "-----" not in value)):
            raise SettingsError(f"{field} is empty or has blanks around it: copy it again from the venue's page")
    if " " in api_key:
        raise SettingsError("api_key holds a blank: copy it again from the venue's page")
    if not api_key.isascii() or not api_key.isprintable():
        raise SettingsError("api_key holds characters that no venue's key has: copy it again from the venue's page")
    return Credentials(
        api_key=Secret(api_key),
        api_secret=None if api_secret is None else Secret(api_secret),
        passphrase=None if passphrase is None else Secret(passphrase),
    )
