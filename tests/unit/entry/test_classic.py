"""The classic surface's mailbox: every message once and in order, however far the handler falls behind."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.events import filled
from userstream.adapters.memory import MemoryJournal
from userstream.domain.events import Event, stamp
from userstream.entry.classic import ACCOUNT, BinanceClient, Mailbox, MailboxEmptied, UserDataStreamAPI
from userstream.kernel.errors import NotKept, SettingsError, StoreError
from userstream.kernel.ids import Millis
from userstream.ports import Record
from userstream.runtime.keeper import CatchUp, Keeper
from userstream.venues import find_venue


class Post:
    """A journal and a mailbox that get the same records."""

    def __init__(self, limit: int = 100, keep_records: int = 100_000) -> None:
        self.journal = MemoryJournal(keep_records=keep_records)
        clock = ManualClock()
        keeper = Keeper(ACCOUNT, self.journal, clock)
        self.mailbox = Mailbox(find_venue("binance-usdm"), limit, lambda newest: CatchUp(keeper, clock, newest))
        self._sequence = 0

    def send(self, frame: bytes, *events: Event, connection: int = 1) -> None:
        self._sequence += 1
        for event in events:
            stamp(event, self._sequence, None)
        record = Record(ACCOUNT, self._sequence, Millis(1), connection, frame, events)
        self.journal.append(record)
        self.mailbox.put(record)

    def number(self, number: int) -> None:
        self.send(msgspec.json.encode({"n": number}), filled())

    async def rest(self) -> list[object]:
        """Everything that can still be taken once the mailbox is closed."""
        self.mailbox.close()
        taken: list[object] = []
        while True:
            try:
                taken.append((await self.mailbox.take()).get("n"))
            except MailboxEmptied:
                return taken


@settings(max_examples=25)
@given(limit=st.integers(1, 6), steps=st.lists(st.integers(-3, 6), max_size=20))
def test_a_handler_behind_is_served_from_the_journal(limit: int, steps: list[int]) -> None:
    async def run() -> None:
        post, sent, taken = Post(limit), 0, list[object]()
        for step in steps:
            for _ in range(max(step, 0)):
                post.number(sent)
                sent += 1
            for _ in range(min(max(-step, 0), sent - len(taken))):
                taken.append((await post.mailbox.take())["n"])
        assert [*taken, *await post.rest()] == list(range(sent))

    asyncio.run(run())


async def test_what_the_journal_could_not_keep_holds_nobody_up() -> None:
    post = Post(limit=1)
    post.number(0)
    post.number(1)
    post.mailbox.put(Record(ACCOUNT, 3, Millis(1), 1, b'{"n":2}', ()))
    assert [await post.mailbox.take(), await post.mailbox.take()] == [{"n": 0}, {"n": 1}]
    with pytest.raises(StoreError, match="after 2 are not in the journal"):
        await post.mailbox.take()
    assert post.mailbox.skip() == 1
    assert await post.rest() == []


async def test_what_the_journal_no_longer_holds_is_said_before_it_goes_on() -> None:
    post = Post(limit=2, keep_records=50)
    for number in range(200):
        post.number(number)
        await post.journal.flush()
    assert [(await post.mailbox.take())["n"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(NotKept, match="no longer holds what came after 3"):
        await post.mailbox.take()
    assert post.mailbox.skip() == 197
    post.number(200)
    assert await post.rest() == [200]


async def test_a_taker_waits_for_what_comes() -> None:
    post = Post()
    waiting = asyncio.ensure_future(post.mailbox.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    post.number(7)
    assert await waiting == {"n": 7}


async def test_a_taker_that_waits_when_the_mailbox_closes_is_told() -> None:
    post = Post()
    waiting = asyncio.ensure_future(post.mailbox.take())
    await asyncio.sleep(0)
    post.mailbox.close()
    with pytest.raises(MailboxEmptied):
        await waiting


async def test_copies_of_an_overlap_come_once_and_true_repetitions_stay() -> None:
    post = Post()
    post.send(b'{"n":1}', filled())
    post.send(b'{"n":1}', connection=2)
    post.send(b'{"n":1}', filled(trade_id="2"))
    assert await post.rest() == [1, 1]


async def test_answers_to_our_own_requests_are_no_messages() -> None:
    post = Post()
    post.send(b'{"id":"1","status":200,"result":{"subscriptionId":0},"rateLimits":[]}')
    post.send(b'{"id":"2","status":400,"error":{"code":-1021,"msg":"late"}}')
    post.send(b'{"id":null,"status":401,"error":{"code":-2015,"msg":"no"}}')
    post.send(b'{"result":null,"id":1}')
    post.send(b'{"subscriptionId":0,"event":{"e":"news"},"n":1}')
    post.send(b'{"e":"news","id":4,"status":"x","n":2}')
    post.send(b'{"stream":"k","data":{"e":"news"},"n":3}')
    post.send(b'{"unknown":1,"n":4}')
    assert await post.rest() == [1, 2, 3, 4]


async def test_what_is_no_object_is_no_message() -> None:
    post = Post()
    for frame in (b"", b"no json", b"\xff\xfe", b"[1]", b"3", b'{"n":4}'):
        post.send(frame)
    assert await post.rest() == [4]


async def test_fills_of_the_books_take_the_streams_shape_and_other_facts_do_not() -> None:
    post = Post()
    post.send(b"", filled(source="poll", trade_id="41"), connection=0)
    post.send(b"", filled(source="stream"), connection=0)
    message = await post.mailbox.take()
    assert (message["e"], message["_source"]) == ("ORDER_TRADE_UPDATE", "recovery")
    assert await post.rest() == []


async def test_batches_are_bounded_by_size_and_the_last_is_whole() -> None:
    post = Post()
    for number in range(5):
        post.number(number)
    assert [message["n"] for message in await post.mailbox.take_batch(3, 60)] == [0, 1, 2]
    post.mailbox.close()
    assert [message["n"] for message in await post.mailbox.take_batch(3, 60)] == [3, 4]
    with pytest.raises(MailboxEmptied):
        await post.mailbox.take_batch(3, 60)


async def test_a_batch_goes_out_when_it_is_old_enough() -> None:
    post = Post()
    post.number(1)
    assert await post.mailbox.take_batch(3, 0.001) == [{"n": 1}]
    post.number(2)
    assert await post.rest() == [2]


def test_a_handler_must_be_callable() -> None:
    with pytest.raises(SettingsError, match="message_handler is str"):
        UserDataStreamAPI("key", "handler")  # type: ignore[arg-type]


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"api_key is None: .* environment variable"):
        UserDataStreamAPI(None, print)  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [{"rest_url": "http://127.0.0.1:9"}, {"ws_url": "ws://127.0.0.1:9"}])
async def test_half_an_address_is_refused_at_the_start_and_leaves_nothing_running(config: dict[str, str]) -> None:
    before = asyncio.all_tasks()
    stream = UserDataStreamAPI("key", print, config)
    with pytest.raises(SettingsError, match="alone would leave"):
        await stream.start()
    assert asyncio.all_tasks() == before
    assert stream.account is None


async def test_before_the_start_nothing_runs_and_no_secret_shows() -> None:
    stream = UserDataStreamAPI("canary-key", print, {"api_secret": "canary-secret"})
    assert (stream.is_connected, stream.listen_key, stream.account, stream.can_recover) == (False, None, None, True)
    assert repr(stream) == "<UserDataStreamAPI binance-usdm: stopped>"
    await stream.stop()
    assert not UserDataStreamAPI("key", print).can_recover
    assert repr(BinanceClient()) == "<BinanceClient>"
