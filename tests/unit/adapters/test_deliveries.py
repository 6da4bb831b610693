"""A receiver that blocks, hangs or raises hurts nobody but itself, and what is dropped is what matters least."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from userstream.adapters.deliveries import (
    LIFE_MS,
    MOST_IN_ONE,
    MOST_STUCK,
    MOST_WAITING,
    PAUSES_MS,
    End,
    NotTaken,
    Outcome,
    StartThread,
    ThreadedNotifier,
    start_thread,
)
from userstream.adapters.metrics import PrometheusMetrics
from userstream.domain.alert_words import Notification
from userstream.domain.alerts import Severity
from userstream.ports import Notifier

LIMIT_MS = 10_000
SEVERITIES = list(Severity)


def notification(title: str, severity: Severity = Severity.ERROR) -> Notification:
    return Notification(severity=severity, title=title, body="what happened")


class Chat:
    """A receiver that takes everything, unless it is told to hang, to refuse or to raise."""

    def __init__(self, name: str = "chat 1") -> None:
        self.name = name
        self.taken: list[str] = []
        self.answers: list[bool | Exception] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.calls = 0

    def deliver(self, notification: Notification) -> bool:
        self.calls += 1
        self.may_go_on.wait(20)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        if answer:
            self.taken.append(notification.title)
        return answer


class Post:
    """A notifier with its clock, and what it told of each delivery."""

    def __init__(
        self, *chats: Chat, most_waiting: int = 100, hears: bool = True, start: StartThread = start_thread, clock: ManualClock | None = None
    ) -> None:
        self.clock, self.metrics = clock or ManualClock(), PrometheusMetrics(strict=True)
        self.outcomes: list[tuple[str, str, Outcome]] = []
        heard = self.note if hears else None
        self.notifier = ThreadedNotifier(
            chats, self.clock, self.metrics, time_limit_ms=LIMIT_MS, most_waiting=most_waiting, on_outcome=heard, start=start
        )

    def note(self, receiver: str, sent: Notification, end: End) -> None:
        self.outcomes.append((receiver, sent.title, end.outcome))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Real threads need real turns; the clock stands still."""
        for _ in range(10_000):
            await self.clock.settle()
            if holds():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it never came")

    @property
    def is_pausing(self) -> bool:
        """Whether the next that happens is a further attempt, and not the end of one that hangs."""
        return self.clock.next_due is not None and self.clock.next_due != self.clock.now() + LIMIT_MS

    def counted(self, outcome: Outcome, receiver: str = "chat 1") -> str:
        sought = f'userstream_alerts_total{{outcome="{outcome.value}",receiver="{receiver}"}} '
        [line] = [each for each in self.metrics.render().decode().splitlines() if each.startswith(sought)]
        return line.removeprefix(sought)


async def test_every_receiver_gets_every_notification_and_it_is_counted() -> None:
    chats = Chat("chat 1"), Chat("mail 2")
    post = Post(*chats)
    port: Notifier = post.notifier
    assert post.counted(Outcome.SENT) == "0.0", "a curve that begins at its first trouble shows no rise"
    port.notify(notification("a"))
    port.notify(notification("b"))
    await post.until(lambda: len(post.outcomes) == 4)
    assert [chat.taken for chat in chats] == [["a", "b"], ["a", "b"]]
    assert post.counted(Outcome.SENT, "mail 2") == "2.0"
    assert port.waiting == 0
    await port.close(limit_ms=1_000)
    await port.close(limit_ms=1_000)


async def test_the_most_severe_goes_first_then_the_oldest() -> None:
    chat = Chat()
    chat.may_go_on.clear()
    post = Post(chat)
    for number, severity in enumerate([Severity.INFO, Severity.ERROR, Severity.CRITICAL, Severity.ERROR, Severity.CRITICAL]):
        post.notifier.notify(notification(f"{number} {severity}", severity))
    chat.may_go_on.set()
    await post.until(lambda: len(post.outcomes) == 5)
    assert chat.taken == ["2 critical", "4 critical", "1 error", "3 error", "0 info"]
    await post.notifier.close(limit_ms=1_000)


