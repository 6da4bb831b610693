"""One gate for each address: shared while anybody uses it, and gone afterwards."""

from __future__ import annotations

import asyncio

from tests.support.clock import ManualClock
from tests.support.transport import RecordingHttp, json_answer
from userstream.entry.gates import GateBook
from userstream.kernel.secret import Secret
from userstream.runtime.gate import Gate
from userstream.venues import find_venue
from userstream.wire.request import HttpRequest

SPEC = find_venue("binance-usdm")
CALL = HttpRequest(method="GET", target=Secret("/fapi/v1/time"), label="GET /fapi/v1/time")


def take(book: GateBook, user: object, address: str = "https://venue", limit: int | None = None, http: RecordingHttp | None = None) -> Gate:
    return book.take(user, SPEC, address, http or RecordingHttp(default=json_answer({})), ManualClock(), limit)


async def test_all_users_of_an_address_share_its_budget_and_its_pauses() -> None:
    book, banned = GateBook(), RecordingHttp(default=json_answer({}, 418))
    first, second, other = take(book, "a"), take(book, "b"), take(book, "a", "https://elsewhere")
    assert first is second is not other
    await first.grant(1_900, urgent=False)
    waiting = asyncio.ensure_future(second.grant(100, urgent=False))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await first.send(CALL, time_limit_ms=1_000, http=banned)
    assert (second.pause_ms, other.pause_ms) == (120_000, 0)
    for user in ("a", "b"):
        await book.leave(user)


async def test_the_lowest_limit_that_somebody_set_counts() -> None:
    book = GateBook()
    assert take(book, "a").budget.limit == 2_400
    assert take(book, "b", limit=1_000).budget.limit == 1_000
    assert take(book, "c", limit=2_000).budget.limit == 1_000


async def test_a_gate_ends_with_its_last_user() -> None:
    book = GateBook()
    first = take(book, "a")
    take(book, "a")
    take(book, "b")
    await book.leave("a")
    assert take(book, "c") is first
    for user in ("b", "c", "nobody"):
        await book.leave(user)
    assert take(book, "a") is not first


async def test_each_sends_over_its_own_connections() -> None:
    book, mine, yours = GateBook(), RecordingHttp(default=json_answer({})), RecordingHttp(default=json_answer({}))
    gate = take(book, "a", http=mine)
    await gate.send(CALL, time_limit_ms=1_000, http=yours)
    await gate.send(CALL, time_limit_ms=1_000)
    assert (len(mine.requests), len(yours.requests)) == (1, 1)


def test_another_event_loop_has_its_own() -> None:
    book = GateBook()

    async def gate() -> Gate:
        return take(book, "a")

    assert asyncio.run(gate()) is not asyncio.run(gate())
