"""The service that looks and tells: from a running account, with a clock that a test turns, to what is handed to the notifier."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import structlog

from tests.support.clock import ManualClock
from tests.support.transport import PipeTransport, RecordingHttp, json_answer
from tests.unit.runtime.kit import CREATE, Shell
from userstream.adapters.logs import register_secret
from userstream.adapters.metrics import PrometheusMetrics
from userstream.domain.alert_words import Notification
from userstream.domain.alerts import AlertKind, AlertRules, KeptIncident, Severity
from userstream.domain.words import StreamState
from userstream.entry.alert_settings import AlertTarget
from userstream.entry.alerts import LOOK_MS, AlertService, open_alerts
from userstream.entry.bootstrap import Application
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.ids import AccountId
from userstream.kernel.secret import Secret
from userstream.ports import IncidentKeeper, Notifier

RULES = AlertRules(dark_after_ms=20_000, stale_after_ms=60_000, trouble_after_ms=2_000, settle_ms=5_000, calm_ms=60_000, gather_ms=3_000)
CALL = json.loads((Path(__file__).parents[2] / "golden/binance_usdm/margin_call.json").read_text())["cases"][0]["frame"]
MINUTE_MS = 60_000


class Pager:
    """A notifier that keeps all that it is given."""

    def __init__(self) -> None:
        self.told: list[Notification] = []
        self.is_closed = False

    def notify(self, notification: Notification) -> None:
        self.told.append(notification)

    @property
    def waiting(self) -> int:
        return 3

    async def close(self, *, limit_ms: int) -> None:
        self.is_closed = True

    @property
    def titles(self) -> list[str]:
        return [notification.title for notification in self.told]


class SlowPager(Pager):
    """Tells what became of a notification when a test says so; at its end it has dropped what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.fates: list[Notification] = []

    def listen(self, hear: Callable[[Notification, bool], None]) -> None:
        self.hear = hear

    def notify(self, notification: Notification) -> None:
        super().notify(notification)
        self.fates.append(notification)

    def end(self, *, is_taken: bool) -> None:
        for notification in self.fates:
            self.hear(notification, is_taken)
        self.fates.clear()

    async def close(self, *, limit_ms: int) -> None:
        self.end(is_taken=False)


