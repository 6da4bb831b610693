"""Puts the parts together: chooses adapters by the settings, starts them in order, stops them in the reverse order.

Adapters are imported when they are needed, so that a program that only reads types pays for nothing.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from userstream.entry.gates import GATES, AddressedHttp
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import AccountId
from userstream.kernel.secret import Secret
from userstream.kernel.settings import RecoverySettings, StreamSettings
from userstream.ports import Clock, EvidenceReader, HttpClient, Journal, Record, Transport
from userstream.runtime.gate import Gate
from userstream.runtime.live import LiveAccount
from userstream.runtime.meter import Meter
from userstream.runtime.runner import AccountRunner
from userstream.runtime.shared_sockets import SharedSockets
from userstream.venues import find_venue
from userstream.wire.feed import FeedPolicy
from userstream.wire.machine import Machine, MachinePolicy
from userstream.wire.pacing import Backoff
from userstream.wire.recovery import Policy
from userstream.wire.venue import AccountPlace, Credentials, Endpoints, VenueSpec, shared_place

if TYPE_CHECKING:
    from userstream.adapters.metrics import PrometheusMetrics
    from userstream.adapters.sqlite import SqliteStore
    from userstream.runtime.pump import Pump

PROJECTOR = "tables"
ADDRESSES: Final = ("rest_url", "ws_url", "ws_api_url")
"""Without the one the state cannot be proven, without the other nothing is heard."""


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One account to run. Endpoints left out are the venue's real ones, or those of the environment."""

    name: str
    venue: str
    credentials: Credentials
    rest_url: str | None = None
    ws_url: str | None = None
    ws_api_url: str | None = None
    recovery: RecoverySettings = RecoverySettings()
    stream: StreamSettings = StreamSettings()
    events: tuple[str, ...] = ()


class Application:
    """All that one process runs: accounts, their shared sockets' and calls' machinery, the store."""

    def __init__(
        self, clock: Clock, transport: Transport, http: HttpClient, journal: Journal, metrics: PrometheusMetrics | None = None
    ) -> None:
        from userstream.adapters.metrics import PrometheusMetrics

        self.clock, self.transport, self.http, self.journal = clock, transport, http, journal
        self._metrics = metrics or PrometheusMetrics()
        self._meter = Meter(self._metrics, clock, journal)
        self.store: SqliteStore | None = None
        self.pump: Pump | None = None
        self.evidence: EvidenceReader | None = None
        self.weight_limit: int | None = None
        self.accounts: dict[str, LiveAccount] = {}
        self._runners: dict[str, AccountRunner] = {}
        self._gates: dict[str, Gate] = {}
        self._shared: dict[str, SharedSockets] = {}
        self._stack = AsyncExitStack()
        self._stopped = False
        self._stopping = asyncio.Lock()

    async def add(self, settings: AccountSettings, *, on_record: Callable[[Record], None] | None = None) -> LiveAccount:
        """Starts an account; returns at once, long before its state is proven. Raises SettingsError for a wrong name or setting,
        StoreError when the journal cannot be read, ConnectionError when the account is removed meanwhile."""
        if self._stopped:
            raise UserStreamError(f"account {settings.name!r} cannot be added: all was stopped")
        if not settings.name:
            raise SettingsError("account name '' is empty: every account needs a name of its own")
        if settings.name in self.accounts:
            raise SettingsError(f"account {settings.name!r} is running already: names are unique, choose another")
        spec = find_venue(settings.venue)
        check_account(settings, os.environ)
        place = place_of(settings, spec)
        guard_secrets(place.credentials)
        machine = Machine(spec, place, policy_of(settings, place.jitter_seed), now=self.clock.now(), wall=self.clock.wall())
        gate = GATES.take(self, spec, place.endpoints.rest_url, self.http, self.clock, self.weight_limit)
        self._gates[gate.name] = gate
        runner = AccountRunner(
            machine,
            clock=self.clock,
            transport=self._transport_of(spec, place, gate),
            gate=gate,
            journal=self.journal,
            http=AddressedHttp(place.endpoints.rest_url, self.http),
            dial_limit_ms=int(settings.stream.dial_limit_s * 1000),
            call_limit_ms=int(settings.stream.call_limit_s * 1000),
        )
        runner.on_record, runner.on_refused = on_record, self._meter.note_refused
        runner.veil.on_known, runner.veil.on_gone = hide_in_logs, show_in_logs
        account = LiveAccount(runner, self.clock, self.journal, self.evidence, trouble_beside=self._pump_trouble)
        self.accounts[settings.name] = account
        self._runners[settings.name] = runner
        try:
            await runner.start()
        except BaseException:
            if self._runners.get(settings.name) is runner:
                del self.accounts[settings.name], self._runners[settings.name]
                self._meter.forget_account(runner.id)
            raise
        return account

    def _transport_of(self, spec: VenueSpec, place: AccountPlace, gate: Gate) -> Transport:
        if spec.sharing is None or not spec.sharing.may_share(place):
            return self.transport
        if gate.name not in self._shared:
            self._shared[gate.name] = SharedSockets(self.transport, self.clock, gate, spec.sharing)
        return self._shared[gate.name].line_transport(place)

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
        self._meter.forget_account(runner.id)

    def _pump_trouble(self) -> str:
        trouble = None if self.pump is None else self.pump.trouble
        return "" if trouble is None else f"the tables do not follow the journal: {trouble}"

    def metrics(self) -> str:
        """All numbers of this process as they are now, in the text form that Prometheus reads. Call it on the event loop."""
        lags = {} if self.pump is None else {self.pump.name: self.pump.lag}
        self._meter.report(self.accounts.values(), self._gates.values(), sink_lags=lags)
        return self._metrics.render().decode()

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


