"""Alerts of a running service: looks at every account once a second, hears of margin calls at once, and hands to the notifier what a
person is to be told. It decides nothing: what is told, and when, is the business of the book of incidents.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import structlog

from userstream.domain.alert_findings import AccountSight, DriftWatch, findings_of
from userstream.domain.alert_words import Notification, notification_of
from userstream.domain.alerts import KEY_KINDS, AlertBook, AlertKind, AlertRules, Finding, KeptIncident, Leg, Note
from userstream.domain.events import MarginCalled
from userstream.domain.words import StreamState
from userstream.kernel.errors import AuthenticationError, StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Clock, IncidentKeeper, Metrics, Notifier
from userstream.runtime.live import LiveAccount

if TYPE_CHECKING:
    from userstream.entry.alert_settings import AlertTarget
    from userstream.entry.bootstrap import Application

LOOK_MS: Final = 1_000
WORDS_EVERY: Final = 10
"""Looks between two countings of unknown words, which are many and in no hurry."""
ACCOUNTS_OF_A_TURN: Final = 50
"""The event loop is left to the accounts after so many of them were looked at."""
STOP_LIMIT_MS: Final = 1_500
KEEP_LIMIT_MS: Final = 500
_log = structlog.stdlib.get_logger("userstream.alerts")


@runtime_checkable
class Reporter(Protocol):
    """A notifier that tells what became of a notification: somebody took it, or nobody will."""

    def listen(self, hear: Callable[[Notification, bool], None]) -> None: ...


def _no_breaker(account: AccountId) -> str:
    return ""


def _end(task: asyncio.Task[None]) -> None:
    task.cancel()


class AlertService:
    """Owned by whoever calls `start` and `stop`. Of an account that the application starts from now on no margin call is missed; those
    that run already are found at the first look."""

    def __init__(
        self,
        application: Application,
        notifier: Notifier,
        metrics: Metrics,
        *,
        wanted: Callable[[], Collection[str]],
        rules: AlertRules | None = None,
        breaker_of: Callable[[AccountId], str] = _no_breaker,
        keeper: IncidentKeeper | None = None,
    ) -> None:
        """`wanted`: the names of all accounts that are to run. `breaker_of`: why an account's circuit breaker is open, empty if it is
        not. `keeper`: what a restart must not forget (None: a restart tells what goes on anew). A notifier that is no `Reporter` is
        believed to have told whatever it is given."""
        self._application, self._notifier, self._metrics = application, notifier, metrics
        self._wanted, self._breaker_of = wanted, breaker_of
        self._clock: Clock = application.clock
        self._book = AlertBook(rules)
        self._words = DriftWatch()
        self._keys: dict[AccountId, Finding] = {}
        self._watched: dict[str, LiveAccount] = {}
        self._keeper, self._is_changed = keeper, False
        self._saving: asyncio.Task[None] | None = None
        self._handed: dict[int, tuple[Notification, Sequence[Note]]] = {}
        self._is_reported = isinstance(notifier, Reporter)
        if isinstance(notifier, Reporter):
            notifier.listen(self._hear)
        self._looks = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes up what a former process has told, then begins to listen and to look."""
        await self._restore()
        self._application.on_started.append(self.watch)
        self._task = self._clock.spawn(self._run(), "alerts")

    async def stop(self) -> None:
        """Looks no more, sends what is still to be told, for 1.5 s at most. An incident that goes on has no end to be told."""
        if self._task is not None:
            self._application.on_started.remove(self.watch)
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self._send(all_of_them=True)
        # only then is it known what the next process need not tell again
        await self._notifier.close(limit_ms=STOP_LIMIT_MS)
        await self._finish_keeping()

    def watch(self, account: LiveAccount) -> None:
        """Its margin calls are told from now on. May be called twice."""
        if self._watched.get(account.id) is not account:
            self._watched[account.id] = account
            account.on(MarginCalled, handler=self._take_call)

    def note_key(self, account: AccountId, refusals: str = "", widened: str = "") -> None:
        """What a look at an account's key found; to be called after every look that the venue answered, and told within a second. It stands
        until the next call, and over a restart: keys are looked at once a day. `refusals`: why the key would not be added today.
        `widened`: what it may do more than was known. Both empty: all is well. Lines for people, without secrets."""
        if refusals or widened:
            kind = AlertKind.KEY_REFUSED if refusals else AlertKind.KEY_WIDENED
            self._keys[account] = Finding(kind=kind, account=account, words=refusals or widened)
        else:
            self._keys.pop(account, None)

    async def look(self) -> None:
        """One look at everything."""
        running = dict(self._application.accounts)
        self._watched = {name: account for name, account in self._watched.items() if running.get(name) is account}
        known = {AccountId(name) for name in {*self._wanted(), *running}}
        found = self._service_findings() + [finding for name, finding in self._keys.items() if name in known]
        for number, name in enumerate(sorted(known), 1):
            account = running.get(name)
            if account is not None:
                self.watch(account)
            found += findings_of(self._sight_of(name, account))
            if number % ACCOUNTS_OF_A_TURN == 0:
                await self._clock.sleep(0)
        if self._looks % WORDS_EVERY == 0:
            found += self._words.look(words_of(running))
        self._looks += 1
        self._book.look(found, self._clock.now(), known=known, heard=self._heard_legs(running))
        self._send()
        self._report()
        self._keep()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                # whoever is to tell of faults must not end by one
                _log.exception("a fault of our own: alerts go on", action="own_fault")
            await self._clock.sleep(LOOK_MS)

    def _take_call(self, event: MarginCalled) -> None:
        self._book.take_margin_call(event, self._clock.now())
        self._is_changed = True
        self._send()

    # --- what is wrong ---

    def _sight_of(self, name: AccountId, account: LiveAccount | None) -> AccountSight:
        if account is None:
            return AccountSight(account=name, state=None, breaker=self._breaker_of(name))
        runner, state = account.parts[0], account.state
        books = runner.machine.books
        failed = runner.failed if state is StreamState.FAILED else None
        return AccountSight(
            account=name,
            state=state,
            sockets=sum(line.opened is not None for line in runner.machine.feed.lines.values()),
            reason="" if state is StreamState.LIVE else str(failed or runner.reason),
            is_refused=isinstance(failed, AuthenticationError),
            gap_since=runner.account.gap_since,
            mismatches={}
            if books is None or not books.mismatches
            else {f"{subject} {key}": f"ours {each.ours}, theirs {each.theirs}" for (subject, key), each in books.mismatches.items()},
            breaker=self._breaker_of(name),
        )

    def _service_findings(self) -> list[Finding]:
        application = self._application
        trouble, found = application.journal.trouble, list[Finding]()
        if trouble is not None:
            found.append(Finding(kind=AlertKind.STORE_TROUBLE, words=str(trouble)))
        else:
            kept = ((account.id, account.parts[0].keeper) for account in application.accounts.values())
            refused = ((name, keeper.lost or keeper.trouble) for name, keeper in kept)
            found += [Finding(kind=AlertKind.STORE_TROUBLE, account=name, words=str(why)) for name, why in refused if why is not None]
        for name, follower in {"tables": application.pump, "postgres": application.postgres}.items():
            if follower is not None and follower.trouble is not None:
                found.append(Finding(kind=AlertKind.DATABASE_TROUBLE, subject=name, words=str(follower.trouble)))
        return found

    def _heard_legs(self, running: Mapping[str, LiveAccount]) -> dict[AccountId, set[Leg]]:
        called = ((name, running.get(name)) for name in self._book.called_accounts())
        return {
            name: {key for key, position in account.parts[0].account.positions.items() if position.amount}
            for name, account in called
            if account is not None and account.state is StreamState.LIVE
        }

    # --- what is told ---

    def _send(self, *, all_of_them: bool = False) -> None:
        for message in self._book.take_messages(self._clock.now(), all_of_them=all_of_them):
            notification = cleaned(notification_of(message, self._clock.wall()))
            self._handed[id(notification)] = notification, message.notes
            _log.warning(notification.title, action="alert", kind=notification.severity.value, events=len(message.notes))
            self._notifier.notify(notification)
            if not self._is_reported:
                self._hear(notification, True)

    def _hear(self, notification: Notification, is_taken: bool) -> None:
        _, notes = self._handed.pop(id(notification))
        self._book.note_outcome(notes, self._clock.now(), is_taken=is_taken)
        self._is_changed = True

    def _keep(self) -> None:
        """In a task of its own: a disk that stands still must not keep anybody from being told so."""
        if self._keeper is not None and self._is_changed and (self._saving is None or self._saving.done()):
            self._is_changed = False
            kept = self._book.keep(self._clock.now(), self._clock.wall())
            self._saving = self._clock.spawn(self._save(self._keeper, kept), "keep incidents")

    async def _save(self, keeper: IncidentKeeper, kept: Sequence[KeptIncident]) -> None:
        try:
            await asyncio.to_thread(keeper.write, kept)
        except StoreError as error:
            # a restart would tell again what goes on: no reason to tell nothing now
            _log.warning("what was told is not kept", action="incidents_not_kept", reason=str(error))

    async def _finish_keeping(self) -> None:
        for _ in range(2):  # the one that runs, and the last
            if self._saving is not None:
                timer = self._clock.call_at(Millis(self._clock.now() + KEEP_LIMIT_MS), partial(_end, self._saving))
                await asyncio.wait([self._saving])
                timer.cancel()
            self._keep()

    async def _restore(self) -> None:
        if self._keeper is None:
            return
        try:
            kept = await asyncio.to_thread(self._keeper.read)
            self._book.restore(kept, self._clock.now(), self._clock.wall())
            told = [Finding(kind=each.kind, account=each.account, words=each.words) for each in kept if each.kind in KEY_KINDS]
            self._keys = {finding.account: finding for finding in told} | self._keys
        except StoreError as error:
            _log.warning("what was told before is not known", action="incidents_unknown", reason=str(error))

    def _report(self) -> None:
        self._metrics.gauge("queue_depth", self._notifier.waiting, {"queue": "alerts"})
        counted = Counter(key.kind for key in self._book.open_incidents())
        for kind in AlertKind:
            self._metrics.gauge("open_incidents", counted[kind], {"kind": kind.value})


