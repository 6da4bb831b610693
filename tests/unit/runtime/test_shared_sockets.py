"""Few dials for many lines: who joins which socket, what a failing venue costs, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from tests.support.transport import RecordingEvents
from tests.unit.runtime.wire_kit import ROTATE_MS, URL, Building, event, numbers_of
from userstream.kernel.errors import ConnectionError
from userstream.kernel.secret import Secret
from userstream.runtime.shared_sockets import LINES_AT_ONCE
from userstream.venues.binance.switchboard import SPOT_SHARING


async def test_lines_that_are_wanted_together_share_one_dial() -> None:
    building = Building()
    pairs = await building.open_all(f"account-{number}" for number in range(3 * LINES_AT_ONCE))
    assert len(building.sockets) == 1
    assert len({json.loads(text)["id"] for text in building.sockets[0].sent}) == len(pairs)


async def test_a_later_line_joins_an_open_socket() -> None:
    building = Building()
    await building.open("alice")
    await building.open("bob")
    assert len(building.sockets) == 1


async def test_another_address_is_another_socket() -> None:
    building = Building()
    await building.open("alice")
    other = Secret(f"{URL.reveal()}?timeUnit=MICROSECOND")
    await building.transport_of("bob").connect(other, RecordingEvents(), time_limit_ms=1_000)
    assert [socket.url for socket in building.sockets] == [URL, other]


async def test_a_successor_of_the_same_account_lands_on_another_socket() -> None:
    building = Building()
    former, old = await building.open("alice")
    _, bob = await building.open("bob")
    _, new = await building.open("alice")
    first, second = building.sockets
    first.deliver(event(0, 1))
    second.deliver(event(0, 2))
    former.close()
    second.deliver(event(0, 3))
    first.deliver(event(1, 4))
    assert (numbers_of(old), numbers_of(new), numbers_of(bob)) == ([1], [2, 3], [4])


async def test_isolated_pairs_of_one_key_share_a_socket() -> None:
    building = Building()
    for number, pair in enumerate(("", "BTCUSDT", "ETHUSDT")):
        line = await building.transport_of("alice", pair=pair).connect(URL, RecordingEvents(), time_limit_ms=1_000)
        building.ask(line, f"alice-{number}")
    assert len(building.sockets) == 1
    await building.transport_of("alice", pair="BTCUSDT").connect(URL, RecordingEvents(), time_limit_ms=1_000)
    assert len(building.sockets) == 2, "a second line of one account lies on another socket"


async def test_an_old_socket_takes_no_new_lines() -> None:
    building = Building()
    await building.open("alice")
    await building.clock.advance(ROTATE_MS)
    await building.open("bob")
    assert len(building.sockets) == 1
    await building.clock.advance(1)
    await building.open("carol")
    await building.open("dave")
    assert len(building.sockets) == 2


async def test_a_socket_that_will_be_shut_down_takes_no_new_lines() -> None:
    building = Building()
    pairs = await building.open_all(["alice", "bob"])
    building.sockets[0].deliver('{"event":{"e":"serverShutdown","E":1}}')
    assert all(b"serverShutdown" in events.frames[-1] for _, events in pairs)
    await building.open("carol")
    assert len(building.sockets) == 2


async def test_a_refused_dial_is_told_to_all_who_wait() -> None:
    building = Building()
    building.pipes.refusals.append("handshake answered 404")
    outcomes = await asyncio.gather(building.open("alice"), building.open("bob"), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["cannot connect: handshake answered 404"] * 2
    await building.open("alice")
    assert len(building.sockets) == 1


async def test_a_venue_that_refuses_all_is_not_dialed_beyond_its_limit() -> None:
    building = Building()
    building.pipes.refusals.extend(["no"] * 10_000)
    dialed = len(building.pipes.time_limits)

    async def insist(name: str) -> None:
        while building.clock.now() < begun + 300_000:
            with pytest.raises(ConnectionError):
                await building.transport_of(name).connect(URL, RecordingEvents(), time_limit_ms=5_000)
            await building.clock.sleep(50)

    begun = building.clock.now()
    tasks = [building.clock.spawn(insist(f"account-{number}"), f"account {number}") for number in range(5)]
    await building.clock.advance(310_000)
    await asyncio.gather(*tasks)
    assert 100 < len(building.pipes.time_limits) - dialed <= 210


async def test_nobody_waits_longer_than_he_wants() -> None:
    building = Building()
    building.pipes.hold()
    waiting = asyncio.ensure_future(building.transport_of("alice").connect(URL, RecordingEvents(), time_limit_ms=3_000))
    await building.clock.advance(2_999)
    assert not waiting.done()
    await building.clock.advance(1)
    with pytest.raises(ConnectionError, match="no line within 3000 ms"):
        await waiting
    building.pipes.let_go()
    await building.clock.settle()
    assert building.pipes.open_sockets == []


async def test_who_gives_up_leaves_no_line_behind() -> None:
    building = Building()
    building.pipes.hold()
    waiting = [
        asyncio.ensure_future(building.transport_of(name).connect(URL, RecordingEvents(), time_limit_ms=3_000)) for name in ("a", "b")
    ]
    await building.clock.settle()
    waiting[0].cancel()
    building.pipes.let_go()
    await waiting[1]
    [wire] = building.shared.wires
    assert len(wire.lines) == 1


async def test_a_cancelled_owner_who_had_his_line_already_hangs_up() -> None:
    building = Building()
    waiting = asyncio.ensure_future(building.transport_of("alice").connect(URL, RecordingEvents(), time_limit_ms=3_000))
    while not building.shared.wires or not building.shared.wires[0].lines:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert building.pipes.open_sockets == []


async def test_lines_wait_for_the_weight_that_their_opening_needs() -> None:
    building = Building(weight_per_minute=200)
    tasks = [building.clock.spawn(_open(building, f"account-{number}"), f"account {number}") for number in range(100)]
    await building.clock.settle()
    assert sum(task.done() for task in tasks) == 66  # 2 + 66 times 3 of the 200
    await building.clock.advance(70_000)
    assert all(task.done() for task in tasks)
    assert len(building.sockets) == 1
    assert building.gate.budget.highest <= 200


async def test_the_first_to_return_cannot_use_up_what_the_last_need() -> None:
    building = Building(weight_per_minute=2_000)
    names = [f"account-{number}" for number in range(300)]
    await building.open_all(names)
    await building.clock.advance(130_000)
    building.sockets[0].cut()
    await building.clock.settle()
    await building.open(names[0])
    reading = building.clock.spawn(building.gate.grant(950, urgent=True), "books")
    later = building.clock.spawn(building.gate.grant(100, urgent=True), "more books")
    await building.clock.settle()
    assert (reading.done(), later.done()) == (True, False)
    await building.open_all(names[1:])
    assert len(building.shared.wires[0].lines) == 300
    assert building.gate.budget.highest <= 2_000
    await building.gate.close()


async def test_when_the_budget_is_nearly_used_some_return_at_once() -> None:
    building = Building(weight_per_minute=1_000)
    await building.gate.grant(900, urgent=True)
    tasks = [building.clock.spawn(_open(building, f"account-{number}"), f"account {number}") for number in range(60)]
    await building.clock.settle()
    assert sum(task.done() for task in tasks) == (1_000 - 900 - 2) // 3
    await building.clock.advance(70_000)
    assert all(task.done() for task in tasks)


async def test_what_was_paid_for_those_who_never_return_is_forgotten() -> None:
    building = Building(weight_per_minute=2_000)
    await building.open_all(f"account-{number}" for number in range(100))
    building.sockets[0].cut()
    await building.clock.settle()
    await building.open("account-0")
    await building.clock.advance(180_000)
    await building.open("account-1")
    assert building.gate.used_weight == 3


async def _open(building: Building, name: str) -> None:
    line = await building.transport_of(name).connect(URL, RecordingEvents(), time_limit_ms=90_000)
    building.ask(line, name)


async def test_all_who_were_cut_off_return_on_one_socket() -> None:
    building = Building()
    names = [f"account-{number}" for number in range(200)]
    pairs = await building.open_all(names)
    building.sockets[0].cut()
    await building.clock.settle()
    assert all(events.closed for _, events in pairs)
    again = await building.open_all(names)
    assert len(building.sockets) == 2
    for number in range(200):
        building.sockets[1].deliver(event(number, number))
    assert sorted(number for _, events in again for number in numbers_of(events)) == list(range(200))


async def test_closing_ends_lines_and_refuses_who_waits() -> None:
    building = Building()
    _, alice = await building.open("alice")
    building.pipes.hold()
    waiting = asyncio.ensure_future(building.transport_of("alice").connect(URL, RecordingEvents(), time_limit_ms=3_000))
    await building.clock.settle()
    await building.shared.close()
    with pytest.raises(ConnectionError, match="being closed"):
        await waiting
    assert alice.closed == ["closed by us"]
    assert building.pipes.open_sockets == []
    assert building.clock.running == []


async def test_an_account_that_shares_no_socket_has_each_alone_and_all_of_it_is_counted() -> None:
    building = Building()
    await building.open("bob")
    used = building.gate.used_weight
    own, told = building.own_transport("alice"), RecordingEvents()
    line = await own.connect(URL, told, time_limit_ms=1_000)
    building.ask(line, "alice")
    await building.clock.settle()
    assert building.gate.used_weight == used + SPOT_SHARING.dial_weight + 2
    await building.open("carol")
    bobs, alices = building.sockets
    alices.deliver(event(0, 1))
    bobs.deliver(event(0, 2))
    assert numbers_of(told) == [1]
    await own.close()
    assert (alices.is_open, bobs.is_open, told.closed) == (False, True, ["closed by us"])


async def test_sockets_of_their_own_are_dialed_in_the_pace_of_all() -> None:
    building = Building(weight_per_minute=100_000)
    begun = building.clock.now()

    async def dial(name: str) -> None:
        while building.clock.now() < begun + 300_000:
            with contextlib.suppress(ConnectionError):
                await building.own_transport(name).connect(URL, RecordingEvents(), time_limit_ms=1_000)
            await building.clock.sleep(50)

    tasks = [building.clock.spawn(dial(f"account-{number}"), f"account {number}") for number in range(5)]
    await building.clock.advance(310_000)
    await asyncio.gather(*tasks)
    assert 100 < len(building.sockets) <= 210


async def test_who_waited_too_long_for_a_dial_of_its_own_is_refused_and_dials_no_more() -> None:
    """More accounts than the pace lets dial in time, each of which tries again: nobody's turn is spent for one who is gone."""
    building = Building(weight_per_minute=100_000)
    lit: set[str] = set()

    async def open_one(name: str) -> None:
        while name not in lit:
            try:
                await building.own_transport(name).connect(URL, RecordingEvents(), time_limit_ms=10_000)
            except ConnectionError:
                await building.clock.sleep(1_000)
            else:
                lit.add(name)

    tasks = [building.clock.spawn(open_one(f"account-{number}"), f"account {number}") for number in range(100)]
    await building.clock.advance(200_000)
    await asyncio.gather(*tasks)
    assert len(building.sockets) == len(lit) == 100


async def test_the_end_of_a_ban_finds_no_crowd_of_dials() -> None:
    building = Building(weight_per_minute=100_000)
    building.gate.refrain(1_200_000)
    for _ in range(20):
        with pytest.raises(ConnectionError, match="allowed no dial within 10000 ms"):
            async with asyncio.timeout(5):
                dialing = asyncio.ensure_future(building.own_transport("alice").connect(URL, RecordingEvents(), time_limit_ms=10_000))
                await building.clock.advance(11_000)
                await dialing
    await building.clock.advance(1_200_000)
    assert building.sockets == []


async def test_a_socket_of_its_own_that_cannot_be_opened_says_why() -> None:
    building = Building()
    building.pipes.refusals.append("connection refused")
    with pytest.raises(ConnectionError, match="connection refused"):
        await building.own_transport("alice").connect(URL, RecordingEvents(), time_limit_ms=1_000)


async def test_what_an_answer_says_is_used_counts() -> None:
    building = Building()
    await building.open("alice")
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 4_321}]
    building.sockets[0].deliver(json.dumps({"id": "nobody's", "status": 200, "result": {}, "rateLimits": limits}))
    assert building.gate.used_weight == 4_321
