"""The registry's desk: which keys come in, what is noted of every deed, and that no secret leaves on the way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.support.clock import ManualClock
from tests.support.vaults import make_account, make_vault, note
from userstream.adapters.memory_registry import MemoryRegistry
from userstream.domain.audit import AuditEntry
from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.entry.registry import AccountDesk, Caller, KeyRefused, NewAccount, Roster, settings_of
from userstream.kernel.errors import AuthenticationError, RetryLater, SettingsError, StoreError, UserStreamError
from userstream.kernel.ids import AccountId, OrderId, Symbol, VenueName
from userstream.kernel.sealed import VaultError
from userstream.kernel.settings import RecoverySettings, StreamSettings
from userstream.wire.registration import AccountOptions, KnownFill, NameHistory, RegisteredAccount
from userstream.wire.rights import KeyRights

ALICE = AccountId("alice")
SAFE = KeyRights(read=True, trade=True, withdraw=False, transfer=False, ip_restricted=True)
KEY = credentials_of("CANARY-KEY-1", "CANARY-SECRET-1")
NEW_KEY = credentials_of("CANARY-KEY-2", "CANARY-SECRET-2", "CANARY-PASS-2")


class Venue:
    """Says what a key may do, or fails as it is told."""

    def __init__(self, says: KeyRights | UserStreamError = SAFE) -> None:
        self.says = says
        self.asked: list[AccountSettings] = []
        self.identities: dict[str, str] = {}
        self.orders: set[str] = set()

    async def ask(self, settings: AccountSettings) -> KeyRights:
        self.asked.append(settings)
        if isinstance(self.says, UserStreamError):
            raise self.says
        return self.says

    async def identify(self, settings: AccountSettings, limit_ms: int = 0) -> str:
        return self.identities.get(settings.credentials.api_key.reveal(), "")

    async def knows_order(self, settings: AccountSettings, symbol: Symbol, order_id: OrderId) -> bool:
        return order_id in self.orders


class Desk(AccountDesk):
    def __init__(self, says: KeyRights | UserStreamError = SAFE, histories: Mapping[str, NameHistory] | None = None) -> None:
        self.venue, self.store = Venue(says), MemoryRegistry(histories)
        super().__init__(self.store, make_vault(), ManualClock(), Caller("tess", "desk-1"), self.venue.ask, {}, self.venue)

    async def entries(self) -> list[AuditEntry]:
        assert await self.verify_log() == ""
        return await self.store.audit_entries()

    async def deeds(self) -> list[tuple[str, str, str]]:
        return [(entry.note.action, entry.note.subject, entry.note.result) for entry in await self.entries()]


class CountingRegistry(MemoryRegistry):
    """Counts the accounts that were read a page at a time, and does not let them be read while it `is_shut`."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.is_shut = 0, False

    async def page(self, *, after: str = "", limit: int = 1_000, active_only: bool = False) -> list[RegisteredAccount]:
        if self.is_shut:
            raise StoreError("the registry is shut")
        found = await super().page(after=after, limit=limit, active_only=active_only)
        self.read += len(found)
        return found


def wish(name: str = "alice", options: AccountOptions | None = None, venue: str = "binance-usdm") -> NewAccount:
    return NewAccount(account=AccountId(name), user="desk", venue=VenueName(venue), label="a label", options=options or AccountOptions())


