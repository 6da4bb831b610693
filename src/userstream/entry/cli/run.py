"""`userstream run`: real accounts from a configuration file, until told to stop."""

from __future__ import annotations

import asyncio
import math
import signal
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
from cyclopts import Parameter

from userstream.domain.events import Event, GapOpened, GapRepaired, MarginCalled, Mismatch, StreamChanged, Unrecognized, public_form
from userstream.domain.words import StreamState
from userstream.entry.cli.output import complain, leave_at_once, show_count
from userstream.entry.cli.stores import check_store_place
from userstream.entry.oddities import Oddities
from userstream.entry.times import show_time
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.wire.feed import STARTING

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings, Application
    from userstream.entry.configuration import Configuration
    from userstream.entry.manager import AccountManager
    from userstream.entry.registered import RegisteredAccounts
    from userstream.entry.web.door import WebDoor
    from userstream.runtime.live import LiveAccount

log = structlog.get_logger("userstream.run")
STOP_LIMIT_S = 10.0
LOOK_MS = 200
BAD, DOUBTFUL = "bad", "doubtful"
REPORTED = ("state", "status", "margin_level", "reason", "symbol", "since", "until", "fills")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The terminal was closed; not every platform has it."""


def run(
    *,
    config: Annotated[Path, Parameter(help="The configuration file (TOML; docs/reference/configuration.md).")] = Path("userstream.toml"),
    seconds: Annotated[float | None, Parameter(help="Stop after so long; without it, run until SIGTERM, SIGHUP or Ctrl-C.")] = None,
) -> int:
    """Run all accounts of a configuration file.

    Exit code 1 when every account failed for good, and there is no registry that could mend them. The first SIGTERM, SIGHUP or Ctrl-C
    stops in order, a second SIGTERM or Ctrl-C at once.

    Example: `userstream run --config userstream.toml`
    """
    from userstream.adapters.logs import configure_logs
    from userstream.entry.configuration import read_configuration
    from userstream.entry.tuning import run_on_best_loop, tune_interpreter

    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise SettingsError(f"--seconds {seconds:g} must be a number above 0")
    configuration = read_configuration(config)
    check_store_place(Path(configuration.store.path))
    configure_logs(
        level=configuration.log.level, as_json=None if configuration.log.format == "auto" else configuration.log.format == "json"
    )
    tune_interpreter()
    return run_on_best_loop(_run(configuration, seconds))


async def _run(configuration: Configuration, seconds: float | None) -> int:
    stopped = asyncio.Event()
    _hear_signals(stopped)
    try:
        return await _serve(configuration, seconds, stopped)
    finally:
        _hear_no_signal()


async def _serve(configuration: Configuration, seconds: float | None, stopped: asyncio.Event) -> int:
    from userstream.entry.registered import open_registered

    async with open_registered(configuration) as registered:
        return await _serve_all(configuration, registered, seconds, stopped)


async def _serve_all(configuration: Configuration, registered: RegisteredAccounts, seconds: float | None, stopped: asyncio.Event) -> int:
    from userstream.entry.alerts import open_alerts
    from userstream.entry.bootstrap import start_application
    from userstream.entry.manager import AccountManager
    from userstream.entry.metrics_port import open_metrics

    manager_settings = configuration.manager
    application = await start_application(
        configuration.store.path,
        keep_days=configuration.store.keep_days,
        risk_reserve=manager_settings.risk_reserve,
        postgres=configuration.postgres,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_exit(partial(_stop_all, application))
        start = partial(_start_account, application, registered)
        manager = AccountManager(
            application, registered, configuration.accounts, start, manager_settings, connects=configuration.websocket_enabled
        )
        stack.push_async_callback(manager.close)
        application.expect(manager.expected_venues)
        await stack.enter_async_context(open_metrics(configuration.metrics, application))
        store = Path(configuration.store.path)
        alerts = await stack.enter_async_context(open_alerts(configuration.alerts, application, manager.expected, store))
        if alerts is not None:
            registered.tell_rights = alerts.note_key
        registered.watch(application, asks_rights=configuration.websocket_enabled)
        stack.push_async_callback(registered.stop_watching)
        door = await _open_door(stack, application, configuration, manager)
        _warn_stream_only(configuration)
        await manager.begin(stopped)
        if door is not None and not stopped.is_set():
            door.tell_ready()
        return await _watch(application, stopped, seconds, ends_with_accounts=not configuration.registry.is_run)


async def _stop_all(application: Application, _kind: object, error: BaseException | None, _trace: object) -> None:
    # where the start was refused, the line that says why is all there is to say
    if not isinstance(error, UserStreamError):
        log.info("stopping", action="stopping", accounts=len(application.accounts))
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await application.stop()
    except TimeoutError:
        complain(f"not everything stopped within {STOP_LIMIT_S:g} s")


async def _open_door(
    stack: AsyncExitStack, application: Application, configuration: Configuration, manager: AccountManager
) -> WebDoor | None:
    """The HTTP API, where it is configured: opened before the accounts, so that it can tell how far they are, and closed before them."""
    if configuration.http is None:
        return None
    from userstream.entry.web.door import open_door

    store, folder = Path(configuration.store.path), configuration.folder
    opening = open_door(configuration.http, application, store, folder, manager.wanted, manager.connect, manager)
    return await stack.enter_async_context(opening)


def _stop(stopped: asyncio.Event) -> None:
    if stopped.is_set():
        leave_at_once("stopped at once, by a second signal")
    stopped.set()


def _hear_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for name in SIGNALS:
        loop.add_signal_handler(name, _stop, stopped)
    # nohup wants it ignored; and a closed terminal may send it more than once, which is no impatience
    if HANGUP is not None and signal.getsignal(HANGUP) != signal.SIG_IGN:
        loop.add_signal_handler(HANGUP, stopped.set)


def _hear_no_signal() -> None:
    """All is stopped and stored: one signal more, while the interpreter clears up, changes neither exit code nor screen."""
    for name in SIGNALS if HANGUP is None else (*SIGNALS, HANGUP):
        # the loop would put back Python's own ways when it closes: a traceback for the one, death by signal for the other
        asyncio.get_running_loop().remove_signal_handler(name)
        signal.signal(name, signal.SIG_IGN)


def _warn_stream_only(configuration: Configuration) -> None:
    for name in configuration.stream_only:
        log.warning("an account without a secret is only listened to: nothing can be proven", action="stream_only", account=name)


async def _start_account(application: Application, registered: RegisteredAccounts, settings: AccountSettings) -> LiveAccount:
    account = await application.add(settings, through=registered.way_of(settings.name))
    account.on(StreamChanged, GapOpened, GapRepaired, MarginCalled, Mismatch, handler=_report)
    account.on(Unrecognized, handler=Oddities().note)
    log.info("started", action="account_started", account=settings.name, venue=settings.venue)
    return account


def _weight_of(event: Event) -> str:
    """How much a person must hear of it, whatever else the log leaves out."""
    match event:
        case Mismatch(resolved=False) | StreamChanged(state=StreamState.FAILED):
            return BAD
        case MarginCalled() if not event.is_over:
            return BAD
        case GapOpened() | StreamChanged(state=StreamState.STALE | StreamState.POLLING):
            return DOUBTFUL
        case StreamChanged(state=StreamState.CONNECTING) if event.reason != STARTING:  # no socket opens
            return DOUBTFUL
        case _:
            return ""


def _report(event: Event) -> None:
    form = public_form(event)
    level = {BAD: log.error, DOUBTFUL: log.warning}.get(_weight_of(event), log.info)
    fields = {name: form[name] for name in REPORTED if form.get(name) is not None}
    level(_sentence(event), action=form["kind"], account=event.account, **fields)


def _sentence(event: Event) -> str:
    """What happened, with the times that people read; programs read the fields."""
    match event:
        case GapOpened():
            return f"gap opened: events since {show_time(event.since)} UTC may be missing"
        case GapRepaired():
            found = show_count(event.fills, "fill")
            return f"gap repaired: {show_time(event.since)} to {show_time(event.until)} UTC was read again, {found} found"
        case Mismatch():
            what = f"{event.subject} {event.key}: ours {event.ours}, theirs {event.theirs}"
            return f"mismatch {'resolved' if event.resolved else 'found'}: {what}"
        case _:
            return str(public_form(event)["kind"]).replace("_", " ")


async def _watch(application: Application, stopped: asyncio.Event, seconds: float | None, *, ends_with_accounts: bool) -> int:
    """Until it is told to stop. `ends_with_accounts`: or until every account failed for good."""
    clock = application.clock
    end = None if seconds is None else clock.now() + seconds * 1_000
    while not stopped.is_set() and (end is None or clock.now() < end):
        states = [account.state for account in application.accounts.values()]
        if ends_with_accounts and states and all(state is StreamState.FAILED for state in states):
            complain("every account failed for good: " + "; ".join(_failures(application)))
            return 1
        await clock.sleep(LOOK_MS)
    return 0


def _failures(application: Application) -> list[str]:
    return [f"{name}: {application.runner(name).failed}" for name in application.accounts]
