"""Accounts come and go over HTTP: with the right role, at once, noted as the caller's, and without a word of the key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.managed import CONFIGURATION, SAFE, Managed, key_of, open_managed
from tests.support.vaults import make_vault
from userstream.entry.bootstrap import AccountSettings
from userstream.entry.registry import AccountDesk, Caller
from userstream.entry.web.answers import ApiError
from userstream.entry.web.changes import ADD_LIMIT_S, AccountChanges, NewAccountForm
from userstream.entry.web.gatekeeper import REQUEST_LIMIT_S
from userstream.kernel.errors import AuthenticationError, RetryLater, StoreError, UserStreamError
from userstream.wire.rights import KeyRights

FILE_ACCOUNT = '[[account]]\nname = "carol"\nvenue = "binance-usdm"\napi_key_env = "KEY"\napi_secret_env = "SECRET"\n'


class Office:
    """What one caller may change, in a service that runs."""

    def __init__(self, managed: Managed) -> None:
        self.managed = managed
        assert managed.manager.desk is not None
        self.changes = AccountChanges(managed.manager.desk.on_behalf_of(Caller("token desk", "10.0.0.7")), managed.manager)

    async def refusal(self, form: NewAccountForm) -> tuple[int, str, str]:
        with pytest.raises(ApiError) as caught:
            await self.managed.drive(self.changes.add(form))
        found = caught.value.refusal
        return found.status, found.code, found.message


def form(name: str = "alice", **fields: object) -> NewAccountForm:
    given: Mapping[str, object] = {
        "account": name,
        "venue": "binance-usdm",
        "api_key": key_of(name),
        "api_secret": "CANARY-SECRET",
        **fields,
    }
    return NewAccountForm(**given)  # type: ignore[arg-type]


@asynccontextmanager
async def open_office(folder: Path, text: str = CONFIGURATION) -> AsyncIterator[Office]:
    async with open_managed(folder, text=text) as managed:
        await managed.begin()
        yield Office(managed)


async def test_an_account_comes_is_switched_and_goes(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        managed, changes = office.managed, office.changes
        added = await managed.drive(changes.add(form(label="first")))
        assert (added.account, added.venue, added.warnings) == ("alice", "binance-usdm", [])
        assert managed.running == ["alice"]
        switched = await managed.drive(changes.set_active("alice", False))
        assert (switched.is_active, managed.running) == (False, [])
        await managed.drive(changes.set_active("alice", True))
        assert managed.running == ["alice"]
        gone = await managed.drive(changes.remove("alice"))
        assert (gone.is_registered, managed.running) == (False, [])
        entries = [entry.note for entry in await managed.registry.audit_entries()]
        theirs = [note.action for note in entries if (note.actor, note.origin) == ("token desk", "10.0.0.7")]
        assert theirs == ["account.add", "account.disable", "account.enable", "account.remove"]


async def test_what_cannot_be_added_is_refused_with_its_reason_and_the_next_step(tmp_path: Path) -> None:
    async with open_office(tmp_path, CONFIGURATION + FILE_ACCOUNT) as office:
        await office.managed.drive(office.changes.add(form()))
        for refused, words in (
            (form(), "already"),
            (form("bob", api_key=key_of("alice")), "accounts 'alice' and 'bob' have the same api_key"),
            (form("dora", api_key=key_of("carol")), "accounts 'carol' and 'dora' have the same api_key"),
            (form("carol", api_key="X"), "in the configuration file"),
            (form("bob", venue="binance-usd"), "did you mean 'binance-usdm'"),
            (form("bob", label="two\nlines"), "label must be one short line"),
            (form("bob", api_key=""), "api_key is empty"),
        ):
            status, code, message = await office.refusal(refused)
            assert (status, code) == (400, "refused") and words in message and "KEY-" not in message
        assert office.managed.running == ["alice", "carol"]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (KeyRights(read=True, trade=True, withdraw=True, transfer=False, ip_restricted=True), "the key may withdraw. Take these rights"),
        (AuthenticationError("Signature is not valid"), "Signature is not valid). Nothing was kept"),
        (RetryLater("no route to host"), "check the network and the address (rest_url)"),
    ],
)
async def test_a_key_that_should_not_be_used_is_refused_unless_that_is_said(
    tmp_path: Path, says: KeyRights | UserStreamError, words: str
) -> None:
    async with open_office(tmp_path) as office:
        office.managed.says = says
        status, code, message = await office.refusal(form())
        assert (status, code) == (422, "key_refused") and words in message and "--" not in message
        added = await office.managed.drive(office.changes.add(form(allow_unsafe_key=True)))
        assert added.warnings
        office.managed.says = SAFE


class SilentVenue:
    """Never tells what a key may do."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    async def ask(self, settings: AccountSettings) -> KeyRights:
        self.is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError


