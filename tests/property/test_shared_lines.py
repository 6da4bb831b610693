"""Lines on one socket, whatever their owners do: each hears its own events once and in order, and nobody another's."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.transport import RecordingEvents
from tests.unit.runtime.wire_kit import Building, event, numbers_of
from userstream.ports import Socket

LINES = 3
steps = st.lists(
    st.tuples(
        st.sampled_from(["tell", "tell", "tell", "pause", "pause", "resume", "resume", "ping", "turn", "close"]), st.integers(0, LINES - 1)
    ),
    min_size=30,
    max_size=90,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_each_line_hears_its_own_once_and_in_order(script: list[tuple[str, int]]) -> None:
    asyncio.run(_play(script))


async def _play(script: list[tuple[str, int]]) -> None:
    building = Building()
    pairs = await building.open_all(f"account-{number}" for number in range(LINES))
    [socket] = building.sockets
    told: list[list[int]] = [[] for _ in pairs]
    closed: set[int] = set()
    for number, (step, place) in enumerate(script):
        line, _ = pairs[place]
        if step == "turn":
            await asyncio.sleep(0)
        elif step == "tell":
            socket.deliver(event(place, number))
            told[place] += [number] * (place not in closed)
        elif step == "close":
            line.close()
            closed.add(place)
        else:
            getattr(line, step)()
    for line, _ in pairs:
        line.resume()
    await building.clock.settle()
    for place, (_, events) in enumerate(pairs):
        _hold(events, told[place], is_closed=place in closed)
    assert building.clock.failures == []


def _hold(events: RecordingEvents, told: list[int], *, is_closed: bool) -> None:
    heard = numbers_of(events)
    assert heard == told[: len(heard)], "lost in the middle, doubled or out of order"
    assert is_closed or heard == told
    assert len(events.closed) == is_closed
    assert not is_closed or events.told[-1] == ("closed", "closed by us")


async def test_the_kit_opens_lines_in_their_turn() -> None:
    building = Building()
    pairs: list[tuple[Socket, RecordingEvents]] = await building.open_all(f"account-{number}" for number in range(LINES))
    for place in range(LINES):
        building.sockets[0].deliver(event(place, place))
    assert [numbers_of(events) for _, events in pairs] == [[0], [1], [2]]
