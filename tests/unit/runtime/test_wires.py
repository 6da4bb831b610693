"""One socket, many lines: what one of them does or suffers is no business of the others."""

from __future__ import annotations

import json

import pytest

from tests.unit.runtime.wire_kit import Building, event, numbers_of
from userstream.runtime.wires import BETWEEN_PINGS_MS, DRAINED_AT_ONCE, MOST_HELD_BYTES, MOST_HELD_FRAMES
from userstream.venues.binance.errors import PAUSE_AFTER_BAN_MS


async def test_each_line_hears_its_own_events() -> None:
    building = Building()
    (_, alice), (_, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    for number in range(4):
        socket.deliver(event(number % 2, number))
    assert (numbers_of(alice), numbers_of(bob)) == ([0, 2], [1, 3])


async def test_a_paused_line_loses_nothing_and_holds_up_nobody() -> None:
    building = Building()
    (line, alice), (_, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    line.pause()
    for number in range(DRAINED_AT_ONCE * 2 + 10):
        socket.deliver(event(0, number))
        socket.deliver(event(1, number))
    assert (numbers_of(alice), len(numbers_of(bob))) == ([], DRAINED_AT_ONCE * 2 + 10)
    line.resume()
    socket.deliver(event(0, -1))
    await building.clock.settle()
    assert numbers_of(alice) == [*range(DRAINED_AT_ONCE * 2 + 10), -1]


async def test_a_pong_is_not_told_before_what_came_before_it() -> None:
    building = Building()
    (line, alice), _ = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    before = len(alice.told)
    line.pause()
    socket.deliver(event(0, 1))
    socket.deliver_ping()
    socket.deliver_ping()
    socket.deliver_odd(b"\x00", "binary frame")
    socket.deliver(event(0, 2))
    line.resume()
    await building.clock.settle()
    assert [entry[0] for entry in alice.told[before:]] == ["frame", "ping", "odd", "frame"]


async def test_a_line_that_pauses_while_it_catches_up_stops_there() -> None:
    building = Building()
    (line, alice), _ = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    line.pause()
    for number in range(5):
        socket.deliver(event(0, number))
    alice.on_each = lambda: line.pause() if numbers_of(alice)[-1:] == [2] else None
    line.resume()
    await building.clock.settle()
    assert numbers_of(alice) == [0, 1, 2]
    alice.on_each = lambda: None
    line.resume()
    await building.clock.settle()
    assert numbers_of(alice) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("count", "size"), [(MOST_HELD_FRAMES + 1, 1), (17, MOST_HELD_BYTES // 16)])
async def test_a_line_that_stays_paused_too_long_is_cut_alone(count: int, size: int) -> None:
    building = Building()
    (line, alice), (_, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    line.pause()
    frame = event(0, 7)[:-2] + b',"x":"%s"}}' % (b"x" * size)
    for _ in range(count):
        socket.deliver(frame)
    socket.deliver(event(1, 8))
    await building.clock.settle()
    assert (alice.closed, numbers_of(alice)) == (["too far behind its socket"], [])
    assert (bob.closed, numbers_of(bob)) == ([], [8])
    assert json.loads(socket.sent[-1])["method"] == "userDataStream.unsubscribe"


async def test_a_socket_whose_lines_all_pause_is_not_read() -> None:
    building = Building()
    (first, _), (second, _) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    states = []
    for step in (first.pause, second.pause, second.resume, second.pause, first.close, second.resume):
        step()
        states.append(socket.is_paused)
    assert states == [False, True, False, True, True, False]


async def test_a_newcomer_wakes_a_socket_that_is_not_read() -> None:
    building = Building()
    line, _ = await building.open("alice")
    line.pause()
    _, bob = await building.open("bob")
    [socket] = building.sockets
    socket.deliver(event(1, 5))
    assert numbers_of(bob) == [5]
    building.shared.wires[0].cut(2, "a test")
    assert socket.is_paused


async def test_a_fault_of_one_owner_ends_one_line() -> None:
    building = Building()
    (_, alice), (_, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets

    def fail() -> None:
        raise ZeroDivisionError

    alice.on_each = fail
    socket.deliver(event(0, 1))
    socket.deliver(event(0, 2))
    socket.deliver(event(1, 3))
    alice.on_each = lambda: None
    await building.clock.settle()
    assert alice.closed == ["our own fault while handling a message: ZeroDivisionError"]
    assert (numbers_of(alice), numbers_of(bob), bob.closed) == ([1], [3], [])


async def test_a_limit_that_no_line_hears_of_pauses_the_gate() -> None:
    building = Building()
    await building.open_all(["alice", "bob"])
    building.sockets[0].deliver(b'{"id":"nobody","status":418,"error":{"code":-1003,"msg":"banned"}}')
    assert building.gate.pause_ms == PAUSE_AFTER_BAN_MS


async def test_one_ping_is_answered_to_all() -> None:
    building = Building()
    pairs = await building.open_all(f"account-{number}" for number in range(5))
    [socket] = building.sockets
    for line, _ in pairs:
        line.ping()
    await building.clock.settle()
    assert socket.pings == 1
    assert all(events.told[-1] == ("ping",) for _, events in pairs)


async def test_a_ping_without_an_answer_is_sent_again() -> None:
    building = Building()
    (line, _), _ = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    socket.answers_pings = False
    line.ping()
    await building.clock.settle()
    line.ping()
    await building.clock.settle()
    assert socket.pings == 1
    await building.clock.advance(BETWEEN_PINGS_MS)
    assert socket.pings == 2


async def test_the_answer_to_an_older_ping_is_no_sign_of_life_for_who_asked_later() -> None:
    building = Building()
    (first, alice), (second, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    socket.answers_pings = False
    first.ping()
    await building.clock.advance(BETWEEN_PINGS_MS - 10)
    second.ping()
    socket.deliver_ping()
    assert (("ping",) in alice.told, ("ping",) in bob.told) == (True, False)
    await building.clock.advance(10)
    assert socket.pings == 2
    socket.deliver_ping()
    assert ("ping",) in bob.told


async def test_every_line_hears_the_end_of_the_socket_once() -> None:
    building = Building()
    pairs = await building.open_all(f"account-{number}" for number in range(120))
    [socket] = building.sockets
    pairs[7][0].close()
    socket.cut("closed by the venue: 1001 going away")
    await building.clock.settle()
    for number, (line, events) in enumerate(pairs):
        line.close()
        line.send("too late")
        line.ping()
        assert events.closed == ["closed by us" if number == 7 else "closed by the venue: 1001 going away"]
    await building.clock.settle()
    assert all(len(events.closed) == 1 for _, events in pairs)
    assert building.shared.wires == []


async def test_the_last_line_closes_the_socket_the_others_unsubscribe() -> None:
    building = Building()
    (first, alice), (second, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    first.close()
    await building.clock.settle()
    assert json.loads(socket.sent[-1]) == {
        "id": "switchboard-1",
        "method": "userDataStream.unsubscribe",
        "params": {"subscriptionId": 0},
    }
    assert (alice.closed, bob.closed, socket.is_open) == (["closed by us"], [], True)
    second.close()
    assert not socket.is_open


async def test_unreadable_messages_are_kept_by_one_line_and_the_others_are_warned() -> None:
    building = Building()
    (_, alice), (_, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    socket.deliver("nonsense")
    socket.deliver_odd(b"\x00", "binary frame")
    assert alice.told[-2:] == [("frame", b"nonsense"), ("odd", b"\x00", "binary frame")]
    assert [(kind, sample) for kind, sample, _ in bob.told[1:]] == [("odd", b""), ("odd", b"")]  # behind the answer to its request


async def test_what_was_not_paid_ahead_waits_for_the_budget() -> None:
    building = Building(weight_per_minute=20)
    line, _ = await building.open("alice")  # 2 for the socket, 3 for the line, of which 2 are used
    [socket] = building.sockets
    for number in range(9):
        line.send(json.dumps({"id": f"more-{number}", "method": "session.status"}))
    await building.clock.settle()
    assert len(socket.sent) == 1 + 7
    await building.clock.advance(70_000)
    assert [json.loads(text)["id"] for text in socket.sent[1:]] == [f"more-{number}" for number in range(9)]
    assert building.clock.failures == []


async def test_a_line_that_closes_while_it_hears_a_message_hears_no_other() -> None:
    building = Building()
    (line, alice), (_, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    alice.on_each = line.close
    for number in range(3):
        socket.deliver(event(0, number))
    socket.deliver(event(1, 9))
    await building.clock.settle()
    assert (numbers_of(alice), alice.closed, numbers_of(bob)) == ([0], ["closed by us"], [9])


async def test_a_line_that_was_renewed_under_another_subscription_is_no_danger_to_the_others() -> None:
    building = Building()
    (line, alice), (_, bob) = await building.open_all(["alice", "bob"])
    [socket] = building.sockets
    line.send(json.dumps({"id": "alice-2", "method": "userDataStream.subscribe.listenToken"}))
    await building.clock.settle()
    socket.deliver(event(2, 1))
    line.close()
    for number in (0, 2, 1):
        socket.deliver(event(number, 9))
    await building.clock.settle()
    ended = [json.loads(text)["params"]["subscriptionId"] for text in socket.sent if "unsubscribe" in text]
    assert (set(ended), numbers_of(alice), numbers_of(bob), bob.closed) == ({0, 2}, [1], [9], [])


async def test_a_message_behind_the_end_of_its_socket_is_dropped() -> None:
    building = Building()
    _, alice = await building.open("alice")
    [wire] = building.shared.wires
    wire.close()
    wire.on_frames([event(0, 1)])
    await building.clock.settle()
    assert (numbers_of(alice), alice.closed) == ([], ["closed by us"])