def silent_changes(managed: Managed, venue: SilentVenue, limit_s: float) -> AccountChanges:
    desk = AccountDesk(managed.registry, make_vault(), managed.clock, Caller("token desk", "10.0.0.7"), venue.ask, {})
    return AccountChanges(desk, managed.manager, limit_s=limit_s)


async def last_note(managed: Managed) -> tuple[str, str, str, str]:
    note = (await managed.registry.audit_entries())[-1].note
    return note.action, note.subject, note.result, note.actor


def test_a_venue_that_is_silent_is_given_up_before_the_request_is() -> None:
    assert ADD_LIMIT_S + 1 < REQUEST_LIMIT_S


async def test_a_venue_that_does_not_tell_in_time_is_given_up_and_noted(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        with pytest.raises(ApiError) as caught:
            await asyncio.wait_for(silent_changes(office.managed, SilentVenue(), 0.001).add(form()), 10)
        assert (caught.value.refusal.status, caught.value.refusal.code) == (503, "too_slow")
        assert await last_note(office.managed) == ("account.add", "alice", "refused", "token desk")
        added = await office.managed.drive(office.changes.add(form()))
        assert (added.account, office.managed.running) == ("alice", ["alice"])


async def test_an_attempt_that_is_cancelled_is_noted(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        venue = SilentVenue()
        adding = asyncio.ensure_future(silent_changes(office.managed, venue, 60).add(form()))
        await asyncio.wait_for(venue.is_asked.wait(), 10)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert await last_note(office.managed) == ("account.add", "alice", "refused", "token desk")


async def test_what_was_kept_is_not_noted_as_given_up(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        venue = SilentVenue()
        adding = asyncio.ensure_future(silent_changes(office.managed, venue, 60).add(form()))
        await asyncio.wait_for(venue.is_asked.wait(), 10)
        await office.managed.drive(office.changes.add(form()))
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert (await last_note(office.managed))[2] == "done"


async def test_who_is_not_there_cannot_be_switched(tmp_path: Path) -> None:
    async with open_office(tmp_path, CONFIGURATION + FILE_ACCOUNT) as office:
        for name, status in (("nobody", 404), ("carol", 409)):
            for deed in (office.changes.set_active(name, True), office.changes.remove(name)):
                with pytest.raises(ApiError) as caught:
                    await deed
                assert caught.value.refusal.status == status


async def test_a_change_is_kept_even_where_it_cannot_be_taken_up_now(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.managed.registry.trouble = StoreError("busy")
        added = await office.managed.drive(office.changes.add(form()))
        assert (added.account, office.managed.running) == ("alice", [])
        office.managed.registry.trouble = None
        await office.managed.pass_s(3)
        assert office.managed.running == ["alice"]


async def test_no_secret_is_in_answers_logs_or_shown(tmp_path: Path) -> None:
    told: list[object] = []
    async with open_office(tmp_path) as office:
        with capture_logs() as logs:
            told.append(await office.managed.drive(office.changes.add(form(api_key="CANARY-KEY"))))
            told.append(await office.refusal(form("bob", api_key="CANARY-KEY")))
            told.append(await office.refusal(form("bob", api_key="CANARY KEY")))
        told += [form(api_key="CANARY-KEY"), logs, await office.managed.registry.audit_entries()]
    assert "CANARY" not in repr(told)
