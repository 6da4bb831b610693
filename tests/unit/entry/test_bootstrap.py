"""The application: accounts come and go at any moment, and it ends in order whatever happens meanwhile."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.transport import PipeTransport, RecordingHttp, json_answer
from tests.unit.runtime.kit import CREATE, HeldJournal
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of
from userstream.kernel.errors import SettingsError, StoreError, UserStreamError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Record
from userstream.runtime.runner import SAVE_LIMIT_MS

NAMES = ("alice", "bob", "carol")


class SlowJournal(HeldJournal):
    """Says only after `let_go` what it knows of an account."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.trouble: StoreError | None = None

    async def last_sequence(self, account: AccountId) -> int:
        await self.let_go.wait()
        if self.trouble is not None:
            raise self.trouble
        return await super().last_sequence(account)


class House:
    def __init__(self) -> None:
        self.clock, self.transport, self.journal = ManualClock(), PipeTransport(), SlowJournal()
        self.http = RecordingHttp(default=json_answer([]))
        self.http.plan(CREATE, json_answer({"listenKey": "k" * 64}))
        self.application = Application(self.clock, self.transport, self.http, self.journal)

    async def add(self, name: str = "alice") -> None:
        credentials = credentials_of("key", "secret")
        await self.application.add(AccountSettings(name=name, venue="binance-usdm", credentials=credentials, rest_url="http://127.0.0.1:9"))
        await self.clock.settle()

    async def stop(self) -> int:
        """Stops; how long that took on the clock (ms)."""
        began = self.clock.now()
        stopping = asyncio.ensure_future(self.application.stop())
        await self.clock.advance_until(stopping.done, limit_ms=60_000)
        await stopping
        await self.clock.settle()
        assert self.clock.running == [] and self.clock.failures == []
        assert self.transport.open_sockets == []
        return self.clock.now() - began


@pytest.fixture
def house() -> House:
    return House()


async def test_accounts_come_and_go(house: House) -> None:
    for name in NAMES:
        await house.add(name)
    assert [account.health.connections for account in house.application.accounts.values()] == [1, 1, 1]
    await house.application.remove("bob")
    assert list(house.application.accounts) == ["alice", "carol"]
    await house.add("bob")
    assert len(house.transport.open_sockets) == 3
    with pytest.raises(SettingsError, match="running already"):
        await house.add("bob")
    with pytest.raises(SettingsError, match="not running"):
        await house.application.remove("nobody")
    await house.stop()
    assert house.application.accounts == {}


async def test_a_store_that_does_not_answer_holds_all_accounts_up_once_and_not_one_after_the_other(house: House) -> None:
    for name in NAMES:
        await house.add(name)
    house.journal.is_stuck = True
    assert await house.stop() == SAVE_LIMIT_MS


async def test_the_second_stop_waits_for_the_first(house: House) -> None:
    await house.add()
    house.journal.is_stuck = True
    stops = [asyncio.ensure_future(house.application.stop()) for _ in range(2)]
    await house.clock.advance(SAVE_LIMIT_MS - 1)
    assert [each.done() for each in stops] == [False, False]
    await house.clock.advance(1)
    assert [each.done() for each in stops] == [True, True]


async def test_nothing_is_added_after_the_stop(house: House) -> None:
    await house.stop()
    with pytest.raises(UserStreamError, match="stopped"):
        await house.add()
    assert house.transport.sockets == []


@pytest.mark.parametrize("everything", [False, True], ids=["remove", "stop"])
async def test_an_account_that_is_stopped_while_it_starts_never_comes_to_life(house: House, everything: bool) -> None:
    house.journal.append(Record(AccountId("alice"), 1_000, Millis(1), 0, b"{}", ()))
    house.journal.let_go.clear()
    adding = asyncio.ensure_future(house.add())
    await house.clock.settle()
    await (house.stop() if everything else house.application.remove("alice"))
    house.journal.let_go.set()
    await house.clock.advance(60_000)
    with pytest.raises(UserStreamError, match="stopped"):
        await adding
    assert house.transport.sockets == [] and house.http.requests == []
    assert house.application.accounts == {}
    assert await house.journal.load_checkpoint(AccountId("alice")) == (0, ())
    assert await house.journal.last_sequence(AccountId("alice")) == 1_000
    await house.stop()


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        ({"rest_url": "fapi.binance.com"}, "rest_url: an address must be https://"),
        ({"rest_url": "http://fapi.binance.com"}, "rest_url: http://fapi.binance.com: unencrypted"),
        ({"rest_url": "https://fapi.binance.com/?x=1"}, "rest_url: .* query"),
        ({"ws_url": "https://fstream.binance.com"}, "ws_url: an address must be wss://"),
        ({"ws_api_url": "wss://me:secret@ws-fapi.binance.com"}, "ws_api_url: .*password"),
    ],
)
async def test_an_address_that_no_socket_could_use_is_told_at_once(house: House, addresses: dict[str, str], words: str) -> None:
    plain = AccountSettings(name="alice", venue="binance-usdm", credentials=credentials_of("key", "secret"))
    settings = msgspec.structs.replace(plain, **addresses)
    with pytest.raises(SettingsError, match=f"account 'alice': {words}") as raised:
        await house.application.add(settings)
    assert "secret" not in str(raised.value)
    assert house.application.accounts == {} and house.http.requests == []


async def test_an_account_whose_past_cannot_be_read_is_not_there(house: House) -> None:
    house.journal.trouble = StoreError("desk.db cannot be read")
    with pytest.raises(StoreError, match="cannot be read"):
        await house.add()
    assert house.application.accounts == {}
    assert "alice" not in house.application.metrics()
    house.journal.trouble = None
    await house.add()
    assert 'account="alice"' in house.application.metrics()
    await house.stop()