class Watch:
    """One account in a shell, the application around it, and its alerts."""

    def __init__(self, keeper: IncidentKeeper | None = None, pager: Pager | None = None) -> None:
        self.shell, self.pager = Shell(), pager or Pager()
        port: Notifier = self.pager
        self.metrics = PrometheusMetrics(strict=True)
        self.application = Application(self.shell.clock, self.shell.transport, self.shell.http, self.shell.journal, self.metrics)
        self.wanted = {"alice"}
        self.breakers: dict[AccountId, str] = {}
        self.service = AlertService(
            self.application, port, self.metrics,
            wanted=lambda: self.wanted, rules=RULES, breaker_of=lambda account: self.breakers.get(account, ""), keeper=keeper,
        )  # fmt: skip

    async def begin(self) -> None:
        await self.service.start()
        self.application.accounts["alice"] = self.shell.account
        for tell in self.application.on_started:
            tell(self.shell.account)
        await self.shell.start()
        await self.shell.clock.advance_until(lambda: self.shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
        assert self.pager.told == []

    async def after(self, duration_ms: int) -> list[str]:
        """What was told in the meantime."""
        before = len(self.pager.told)
        await self.shell.clock.advance(duration_ms)
        return self.pager.titles[before:]

    async def deliver_call(self) -> None:
        self.shell.socket.deliver(json.dumps(CALL))
        await self.shell.clock.settle()


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    made = Watch()
    yield made
    await made.service.stop()
    await made.shell.stop()


async def test_a_margin_call_is_told_before_any_time_passes_and_its_end_once_the_legs_are_flat(watch: Watch) -> None:
    await watch.begin()
    for _ in range(3):
        await watch.deliver_call()
    assert watch.pager.titles == ["[CRITICAL] alice: margin call"]
    assert watch.pager.told[0].severity is Severity.CRITICAL and "ETHUSDT" in watch.pager.told[0].body
    assert await watch.after(RULES.settle_ms + 2 * LOOK_MS) == ["[RECOVERED] alice: margin call is over"]


async def test_an_account_that_hears_nothing_is_dark_once_and_heard_again_once(watch: Watch) -> None:
    await watch.begin()
    watch.shell.transport.refusals += ["no route"] * 50
    watch.shell.socket.cut()
    assert await watch.after(RULES.dark_after_ms - 2 * LOOK_MS) == []
    assert await watch.after(4 * LOOK_MS) == ["[ERROR] alice: account is dark"]
    assert "no route" in watch.pager.told[0].body
    assert await watch.after(2 * MINUTE_MS) == [], "stale it is as well, but that is said by dark"
    watch.shell.transport.refusals.clear()
    assert "[RECOVERED] alice: account is heard again" in await watch.after(3 * MINUTE_MS)
    assert len([title for title in watch.pager.titles if "dark" in title]) == 1


async def test_an_account_that_is_to_run_and_does_not_is_dark_and_one_that_is_removed_is_not(watch: Watch) -> None:
    await watch.begin()
    watch.wanted.add("bob")
    assert await watch.after(RULES.dark_after_ms + 2 * LOOK_MS) == ["[ERROR] bob: account is dark"]
    assert "it is to run, and is not connected" in watch.pager.told[0].body
    watch.wanted.discard("bob")
    assert await watch.after(RULES.gather_ms + LOOK_MS) == ["[INFO] bob: account is dark, and not watched any more"]


async def test_a_key_that_is_refused_is_told_as_such() -> None:
    watch = Watch()
    watch.shell.http.plan(CREATE, json_answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, status=401))
    await watch.service.start()
    watch.application.accounts["alice"] = watch.shell.account
    await watch.shell.start()
    assert await watch.after(3 * LOOK_MS) == ["[ERROR] alice: the venue refuses the key"]
    assert "-2015" in watch.pager.told[0].body
    assert await watch.after(5 * MINUTE_MS) == []
    await watch.service.stop()
    await watch.shell.stop()


async def test_a_mismatch_is_told_with_what_differs(watch: Watch) -> None:
    await watch.begin()
    watch.shell.http.plan("GET /fapi/v3/positionRisk", json_answer([]))
    await watch.shell.trade(1, s="BTCUSDT")
    told = await watch.after(10 * MINUTE_MS)
    assert any("mismatch with the venue" in title for title in told), told
    assert any("ours" in each.body and "theirs" in each.body for each in watch.pager.told)


async def test_words_that_the_documents_do_not_know_are_told_once(watch: Watch) -> None:
    await watch.begin()
    watch.shell.socket.deliver('{"e":"SOMETHING_NEW","E":1790000001200}')
    told = await watch.after(15 * LOOK_MS)
    assert len(told) == 1 and told[0].startswith("[WARNING] binance-usdm") and "unknown words" in told[0]
    watch.shell.socket.deliver('{"e":"SOMETHING_NEW","E":1790000001201}')
    assert await watch.after(MINUTE_MS) == []


async def test_trouble_of_the_disk_and_of_the_databases_concerns_the_service(watch: Watch) -> None:
    await watch.begin()
    watch.shell.held.refusal = "no space left on the disk"
    await watch.shell.trade()
    assert "no space left" in " ".join(each.body for each in await _told(watch, RULES.trouble_after_ms + 3 * LOOK_MS))
    watch.shell.held.refusal = None
    assert any("keeps everything again" in title for title in await watch.after(RULES.settle_ms + MINUTE_MS))


async def _told(watch: Watch, duration_ms: int) -> list[Notification]:
    before = len(watch.pager.told)
    await watch.shell.clock.advance(duration_ms)
    return watch.pager.told[before:]


