"""Health by evidence: an account that is dark is never healthy, whoever made it dark. Deeds are noted, done or refused."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests.support.desk import NAME, VENUE
from tests.support.managed import SAFE, FailingRegistry, Managed, key_of, open_managed
from tests.support.vaults import make_vault
from tests.support.web import open_site, settings_of
from userstream.adapters.memory_tokens import MemoryTokens
from userstream.domain.access import Role
from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.entry.configuration import ManagerSection
from userstream.entry.manager import DISCONNECTED, NO_CONNECTIONS, AccountManager
from userstream.entry.registered import RefusedAccount, RegisteredAccounts
from userstream.entry.registry import AccountDesk, Caller, NewAccount
from userstream.entry.web.access import Access, Principal
from userstream.entry.web.answers import ApiError
from userstream.entry.web.desk import WebDesk
from userstream.kernel.errors import ConnectionError, StoreError, UserStreamError
from userstream.kernel.ids import AccountId, VenueName
from userstream.ports import HistoryPage, Selection
from userstream.runtime.live import LiveAccount
from userstream.wire.registration import RegisteredAccount, SealedKey
from userstream.wire.rights import KeyRights

CALLER = Principal(token_id="0123456789ab", name="desk", role=Role.OPERATOR)


async def test_an_account_that_hears_nothing_is_not_healthy(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        assert (await site.get("/health", None))[0] == 200
        site.desk.act("silence", account=NAME)
        await site.desk.until(lambda: not site.desk.account.health.is_healthy, "darkness")
        assert await site.get("/health", None) == (503, {"status": "failing"})
        status, told = await site.get("/health")
        assert (status, list(told["unhealthy"])) == (503, [NAME]) and told["unhealthy"][NAME]


async def test_health_says_since_when_events_may_be_missing_and_what_is_waited_for(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        [gate] = site.desk.application.gates
        await site.desk.until(lambda: site.desk.account.health.is_healthy, "light")
        gate.refrain(100_000)
        site.desk.act("raw", account=NAME, hex="ff00")
        await site.desk.until(lambda: site.desk.account.health.gap_since is not None, "a gap")
        await site.desk.until(lambda: "waiting" in site.desk.account.health.reason, "a question at the gate")
        told = (await site.get("/health"))[1]["unhealthy"][NAME]
    assert re.fullmatch(
        r"\w+: events since 20\d\d-\d\d-\d\d [\d:.]{12} UTC may be missing; "
        r"waiting \d+ s, as long as the venue wants no calls from this address",
        told,
    ), told


class FailingStarts(Managed):
    """No account can be started while there is a `start_trouble`."""

    start_trouble: UserStreamError | None = None

    async def start(self, settings: AccountSettings) -> LiveAccount:
        if self.start_trouble is not None:
            raise self.start_trouble
        return await super().start(settings)


class CountingRegistry(FailingRegistry):
    """Counts how often a page of accounts is read."""

    pages = 0

    async def page(self, *, after: str = "", limit: int = 1_000, active_only: bool = False) -> list[RegisteredAccount]:
        self.pages += 1
        return await super().page(after=after, limit=limit, active_only=active_only)


async def safe_rights(settings: AccountSettings) -> KeyRights:
    return SAFE


class NoHistory:
    async def page(self, table: str, selection: Selection) -> HistoryPage:
        raise StoreError("there is none")


def desk_of(managed: Managed) -> WebDesk:
    """What it answers here needs neither history nor tokens."""
    access = Access(MemoryTokens(), managed.clock, requests_per_minute=60)
    manager = managed.manager
    return WebDesk(managed.application, manager.wanted, manager.connect, NoHistory(), managed.registry, access, manager)


async def test_whoever_waits_for_its_turn_is_not_started_once_a_person_disconnected_it(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await managed.add("alice")
        await managed.begin()
        await managed.pass_s(10)
        managed.application.gates[0].refrain(100_000)
        await managed.add("dora")
        await managed.pass_s(5)
        desk = desk_of(managed)
        form = await managed.drive(desk.disconnect("dora", CALLER, "10.0.0.1"))
        assert form.is_connected is False
        assert managed.manager.why_dark("dora") == DISCONNECTED
        assert (await managed.deeds())[-1] == ("account.disconnect", "dora")
        await managed.pass_s(200)
        assert managed.running == ["alice"] and managed.manager.expected() == {"alice"}
        await managed.drive(desk.connect("dora", CALLER, "10.0.0.1"))
        assert managed.running == ["alice", "dora"]


async def test_an_account_that_the_registry_keeps_switched_off_is_still_told_of(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await managed.add("alice", "bob")
        await managed.begin()
        await managed.pass_s(10)
        await managed.desk.set_active(AccountId("alice"), False)
        await managed.pass_s(5)
        desk = desk_of(managed)
        assert managed.running == desk.names() == ["bob"]
        form, state = await desk.show("alice"), await desk.state("alice")
        assert (form.venue, form.is_connected, form.is_healthy) == (state.venue, state.is_connected, False) == (VENUE, False, False)
        assert state.sequence > 0 and state.health is None
        assert [(one.account, one.is_enabled, one.is_connected) for one in (await desk.listing()).items] == [
            ("alice", False, False),
            ("bob", True, True),
        ]
        assert (await desk.listing()).items[0] == form and set(desk.health(with_details=True).unhealthy or {}) <= {"bob"}
        for deed in (desk.connect, desk.disconnect):
            with pytest.raises(ApiError, match="enable it first") as refused:
                await deed("alice", CALLER, "10.0.0.1")
            assert refused.value.refusal.status == 409
        await managed.desk.set_active(AccountId("alice"), True)
        assert [one.is_enabled for one in (await desk.listing()).items] == [True, True], "before the manager has looked"
        await managed.drive(managed.manager.disconnect("bob"))
        assert [(one.is_enabled, one.is_connected) for one in (await desk.listing()).items][1] == (True, False)
        for ask in (desk.show, desk.state):
            with pytest.raises(ApiError) as caught:
                await ask("nobody")
            assert caught.value.refusal.status == 404


async def test_while_the_registry_is_in_trouble_those_in_memory_are_listed_and_it_is_told(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await managed.add("alice", "bob", "dora")
        await managed.begin()
        await managed.pass_s(10)
        await managed.desk.set_active(AccountId("dora"), False)
        await managed.pass_s(5)
        desk = desk_of(managed)
        whole = await desk.listing()
        assert whole.is_whole and [form.account for form in whole.items] == ["alice", "bob", "dora"]
        managed.registry.trouble = StoreError("the registry is gone")
        partial = await desk.listing()
        assert not partial.is_whole and [(form.account, form.is_connected) for form in partial.items] == [("alice", True), ("bob", True)]
        assert (await desk.show("alice")).is_connected and (await desk.state("bob")).is_connected
        managed.registry.trouble = None
        assert await desk.listing() == whole


async def test_a_page_that_polls_the_accounts_does_not_read_the_registry_each_time(tmp_path: Path) -> None:
    registry = CountingRegistry()
    async with open_managed(tmp_path) as managed:
        book = AccountDesk(registry, make_vault(), managed.clock, Caller("tess", "desk-1"), safe_rights, {})
        registered = RegisteredAccounts(book, managed.clock)
        manager = AccountManager(managed.application, registered, (), managed.application.add, ManagerSection())
        access = Access(MemoryTokens(), managed.clock, requests_per_minute=60)
        desk = WebDesk(managed.application, manager.wanted, manager.connect, NoHistory(), registry, access, manager)
        await book.add(NewAccount(account=AccountId("dora"), user="desk", venue=VenueName(VENUE)), credentials_of("KEY", "SECRET"))
        first, registry.pages = await desk.listing(), 0
        assert [(form.account, form.is_enabled) for form in first.items] == [("dora", True)]
        assert [await desk.listing() for _ in range(10)] == [first] * 10 and registry.pages == 0
        await book.remove(AccountId("dora"))
        assert (await desk.listing()).items == []


async def test_a_start_by_a_person_that_fails_leaves_its_reason_in_health(tmp_path: Path) -> None:
    async with open_managed(tmp_path, make=FailingStarts) as managed:
        assert isinstance(managed, FailingStarts)
        managed.bad.add(key_of("bob"))
        await managed.add("alice", "bob")
        await managed.begin()
        await managed.pass_s(10)
        desk = desk_of(managed)
        assert not desk.form("bob").is_connected
        managed.start_trouble = ConnectionError("no way to the venue")
        with pytest.raises(ApiError) as caught:
            await managed.drive(desk.connect("bob", CALLER, "10.0.0.1"))
        assert caught.value.refusal.status == 503 and managed.running == ["alice"]
        for _ in range(3):
            assert (desk.health(with_details=True).unhealthy or {}) == {"bob": "not connected: no way to the venue"}
            await managed.pass_s(1)
        managed.start_trouble = None
        managed.bad.clear()
        await managed.pass_s(600)
        assert desk.health(with_details=True).status == "ok" and managed.running == ["alice", "bob"]


async def test_an_account_that_cannot_be_opened_stays_dark_when_it_can_if_a_person_disconnected_it(tmp_path: Path) -> None:
    async with open_managed(tmp_path) as managed:
        await managed.add("alice", "bob")
        alice, bob = await managed.registry.page()
        await managed.registry.swap_records([(alice, alice.with_records(bob.records))])
        await managed.begin()
        await managed.drive(desk_of(managed).disconnect("alice", CALLER, "10.0.0.1"))
        assert managed.manager.expected() == {"bob"}
        await managed.registry.swap_records([((await managed.registry.page())[0], alice)])
        await managed.pass_s(70)
        assert managed.manager.refused == {}
        assert managed.running == ["bob"]


async def test_a_start_that_fails_is_noted_and_tells_no_reason(tmp_path: Path) -> None:
    async def start(wish: AccountSettings) -> LiveAccount:
        raise StoreError("disk of canary-11 is full")

    async with open_site(tmp_path) as site:
        application = site.desk.application
        access = Access(site.tokens, application.clock, requests_per_minute=60)
        wanted = {NAME: settings_of(site.desk), "other": settings_of(site.desk)}
        desk = WebDesk(application, wanted, start, site.server._desk.history, site.tokens, access)
        assert (desk.health(with_details=True).unhealthy or {})["other"] == "not connected"
        with pytest.raises(ApiError) as caught:
            await desk.connect("other", CALLER, "10.0.0.1")
        assert caught.value.refusal.status == 503 and "canary" not in caught.value.refusal.message
        entry = (await site.tokens.audit_entries())[-1].note
        assert (entry.action, entry.subject, entry.result) == ("account.connect", "other", "refused")
        assert CALLER.token_id in entry.actor and entry.origin == "10.0.0.1" and "canary" not in entry.detail


async def test_a_service_without_connections_says_so_and_is_not_healthy(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        application, settings = site.desk.application, settings_of(site.desk)
        access = Access(site.tokens, application.clock, requests_per_minute=60)
        others = (msgspec.structs.replace(settings, name="other"),)

        def open_desk(connects: bool) -> WebDesk:
            registered = RegisteredAccounts(None, application.clock)
            manager = AccountManager(application, registered, others, application.add, ManagerSection(), connects=connects)
            return WebDesk(application, manager.wanted, manager.connect, site.server._desk.history, site.tokens, access, manager)

        assert (open_desk(True).health(with_details=True).unhealthy or {})["other"] == "not connected"
        desk = open_desk(False)
        health = desk.health(with_details=True)
        told = health.unhealthy or {}
        assert (health.status, told["(connections)"], told["other"]) == ("failing", NO_CONNECTIONS, f"not connected: {NO_CONNECTIONS}")
        with pytest.raises(ApiError) as caught:
            await desk.connect("other", CALLER, "10.0.0.1")
        assert caught.value.refusal.status == 400
        with pytest.raises(ApiError) as caught:
            desk.changes(CALLER, "10.0.0.1")
        assert (caught.value.refusal.status, caught.value.refusal.code) == (409, "no_registry")


async def test_an_account_that_cannot_be_opened_is_dark_and_told_of(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        application = site.desk.application
        registered = RegisteredAccounts(None, application.clock)
        registered.refused = {"lost": RefusedAccount(VENUE, "its key does not open", ("", SealedKey(api_key="")))}
        manager = AccountManager(application, registered, (settings_of(site.desk),), application.add, ManagerSection())
        access = Access(site.tokens, application.clock, requests_per_minute=60)
        desk = WebDesk(application, manager.wanted, manager.connect, site.server._desk.history, site.tokens, access, manager)
        assert desk.names() == [form.account for form in (await desk.listing()).items] == [NAME, "lost"]
        assert (desk.form("lost").venue, desk.form("lost").is_healthy) == (VENUE, False)
        assert (desk.health(with_details=True).unhealthy or {})["lost"] == "not connected: its key does not open"
        with pytest.raises(ApiError) as caught:
            await desk.connect("lost", CALLER, "10.0.0.1")
        assert caught.value.refusal.status == 409
