"""The live account: three ways to listen, waiters, health."""

from __future__ import annotations

import asyncio
import gc
import pydoc
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transport import json_answer
from tests.unit.runtime.kit import CREATE, STREAM_ONLY, Shell, balance_frame
from tests.unit.venues.binance.kit import order_frame, place
from userstream.domain.events import BalanceSet, Event, Filled, OrderChanged, StreamChanged
from userstream.domain.words import StreamState
from userstream.kernel.errors import AuthenticationError, ConnectionError, StoreError, UserStreamError
from userstream.runtime.live import Delivery, LiveAccount

MINUTE_MS = 60_000


async def grow(shell: Shell, *wallets: str) -> None:
    """The wallet changes so many times."""
    for number, wallet in enumerate(wallets):
        shell.socket.deliver(balance_frame(wallet, event_time=1_790_000_001_203 + number))
    await shell.clock.settle()


# --- reading events ---


async def test_reading_begins_at_the_call_and_not_at_the_first_wait(shell: Shell) -> None:
    stream = shell.account.events(types={Filled})
    await shell.trade(2)
    assert [await anext(stream) for _ in range(2)] == [event for event in shell.events if isinstance(event, Filled)]


@pytest.mark.parametrize("delivery", ["lossless", "latest"])
async def test_a_wait_that_was_given_up_loses_nothing_and_ends_nothing(shell: Shell, delivery: Delivery) -> None:
    stream = shell.account.events(types={Filled}, delivery=delivery)
    for _ in range(3):
        waiting = asyncio.ensure_future(anext(stream))
        await shell.clock.settle()
        waiting.cancel()
        await shell.clock.settle()
    await shell.trade(2)
    told = [await anext(stream), await anext(stream)]
    assert told == [event for event in shell.events if isinstance(event, Filled)]


async def test_reading_ends_with_the_account(shell: Shell) -> None:
    stream = shell.account.events()
    await shell.trade()
    shell.runner.begin_stop()
    told = [event async for event in stream]
    assert isinstance(told[-1], StreamChanged) and told[-1].state is StreamState.STOPPED
    assert [event async for event in stream] == []
    assert [event async for event in shell.account.events()] == []
    assert [event async for event in shell.account.events(after=told[0].sequence)] == told[1:]


async def test_a_place_that_the_account_has_not_reached_is_no_bookmark_of_it(shell: Shell) -> None:
    await shell.trade()
    newest = shell.events[-1].sequence
    shell.account.events(after=newest)
    with pytest.raises(ValueError, match=f"above the newest event {newest}"):
        shell.account.events(after=newest + 1)


async def test_a_refused_key_is_told_to_every_reader_after_what_came_before() -> None:
    shell = Shell()
    shell.http.plan(CREATE, json_answer({"code": -2015, "msg": "Invalid API-key"}, 401))
    stream = shell.account.events()
    await shell.start()
    assert isinstance(await anext(stream), StreamChanged)
    with pytest.raises(AuthenticationError):
        for _ in range(10):
            await anext(stream)
    await shell.stop()


async def test_a_stream_that_was_closed_gives_nothing_more(shell: Shell) -> None:
    stream = shell.account.events()
    await shell.trade()
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert shell.readers == 0


async def test_a_stream_that_nobody_holds_is_closed_but_never_in_the_middle_of_a_delivery(shell: Shell) -> None:
    kept = shell.account.events(types={Filled})
    dropped = shell.account.events()
    assert shell.readers == 2
    del dropped
    gc.collect()
    assert shell.readers == 2, "whoever tells events may just be going through the list"
    await shell.clock.settle()
    assert shell.readers == 1
    await shell.trade()
    assert isinstance(await anext(kept), Filled)