async def test_a_pump_that_does_not_follow_is_told_by_its_name(watch: Watch) -> None:
    await watch.begin()
    watch.application.pump = StuckPump()  # type: ignore[assignment]
    assert await watch.after(RULES.trouble_after_ms + 3 * LOOK_MS) == ["[WARNING] tables: a database does not follow"]


class StuckPump:
    trouble = StoreError("the tables are locked")


async def test_a_breaker_that_trips_is_told_and_that_it_closed(watch: Watch) -> None:
    await watch.begin()
    watch.breakers[AccountId("alice")] = "loss limit reached"
    assert await watch.after(2 * LOOK_MS) == ["[ERROR] alice: circuit breaker tripped"]
    watch.breakers.clear()
    assert await watch.after(RULES.settle_ms + 4 * LOOK_MS) == ["[RECOVERED] alice: circuit breaker closed again"]


async def test_a_key_that_may_do_more_is_told_once_and_that_it_is_well_again(watch: Watch) -> None:
    await watch.begin()
    alice = AccountId("alice")
    watch.service.note_key(alice, widened="it may trade futures now")
    assert await watch.after(2 * LOOK_MS) == ["[WARNING] alice: the key may do more than before"]
    assert "it may trade futures now" in watch.pager.told[-1].body
    watch.service.note_key(alice, refusals="it may withdraw", widened="it may withdraw")
    assert await watch.after(2 * LOOK_MS) == ["[CRITICAL] alice: the key may do what no key should"]
    assert await watch.after(30 * MINUTE_MS) == [], "once, though it goes on; and that it was widened is not over"
    watch.service.note_key(alice)
    assert await watch.after(RULES.settle_ms + 4 * LOOK_MS) == ["[RECOVERED] alice: the key may do no more than it should"]
    watch.service.note_key(AccountId("stranger"), refusals="it may withdraw")
    assert await watch.after(MINUTE_MS) == [], "no account of ours"


async def test_a_key_that_may_withdraw_is_not_well_because_of_a_restart() -> None:
    drawer, alice = Drawer(), AccountId("alice")
    first = Watch(drawer)
    await first.begin()
    first.service.note_key(alice, refusals="it may withdraw")
    assert await first.after(2 * LOOK_MS) == ["[CRITICAL] alice: the key may do what no key should"]
    await finish(first)
    second = Watch(drawer)
    await second.begin()
    assert await second.after(30 * MINUTE_MS) == [], "nobody looked at it since"
    second.service.note_key(alice)
    assert await second.after(RULES.settle_ms + 4 * LOOK_MS) == ["[RECOVERED] alice: the key may do no more than it should"]
    await finish(second)


async def test_what_is_told_holds_no_secret_and_the_rest_goes_out_at_the_end(watch: Watch) -> None:
    register_secret(Secret("Can4ryInAReason"))
    await watch.begin()
    watch.breakers[AccountId("alice")] = "first"
    await watch.after(2 * LOOK_MS)
    watch.wanted.add("bob")
    watch.breakers[AccountId("bob")] = "the key Can4ryInAReason lost too much"
    await watch.after(LOOK_MS)
    await watch.service.stop()
    assert watch.pager.is_closed and "the key *** lost" in watch.pager.told[-1].body
    assert watch.application.on_started == []


async def test_open_incidents_and_waiting_alerts_are_numbers(watch: Watch) -> None:
    await watch.begin()
    await watch.deliver_call()
    await watch.after(LOOK_MS)
    text = watch.metrics.render().decode()
    assert 'userstream_open_incidents{kind="margin_call"} 1.0' in text and 'userstream_open_incidents{kind="mismatch"} 0.0' in text
    assert 'userstream_queue_depth{queue="alerts"} 3.0' in text


async def test_a_fault_of_our_own_does_not_end_the_alerts(watch: Watch) -> None:
    await watch.begin()
    watch.breakers = Faulty()
    await watch.after(5 * LOOK_MS)
    watch.breakers = {AccountId("alice"): "loss limit reached"}
    assert await watch.after(2 * LOOK_MS) == ["[ERROR] alice: circuit breaker tripped"]