async def start_application(store: str | Path | None, *, keep_days: int = 14, weight_limit: int | None = None) -> Application:
    """Builds and starts everything but accounts. `store`: a database file, or None to keep the journal in memory. `weight_limit`: the
    request weight a minute that this process may count on at each venue (None: the venue's whole limit).
    Raises StoreError when the file cannot be used."""
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.http import AiohttpClient
    from userstream.adapters.logs import configure_library_logs
    from userstream.adapters.metrics import PrometheusMetrics
    from userstream.adapters.ws import PicowsTransport

    configure_library_logs()
    clock = SystemClock()
    stack = AsyncExitStack()
    journal: Journal
    sqlite: SqliteStore | None = None
    if store is None:
        from userstream.adapters.memory import MemoryJournal

        journal = MemoryJournal()
    else:
        from userstream.adapters.sqlite import SqliteStore
        from userstream.adapters.sqlite_commits import SqliteSettings

        settings = SqliteSettings(keep_days=keep_days)
        journal = sqlite = await SqliteStore.open(Path(store), clock, settings=settings, on_trouble=tell_store_trouble)
    stack.push_async_callback(journal.close)
    metrics = PrometheusMetrics()
    http, transport = AiohttpClient(metrics), PicowsTransport(clock)
    stack.push_async_callback(http.close)
    stack.push_async_callback(transport.close)
    application = Application(clock, transport, http, journal, metrics)
    application.store, application.weight_limit = sqlite, weight_limit
    if sqlite is not None and store is not None:
        from userstream.adapters.sqlite_evidence import SqliteEvidence
        from userstream.runtime.pump import Pump

        application.evidence = SqliteEvidence(Path(store), clock)
        application.pump = Pump(sqlite, sqlite, PROJECTOR, clock=clock, on_trouble=tell_pump_trouble)
        application.pump.start()
        stack.push_async_callback(application.pump.stop)
    application._stack = stack
    return application


def tell_store_trouble(trouble: Exception | None) -> None:
    """One line of the log when commits begin to fail, one when they succeed again."""
    import structlog

    log = structlog.stdlib.get_logger("userstream.store")
    if trouble is None:
        log.info("the store keeps everything again", action="store_recovered")
    else:
        log.error("nothing can be kept: what comes in waits in memory", action="store_trouble", reason=str(trouble))