@pytest.mark.parametrize(
    ("types", "told"),
    [
        (Filled, "not Filled"),
        ("filled", "not 'filled'"),
        (3, "not 3"),
        ({"filled"}, "'filled' is no class of an event"),
        ({Filled, Event}, "is no class of an event: name classes, such as userstream.Filled"),
        ([int], "int is no class of an event"),
    ],
)
async def test_kinds_that_are_none_are_told_at_the_call(shell: Shell, types: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        shell.account.events(types=types)
    if isinstance(types, set | list):
        with pytest.raises(TypeError, match=told):
            shell.account.on(*types)
    assert shell.readers == 0


async def test_a_way_of_delivery_that_is_none_is_told(shell: Shell) -> None:
    way: Any = "newest"
    with pytest.raises(ValueError, match="delivery 'newest' is not known"):
        shell.account.events(delivery=way)


def test_what_an_account_offers_is_in_its_help() -> None:
    told = pydoc.plain(pydoc.render_doc(LiveAccount))
    assert all(f" {name}: " in told for name in ("orders", "positions", "balances", "fills", "health"))
    assert "exchange" in told


# --- latest ---


async def test_latest_gives_the_newest_state_of_each_thing_and_all_fills(shell: Shell) -> None:
    stream = shell.account.events(delivery="latest")
    await shell.trade(3)
    await grow(shell, "1000", "1001", "1002")
    waiting = [event for event in shell.events if event.sequence > shell.events[0].sequence]
    fills = [event for event in waiting if isinstance(event, Filled)]
    newest = [event for event in waiting if isinstance(event, BalanceSet)][-1]
    shell.runner.begin_stop()
    told = [event async for event in stream]
    assert [event for event in told if isinstance(event, Filled)] == fills
    assert [event for event in told if isinstance(event, BalanceSet)] == [newest]
    assert newest.total == 1002
    assert [event.sequence for event in told] == sorted(event.sequence for event in told)


async def test_latest_merges_also_what_came_while_older_news_waited(shell: Shell) -> None:
    stream = shell.account.events(types={BalanceSet, OrderChanged}, delivery="latest")
    shell.socket.deliver(order_frame(i=1, c="first"))
    await grow(shell, "1000")
    assert isinstance(await anext(stream), OrderChanged)
    await grow(shell, "1001", "1002")
    told = await anext(stream)
    assert isinstance(told, BalanceSet) and told.total == 1002
    waiting = asyncio.ensure_future(anext(stream))
    await shell.clock.settle()
    assert not waiting.done()
    waiting.cancel()


@given(steps=st.lists(st.sampled_from(["fill", "balance", "read"]), max_size=30))
def test_latest_gives_every_fill_once_and_ends_with_the_newest_balance(steps: list[str]) -> None:
    async def law() -> None:
        shell = Shell()
        await shell.start()
        stream = shell.account.events(types={Filled, BalanceSet}, delivery="latest")
        told: list[Event] = []
        for number, step in enumerate(steps):
            match step:
                case "fill":
                    await shell.trade()
                case "balance":
                    shell.socket.deliver(balance_frame(str(1_000 + number), event_time=1_790_000_001_203 + number))
                    await shell.clock.settle()
                case _:
                    reading = asyncio.ensure_future(anext(stream))
                    await shell.clock.settle()
                    told += [reading.result()] if reading.done() else []
                    reading.cancel()
        await shell.stop()
        told += [event async for event in stream]
        fills = [event for event in shell.events if isinstance(event, Filled)]
        balances = [event for event in shell.events if isinstance(event, BalanceSet)]
        assert [event for event in told if isinstance(event, Filled)] == fills
        assert [event for event in told if isinstance(event, BalanceSet)][-1:] == balances[-1:]

    asyncio.run(law())


# --- handlers ---


async def test_handlers_of_both_forms(shell: Shell) -> None:
    told: list[str] = []

    @shell.account.on(Filled)
    def plain(event: Event) -> None:
        told.append("plain")

    @shell.account.on(Filled)
    async def waiting(event: Event) -> None:
        await shell.clock.sleep(5)
        told.append("waiting")

    everything: list[Event] = []
    assert shell.account.on(handler=everything.append) == everything.append
    await shell.trade()
    await shell.clock.advance(10)
    assert told == ["plain", "waiting"]
    assert {Filled, OrderChanged} <= {type(event) for event in everything}


# --- waiting ---


async def test_waiters_return_when_it_is_so(shell: Shell) -> None:
    await shell.account.wait_ready(timeout=1)
    proven = asyncio.ensure_future(shell.account.wait_proven(timeout=600))
    ended = asyncio.ensure_future(shell.account.wait_for("svc7-000123", timeout=600))
    known = asyncio.ensure_future(shell.account.wait_for("3300012345", final=False))
    await shell.go_live()
    assert proven.done() and not ended.done() and not known.done()
    shell.socket.deliver(order_frame())
    await shell.clock.settle()
    assert known.done() and not ended.done()
    shell.socket.deliver(order_frame(x="CANCELED", X="CANCELED"))
    await shell.clock.settle()
    assert not (await ended).is_open
    assert (await shell.account.wait_for("3300012345")).order_id == "3300012345"
    assert shell.readers == 0


async def test_waiting_in_vain_ends_in_time_and_leaves_nothing_behind(shell: Shell) -> None:
    waiting = asyncio.ensure_future(shell.account.wait_for("nobody", timeout=1.5))
    await shell.clock.advance(1_499)
    assert not waiting.done()
    await shell.clock.advance(1)
    with pytest.raises(TimeoutError, match=r"after 1\.5 s order 'nobody' is not known; the account is still syncing: reading"):
        await waiting
    given_up = asyncio.ensure_future(shell.account.wait_for("nobody", timeout=1.5))
    await shell.clock.settle()
    given_up.cancel()
    await shell.clock.settle()
    assert shell.readers == 0
    assert not any("time limit" in name for name in shell.clock.running)


async def test_waiting_in_vain_says_how_far_the_order_came(shell: Shell) -> None:
    await shell.go_live()
    shell.socket.deliver(order_frame(x="TRADE", X="PARTIALLY_FILLED", i=77, t=1, l="0.010", z="0.010"))
    waiting = asyncio.ensure_future(shell.account.wait_for("77", timeout=1.0))
    await shell.clock.advance(1_000)
    with pytest.raises(TimeoutError, match=r"^after 1 s order '77' is still partially_filled$"):
        await waiting
    assert (await shell.account.wait_for("77", final=False)).order_id == "77"


@pytest.mark.parametrize("order_id", [None, 7.0, True, b"7"])
async def test_what_is_no_order_id_is_refused_at_once(shell: Shell, order_id: object) -> None:
    with pytest.raises(TypeError, match="an order id is text or a whole number"):
        await shell.account.wait_for(order_id, timeout=60)  # type: ignore[arg-type]


async def test_the_stop_ends_waiting(shell: Shell) -> None:
    waiting = [asyncio.ensure_future(shell.account.wait_for("nobody", timeout=limit)) for limit in (None, 60.0)]
    await shell.clock.settle()
    await shell.stop()
    for each in waiting:
        with pytest.raises(ConnectionError, match="stopped"):
            await each
    with pytest.raises(ConnectionError, match="stopped"):
        await shell.account.wait_ready()


# --- health ---


async def test_health_is_bad_news_first(shell: Shell) -> None:
    def told() -> tuple[bool, bool, bool, str]:
        account = shell.account
        return account.health.is_healthy, account.health.gap_since is not None, account.complete_since is not None, account.health.reason

    assert not told()[0]
    await shell.go_live()
    assert told() == (True, False, True, "")
    assert "live" in repr(shell.account)
    shell.socket.cut("the cable")
    await shell.clock.settle()
    assert told() == (False, True, False, "the cable, next try in 1 s")


async def test_a_mismatch_is_never_only_logged(shell: Shell) -> None:
    """An order says that it was filled, and no fill can be found anywhere."""
    await shell.go_live()
    known_since = shell.account.complete_since
    shell.socket.deliver(order_frame(x="CANCELED", X="CANCELED", z="0.020"))
    await shell.clock.advance_until(lambda: shell.account.health.mismatches == 1, limit_ms=5 * MINUTE_MS)
    assert (shell.account.health.is_healthy, shell.account.complete_since) == (False, None)
    certificate = await shell.account.certificate()
    assert not certificate.is_whole
    assert {mismatch.subject for mismatch in certificate.mismatches} == {"order"}
    assert "" in {mismatch.cause for mismatch in certificate.mismatches}, "what was told is in it, beside what arithmetic finds"
    shell.socket.deliver(order_frame(x="TRADE", X="PARTIALLY_FILLED", l="0.020", z="0.020", L="81000.0", t=5_300_001))
    await shell.clock.advance_until(lambda: shell.account.health.is_healthy, limit_ms=60 * MINUTE_MS)
    assert shell.account.complete_since == known_since
    assert (await shell.account.certificate()).mismatches == ()


# --- the certificate ---


async def test_the_certificate_grows_with_the_account_and_ends_with_it(shell: Shell) -> None:
    await shell.go_live()
    certificate = await shell.account.certificate()
    assert (certificate.account, certificate.is_whole, certificate.is_growing) == ("alice", True, True)
    assert certificate.proven_until == shell.account.health.proven_until
    await shell.clock.advance(7_000)
    later = await shell.account.certificate()
    assert later.until == certificate.until + 7_000
    assert (await shell.account.certificate(since=certificate.since, until=certificate.until)).intervals[0].since == certificate.since
    with pytest.raises(ValueError, match="must end after it begins"):
        await shell.account.certificate(since=later.until, until=certificate.until)
    await shell.stop()
    ended = await shell.account.certificate()
    assert not ended.is_growing
    assert ended.until <= shell.clock.wall()


async def test_a_key_alone_proves_nothing_and_has_no_hole() -> None:
    shell = Shell(account_place=place(credentials=STREAM_ONLY))
    await shell.start()
    await shell.account.wait_proven(timeout=1)
    await shell.clock.advance(1_000)
    certificate = await shell.account.certificate()
    assert (certificate.is_whole, certificate.complete_since, shell.account.complete_since) == (True, None, None)
    await shell.stop()


async def test_a_store_that_cannot_be_read_is_told(shell: Shell) -> None:
    shell.held.refusal = "the disk is full"
    with pytest.raises(StoreError, match="full"):
        await shell.account.certificate()


async def test_health_counts_what_came(shell: Shell) -> None:
    assert shell.account.health.messages == 0
    await shell.trade(2)
    shell.socket.deliver('{"e":"SOMETHING_NEW","E":1790000001200}')
    await shell.clock.advance(250)
    health = shell.account.health
    assert (health.messages, health.unrecognized, health.age_ms) == (3, 1, 250)
    assert health.drift == {"event SOMETHING_NEW": 1}


async def test_an_account_with_a_key_alone_is_never_called_healthy() -> None:
    shell = Shell(account_place=place(credentials=STREAM_ONLY))
    assert shell.account.health.age_ms is None
    assert "never heard" in repr(shell.account)
    await shell.start()
    await shell.account.wait_proven(timeout=1)
    assert shell.account.state is StreamState.LIVE
    assert not shell.account.health.is_healthy
    assert shell.account.listen_key_in_use == "k" * 64
    await shell.stop()
    assert shell.account.listen_key_in_use is None


# --- threads ---


async def test_events_off_the_loop_are_refused(shell: Shell) -> None:
    with pytest.raises(UserStreamError, match="sync"):
        await asyncio.to_thread(shell.account.events)
    assert shell.readers == 0


async def test_trouble_beside_the_journal_is_trouble_of_the_store(shell: Shell) -> None:
    await shell.go_live()
    said = [""]
    account = LiveAccount(shell.runner, shell.clock, shell.journal, trouble_beside=lambda: said[0])
    assert account.health.is_healthy
    said[0] = "the tables do not follow the journal: disk is full"
    assert (account.health.is_healthy, account.health.store_trouble) == (False, said[0])


@pytest.mark.parametrize("timeout", ["x", True, [1]])
async def test_a_time_limit_that_is_no_number_is_refused_by_name(shell: Shell, timeout: object) -> None:
    await shell.go_live()
    for wait in (shell.account.wait_ready, shell.account.wait_proven, partial(shell.account.wait_for, "1")):
        with pytest.raises(TypeError, match="timeout is a number of seconds or None, not"):
            await wait(timeout=timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), 1e12])
async def test_a_time_limit_that_no_clock_can_wait_is_refused(shell: Shell, timeout: float) -> None:
    await shell.go_live()
    with pytest.raises(ValueError, match="must be seconds from 0 to"):
        await shell.account.wait_proven(timeout=timeout)


@pytest.mark.parametrize(("time", "kind"), [("x", TypeError), (1.5, TypeError), (True, TypeError), (-1, ValueError)])
async def test_a_time_of_the_certificate_that_is_none_is_refused_by_name(shell: Shell, time: object, kind: type[Exception]) -> None:
    await shell.go_live()
    for name in ("since", "until"):
        with pytest.raises(kind, match=name):
            await shell.account.certificate(**{name: time})  # type: ignore[arg-type]
