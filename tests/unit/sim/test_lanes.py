"""What leaves a socket, and in which order."""

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.actions import Delay, Double, Drop, Omit, Reorder, Silence
from userstream.sim.books import Millis
from userstream.sim.faults import FaultPlan
from userstream.sim.lanes import Hub, Kind, Lane, Parcel
from userstream.sim.venue import Frame

NOW = Millis(1_790_000_000_000)


class OpenSession:
    """Wants every event of its accounts, as it is."""

    messages_per_second = 0
    wants_close = False

    def __init__(self, *accounts: str) -> None:
        self.accounts = frozenset(accounts)

    def receive(self, text: str, now: Millis) -> list[bytes]:
        return [text.encode()]

    def wrap(self, frame: Frame) -> list[bytes]:
        return [frame.body] if frame.account in self.accounts else []

    def announce(self, body: bytes) -> bytes:
        return body


def lane_of(plan: FaultPlan) -> Lane:
    return Lane(1, "v", OpenSession("a"), plan, NOW)


def frame(body: str, event: str = "E", account: str = "a") -> Frame:
    return Frame(account=account, event=event, body=body.encode())


def offer(lane: Lane, bodies: Sequence[str], now: Millis = NOW) -> None:
    for body in bodies:
        lane.offer(frame(body), now)


def taken(lane: Lane, now: int = NOW) -> list[str]:
    return [parcel.body.decode() for parcel in lane.take_due(Millis(now))]


def test_events_leave_in_order_and_once() -> None:
    lane = lane_of(FaultPlan())
    offer(lane, "abc")
    assert taken(lane) == ["a", "b", "c"]
    assert taken(lane) == []


def test_events_of_other_accounts_do_not_come() -> None:
    lane = lane_of(FaultPlan())
    lane.offer(frame("x", account="b"), NOW)
    assert taken(lane) == []


@given(st.lists(st.integers(0, 500), min_size=1, max_size=20), st.integers(0, 300), st.integers(0, 300))
def test_late_frames_keep_their_order_and_none_is_early(waits: list[int], late_ms: int, jitter_ms: int) -> None:
    plan = FaultPlan(seed=3)
    plan.delay(Delay(ms=late_ms, jitter_ms=jitter_ms))
    lane, now, offered_at, out = lane_of(plan), NOW, {}, []
    for number, wait in enumerate(waits):
        now = Millis(now + wait)
        offered_at[str(number)] = now
        lane.offer(frame(str(number)), now)
        due = taken(lane, now)
        assert all(now - offered_at[body] >= late_ms for body in due)
        out += due
    assert out + taken(lane, now + late_ms + jitter_ms) == [str(number) for number in range(len(waits))]


def test_a_lane_tells_when_to_look_again() -> None:
    plan = FaultPlan()
    lane = lane_of(plan)
    assert lane.next_due(NOW) is None
    plan.delay(Delay(ms=70))
    offer(lane, "a")
    assert lane.next_due(NOW) == NOW + 70


def test_silence_holds_all_and_delivers_in_order_when_it_ends() -> None:
    plan = FaultPlan()
    lane = lane_of(plan)
    lane.silence(plan.silence(Silence(for_s=Decimal(2)), NOW))
    offer(lane, "ab")
    lane.send(Parcel(kind=Kind.PONG, body=b"pong"))
    assert lane.is_silent(NOW)
    assert taken(lane, NOW + 1999) == []
    assert lane.next_due(NOW) == NOW + 2000
    assert taken(lane, NOW + 2000) == ["pong", "a", "b"]


def test_a_losing_silence_loses_what_came_meanwhile() -> None:
    plan = FaultPlan()
    lane = lane_of(plan)
    lane.silence(plan.silence(Silence(lose=True), NOW))
    offer(lane, "ab")
    lane.resume()
    offer(lane, "c")
    assert taken(lane) == ["c"]
    assert plan.counters.dropped == 2


def test_a_deaf_socket_answers_pings_and_withholds_events() -> None:
    plan = FaultPlan()
    lane = lane_of(plan)
    lane.silence(plan.silence(Silence(deaf=True), NOW))
    offer(lane, "a")
    lane.send(Parcel(kind=Kind.PONG, body=b"pong"))
    assert not lane.is_silent(NOW)
    assert taken(lane) == ["pong"]
    lane.resume()
    assert taken(lane) == ["a"]


def test_a_socket_is_born_into_a_silence_only_when_that_was_asked_for() -> None:
    plan = FaultPlan()
    plan.silence(Silence(), NOW)
    assert not lane_of(plan).is_silent(NOW)
    plan.silence(Silence(new_sockets=True), NOW)
    assert lane_of(plan).is_silent(NOW)


def test_dropped_and_doubled_frames() -> None:
    plan = FaultPlan()
    plan.install(Drop(), NOW)
    plan.install(Double(), NOW)
    lane = lane_of(plan)
    offer(lane, "abc")
    assert taken(lane) == ["b", "b", "c"]


@given(st.integers(2, 8), st.integers())
def test_displaced_frames_are_all_there_in_another_order_and_the_rest_follows(window: int, seed: int) -> None:
    plan = FaultPlan(seed=seed)
    plan.install(Reorder(count=window), NOW)
    lane, bodies = lane_of(plan), "abcdefghij"
    offer(lane, bodies)
    out = "".join(taken(lane))
    assert sorted(out[:window]) == sorted(bodies[:window])
    assert out[:window] != bodies[:window]
    assert out[window:] == bodies[window:]


def test_a_displaced_frame_that_nobody_follows_comes_after_a_second() -> None:
    plan = FaultPlan()
    plan.install(Reorder(count=2), NOW)
    lane = lane_of(plan)
    offer(lane, "a")
    assert taken(lane) == []
    assert lane.next_due(NOW) == NOW + 1000
    assert taken(lane, NOW + 1000) == ["a"]


def test_a_hub_finds_lanes_by_account_and_forgets_closed_ones() -> None:
    hub = Hub("v", FaultPlan())
    one, two, both = (hub.open(OpenSession(*accounts), NOW) for accounts in ("a", "b", "ab"))
    assert hub.publish([frame("x")], NOW) == [one, both]
    assert set(hub.lanes("b")) == {two, both}
    hub.close(both)
    assert set(hub.lanes()) == {one, two}
    assert hub.publish([frame("x", account="b")], NOW) == [two]
    assert one.waiting == 1


def test_a_hub_follows_a_session_that_subscribes_later() -> None:
    hub = Hub("v", FaultPlan())
    session = OpenSession()
    lane = hub.open(session, NOW)
    assert hub.publish([frame("x")], NOW) == []
    session.accounts = frozenset("a")
    hub.refile(lane)
    assert hub.publish([frame("y")], NOW) == [lane]
    session.accounts = frozenset()
    hub.refile(lane)
    assert list(hub.lanes("a")) == []


def test_an_omitted_event_reaches_no_socket() -> None:
    plan = FaultPlan()
    plan.install(Omit(), NOW)
    hub = Hub("v", plan)
    lanes = [hub.open(OpenSession("a"), NOW) for _ in range(2)]
    hub.publish([frame("x"), frame("y")], NOW)
    assert [taken(lane) for lane in lanes] == [["y"], ["y"]]