def tell_pump_trouble(trouble: Exception | None) -> None:
    """One line of the log when the tables stop to follow the journal, one when they follow again."""
    import structlog

    log = structlog.stdlib.get_logger("userstream.pump")
    if trouble is None:
        log.info("the tables follow the journal again", action="pump_recovered")
    else:
        log.error("the tables do not follow the journal; it keeps what they lack", action="pump_trouble", reason=str(trouble))


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
    )
    return shared_place(place) if spec.sharing is not None and spec.sharing.may_share(place) else place


def endpoints_of(settings: AccountSettings, spec: VenueSpec, environment: Mapping[str, str]) -> Endpoints:
    """The account's own addresses, else the environment's, else the real venue's."""

    def choose(name: str) -> str:
        given: str | None = getattr(settings, name)
        real: str = getattr(spec.real, name)
        return (given or environment.get(variable_of(spec, name)) or real).rstrip("/")

    return Endpoints(rest_url=choose("rest_url"), ws_url=choose("ws_url"), ws_api_url=choose("ws_api_url"))


def variable_of(spec: VenueSpec, address: str) -> str:
    """The environment variable that points the venue's `address` (rest_url, ...) elsewhere."""
    return f"USERSTREAM_{spec.name.upper().replace('-', '_')}_{address.upper()}"


def check_account(settings: AccountSettings, environment: Mapping[str, str]) -> None:
    """Raises SettingsError for a venue nobody knows and for addresses that cannot be, before anything is opened."""
    spec = find_venue(settings.venue)
    try:
        check_addresses(settings, spec, environment)
    except SettingsError as error:
        raise SettingsError(f"account {settings.name!r}: {error}") from None


def check_addresses(settings: AccountSettings, spec: VenueSpec, environment: Mapping[str, str]) -> None:
    """Raises SettingsError for addresses that no socket could use, which would be tried for ever, and for half of them: the other half
    would speak with the real venue. Addresses are told without their paths, which may hold secrets."""
    endpoints = endpoints_of(settings, spec, environment)
    given: dict[str, str] = {}
    for name in ADDRESSES:
        shown = _check_form(name, getattr(endpoints, name))
        variable = variable_of(spec, name)
        if getattr(settings, name):
            given[name] = shown
        elif environment.get(variable):
            given[name] = f"{variable} gives {shown}"
    halves = ("rest_url", "ws_url" if spec.real.ws_url else "ws_api_url")
    missing = [name for name in halves if given and name not in given]
    if missing:
        part = next(iter(given.values()))
        ways = " and ".join(f"{name} (or set {variable_of(spec, name)})" for name in missing)
        raise SettingsError(f"{part} is only a part: the rest would speak with the real venue; give {ways} as well, or none")


def _check_form(name: str, address: str) -> str:
    """The address without its path, with its name."""
    from userstream.adapters.network import check_address

    if not address:
        return ""
    secure, plain = ("https", "http") if name == "rest_url" else ("wss", "ws")
    try:
        place = check_address(address, secure=secure, plain=plain)
        if "?" in address:
            raise SettingsError("a base address must not hold a query")
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None
    return f"{name} = '{place.scheme}://{place}'"


def policy_of(settings: AccountSettings, seed: int) -> MachinePolicy:
    recovery, stream = settings.recovery, settings.stream
    return MachinePolicy(
        feed=FeedPolicy(
            redundancy=stream.redundancy,
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
    """Wraps a key. Raises SettingsError for what cannot be a key: empty, or with blanks around it."""
    for field, value in (("api_key", api_key), ("api_secret", api_secret)):
        if value is not None and (not value.strip() or (value != value.strip() and "-----" not in value)):
            raise SettingsError(f"{field} is empty or has blanks around it: copy it again from the venue's page")
    if not api_key.isascii() or not api_key.isprintable():
        raise SettingsError("api_key holds characters that no venue's key has: copy it again from the venue's page")
    return Credentials(
        api_key=Secret(api_key),
        api_secret=None if api_secret is None else Secret(api_secret),
        passphrase=None if passphrase is None else Secret(passphrase),
    )