async def test_an_account_comes_in_and_its_key_out_again() -> None:
    desk = Desk()
    options = AccountOptions(rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1", symbols=("BTCUSDT",))
    looked = await desk.add(wish(options=options), KEY)
    assert (looked.rights, looked.refusals) == (SAFE, "")
    account = await desk.require(ALICE)
    assert desk.open_key(account) == KEY
    settings = settings_of(account, KEY, RecoverySettings(lag_s=7), StreamSettings())
    assert (settings.name, settings.venue, settings.rest_url, settings.symbols) == (
        "alice",
        "binance-usdm",
        "http://127.0.0.1:1",
        ("BTCUSDT",),
    )
    assert settings.recovery.lag_s == 7
    assert desk.venue.asked[0].rest_url == "http://127.0.0.1:1"
    [entry] = await desk.entries()
    assert (entry.note.actor, entry.note.origin, entry.note.action, entry.note.result) == ("tess", "desk-1", "account.add", "done")


async def test_of_all_keys_only_those_that_can_move_no_money_come_in() -> None:
    for flags in itertools.product((False, True), repeat=5):
        read, trade, withdraw, transfer, ip_restricted = flags
        rights = KeyRights(read=read, trade=trade, withdraw=withdraw, transfer=transfer, ip_restricted=ip_restricted)
        desk = Desk(rights)
        if rights.read and not (rights.withdraw or rights.transfer):
            looked = await desk.add(wish(), KEY)
            assert bool(looked.verdict.warnings) is not rights.ip_restricted
            continue
        with pytest.raises(UserStreamError, match=r"'alice' is refused.*--allow-unsafe-key"):
            await desk.add(wish(), KEY)
        assert await desk.store.get(ALICE) is None
        assert await desk.deeds() == [("account.add", "alice", "refused")]


@pytest.mark.parametrize("trouble", [RetryLater("no answer"), AuthenticationError("no such key"), SettingsError("api_secret is missing")])
async def test_a_key_of_unknown_rights_is_refused_unless_told_otherwise(trouble: UserStreamError) -> None:
    desk = Desk(trouble)
    with pytest.raises(UserStreamError, match=f"not known \\({trouble}\\)"):
        await desk.add(wish(), KEY)
    looked = await desk.add(wish(), KEY, allow_unsafe=True)
    assert looked.trouble == str(trouble)
    assert await desk.deeds() == [("account.add", "alice", "refused"), ("account.add", "alice", "overridden")]
    assert (await desk.require(ALICE)).rights is None


async def test_an_override_stands_in_the_audit_log_with_its_reason() -> None:
    desk = Desk(msgspec.structs.replace(SAFE, withdraw=True))
    await desk.add(wish(), KEY, allow_unsafe=True)
    [entry] = await desk.entries()
    assert (entry.note.result, entry.note.detail) == ("overridden", "the key may withdraw")


async def test_a_key_that_trades_is_refused_where_the_account_is_only_watched() -> None:
    desk = Desk()
    with pytest.raises(UserStreamError, match="only to be watched"):
        await desk.add(wish(options=AccountOptions(monitor_only=True)), KEY)
    await desk.add(wish(), KEY)


@pytest.mark.parametrize(
    "slip",
    [wish(""), wish("a\nb"), wish("x" * 65), wish(venue="binance-usd"), wish(options=AccountOptions(rest_url="http://127.0.0.1:1"))],
)
async def test_a_slip_is_told_before_the_venue_is_asked(slip: NewAccount) -> None:
    desk = Desk()
    with pytest.raises(SettingsError):
        await desk.add(slip, KEY)
    assert desk.venue.asked == []
    assert await desk.deeds() == []


async def test_a_name_is_taken_once() -> None:
    desk = Desk()
    await desk.add(wish(), KEY)
    with pytest.raises(SettingsError, match="already"):
        await desk.add(wish(), NEW_KEY)
    assert len(desk.venue.asked) == 1


async def test_a_rotated_key_has_a_new_data_key_and_the_old_records_open_no_more() -> None:
    desk = Desk()
    await desk.add(wish(), KEY)
    before = await desk.require(ALICE)
    await desk.rotate(ALICE, NEW_KEY)
    after = await desk.require(ALICE)
    assert desk.open_key(after) == NEW_KEY
    assert (before.record_version, after.record_version) == (1, 2)
    assert before.key.api_key.split("|")[2] != after.key.api_key.split("|")[2]
    with pytest.raises(VaultError):
        desk.open_key(msgspec.structs.replace(after, key=before.key))
    desk.venue.says = msgspec.structs.replace(SAFE, transfer=True)
    with pytest.raises(UserStreamError, match="may transfer"):
        await desk.rotate(ALICE, KEY)
    assert desk.open_key(await desk.require(ALICE)) == NEW_KEY
    assert [result for _, _, result in await desk.deeds()] == ["done", "done", "refused"]


async def test_a_look_at_a_known_key_tells_what_it_may_do_now_and_did_not_before() -> None:
    desk = Desk()
    await desk.add(wish(), KEY)
    assert (await desk.check(ALICE)).widened == ()
    desk.venue.says = msgspec.structs.replace(SAFE, withdraw=True, ip_restricted=False, unknown=("permitsX",))
    looked = await desk.check(ALICE)
    assert looked.widened == ("withdraw", "any address", "permitsX")
    assert looked.refusals == "the key may withdraw"
    assert (await desk.require(ALICE)).rights == desk.venue.says
    desk.venue.says = RetryLater("no answer")
    assert (await desk.check(ALICE)).refusals == "what the key may do is not known (no answer)"
    assert [result for _, _, result in await desk.deeds()] == ["done", "done", "refused", "refused"]


async def test_a_look_at_a_key_that_was_replaced_meanwhile_says_nothing_of_the_new_one() -> None:
    desk, wide = Desk(), msgspec.structs.replace(SAFE, withdraw=True)
    await desk.add(wish(), KEY)

    async def rotate_meanwhile(settings: AccountSettings) -> KeyRights:
        desk.ask_with(desk.venue.ask)
        desk.venue.says = wide
        await desk.rotate(ALICE, NEW_KEY, allow_unsafe=True)
        return SAFE

    desk.ask_with(rotate_meanwhile)
    looked = await desk.check(ALICE)
    assert looked.is_stale and (looked.rights, looked.refusals, looked.widened, looked.time) == (None, "", (), None)
    account = await desk.require(ALICE)
    assert desk.open_key(account) == NEW_KEY
    assert account.rights == wide
    assert [action for action, _, _ in await desk.deeds()][-2:] == ["account.rotate", "account.check"]


async def test_a_record_that_does_not_open_is_noted() -> None:
    desk = Desk()
    await desk.add(wish(), KEY)
    account = await desk.require(ALICE)
    damaged = account.with_records((account.records[0], account.records[0]))
    assert await desk.store.swap_records([(account, damaged)]) == 1
    with pytest.raises(VaultError, match="api_secret"):
        await desk.check(ALICE)
    assert (await desk.deeds())[-1] == ("account.check", "alice", "refused")


async def test_accounts_are_switched_counted_and_removed() -> None:
    desk = Desk()
    for number in range(3):
        await desk.add(wish(f"account-{number}"), credentials_of(f"KEY-{number}", "SECRET"))
    await desk.set_active(AccountId("account-1"), False)
    assert [account.account async for account in desk.accounts(active_only=True)] == ["account-0", "account-2"]
    await desk.remove(AccountId("account-0"))
    assert await desk.count() == 2
    for deed in (desk.remove(ALICE), desk.set_active(ALICE, True), desk.check(ALICE), desk.rotate(ALICE, KEY)):
        with pytest.raises(SettingsError, match="no account 'alice'"):
            await deed


async def test_no_secret_is_in_what_is_kept_logged_raised_or_shown_and_a_planted_one_is_found() -> None:
    desk = Desk(AuthenticationError("the venue says no"))
    told: list[object] = []
    with capture_logs() as logs:
        for deed in (desk.add(wish(), KEY), desk.add(wish("bob"), KEY, allow_unsafe=True), desk.rotate(AccountId("bob"), NEW_KEY)):
            try:
                told.append(await deed)
            except UserStreamError as error:
                told += [error, repr(error), error.__cause__, error.__context__]
        told += [await desk.require(AccountId("bob")), desk.open_key(await desk.require(AccountId("bob"))), desk, desk.vault]
    told += [await desk.entries(), logs, await desk.store.page()]
    assert not any("CANARY" in repr(each) for each in told)
    told.append(desk.note("account.add", "alice", detail=KEY.api_key.reveal()))
    assert any("CANARY" in repr(each) for each in told)


KEYS_OF_TWO = {"CANARY-KEY-1": "SgsR", "CANARY-KEY-2": "XuXu"}
FILL = KnownFill(Symbol("BTCUSDT"), OrderId("77"), ManualClock().wall())


async def test_a_rotated_key_must_be_one_of_the_same_account_of_the_venue() -> None:
    desk = Desk()
    desk.venue.identities.update(KEYS_OF_TWO)
    await desk.add(wish(), KEY)
    assert (await desk.require(ALICE)).identity == "SgsR"
    with pytest.raises(KeyRefused, match=r"another account of the venue.*alice keeps its key.*--allow-other-account"):
        await desk.rotate(ALICE, NEW_KEY)
    assert desk.open_key(await desk.require(ALICE)) == KEY
    looked = await desk.rotate(ALICE, NEW_KEY, allow_other=True)
    assert "taken all the same" in looked.verdict.warnings[-1]
    assert (await desk.require(ALICE)).identity == "XuXu"
    assert [result for action, _, result in await desk.deeds() if action == "account.rotate"] == ["refused", "overridden"]


async def test_an_account_from_before_is_asked_for_with_the_key_that_it_has() -> None:
    desk = Desk()
    await desk.add(wish(), KEY)
    desk.venue.identities.update(KEYS_OF_TWO)
    with pytest.raises(KeyRefused, match="another account of the venue"):
        await desk.rotate(ALICE, NEW_KEY)
    assert ("vault.open", "alice", "done") in await desk.deeds()
    desk.venue.identities["CANARY-KEY-2"] = "SgsR"
    assert (await desk.rotate(ALICE, NEW_KEY)).told == "the venue says that it is the same account (SgsR)"
    assert (await desk.require(ALICE)).identity == "SgsR"


async def test_a_look_at_a_key_learns_whose_account_it_opens() -> None:
    desk = Desk()
    await desk.add(wish(), KEY)
    desk.venue.identities.update(KEYS_OF_TWO)
    assert not (await desk.check(ALICE)).is_stale
    assert (await desk.require(ALICE)).identity == "SgsR"


@pytest.mark.parametrize("knows", [False, True])
async def test_the_last_filled_order_is_compared_where_the_venue_does_not_tell(knows: bool) -> None:
    history = NameHistory(venue=VenueName("binance-usdm"), fill=FILL)
    desk = Desk(histories={"alice": history})
    if knows:
        desk.venue.orders.add(FILL.order_id)
        assert "the history of alice in the store goes on" in (await desk.add(wish(), KEY)).told
        assert "order 77" in (await desk.rotate(ALICE, NEW_KEY)).told
        return
    with pytest.raises(KeyRefused, match=r"never had order 77.*Choose another name"):
        await desk.add(wish(), KEY)
    assert await desk.deeds() == [("account.add", "alice", "refused")]


async def test_a_venue_that_does_not_answer_is_no_word_about_whose_key_it_is() -> None:
    desk = Desk()
    desk.venue.identities.update({"CANARY-KEY-1": "SgsR"})
    await desk.add(wish(), KEY)
    with pytest.raises(KeyRefused, match=r"is not known \(alice is SgsR\).*Try again later") as caught:
        await desk.rotate(ALICE, NEW_KEY)
    assert "accounts add" not in str(caught.value)
    assert desk.open_key(await desk.require(ALICE)) == KEY
    await desk.rotate(ALICE, NEW_KEY, allow_other=True)
    assert (await desk.require(ALICE)).identity == "SgsR", "what was learned is not forgotten"


async def test_a_name_whose_history_is_of_another_venue_is_refused() -> None:
    desk = Desk(histories={"alice": NameHistory(venue=VenueName("binance-spot"))})
    with pytest.raises(SettingsError, match=r"at binance-spot.*one at binance-usdm: choose another name"):
        await desk.add(wish(), KEY, allow_other=True)
    assert desk.venue.asked == []
    assert await desk.deeds() == [("account.add", "alice", "refused")]


async def test_a_name_whose_history_goes_on_must_be_the_same_account() -> None:
    desk = Desk(histories={"alice": NameHistory(venue=VenueName("binance-usdm"))})
    looked = await desk.add(wish(), KEY)
    assert "the history of alice in the store goes on" in looked.verdict.warnings[-1]
    await desk.remove(ALICE)
    desk.venue.identities.update(KEYS_OF_TWO)
    await desk.add(wish(), KEY)
    await desk.remove(ALICE)
    with pytest.raises(KeyRefused, match=r"another account of the venue.*Choose another name"):
        await desk.add(wish(), NEW_KEY)
    assert "it is the same account" in (await desk.add(wish(), KEY)).told


async def test_what_changes_nothing_is_no_deed_and_a_name_is_helped_to() -> None:
    desk = Desk()
    await desk.add(wish(), KEY)
    assert [await desk.set_active(ALICE, active) for active in (True, False, False, True)] == [False, True, False, True]
    assert [action for action, _, _ in await desk.deeds()] == ["account.add", "account.disable", "account.enable"]
    near = AccountId("alcie")
    for deed in (desk.remove(near), desk.set_active(near, True), desk.check(near), desk.rotate(near, NEW_KEY)):
        with pytest.raises(SettingsError, match=r"'alcie'.*did you mean 'alice'"):
            await deed
    for number in range(20):
        await desk.store.add(make_account(f"account-{number}"), note())
    with pytest.raises(SettingsError, match=r"'xyz'.*accounts list shows them all"):
        await desk.require(AccountId("xyz"))


def counted() -> tuple[CountingRegistry, AccountDesk]:
    registry = CountingRegistry()
    return registry, AccountDesk(registry, make_vault(), ManualClock(), Caller("tess", "desk-1"), Venue().ask, {})


async def listed(roster: Roster) -> list[tuple[str, bool]]:
    return [(line.account, line.is_active) for line in await roster.read()]


async def test_the_roster_reads_the_accounts_again_only_after_a_deed() -> None:
    registry, desk = counted()
    for number in range(3):
        await desk.add(wish(f"account-{number}"), credentials_of(f"KEY-{number}", "SECRET"))
    roster, registry.read = Roster(desk), 0
    assert await listed(roster) == [("account-0", True), ("account-1", True), ("account-2", True)]
    assert [await listed(roster) for _ in range(5)] == [await listed(roster)] * 5 and registry.read == 3
    await desk.set_active(AccountId("account-1"), False)
    registry.read = 0
    await asyncio.gather(*(roster.read() for _ in range(5)))
    assert registry.read == 3, "those that ask at the same moment share a reading"
    assert await listed(roster) == [("account-0", True), ("account-1", False), ("account-2", True)]
    await desk.remove(AccountId("account-0"))
    assert await listed(roster) == [("account-1", False), ("account-2", True)]


async def test_a_roster_that_could_not_be_read_is_read_again() -> None:
    registry, desk = counted()
    roster = Roster(desk)
    assert await listed(roster) == []
    await desk.add(wish(), KEY)
    registry.is_shut = True
    for _ in range(2):
        with pytest.raises(StoreError):
            await roster.read()
    registry.is_shut = False
    assert await listed(roster) == [("alice", True)]


@given(deeds=st.lists(st.tuples(st.sampled_from(("add", "enable", "disable", "remove", "look")), st.sampled_from(("alice", "bob")))))
def test_the_roster_is_what_the_registry_says_whatever_was_done(deeds: list[tuple[str, str]]) -> None:
    async def play() -> None:
        registry, desk = counted()
        roster = Roster(desk)
        for deed, name in deeds:
            with suppress(SettingsError):
                match deed:
                    case "add":
                        await desk.add(wish(name), credentials_of(f"KEY-{name}", "SECRET"))
                    case "enable" | "disable":
                        await desk.set_active(AccountId(name), deed == "enable")
                    case "remove":
                        await desk.remove(AccountId(name))
                    case _:
                        assert await listed(roster) == [(one.account, one.active) for one in await registry.page()]
        assert await listed(roster) == [(one.account, one.active) for one in await registry.page()]

    asyncio.run(play())