def words_of(running: Mapping[str, LiveAccount]) -> Counter[tuple[str, str]]:
    """How often each venue sent each unknown word, to all accounts together."""
    counts: Counter[tuple[str, str]] = Counter()
    for account in running.values():
        feed = account.parts[0].machine.feed
        for drift in (feed.drift, *(line.session.drift for line in feed.lines.values())):
            for name, times in drift.items():
                counts[str(account.venue), name] += times
    return counts


def cleaned(notification: Notification) -> Notification:
    """Without any value that no log may show either: what goes to a chat stays there."""
    from userstream.adapters.logs import REDACTOR

    return Notification(
        severity=notification.severity,
        title=REDACTOR.clean(notification.title),
        body=REDACTOR.clean(notification.body),
        is_good_news=notification.is_good_news,
    )


@asynccontextmanager
async def open_alerts(
    target: AlertTarget | None, application: Application, wanted: Callable[[], Collection[str]], store: Path | None = None
) -> AsyncIterator[AlertService | None]:
    """Alerts while the block lasts; None where nobody is to be told. `store`: the file that the application writes; what was told is
    kept beside it. Raises SettingsError for addresses that are none, and where the library that tells is not installed."""
    if target is None:
        yield None
        return
    from userstream.adapters.apprise_notifier import open_receivers
    from userstream.adapters.deliveries import ThreadedNotifier
    from userstream.adapters.incident_file import IncidentFile

    receivers = await asyncio.to_thread(open_receivers, target.urls)
    notifier = ThreadedNotifier(receivers, application.clock, application.numbers, time_limit_ms=target.time_limit_ms)
    keeper = None if store is None else IncidentFile(store.with_name(f"{store.name}.alerts"))
    service = AlertService(application, notifier, application.numbers, wanted=wanted, rules=target.rules, keeper=keeper)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
