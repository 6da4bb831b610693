"""The registry's accounts while they run: which are taken up, and what is noted of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.support.clock import ManualClock
from tests.support.transport import PipeTransport, RecordingHttp
from tests.support.vaults import FIRST_KEY, SECOND_KEY, THIRD_KEY, make_account, make_vault, note
from userstream.adapters.key_ring import KeyRing
from userstream.adapters.memory import MemoryJournal
from userstream.adapters.memory_registry import MemoryRegistry
from userstream.adapters.vault import AesVault
from userstream.domain.audit import AuditNote
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of
from userstream.entry.configuration import Configuration, read_configuration
from userstream.entry.key_rights import AGAIN_MS, EVERY_MS
from userstream.entry.registered import FIRST_LOOK_MS, RegisteredAccounts, open_registered
from userstream.entry.registry import AccountDesk, Caller, NewAccount
from userstream.kernel.errors import AuthenticationError, RequestRefused, RetryLater, SettingsError, StoreError, UserStreamError
from userstream.kernel.ids import AccountId, VenueName
from userstream.kernel.secret import Secret
from userstream.wire.registration import SealedKey
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.rights import KeyRights

SAFE = KeyRights(read=True, trade=True, withdraw=False, transfer=False, ip_restricted=True)
ACCOUNT = '[[account]]\nname = "carol"\nvenue = "binance-usdm"\napi_key_env = "KEY"\n'


class Venue:
    def __init__(self) -> None:
        self.says: KeyRights | UserStreamError = SAFE
        self.asked: list[str] = []

    async def ask(self, settings: AccountSettings) -> KeyRights:
        self.asked.append(settings.name)
        if isinstance(self.says, UserStreamError):
            raise self.says
        return self.says


class NoHttp:
    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        return HttpResponse(status=0, body=b"no route")

    async def close(self) -> None:
        return


def configured(tmp_path: Path, text: str = "[registry]\n") -> Configuration:
    path = tmp_path / "userstream.toml"
    path.write_text(text)
    return read_configuration(path, {"KEY": "the-key"})


class Ground:
    """A registry with alice, bob and carol, carol switched off."""

    def __init__(self) -> None:
        self.registry, self.clock, self.venue = MemoryRegistry(), ManualClock(), Venue()
        self.desk = AccountDesk(self.registry, make_vault(), self.clock, Caller("tess", "desk-1"), self.venue.ask, {})
        self.registered = RegisteredAccounts(self.desk, self.clock)

    async def fill(self) -> None:
        for name in ("alice", "bob", "carol"):
            wish = NewAccount(account=AccountId(name), user="desk", venue=VenueName("binance-usdm"))
            await self.desk.add(wish, credentials_of(f"KEY-OF-{name}", f"SECRET-OF-{name}"))
        self.venue.asked.clear()
        await self.desk.set_active(AccountId("carol"), False)

    async def last_note(self) -> tuple[str, str, str]:
        note = (await self.registry.audit_entries())[-1].note
        return note.action, note.subject, note.result


async def test_active_accounts_are_taken_up_with_the_settings_of_the_file(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    await ground.registered.read(configured(tmp_path, "[registry]\n[recovery]\nlag_s = 7\n"))
    assert [(settings.name, settings.recovery.lag_s) for settings in ground.registered.settings] == [("alice", 7), ("bob", 7)]
    assert ground.registered.settings[0].credentials == credentials_of("KEY-OF-alice", "SECRET-OF-alice")
    assert await ground.last_note() == ("vault.open", "2 accounts", "done")
    assert ground.registered.way_of("alice") is not None
    assert ground.registered.way_of("carol") is None
    await ground.registered.close()


async def test_listen_keys_are_left_alone_where_that_is_said(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    await ground.registered.read(configured(tmp_path, "[registry]\nlisten_keys = false\n"))
    assert ground.registered.way_of("alice") is None


async def test_a_key_that_does_not_open_keeps_its_account_out_and_no_other(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    alice, bob = (await ground.registry.page())[:2]
    await ground.registry.swap_records([(alice, alice.with_records(bob.records))])
    with capture_logs() as logs:
        await ground.registered.read(configured(tmp_path))
    assert [settings.name for settings in ground.registered.settings] == ["bob"]
    assert [(entry["action"], entry["account"]) for entry in logs] == [("key_refused", "alice")]


class Ring:
    """A ring that keys join when it is read again."""

    def __init__(self, *later: bytes) -> None:
        self.later, self.reads = later, 0

    def read(self) -> KeyRing:
        self.reads += 1
        return KeyRing([FIRST_KEY, *self.later])


async def with_lost_keys(*names: str, later: tuple[bytes, ...] = ()) -> tuple[Ground, Ring]:
    """The accounts of these names were sealed with a key that the ring lacks."""
    ground, ring = Ground(), Ring(*later)
    await ground.fill()
    elsewhere = AesVault(KeyRing([THIRD_KEY]))
    for name in names:
        lost = make_account(name)
        records = elsewhere.seal(lost.place, {"api_key": Secret(f"KEY-OF-{name}"), "api_secret": Secret("SECRET")})
        await ground.registry.add(msgspec.structs.replace(lost, key=SealedKey(**records)), note("account.add", name))
    ground.desk.vault = AesVault(KeyRing([FIRST_KEY]), reread=ring.read)
    return ground, ring


async def test_who_cannot_be_opened_stays_refused_until_it_can_be(tmp_path: Path) -> None:
    ground, ring = await with_lost_keys("zoe", later=(SECOND_KEY,))
    await ground.registered.read(configured(tmp_path))
    ring.later = (SECOND_KEY, bytes(32))
    await ground.registered.renew_keys()
    assert list(ground.registered.refused) == ["zoe"], "another key in the ring is not yet its key"
    await ground.registered.refresh()
    assert list(ground.registered.refused) == ["zoe"]
    await ground.desk.remove(AccountId("bob"))
    await ground.registered.refresh()
    assert list(ground.registered.refused) == ["zoe"]
    ring.later = (SECOND_KEY, THIRD_KEY)
    await ground.registered.renew_keys()
    assert list(ground.registered.refused) == ["zoe"]
    await ground.registered.refresh()
    assert ground.registered.refused == {}
    assert [settings.name for settings in ground.registered.settings] == ["alice", "zoe"]


async def test_a_refused_account_is_never_out_of_sight_while_another_one_is_taken_up(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    class Watched(MemoryRegistry):
        async def write_note(self, note: AuditNote) -> None:
            seen.append(list(ground.registered.refused))
            await super().write_note(note)

    ground, _ = await with_lost_keys("zoe")
    ground.desk.registry = Watched()
    for account in await ground.registry.page():
        await ground.desk.registry.add(account, note("account.add", account.account))
    await ground.registered.read(configured(tmp_path))
    seen.clear()
    await ground.desk.rotate(AccountId("alice"), credentials_of("NEW-KEY-OF-alice", "SECRET"))
    await ground.registered.refresh()
    assert seen and all(names == ["zoe"] for names in seen)


async def test_the_ring_is_read_again_once_for_all_that_lack_a_key(tmp_path: Path) -> None:
    ground, ring = await with_lost_keys(*(f"lost-{number}" for number in range(20)))
    await ground.registered.read(configured(tmp_path))
    assert (len(ground.registered.refused), ring.reads) == (20, 1)


async def test_a_key_that_came_a_moment_ago_opens_all_that_lack_it(tmp_path: Path) -> None:
    ground, ring = await with_lost_keys("yan", "zoe", later=(THIRD_KEY,))
    await ground.registered.read(configured(tmp_path))
    assert (ground.registered.refused, ring.reads) == ({}, 1)
    assert [settings.name for settings in ground.registered.settings] == ["alice", "bob", "yan", "zoe"]


async def test_what_cannot_be_noted_changes_nothing(tmp_path: Path) -> None:
    class Locked(MemoryRegistry):
        is_locked = False

        async def write_note(self, note: AuditNote) -> None:
            if self.is_locked:
                raise StoreError("database is locked")
            await super().write_note(note)

    ground, registry = Ground(), Locked()
    ground.registry = ground.desk.registry = registry
    await ground.fill()
    await ground.registered.read(configured(tmp_path))
    before = ground.registered.settings, ground.registered.revision_of("alice")
    await ground.desk.rotate(AccountId("alice"), credentials_of("NEW-KEY-OF-alice", "SECRET"))
    await ground.desk.remove(AccountId("bob"))
    registry.is_locked = True
    with pytest.raises(StoreError):
        await ground.registered.refresh()
    assert (ground.registered.settings, ground.registered.revision_of("alice")) == before
    assert await ground.registered.has_changed()
    registry.is_locked = False
    await ground.registered.refresh()
    assert [settings.name for settings in ground.registered.settings] == ["alice"]
    assert ground.registered.revision_of("alice") != before[1]


async def test_a_name_of_the_file_and_of_the_registry_is_refused(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    await ground.desk.set_active(AccountId("carol"), True)
    with pytest.raises(SettingsError, match="'carol' is in the configuration file and in the registry"):
        await ground.registered.read(configured(tmp_path, f"[registry]\n{ACCOUNT}"))


async def test_one_key_under_two_names_is_run_once(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    # as an earlier version took it
    twin = make_account("zoe")
    records = ground.desk.vault.seal(twin.place, {"api_key": Secret("KEY-OF-alice"), "api_secret": Secret("SECRET-OF-alice")})
    await ground.registry.add(msgspec.structs.replace(twin, key=SealedKey(**records)), note("account.add", "zoe"))
    with capture_logs() as logs:
        await ground.registered.read(configured(tmp_path))
    assert [settings.name for settings in ground.registered.settings] == ["alice", "bob"]
    [entry] = logs
    assert (entry["action"], entry["account"]) == ("account_refused", "zoe")
    assert "'alice'" in entry["reason"]
    assert "KEY-OF" not in str(logs)


async def test_without_the_table_nothing_is_opened(tmp_path: Path) -> None:
    configuration = configured(tmp_path, ACCOUNT)
    async with open_registered(configuration) as registered:
        assert registered.settings == []
        assert registered.way_of("carol") is None
        await registered.check_rights()


async def test_with_the_table_the_keys_of_the_vault_must_be_there(tmp_path: Path) -> None:
    configuration = configured(tmp_path, f'[store]\npath = "{tmp_path}/a.db"\n[registry]\n[vault]\nkey_file = "absent"\n')
    with pytest.raises(SettingsError, match="cannot read the key ring"):
        async with open_registered(configuration):
            pass


async def test_what_keys_may_do_is_looked_at_again(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    await ground.registered.read(configured(tmp_path))
    looks: list[tuple[AccountId, str, str]] = []
    ground.registered.tell_rights = lambda *found: looks.append(found)
    with capture_logs() as logs:
        await ground.registered.check_rights()
        assert looks == [], "they were looked at when they were added"
        await ground.clock.advance(EVERY_MS)
        await ground.registered.check_rights()
        assert logs == []
        assert looks == [("alice", "", ""), ("bob", "", "")], "that all is well is told too: it ends an alarm"
        for says in (msgspec.structs.replace(SAFE, ip_restricted=False), msgspec.structs.replace(SAFE, withdraw=True)):
            ground.venue.says = says
            await ground.clock.advance(EVERY_MS)
            await ground.registered.check_rights()
        await ground.desk.remove(AccountId("alice"))
        await ground.clock.advance(EVERY_MS)
        await ground.registered.check_rights()
    told = [(entry["action"], entry["account"], str(entry["reason"])) for entry in logs]
    assert told[0] == ("key_widened", "alice", "the key may do more than before: any address")
    assert told[2] == ("key_widened", "alice", "the key may withdraw")
    assert looks[2][1:] == ("", "the key may do more than before: any address")
    assert looks[4][1] == "the key may withdraw"
    assert told[4][:2] == ("key_unchecked", "alice") and "no account 'alice'" in told[4][2]


@pytest.mark.parametrize("is_removed", [False, True], ids=["replaced", "removed"])
async def test_nothing_is_told_of_a_key_that_was_replaced_while_it_was_looked_at(tmp_path: Path, is_removed: bool) -> None:
    ground, alice = Ground(), AccountId("alice")
    await ground.fill()
    await ground.registered.read(configured(tmp_path))
    looks: list[tuple[AccountId, str, str]] = []
    ground.registered.tell_rights = lambda *found: looks.append(found)
    await ground.clock.advance(EVERY_MS)

    async def part_with_it(settings: AccountSettings) -> KeyRights:
        ground.desk.ask_with(ground.venue.ask)
        if is_removed:
            await ground.desk.remove(alice)
        else:
            await ground.desk.rotate(alice, credentials_of("NEW-KEY", "NEW-SECRET", None))
        return msgspec.structs.replace(SAFE, withdraw=True)

    ground.desk.ask_with(part_with_it)
    with capture_logs() as logs:
        await ground.registered.check_rights()
    assert looks == [("bob", "", "")]
    assert [entry["action"] for entry in logs if entry["log_level"] == "error"] == []
    assert not is_removed or "no account 'alice'" in str(logs)
    await ground.registered.check_rights()
    assert looks[1:] == ([] if is_removed else [("alice", "", "")]), "the new key is looked at next"


@pytest.mark.parametrize("trouble", [RequestRefused("a test network"), AuthenticationError("no such key")])
async def test_rights_that_cannot_be_read_are_no_wider_ones(tmp_path: Path, trouble: UserStreamError) -> None:
    ground = Ground()
    await ground.fill()
    await ground.registered.read(configured(tmp_path))
    ground.venue.says = trouble
    await ground.clock.advance(EVERY_MS)
    with capture_logs() as logs:
        await ground.registered.check_rights()
        await ground.clock.advance(EVERY_MS - 1)
        await ground.registered.check_rights()
    assert [(entry["log_level"], entry["action"], entry["account"], entry["reason"]) for entry in logs] == [
        ("warning", "key_unchecked", "alice", str(trouble)),
        ("warning", "key_unchecked", "bob", str(trouble)),
    ]


async def test_where_the_venue_wants_silence_the_looks_end_and_go_on_later(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    await ground.registered.read(configured(tmp_path))
    await ground.clock.advance(EVERY_MS)
    ground.venue.says = RetryLater("the venue wants silence", 600_000)
    with capture_logs() as logs:
        for _ in range(10):
            await ground.registered.check_rights()
            await ground.clock.advance(59_000)
    assert [(entry["action"], entry["account"]) for entry in logs] == [("key_unchecked", "alice")]
    assert ground.venue.asked == ["alice"]
    ground.venue.says = SAFE
    await ground.clock.advance(60_000)
    await ground.registered.check_rights()
    await ground.clock.advance(AGAIN_MS)
    await ground.registered.check_rights()
    assert ground.venue.asked == ["alice", "bob", "alice"]


class WithoutThreads(RegisteredAccounts):
    async def renew_keys(self) -> None:
        return


async def seconds_until_asked(ground: Ground, configuration: Configuration, *, asks_rights: bool = True) -> int | None:
    """How long after a start the venue is asked first, within two hours."""
    registered, http = WithoutThreads(ground.desk, ground.clock), RecordingHttp()
    await registered.read(configuration)
    application = Application(ground.clock, PipeTransport(), http, MemoryJournal())
    registered.watch(application, asks_rights=asks_rights)
    began, asked = ground.clock.now(), None
    while ground.clock.now() - began < 2 * AGAIN_MS and asked is None:
        await ground.clock.advance(5_000)
        asked = (ground.clock.now() - began) // 1_000 if http.requests else None
    await registered.close()
    await application.stop()
    assert ground.clock.failures == []
    return asked


async def test_a_start_asks_at_once_of_keys_that_were_not_looked_at_for_a_day_and_of_no_others(tmp_path: Path) -> None:
    ground, file = Ground(), configured(tmp_path)
    await ground.fill()
    assert await seconds_until_asked(ground, file) is None, "they were looked at when they were added"
    await ground.clock.advance(EVERY_MS)
    assert await seconds_until_asked(ground, file, asks_rights=False) is None
    assert await seconds_until_asked(ground, file) == FIRST_LOOK_MS // 1_000
    await ground.registered.read(file)
    ground.desk.ask_with(ground.venue.ask)
    await ground.registered.check_rights()
    assert ground.venue.asked == ["alice", "bob"]
    assert {(await ground.desk.require(AccountId(name))).rights_time for name in ("alice", "bob")} == {ground.clock.wall()}
    assert await seconds_until_asked(ground, file) is None, "whoever starts anew every minute does not ask every minute"


async def test_accounts_of_the_registry_are_noted_as_proven(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    await ground.registered.read(configured(tmp_path))
    await ground.registered.note_proven(["alice", "of the file"])
    assert {account.account: account.proven_time for account in await ground.registry.page()} == {
        "alice": ground.clock.wall(),
        "bob": None,
        "carol": None,
    }
    await ground.desk.remove(AccountId("bob"))
    with capture_logs() as logs:
        await ground.registered.note_proven(["bob"])
    assert [entry["action"] for entry in logs] == ["proof_not_noted"]


async def test_the_watcher_ends_with_its_owner(tmp_path: Path) -> None:
    ground = Ground()
    await ground.fill()
    await ground.registered.read(configured(tmp_path))
    application = Application(ground.clock, PipeTransport(), NoHttp(), MemoryJournal())
    ground.registered.watch(application)
    await ground.registered.close()
    await application.stop()
    assert ground.clock.failures == []


async def test_keys_that_cannot_be_read_again_are_told(tmp_path: Path) -> None:
    def fail() -> KeyRing:
        raise SettingsError("cannot read the key ring")

    ground = Ground()
    vault = AesVault(KeyRing([FIRST_KEY]), reread=fail)
    registered = RegisteredAccounts(
        AccountDesk(ground.registry, vault, ground.clock, Caller("tess", "desk-1"), ground.venue.ask, {}), ground.clock
    )
    with capture_logs() as logs:
        await registered.renew_keys()
        await ground.registered.renew_keys()
        await RegisteredAccounts(None, ground.clock).renew_keys()
    assert [entry["action"] for entry in logs] == ["keys_not_renewed"]