class Faulty(dict[AccountId, str]):
    def get(self, *arguments: object) -> str:
        raise RuntimeError("never thought of")


class Drawer:
    """Keeps incidents as a disk does, or refuses."""

    def __init__(self) -> None:
        self.kept: list[KeptIncident] = []
        self.refuses = False
        self.writes = 0

    def read(self) -> Sequence[KeptIncident]:
        if self.refuses:
            raise StoreError("it cannot be read")
        return self.kept

    def write(self, incidents: Sequence[KeptIncident]) -> None:
        self.writes += 1
        if self.refuses:
            raise StoreError("no space left")
        self.kept = list(incidents)


async def finish(watch: Watch) -> None:
    """Stops; the thread that writes takes real turns."""
    stopping = asyncio.ensure_future(watch.service.stop())
    for _ in range(2_000):
        if stopping.done():
            break
        await asyncio.sleep(0.001)
    await stopping
    await watch.shell.stop()


async def test_a_margin_call_that_goes_on_over_a_restart_is_not_told_again_and_its_end_is() -> None:
    drawer = Drawer()
    first = Watch(drawer)
    await first.begin()
    await first.deliver_call()
    assert len(first.pager.told) == 1
    await finish(first)
    assert [each.kind for each in drawer.kept] == [AlertKind.MARGIN_CALL]
    second = Watch(drawer)
    await second.begin()
    await second.deliver_call()
    assert second.pager.told == []
    assert await second.after(RULES.settle_ms + 3 * LOOK_MS) == ["[RECOVERED] alice: margin call is over"]
    await finish(second)
    assert drawer.kept == []


async def test_a_margin_call_that_nobody_took_before_a_restart_is_told_by_the_next_process() -> None:
    drawer = Drawer()
    first = Watch(drawer, SlowPager())
    await first.begin()
    await first.deliver_call()
    await first.after(2 * LOOK_MS)
    assert len(first.pager.told) == 1
    await finish(first)
    assert drawer.kept == []
    second = Watch(drawer)
    await second.begin()
    await second.deliver_call()
    assert second.pager.titles == ["[CRITICAL] alice: margin call"]
    await finish(second)


async def test_what_a_receiver_took_is_kept_as_told() -> None:
    drawer, pager = Drawer(), SlowPager()
    watch = Watch(drawer, pager)
    await watch.begin()
    await watch.deliver_call()
    pager.end(is_taken=True)
    await finish(watch)
    assert [each.kind for each in drawer.kept] == [AlertKind.MARGIN_CALL]


async def test_a_disk_that_keeps_nothing_costs_the_memory_of_a_restart_and_no_alert() -> None:
    drawer = Drawer()
    drawer.refuses = True
    watch = Watch(drawer)
    with structlog.testing.capture_logs() as entries:
        await watch.begin()
        await watch.deliver_call()
        await finish(watch)
    assert watch.pager.titles == ["[CRITICAL] alice: margin call"] and drawer.writes
    assert {"incidents_unknown", "incidents_not_kept"} <= {entry["action"] for entry in entries}


async def test_nobody_is_told_where_nobody_is_named_and_addresses_are_opened_first() -> None:
    clock = ManualClock()
    application = Application(clock, PipeTransport(), RecordingHttp(), Shell().journal)
    async with open_alerts(None, application, set) as nothing:
        assert nothing is None
    wrong = AlertTarget(urls=(Secret("nonsense"),), rules=RULES, time_limit_ms=1_000)
    with pytest.raises(SettingsError, match="address 1"):
        async with open_alerts(wrong, application, set):
            raise AssertionError("it must not be entered")
    right = AlertTarget(urls=(Secret("json://127.0.0.1:1"),), rules=RULES, time_limit_ms=1_000)
    async with open_alerts(right, application, set) as service:
        assert service is not None
        await clock.settle()
    await clock.settle()
    assert clock.running == []