@given(st.lists(st.sampled_from(SEVERITIES), max_size=30), st.integers(1, 5))
def test_a_full_queue_drops_the_least_severe_first(severities: list[Severity], most: int) -> None:
    async def play() -> None:
        chat = Chat()
        chat.may_go_on.clear()
        post = Post(chat, most_waiting=most)
        for number, severity in enumerate(severities):
            post.notifier.notify(notification(str(number), severity))
        kept = sorted(enumerate(severities), key=lambda each: (-each[1].rank, -each[0]))[:most]
        dropped = [int(title) for _, title, outcome in post.outcomes if outcome is Outcome.DROPPED]
        assert sorted(dropped) == sorted(set(range(len(severities))) - {number for number, _ in kept})
        assert post.notifier.waiting == len(kept)
        chat.may_go_on.set()
        await post.until(lambda: len(post.outcomes) == len(severities))
        await post.notifier.close(limit_ms=1_000)

    asyncio.run(play())


async def test_a_receiver_that_hangs_holds_up_nobody_else_and_is_given_up() -> None:
    hanging, well = Chat("hanging 1"), Chat("well 2")
    hanging.may_go_on.clear()
    post = Post(hanging, well)
    post.notifier.notify(notification("a"))
    await post.until(lambda: well.taken == ["a"])
    for attempt, pause_ms in enumerate(PAUSES_MS[:MOST_STUCK], 1):
        await post.until(lambda attempt=attempt: hanging.calls == attempt)  # type: ignore[misc]
        await post.clock.advance(LIMIT_MS)
        await post.clock.advance(pause_ms)
    await post.clock.advance(LIFE_MS // 2)
    assert hanging.calls == MOST_STUCK, "three threads hang, which is enough"
    assert ("hanging 1", "a", Outcome.TIMED_OUT) not in post.outcomes, "it may come back"
    await post.clock.advance(LIFE_MS // 2 + PAUSES_MS[-1])
    assert ("hanging 1", "a", Outcome.TIMED_OUT) in post.outcomes
    hanging.may_go_on.set()
    await post.until(lambda: hanging.taken.count("a") == 3)
    await post.clock.settle()
    post.notifier.notify(notification("c"))
    await post.until(lambda: ("hanging 1", "c", Outcome.SENT) in post.outcomes)
    await post.notifier.close(limit_ms=1_000)


async def test_a_network_that_is_away_for_half_an_hour_costs_no_alert() -> None:
    chat = Chat()
    post = Post(chat)
    chat.answers = [False] * 100
    for number in range(20):
        post.notifier.notify(notification(str(number), Severity.CRITICAL))
        await post.until(lambda number=number: chat.calls > number and post.is_pausing)  # type: ignore[misc]
        await post.clock.advance(90_000)
    assert post.outcomes == []
    await post.until(lambda: post.is_pausing)
    chat.answers = []
    await post.clock.advance(PAUSES_MS[-1])
    await post.until(lambda: len(post.outcomes) == 20)
    assert {outcome for *_, outcome in post.outcomes} == {Outcome.SENT}
    assert len(chat.taken) == 3 and chat.taken[1].startswith("[CRITICAL] 18 alerts"), (
        "one to see whether it works, then those that may be one"
    )
    await post.notifier.close(limit_ms=1_000)


async def test_hundreds_of_margin_calls_reach_a_slow_receiver_in_a_few_messages() -> None:
    chat = Chat()
    chat.may_go_on.clear()
    post = Post(chat, most_waiting=MOST_WAITING)
    for number in range(500):
        post.notifier.notify(notification(f"account {number}: margin call", Severity.CRITICAL))
        if number == 0:
            await post.until(lambda: chat.calls == 1)
    chat.may_go_on.set()
    await post.until(lambda: len(post.outcomes) == 500)
    assert {outcome for *_, outcome in post.outcomes} == {Outcome.SENT}
    assert len(chat.taken) == 1 + -(-499 // MOST_IN_ONE)
    await post.notifier.close(limit_ms=1_000)


async def test_what_is_refused_is_tried_again_and_something_new_does_not_wait_for_that() -> None:
    chat = Chat()
    chat.answers = [False, RuntimeError("slack://TokenA/TokenB"), True, True]
    post = Post(chat)
    with structlog.testing.capture_logs() as entries:
        post.notifier.notify(notification("a"))
        await post.until(lambda: chat.calls == 1)
        await post.clock.settle()
        await post.clock.advance(PAUSES_MS[0] - 1)
        assert chat.calls == 1
        await post.clock.advance(1)
        await post.until(lambda: chat.calls == 2)
        post.notifier.notify(notification("b", Severity.CRITICAL))
        await post.until(lambda: chat.taken == ["b", "a"])
    await post.notifier.close(limit_ms=1_000)
    assert Counter(outcome for *_, outcome in post.outcomes) == {Outcome.SENT: 2}
    assert [(entry["action"], entry["reason"]) for entry in entries] == [
        ("alert_failed", "chat 1: failed"),
        ("alert_failed", "chat 1: failed: RuntimeError"),
    ], "and no more than that"
    assert "Token" not in repr(entries)


async def test_of_each_notification_it_is_told_once_whether_anybody_took_it() -> None:
    well, broken = Chat("well 1"), Chat("broken 2")
    post, heard = Post(well, broken), list[tuple[str, bool]]()
    post.notifier.listen(lambda sent, is_taken: heard.append((sent.title, is_taken)))
    broken.answers = [False] * 100
    post.notifier.notify(notification("a"))
    await post.until(lambda: heard == [("a", True)])
    await post.until(lambda: post.is_pausing)
    well.answers = [False] * 100
    post.notifier.notify(notification("b"))
    await post.until(lambda: well.calls == 2 and post.is_pausing)
    assert heard == [("a", True)], "it may still be taken"
    await post.notifier.close(limit_ms=1_000)
    assert heard == [("a", True), ("b", False)]


class Picky(Chat):
    """Takes all but what holds a word; `log` has every text that it was given, with the time (s)."""

    def __init__(self, clock: ManualClock, word: str) -> None:
        super().__init__()
        self.clock, self.word, self.began = clock, word, clock.now()
        self.log: list[tuple[int, str]] = []

    def deliver(self, notification: Notification) -> bool:
        self.log.append(((self.clock.now() - self.began) // 1_000, notification.title))
        self.answers = [self.word not in notification.title + notification.body]
        return super().deliver(notification)


async def play_picky(*given: tuple[int, Severity, str], word: str = "alice") -> Picky:
    """Tells each at its second, then lets everything end."""
    clock = ManualClock()
    chat = Picky(clock, word)
    post = Post(chat, clock=clock)
    for second in range(max(at for at, *_ in given) + 1):
        for _, severity, title in (each for each in given if each[0] == second):
            post.notifier.notify(Notification(severity=severity, title=title, body=title))
        await post.until(lambda: post.is_pausing or not post.notifier.waiting)
        await clock.advance(1_001)  # no pause ever ends when a time limit would
    for _ in range(300):
        if not post.notifier.waiting:
            break
        await post.until(lambda: post.is_pausing or not post.notifier.waiting)
        await clock.advance(20_000)
    assert post.notifier.waiting == 0
    await post.notifier.close(limit_ms=1_000)
    return chat


async def test_a_text_that_is_refused_holds_up_no_other() -> None:
    chat = await play_picky(
        (0, Severity.CRITICAL, "margin call alice"), (2, Severity.ERROR, "store keeps nothing"), (3, Severity.ERROR, "bob is dark")
    )
    assert chat.taken == ["store keeps nothing", "bob is dark"]
    assert (2, "store keeps nothing") in chat.log and (3, "bob is dark") in chat.log


async def test_a_text_that_is_refused_drags_no_other_down_with_it() -> None:
    names = ["bob", "alice", "carol", "dora", "erin", "frank"]
    chat = await play_picky((0, Severity.CRITICAL, "hanna"), *((1, Severity.CRITICAL, name) for name in names))
    assert sorted(chat.taken) == sorted(["hanna", *names[:1], *names[2:]])
    late = [at for at, title in chat.log if title in chat.taken]
    assert max(late) <= 40, chat.log


async def test_a_text_that_is_refused_is_not_repeated_whenever_another_is_taken() -> None:
    others = ((at, Severity.CRITICAL, f"bob {at}") for at in range(1, 60))
    chat = await play_picky((0, Severity.CRITICAL, "margin call alice"), *others)
    repeats = [at for at, title in chat.log if "alice" in title and at < 60]
    assert len(repeats) <= 4, repeats


async def test_a_network_that_is_away_for_a_second_costs_a_margin_call_a_few_seconds() -> None:
    chat = Chat()
    chat.answers = [False] * 3
    post = Post(chat)
    post.notifier.notify(notification("margin call", Severity.CRITICAL))
    for title in ("x is dark", "y is dark"):
        await post.until(lambda: post.is_pausing)
        await post.clock.advance(300)
        post.notifier.notify(notification(title))
    await post.until(lambda: chat.calls == 3 and post.is_pausing)
    assert post.counted(Outcome.FAILED) == "3.0", "seen at once, not after an hour"
    await post.clock.advance(PAUSES_MS[0])
    await post.until(lambda: not post.notifier.waiting)
    assert chat.taken == ["margin call", "x is dark", "y is dark"]
    await post.notifier.close(limit_ms=1_000)


async def test_what_never_arrives_is_counted_and_told_without_what_the_receiver_said() -> None:
    chat = Chat()
    chat.answers = [RuntimeError("slack://TokenA/TokenB")] * 100
    post = Post(chat, hears=False)
    with structlog.testing.capture_logs() as entries:
        post.notifier.notify(notification("a"))
        for attempt in range(1, 100):
            await post.until(lambda attempt=attempt: chat.calls == attempt)  # type: ignore[misc]
            await post.until(lambda: not post.notifier.waiting or post.is_pausing)
            if not post.notifier.waiting:
                break
            await post.clock.advance(PAUSES_MS[min(attempt, len(PAUSES_MS)) - 1])
    assert 10 < chat.calls < 20 and post.counted(Outcome.FAILED) == f"{chat.calls}.0"
    assert [entry["reason"] for entry in entries if entry["action"] == "alert_not_delivered"] == ["chat 1: failed: RuntimeError"]
    assert "Token" not in repr(entries)
    await post.notifier.close(limit_ms=1_000)


async def test_why_it_was_not_taken_is_told_where_it_is_known() -> None:
    chat = Chat()
    chat.answers = [NotTaken("connection refused"), True]
    post = Post(chat, hears=False)
    with structlog.testing.capture_logs() as entries:
        post.notifier.notify(notification("a"))
        await post.until(lambda: post.is_pausing)
        chat.may_go_on.clear()
        await post.clock.advance(PAUSES_MS[0])
        await post.until(lambda: chat.calls == 2)
        await post.clock.advance(LIMIT_MS)
        await post.until(lambda: post.is_pausing)
        chat.may_go_on.set()
        await post.notifier.close(limit_ms=1_000)
    told = ["chat 1: failed: connection refused", "chat 1: timed out: no answer within 10 s"]
    assert [entry["reason"] for entry in entries if entry["action"] == "alert_failed"] == told


async def test_a_machine_without_a_thread_to_spare_delays_an_alert_and_ends_no_lane() -> None:
    refusals = [RuntimeError("can't start new thread")]

    def start(work: Callable[[], None], name: str) -> None:
        if refusals:
            raise refusals.pop()
        start_thread(work, name)

    chat = Chat()
    post = Post(chat, start=start)
    post.notifier.notify(notification("a"))
    await post.until(lambda: post.is_pausing)
    assert chat.calls == 0 and post.notifier.waiting == 1
    await post.clock.advance(PAUSES_MS[0])
    await post.until(lambda: chat.taken == ["a"])
    post.notifier.notify(notification("b"))
    await post.until(lambda: chat.taken == ["a", "b"])
    await post.notifier.close(limit_ms=1_000)


async def test_the_end_waits_for_what_waits_but_not_for_a_receiver_that_hangs() -> None:
    well, hanging = Chat("well 1"), Chat("hanging 2")
    hanging.may_go_on.clear()
    post = Post(well, hanging)
    for title in "ab":
        post.notifier.notify(notification(title))
    closing = asyncio.ensure_future(post.notifier.close(limit_ms=1_000))
    await post.until(lambda: well.taken == ["a", "b"])
    assert not closing.done()
    await post.clock.advance(1_000)
    await closing
    assert [(title, outcome) for receiver, title, outcome in post.outcomes if receiver == "hanging 2"] == [
        ("a", Outcome.DROPPED),
        ("b", Outcome.DROPPED),
    ]
    assert post.notifier.waiting == 0
    hanging.may_go_on.set()


def test_a_thread_that_outlives_the_loop_ends_quietly() -> None:
    chat = Chat()
    chat.may_go_on.clear()

    async def leave() -> None:
        post = Post(chat)
        post.notifier.notify(notification("late"))
        await post.until(lambda: chat.calls == 1)
        closing = asyncio.ensure_future(post.notifier.close(limit_ms=10))
        await post.clock.settle()
        await post.clock.advance(10)
        await closing

    asyncio.run(leave())
    chat.may_go_on.set()
    for thread in [each for each in threading.enumerate() if each.name == "alert to chat 1"]:
        thread.join(5)
    assert chat.taken == ["late"]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_word(outcome: Outcome) -> None:
    assert outcome.value.islower()
