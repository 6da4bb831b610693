"""The helpers of the classic surface: what passes a filter, when a batch goes out, what a cache keeps."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from userstream import BatchProcessor, BoundedCache, MessageFilter, SettingsError

ORDER: dict[str, Any] = {"e": "ORDER_TRADE_UPDATE", "o": {"s": "BTCUSDT", "X": "NEW", "x": "NEW"}}
LITE: dict[str, Any] = {"e": "TRADE_LITE", "s": "ETHUSDT", "l": "1"}
WALLET: dict[str, Any] = {"e": "ACCOUNT_UPDATE", "a": {"m": "ORDER", "B": [{"a": "USDT"}], "P": [{"s": "ETHUSDT"}]}}
LEG: dict[str, Any] = {"e": "ACCOUNT_UPDATE", "a": {"m": "MARGIN_TYPE_CHANGE", "B": [], "P": [{"s": "ETHUSDT"}]}}
CALL: dict[str, Any] = {"e": "MARGIN_CALL", "p": [{"s": "BTCUSDT"}, {"s": "ETHUSDT"}]}
EXPIRED: dict[str, Any] = {"e": "listenKeyExpired", "listenKey": "k"}
EVERYTHING = (ORDER, LITE, WALLET, LEG, CALL, EXPIRED)


def of_status(status: str) -> dict[str, Any]:
    return {"e": "ORDER_TRADE_UPDATE", "o": {"s": "BTCUSDT", "X": status}}


# --- filter ---


def test_a_filter_without_words_lets_everything_pass() -> None:
    assert all(map(MessageFilter(), EVERYTHING))


def test_the_filter_of_the_documents() -> None:
    wanted = MessageFilter(events={"ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"}, statuses=["NEW", "FILLED", "CANCELED"])
    assert [message["e"] for message in EVERYTHING if wanted(message)] == ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ACCOUNT_UPDATE"]
    assert [wanted(of_status(status)) for status in ("NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED")] == [
        *(True, False, True),
        *(True, False),
    ]


def test_statuses_limit_messages_about_orders_alone() -> None:
    filled = MessageFilter(statuses={"FILLED"})
    assert [message["e"] for message in EVERYTHING if not filled(message)] == ["ORDER_TRADE_UPDATE"]


def test_symbols_hold_back_what_is_about_others_but_never_a_wallet() -> None:
    bitcoin = MessageFilter(symbols=["BTCUSDT"])
    assert [message for message in EVERYTHING if not bitcoin(message)] == [LITE, LEG]


@pytest.mark.parametrize("odd", [{}, {"e": 1}, {"o": "text"}, {"o": {"X": None}}, {"a": []}, {"a": {"P": "text"}}, {"result": None}])
def test_odd_messages_hurt_no_filter(odd: dict[str, object]) -> None:
    MessageFilter(events={"TRADE_LITE"}, statuses={"NEW"}, symbols={"BTCUSDT"})(odd)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"events": {"ORDER_TRADE_UPDAT"}}, "did you mean 'ORDER_TRADE_UPDATE'"),
        ({"statuses": ["CANCELLED"]}, "did you mean 'CANCELED'"),
        ({"events": "TRADE_LITE"}, "collection of words"),
        ({"symbols": "BTCUSDT"}, "collection of words"),
    ],
)
def test_words_that_would_hide_everything_are_refused(words: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        MessageFilter(**words)


async def test_handlers_behind_a_filter_get_what_passes_alone_or_in_batches() -> None:
    heard: list[object] = []

    async def later(message: object) -> None:
        heard.append(message)

    wanted = MessageFilter(events={"TRADE_LITE"})
    plain = wanted.before(heard.append)
    for message in EVERYTHING:
        assert plain(message) is None
    waiting = wanted.before(later)([LITE, ORDER, LITE])
    assert waiting is not None
    await waiting
    assert wanted.before(later)([ORDER]) is None
    assert heard == [LITE, [LITE, LITE]]


# --- batches ---


class Receiver:
    """Takes batches, and refuses as many as it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.refusals = 0

    async def __call__(self, batch: list[dict[str, int]]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("the database is away")
        self.batches.append([message["n"] for message in batch])


async def fill(processor: BatchProcessor, numbers: range) -> None:
    for number in numbers:
        await processor({"n": number})


async def test_batches_go_out_by_size_by_age_and_at_the_end() -> None:
    clock, receiver = ManualClock(), Receiver()
    async with BatchProcessor(receiver, batch_size=3, batch_age=2, clock=clock) as processor:
        await fill(processor, range(4))
        assert receiver.batches == [[0, 1, 2]]
        await clock.advance(1_999)
        assert processor.batch == [{"n": 3}]
        await clock.advance(1)
        assert receiver.batches == [[0, 1, 2], [3]]
        await fill(processor, range(4, 6))
    assert receiver.batches == [[0, 1, 2], [3], [4, 5]]
    await clock.advance(60_000)
    assert (receiver.batches[3:], clock.failures, clock.running) == ([], [], [])


async def test_what_is_refused_waits_and_goes_out_later_in_order() -> None:
    clock, receiver = ManualClock(), Receiver()
    receiver.refusals = 2
    processor = BatchProcessor(receiver, batch_size=2, batch_age=1, clock=clock)
    await fill(processor, range(5))
    assert (processor.errors, receiver.batches) == (1, [])
    assert isinstance(processor.last_error, OSError)
    await clock.advance(1_000)
    assert (processor.errors, receiver.batches) == (2, [])
    await clock.advance(1_000)
    assert receiver.batches == [[0, 1], [2, 3], [4]]
    await fill(processor, range(5, 7))
    assert receiver.batches[3:] == [[5, 6]]
    assert (processor.dropped, clock.failures) == (0, [])


async def test_only_so_much_waits() -> None:
    receiver = Receiver()
    receiver.refusals = 1
    processor = BatchProcessor(receiver, batch_size=2, max_waiting=3, clock=ManualClock())
    await fill(processor, range(6))
    assert processor.dropped == 3
    await processor.flush_batch()
    assert receiver.batches == [[3, 4], [5]]


async def test_an_asked_flush_tells_what_the_receiver_said() -> None:
    receiver = Receiver()
    processor = BatchProcessor(receiver, clock=ManualClock())
    await fill(processor, range(2))
    receiver.refusals = 1
    with pytest.raises(OSError, match="away"):
        await processor.flush_batch()
    assert len(processor.batch) == 2
    await processor.process_batch()
    assert receiver.batches == []
    await processor.flush_batch()
    assert (receiver.batches, processor.batch) == ([[0, 1]], [])


async def test_plain_functions_receive_batches_too() -> None:
    heard: list[Any] = []
    processor = BatchProcessor(heard.append, batch_size=1)
    await processor.add({"n": 1})
    assert heard == [[{"n": 1}]]


async def test_a_busy_receiver_holds_the_next_batch_up_and_gets_one_at_a_time() -> None:
    clock, batches = ManualClock(), list[list[int]]()
    free = 0

    async def receive(batch: list[dict[str, int]]) -> None:
        nonlocal free
        assert free == 0, "two at a time"
        free = 1
        await clock.sleep(5_000)
        free = 0
        batches.append([message["n"] for message in batch])

    processor = BatchProcessor(receive, batch_size=2, batch_age=1, clock=clock)
    clock.spawn(fill(processor, range(7)), "feed")
    await clock.advance(5_000)
    assert batches == [[0, 1]]
    assert "feed" in clock.running
    await clock.advance(30_000)
    assert batches == [[0, 1], [2, 3], [4, 5], [6]]
    assert clock.failures == []


@given(sizes=st.integers(1, 5), count=st.integers(0, 23))
def test_every_message_once_in_order(sizes: int, count: int) -> None:
    async def run() -> list[list[int]]:
        receiver = Receiver()
        async with BatchProcessor(receiver, batch_size=sizes, clock=ManualClock()) as processor:
            await fill(processor, range(count))
        return receiver.batches

    batches = asyncio.run(run())
    assert [number for batch in batches for number in batch] == list(range(count))
    assert all(len(batch) == sizes for batch in batches[:-1])


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_age": 0}, {"batch_age": float("nan")}, {"max_waiting": 5}])
def test_batches_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        BatchProcessor(print, **wrong)


# --- cache ---


def test_the_oldest_goes_first_and_what_is_renewed_is_young() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.add_to_cache("a", 1)
    cache["b"] = 2
    cache["a"] = 3
    cache["c"] = 4
    assert cache.cache == {"a": 3, "c": 4}
    assert (cache["a"], cache.get("b"), cache.get("b", 0), "c" in cache, list(cache)) == (3, None, 0, True, ["a", "c"])
    cache.discard("a")
    cache.discard("a")
    with pytest.raises(KeyError):
        cache["a"]
    with pytest.raises(SettingsError, match="max_cache_size"):
        BoundedCache(0)


@given(limit=st.integers(1, 4), keys=st.lists(st.integers(0, 6), max_size=40))
def test_the_cache_is_the_newest_keys(limit: int, keys: list[int]) -> None:
    cache, model = BoundedCache[int, int](limit), OrderedDict[int, int]()
    for place, key in enumerate(keys):
        cache.add_to_cache(key, place)
        model[key] = place
        model.move_to_end(key)
    assert list(cache.cache.items()) == list(model.items())[-limit:]
    assert len(cache) == min(limit, len(model))


def test_threads_share_a_cache() -> None:
    cache: BoundedCache[int, int] = BoundedCache(50)

    def work(start: int) -> None:
        for number in range(2_000):
            cache[start + number % 100] = number
            assert len(list(cache)) <= 50

    threads = [Thread(target=work, args=(start,)) for start in (0, 50, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) == 50
    assert repr(cache) == "<BoundedCache: 50 of 50>"
