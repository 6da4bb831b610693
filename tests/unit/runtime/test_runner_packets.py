"""What came in one packet is taken together: no listener, no journal and no counter can tell it from messages that came one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runtime.kit import Shell, balance_frame
from tests.unit.venues.binance.kit import order_frame
from userstream.domain.events import Event, Filled, SnapshotTaken
from userstream.kernel.ids import AccountId, Millis
from userstream.wire.agenda import HISTORY
from userstream.wire.feed import NEVER
from userstream.wire.machine import DOUBT_TICK_MS, MOST_UNREAD

KEY_EXPIRED = msgspec.json.encode({"e": "listenKeyExpired", "E": 1_790_000_001_300, "listenKey": "k" * 64})
MINUTE_MS = 60_000


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell()
    yield made
    await made.stop()


def trade_frame(number: int) -> bytes:
    return order_frame(x="TRADE", X="FILLED", i=number, t=number, l="0.050", z="0.050", L="81000.0", ap="81000.0")


FRAMES = [trade_frame(1), trade_frame(2), trade_frame(1), balance_frame(), balance_frame("990.00"), b"no message", b"{}", trade_frame(3)]


class Ears:
    """A listener, a counter and the journal of an account."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.told: list[Event] = []
        self.counted: list[Event] = []
        shell.account.on(handler=self.told.append)
        shell.runner.count = self._count

    def _count(self, account: AccountId, connection: int, received_time: Millis, events: Sequence[Event]) -> None:
        self.counted += events

    async def heard(self) -> tuple[Sequence[Event], ...]:
        await self.shell.clock.settle()
        records = await self.shell.journal.read_account(self.shell.id, after=0, limit=1_000)
        return self.told, self.counted, [event for record in records for event in record.events]


async def heard_of(packets: Sequence[Sequence[bytes]]) -> tuple[Sequence[Event], ...]:
    shell = Shell()
    ears = Ears(shell)
    await shell.start()
    for packet in packets:
        shell.socket.deliver_together(packet)
    heard = await ears.heard()
    await shell.stop()
    return heard


@given(st.lists(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=5), max_size=4))
async def test_a_packet_tells_what_its_messages_tell_one_by_one(packets: list[list[bytes]]) -> None:
    together = await heard_of(packets)
    assert together == await heard_of([[frame] for packet in packets for frame in packet])
    assert together[0] == together[1]


async def test_behind_the_message_that_ends_its_socket_nothing_of_the_packet_is_taken(shell: Shell) -> None:
    ears = Ears(shell)
    await shell.start()
    shell.socket.deliver_together([trade_frame(1), KEY_EXPIRED, trade_frame(2)])
    told, _, kept = await ears.heard()
    assert [event.trade_id for event in told if isinstance(event, Filled)] == ["1"]
    assert list(told) == list(kept)


@pytest.mark.parametrize("place", range(3))
async def test_what_was_told_before_a_fault_of_our_own_is_told_once(shell: Shell, place: int) -> None:
    ears = Ears(shell)
    await shell.start()
    hide, number = shell.runner.veil.hide, iter(range(100))

    def fail_at(frame: bytes) -> bytes:
        if next(number) == place:
            raise LookupError("a fault of our own")
        return hide(frame)

    shell.runner.veil.hide = fail_at  # type: ignore[method-assign]
    with structlog.testing.capture_logs(), pytest.raises(LookupError):
        shell.runner.take_frames(1, [trade_frame(each + 1) for each in range(3)])
    told, counted, kept = await ears.heard()
    assert [event.trade_id for event in told if isinstance(event, Filled)] == [str(each + 1) for each in range(place)]
    assert list(told) == list(counted) == list(kept)


async def test_a_timer_whose_reason_is_gone_is_set_for_the_next_one(shell: Shell) -> None:
    await shell.start()
    await shell.go_live()
    runner, machine = shell.runner, shell.runner.machine
    machine.doubt_tick = Millis(shell.clock.now() + DOUBT_TICK_MS)
    runner.mind_deadlines()
    assert runner._timer_due == machine.doubt_tick
    machine.doubt_tick = NEVER
    await shell.clock.advance(DOUBT_TICK_MS + 1)
    assert runner._timer_due == runner._due > shell.clock.now()


@pytest.mark.parametrize(("spent", "is_read"), [(0, True), (1_200, False)])
async def test_history_is_read_early_where_much_is_remembered_and_the_budget_has_room(shell: Shell, spent: int, is_read: bool) -> None:
    """Others spend so much of each minute, from its first moment on, in which this account does nothing."""
    await shell.clock.advance(137)
    await shell.start()
    await shell.go_live()
    await shell.trade(MOST_UNREAD // 2 + 10)
    await shell.clock.advance(MINUTE_MS - shell.clock.wall() % MINUTE_MS)
    for _ in range(600):
        shell.gate.learn_used(spent)
        await shell.clock.advance(1_000)
    readings = [event.reason for event in shell.events if isinstance(event, SnapshotTaken)]
    assert (HISTORY in readings) is is_read
