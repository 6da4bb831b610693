"""The manager at work: what it starts, stops and begins anew while others run on, and what it tells."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.managed import CONFIGURATION, Managed, key_of, open_managed
from tests.support.transport import NO_ANSWER
from tests.support.vaults import SECOND_KEY, make_account, make_vault, note
from userstream.domain.events import Event
from userstream.domain.words import StreamState
from userstream.entry.bootstrap import AccountSettings, credentials_of, start_application
from userstream.entry.configuration import ManagerSection
from userstream.entry.manager import DISCONNECTED, NO_CONNECTIONS, OPENING_WEIGHT, opening_weight
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.ids import AccountId
from userstream.runtime.live import LiveAccount
from userstream.venues import find_venue

FILE_ACCOUNT = '[[account]]\nname = "carol"\nvenue = "binance-usdm"\napi_key_env = "KEY"\napi_secret_env = "SECRET"\n'


def state_of(managed: Managed, name: str) -> StreamState:
    return managed.application.accounts[name].state


async def begun(managed: Managed, *names: str) -> None:
    await managed.add(*names)
    await managed.begin()
    await managed.pass_s(10)
    assert managed.running == sorted(names)


async def test_what_another_process_changes_is_taken_up_within_seconds_and_no_other_socket_is_dialled(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await begun(managed, "alice", "bob", "dora")
        assert state_of(managed, "alice") is StreamState.LIVE
        calm = managed.dials(["alice"])
        await managed.add("emil")
        await managed.desk.set_active(AccountId("bob"), False)
        await managed.desk.remove(AccountId("dora"))
        await managed.pass_s(5)
        assert managed.running == ["alice", "emil"]
        await managed.desk.set_active(AccountId("bob"), True)
        await managed.pass_s(3)
        assert managed.running == ["alice", "bob", "emil"]
        assert managed.dials(["alice"]) == calm
        assert managed.started.count("alice") == 1


async def test_a_rotated_key_begins_its_account_anew_and_the_old_one_is_used_no_more(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await begun(managed, "alice", "bob")
        calm = managed.dials(["bob"])
        await managed.rotate("alice")
        await managed.pass_s(5)
        assert [socket.is_open for socket in managed.sockets("alice")] == [False]
        assert [socket.is_open for socket in managed.sockets("alice", 2)] == [True]
        assert managed.dials(["bob"]) == calm


async def test_an_account_that_ends_slowly_is_begun_anew_once(tmp_path: Path) -> None:
    async def block(event: Event) -> None:
        await managed.clock.sleep(60_000)

    async with open_managed(tmp_path) as managed:
        await begun(managed, "alice")
        managed.application.accounts["alice"].on(handler=block)
        managed.transport.open_sockets[-1].cut()
        await managed.pass_s(1)
        await managed.rotate("alice")
        with capture_logs() as logs:
            taking = asyncio.ensure_future(managed.manager.take_up())
            await managed.pass_s(10)
            await taking
        assert managed.started == ["alice", "alice"]
        assert [entry["action"] for entry in logs if entry["log_level"] in ("error", "warning")] == ["handlers_cut_off"]
        assert state_of(managed, "alice") is StreamState.LIVE


async def test_two_accounts_may_pass_a_key_on(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await begun(managed, "alice", "bob")
        await managed.rotate("bob")
        passed = credentials_of(key_of("bob"), "SECRET-OF-bob")
        await managed.desk.rotate(AccountId("alice"), passed)
        with capture_logs() as logs:
            await managed.pass_s(10)
        assert [entry["account"] for entry in logs if entry["action"] in ("account_refused", "account_given_up")] == []
        assert [state_of(managed, name) for name in ("alice", "bob")] == [StreamState.LIVE, StreamState.LIVE]
        assert sum(socket.is_open for socket in managed.sockets("bob")) == 1


async def test_what_is_only_noted_of_an_account_touches_nobody(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await begun(managed, "alice")
        await managed.registered.note_proven(["alice"])
        await managed.desk.check(AccountId("alice"))
        await managed.drive(managed.manager.take_up())
        await managed.pass_s(120)
        assert managed.started == ["alice"]


async def test_a_bad_key_is_tried_again_alone_and_at_once_when_it_was_changed(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        managed.bad.add(key_of("bob"))
        with capture_logs() as logs:
            await begun(managed, "alice", "bob")
            assert state_of(managed, "bob") is StreamState.FAILED
            await managed.pass_s(50)
            assert managed.started.count("bob") == 1
            await managed.pass_s(15)
            assert managed.started.count("bob") == 2
            await managed.pass_s(100)
            assert managed.started.count("bob") == 2
        told = [(entry["account"], entry["attempts"]) for entry in logs if entry["action"] == "account_given_up"]
        assert told == [("bob", 1), ("bob", 2)]
        assert key_of("bob") not in str(logs)
        await managed.rotate("bob")
        await managed.pass_s(10)
        assert state_of(managed, "bob") is StreamState.LIVE
        assert managed.started.count("alice") == 1


async def test_a_person_begins_an_account_anew_that_was_given_up_and_no_other(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        managed.bad.add(key_of("bob"))
        await begun(managed, "alice", "bob")
        managed.bad.clear()
        for name in ("alice", "bob"):
            await managed.drive(managed.manager.connect(managed.manager.wanted[name]))
        await managed.pass_s(10)
        assert state_of(managed, "bob") is StreamState.LIVE
        assert (managed.started.count("alice"), managed.started.count("bob")) == (1, 2)


async def test_a_key_that_the_venue_takes_again_heals_without_a_person(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        managed.bad.add(key_of("bob"))
        await begun(managed, "bob")
        managed.bad.clear()
        await managed.pass_s(70)
        assert state_of(managed, "bob") is StreamState.LIVE
        managed.bad.add(key_of("bob"))
        managed.transport.open_sockets[-1].cut()
        await managed.pass_s(30)
        assert state_of(managed, "bob") is not StreamState.LIVE


async def test_an_account_whose_books_are_polled_meanwhile_is_left_alone(tmp_path: Path) -> None:
    async with open_managed(tmp_path, settings=ManagerSection(dark_limit_s=60)) as managed:
        await begun(managed, "alice")
        managed.transport.refusals.extend(["no route"] * 1_000)
        managed.sockets("alice")[-1].cut()
        await managed.pass_s(500)
        assert (state_of(managed, "alice"), managed.started) == (StreamState.POLLING, ["alice"])


async def test_an_account_that_is_dark_for_too_long_is_begun_anew(tmp_path: Path) -> None:
    async with open_managed(tmp_path, settings=ManagerSection(dark_limit_s=20)) as managed:
        await begun(managed, "alice", "bob")
        managed.transport.refusals.extend(["no route"] * 1_000)
        managed.http.answers.clear()
        managed.http.default = NO_ANSWER
        managed.sockets("alice")[-1].cut()
        with capture_logs() as logs:
            await managed.pass_s(80)
        assert managed.started.count("alice") > 1
        assert managed.started.count("bob") == 1
        again = [entry for entry in logs if entry["action"] == "account_reconnected"]
        assert {entry["account"] for entry in again} == {"alice"}
        managed.plan_answers()
        managed.transport.refusals.clear()
        await managed.pass_s(120)
        assert state_of(managed, "alice") is StreamState.LIVE


async def test_whom_a_person_disconnected_stays_dark_until_a_person_connects_it(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await begun(managed, "alice", "bob")
        await managed.drive(managed.manager.disconnect("alice"))
        assert managed.manager.why_dark("alice") == DISCONNECTED
        assert managed.manager.expected() == {"bob"}
        await managed.pass_s(200)
        assert managed.running == ["bob"]
        await managed.rotate("alice")
        await managed.pass_s(5)
        assert managed.running == ["bob"]
        await managed.drive(managed.manager.connect(managed.manager.wanted["alice"]))
        await managed.pass_s(10)
        assert [socket.is_open for socket in managed.sockets("alice", 2)] == [True]
        assert managed.manager.why_dark("alice") == ""
        gone = managed.manager.wanted["alice"]
        await managed.desk.remove(AccountId("alice"))
        await managed.pass_s(5)
        with pytest.raises(SettingsError, match="not to run"):
            await managed.manager.connect(gone)


async def test_without_connections_all_is_wanted_and_nothing_is_dialled(tmp_path: Path) -> None:
    async with open_managed(tmp_path, connects=False) as managed:
        await managed.add("alice")
        with capture_logs() as logs:
            await managed.begin()
            await managed.add("bob")
            await managed.pass_s(120)
        assert [entry["event"] for entry in logs if entry["action"] == "disabled"] == [NO_CONNECTIONS]
        assert sorted(managed.manager.wanted) == ["alice", "bob"]
        assert managed.transport.sockets == [] and managed.running == []
        assert managed.manager.why_dark("alice") == NO_CONNECTIONS
        with pytest.raises(SettingsError, match="WEBSOCKET_ENABLED"):
            await managed.manager.connect(managed.manager.wanted["alice"])


async def test_an_account_that_cannot_be_opened_is_told_of_as_long_as_it_is_so(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await managed.add("alice", "bob")
        alice, bob = await managed.registry.page()
        await managed.registry.swap_records([(alice, alice.with_records(bob.records))])
        await managed.begin()
        assert managed.running == ["bob"] and managed.manager.expected() == {"alice", "bob"}
        assert managed.manager.expected_venues() == dict.fromkeys(("alice", "bob"), "binance-usdm")
        refused = managed.manager.refused["alice"]
        assert refused.venue == "binance-usdm" and "belongs to another account" in refused.reason
        spoiled = (await managed.registry.page())[0]
        await managed.registry.swap_records([(spoiled, alice)])
        await managed.pass_s(70)
        assert managed.running == ["alice", "bob"] and managed.manager.refused == {}


async def test_accounts_of_the_file_run_beside_them_and_their_names_stay_theirs(tmp_path: Path) -> None:
    async with open_managed(tmp_path, text=CONFIGURATION + FILE_ACCOUNT) as managed:
        await managed.begin()
        with capture_logs() as logs:
            await managed.add("carol", "dora")
            await managed.pass_s(5)
        assert managed.running == ["carol", "dora"]
        assert managed.started == ["carol", "dora"]
        [refusal] = [entry for entry in logs if entry["action"] == "account_refused"]
        assert "in the configuration file and in the registry" in str(refusal["reason"])


async def test_many_starts_are_spread_over_the_minutes_of_the_budget(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        managed.application.weight_limit = 40
        names = [f"account-{number:02}" for number in range(25)]
        await managed.add(*names)
        await managed.begin()
        assert managed.started == names[:10]
        await managed.pass_s(30)
        assert managed.started == names[:10]
        await managed.pass_s(32)
        assert managed.started == names[:20]
        await managed.pass_s(62)
        assert managed.started == names


async def test_a_ban_holds_up_starts_and_nobody_is_begun_anew_for_its_darkness(tmp_path: Path) -> None:
    async with open_managed(tmp_path, settings=ManagerSection(dark_limit_s=20)) as managed:
        await begun(managed, "alice")
        [gate] = managed.application.gates
        gate.refrain(100_000)
        managed.sockets("alice")[-1].cut()
        await managed.add("bob")
        await managed.pass_s(95)
        assert managed.started == ["alice"]
        await managed.pass_s(20)
        assert managed.started == ["alice", "bob"]
        assert managed.running == ["alice", "bob"]


async def test_trouble_of_the_registry_is_told_once_and_what_runs_is_looked_after(tmp_path: Path) -> None:
    async with open_managed(tmp_path, settings=ManagerSection(dark_limit_s=20, health_s=10)) as managed:
        await begun(managed, "alice")
        managed.registry.trouble = StoreError("the disk is gone")
        managed.transport.refusals.extend(["no route"] * 30)
        managed.http.answers.clear()
        managed.http.default = NO_ANSWER
        managed.sockets("alice")[-1].cut()
        with capture_logs() as logs:
            await managed.pass_s(90)
            assert managed.started.count("alice") > 1
            managed.registry.trouble = None
            managed.plan_answers()
            await managed.add("bob")
            await managed.pass_s(15)
        assert [entry["action"] for entry in logs].count("registry_trouble") == 1
        assert managed.running == ["alice", "bob"]


async def test_a_rotated_key_is_used_although_the_store_was_busy_when_it_was_found(tmp_path: Path) -> None:
    """What was found is taken up whole or not at all, also where all accounts are looked after at that very moment."""
    async with open_managed(tmp_path, settings=ManagerSection(health_s=60)) as managed:
        await begun(managed, "alice")
        # the look after this one is due together with the next question for changes
        await managed.clock.advance(managed.manager._due - managed.clock.now() - 500)
        await managed.rotate("alice")
        managed.registry.note_troubles.append(StoreError("database is locked"))
        with capture_logs() as logs:
            await managed.pass_s(10)
        assert "registry_trouble" in [entry["action"] for entry in logs]
        assert [socket.is_open for socket in managed.sockets("alice")] == [False]
        assert [socket.is_open for socket in managed.sockets("alice", 2)] == [True]


async def test_whoever_is_told_to_stop_while_it_begins_starts_no_further_account(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    class Impatient(Managed):
        async def start(self, settings: AccountSettings) -> LiveAccount:
            account = await super().start(settings)
            if len(self.started) == 3:
                stopped.set()
            return account

    async with open_managed(tmp_path, make=Impatient) as managed:
        await managed.add(*(f"account-{number}" for number in range(9)))
        await managed.begin(stopped)
        await managed.pass_s(100)
        assert managed.running == ["account-0", "account-1", "account-2"]
        assert len(managed.started) == 3


async def test_a_fault_of_our_own_while_the_registry_is_in_trouble_does_not_end_the_looking(tmp_path: Path) -> None:
    class OutOfThreads(Managed):
        faults = 0

        async def start(self, settings: AccountSettings) -> LiveAccount:
            if self.faults:
                self.faults -= 1
                raise RuntimeError("can't start new thread")
            return await super().start(settings)

    async with open_managed(tmp_path, make=OutOfThreads) as managed:
        assert isinstance(managed, OutOfThreads)
        await begun(managed, "alice", "bob")
        managed.registry.trouble = StoreError("locked")
        await managed.drive(managed.application.remove("bob"))
        managed.faults = 1
        with capture_logs() as logs:
            await managed.pass_s(90)
        assert [entry["action"] for entry in logs].count("own_fault") == 1
        managed.registry.trouble = None
        await managed.add("dora")
        await managed.pass_s(90)
        assert managed.running == ["alice", "bob", "dora"]


def test_an_opening_weighs_what_its_product_asks_for() -> None:
    assert opening_weight(find_venue("binance-usdm")) == OPENING_WEIGHT
    spot = find_venue("binance-spot")
    assert spot.sharing is not None
    assert opening_weight(spot) == spot.sharing.dial_weight + spot.sharing.line_weight


async def test_the_reserve_reaches_every_gate(tmp_path: Path) -> None:
    application = await start_application(None, risk_reserve=0.3)
    assert application.risk_reserve == 0.3
    await application.stop()
    async with open_managed(tmp_path) as managed:
        managed.application.risk_reserve = 0.2
        await begun(managed, "alice")
        assert [gate.budget.reserve for gate in managed.application.gates] == [0.2]


async def test_accounts_that_do_not_open_are_not_told_as_none(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await managed.registry.add(make_account("alice", make_vault(SECOND_KEY)), note())
        with capture_logs() as logs:
            await managed.begin()
        actions = [entry["action"] for entry in logs]
        assert "key_refused" in actions and "no_account_opened" in actions and "no_account_enabled" not in actions
