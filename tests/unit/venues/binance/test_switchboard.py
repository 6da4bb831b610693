"""Many accounts on one socket: each hears what is its own, once and in order, and nothing else (Binance Spot, 2.3 and 3.1)."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.venues.binance.switchboard_kit import (
    ALICE,
    BOB,
    CAROL,
    SHUTDOWN,
    SUBSCRIBE,
    UNSUBSCRIBE,
    asking,
    event,
    heard,
    make_board,
    opened,
    refused,
    route,
    sent,
)
from userstream.kernel.ids import AccountId, VenueName
from userstream.kernel.secret import Secret
from userstream.venues.binance import MARGIN, RISK, SPOT
from userstream.venues.binance.errors import PAUSE_AFTER_BAN_MS, PAUSE_AFTER_LIMIT_MS
from userstream.venues.binance.switchboard import MARGIN_SHARING, MOST_ACTIVE, SPOT_SHARING, SpotSwitchboard
from userstream.wire.session import Refrain
from userstream.wire.switchboard import NOBODY, Cut, Deliver, End, SwitchEffect, Transmit, Used, Warn
from userstream.wire.venue import AccountPlace, Credentials, Sharing, shared_place


@pytest.fixture
def board() -> SpotSwitchboard:
    return make_board()


# --- events ---


def test_an_event_goes_to_the_line_that_subscribed(board: SpotSwitchboard) -> None:
    assert [heard(board, event(number)) for number in (0, 1, 0)] == [[1], [2], [1]]


def test_keys_may_come_in_any_order(board: SpotSwitchboard) -> None:
    assert heard(board, b'{"event":{"a":"BTC","T":1,"E":2,"e":"balanceUpdate"},"subscriptionId":1}') == [2]
    assert heard(board, b' { "subscriptionId" : 0, "event" : {"E":2,"e":"executionReport"} }') == [1]


def test_words_inside_an_event_are_not_its_name(board: SpotSwitchboard) -> None:
    trick = b'{"subscriptionId":1,"event":{"e":"executionReport","c":"eventStreamTerminated","C":"\\"e\\":\\"serverShutdown\\""}}'
    assert heard(board, trick) == [2]
    assert heard(board, event(1)) == [2]
    assert board.can_take(CAROL)


def test_the_end_of_one_subscription_is_told_to_its_line_alone(board: SpotSwitchboard) -> None:
    assert heard(board, event(0, "eventStreamTerminated")) == [1]
    assert heard(board, event(1)) == [2]
    assert board.hang_up(1) == []


@pytest.mark.parametrize("frame", [SHUTDOWN, b'{"e":"serverShutdown","E":1}', event(1, "serverShutdown")])
def test_a_shutdown_is_told_to_all_and_nobody_joins_any_more(board: SpotSwitchboard, frame: bytes) -> None:
    assert heard(board, frame) == [1, 2]
    assert not board.can_take(CAROL)
    assert heard(board, event(1)) == [2]


def test_events_of_nobodys_subscription_reach_nobody_and_their_source_is_closed(board: SpotSwitchboard) -> None:
    [closing] = sent(route(board, event(7)))
    assert (closing["method"], closing["params"]) == (UNSUBSCRIBE, {"subscriptionId": 7})
    assert route(board, event(7)) == []
    assert board.strays == 1


def test_events_before_the_acknowledgement_reach_nobody(board: SpotSwitchboard) -> None:
    board.join(3, CAROL)
    board.send(3, asking("id-3"))
    assert route(board, event(2)) == []
    assert route(board, opened("id-3", 2)) == [Deliver((3,))]
    assert heard(board, event(2)) == [3]


@pytest.mark.parametrize(
    "frame",
    [
        *(b"", b"{", b"[]", b"nonsense", b"\xff\xfe", b'{"id":', b"[" * 5_000, b'{"hello":1}', b'{"subscriptionId":0}'),
        *(b'{"event":{"e":"brandNew"}}', b'{"event":5}', b'{"subscriptionId":"x","event":{"e":"balanceUpdate"}}'),
        *(b'{"event":{"e":7}}', b'{"id":{},"status":200}', b'{"id":1,"status":"odd"}'),
    ],
)
def test_what_nobody_can_read_is_told_once(board: SpotSwitchboard, frame: bytes) -> None:
    assert heard(board, frame) == [1]
    assert board.strays == 1
    board.hang_up(1)
    assert heard(board, frame) == [2]


def test_a_message_that_breaks_off_goes_to_whom_it_names_and_else_everybody_is_warned(board: SpotSwitchboard) -> None:
    assert board.sort(b"nonsense") == [Deliver((1,)), Warn((2,))]
    assert board.unreadable() == [Deliver((1,)), Warn((2,))]
    assert board.sort(b'{"subscriptionId": 1, "event":{"e":"execut') == [Deliver((2,))]
    assert board.sort(b'{"subscriptionId": 8, "event":{"e":"execut') == [Deliver((1,)), Warn((2,))]


@pytest.mark.parametrize("name", ["executionReport", "outboundAccountPosition", "balanceUpdate", "listStatus", "externalLockUpdate"])
@pytest.mark.parametrize("form", ['{"event":%s}', '{"subscriptionId":null,"event":%s}', "%s"])
def test_an_accounts_event_that_does_not_say_whose_it_is_reaches_nobody(board: SpotSwitchboard, name: str, form: str) -> None:
    frame = (form % json.dumps({"e": name, "E": 1, "a": "BTC", "d": "1", "T": 1})).encode()
    assert route(board, frame) == [Warn((1, 2))]
    assert board.strays == 1
    board.hang_up(2)
    assert heard(board, frame) == [1]


def test_an_end_that_does_not_say_whose_is_told_to_all(board: SpotSwitchboard) -> None:
    assert heard(board, b'{"event":{"e":"eventStreamTerminated","E":1}}') == [1, 2]


# --- answers ---


def test_an_answer_goes_to_the_line_that_asked(board: SpotSwitchboard) -> None:
    board.send(1, asking("x", "time"))
    board.send(2, asking("y", "time"))
    assert heard(board, b'{"id":"y","status":200,"result":{"serverTime":1}}') == [2]
    assert heard(board, b'{"result":{"serverTime":1},"status":200,"id":"x"}') == [1]
    assert heard(board, b'{"id":"x","status":200,"result":{}}') == []
    assert board.strays == 1


def test_a_request_id_in_use_ends_the_line_that_repeats_it(board: SpotSwitchboard) -> None:
    board.send(1, asking("same"))
    [effect] = board.send(2, asking("same"))
    assert isinstance(effect, Cut) and effect.line == 2
    board.hang_up(2)
    assert heard(board, opened("same", 5)) == [1]


def test_a_refusal_without_an_id_is_for_the_only_one_who_waits(board: SpotSwitchboard) -> None:
    board.send(2, asking("x"))
    assert heard(board, refused(None, -2015, 401)) == [2]
    assert route(board, refused(None, -2015, 401)) == [End("the venue refused this socket")]


def test_a_renewed_token_keeps_its_line_and_its_subscription(board: SpotSwitchboard) -> None:
    token = "userDataStream.subscribe.listenToken"
    board.join(3, CAROL)
    board.send(3, asking("token-1", token))
    assert heard(board, opened("token-1", 2)) == [3]
    [renewal] = board.send(3, asking("token-2", token))
    assert isinstance(renewal, Transmit) and renewal.weight == 2
    assert heard(board, opened("token-2", 2)) == [3]
    assert [heard(board, event(number)) for number in (0, 1, 2)] == [[1], [2], [3]]


def renew(board: SpotSwitchboard, line: int, subscription: int) -> list[SwitchEffect]:
    board.send(line, asking("renewal", "userDataStream.subscribe.listenToken"))
    return route(board, opened("renewal", subscription))


def test_a_renewal_that_is_answered_with_another_subscription_ends_the_former(board: SpotSwitchboard) -> None:
    effects = renew(board, 1, 2)
    assert effects[0] == Deliver((1,))
    [closing] = sent(effects)
    assert (closing["method"], closing["params"]) == (UNSUBSCRIBE, {"subscriptionId": 0})
    assert route(board, event(0)) == []
    assert [heard(board, event(number)) for number in (2, 1)] == [[1], [2]]
    assert route(board, event(0, "eventStreamTerminated")) == []
    assert heard(board, event(2)) == [1]
    assert board.strays == 0


def test_a_line_that_was_renewed_leaves_no_subscription_behind(board: SpotSwitchboard) -> None:
    renew(board, 1, 2)
    [closing] = sent(board.hang_up(1))
    assert closing["params"] == {"subscriptionId": 2}
    assert [route(board, event(number)) for number in (0, 2)] == [[], []]
    assert heard(board, event(1)) == [2]


def test_a_limit_that_no_line_hears_of_silences_all_calls_too(board: SpotSwitchboard) -> None:
    for line in (1, 2):
        board.send(line, asking(f"again-{line}"))
    assert heard(board, refused("again-1", -1003, 429)) == [1], "its session says so itself"
    board.send(1, asking("once-more"))
    pause, *cuts = route(board, refused(None, -1003, 418))
    assert pause == Refrain(PAUSE_AFTER_BAN_MS) and [type(cut) for cut in cuts] == [Cut, Cut]
    [closing] = sent(board.hang_up(2))
    assert route(board, refused(str(closing["id"]), -1003, 429)) == [Refrain(PAUSE_AFTER_LIMIT_MS)]
    assert not any(isinstance(effect, Refrain) for effect in route(board, refused("nobody's", -1021)))


def test_a_refusal_without_an_id_is_told_to_none_of_several(board: SpotSwitchboard) -> None:
    board.join(3, CAROL)
    board.send(3, asking("x"))
    board.send(1, asking("y"))
    effects = route(board, refused(None, -2015, 401))
    assert [effect.line for effect in effects if isinstance(effect, Cut)] == [1, 3]
    assert not board.can_take(Secret("another"))
    for line in (1, 3):
        board.hang_up(line)
    assert heard(board, event(1)) == [2]


def test_one_subscription_for_two_accounts_ends_the_socket(board: SpotSwitchboard) -> None:
    board.join(3, CAROL)
    board.send(3, asking("x"))
    [effect] = route(board, opened("x", 1))
    assert isinstance(effect, End)


# --- who may join ---


def test_an_owner_has_one_line_here(board: SpotSwitchboard) -> None:
    assert not board.can_take(ALICE)
    [closing] = sent(board.hang_up(1))
    assert not board.can_take(ALICE), "the venue has not ended the former subscription yet"
    route(board, msgspec.json.encode({"id": closing["id"], "status": 200, "result": {}}))
    assert board.can_take(ALICE)
    assert heard(board, event(0, "eventStreamTerminated")) == []


def test_an_account_that_is_subscribed_under_another_key_goes_elsewhere(board: SpotSwitchboard) -> None:
    board.join(3, CAROL)
    board.send(3, asking("x"))
    assert heard(board, refused("x", -2035)) == [3]
    board.hang_up(3)
    assert not board.can_take(CAROL)
    assert board.can_take(Secret("another"))


def test_a_socket_with_too_many_subscriptions_takes_no_more(board: SpotSwitchboard) -> None:
    board.join(3, CAROL)
    board.send(3, asking("x"))
    assert heard(board, refused("x", -2042)) == [3]
    assert not board.can_take(Secret("another"))


def test_it_takes_as_many_as_the_venue() -> None:
    made = SpotSwitchboard()
    for line in range(1, MOST_ACTIVE + 1):
        owner = Secret(f"key-{line}")
        assert made.can_take(owner)
        made.join(line, owner)
    assert not made.can_take(Secret("one more"))
    assert made.hang_up(1) == []
    assert made.can_take(Secret("one more"))


def test_it_retires_before_the_venue_runs_out_of_numbers() -> None:
    made = SpotSwitchboard()
    made.join(1, ALICE)
    made.join(2, BOB)
    for number in range(65_533):
        made.send(1, asking(str(number)))
        route(made, refused(str(number), -1021))
    assert not made.can_take(CAROL)


# --- hanging up ---


def test_the_last_one_closes_the_socket(board: SpotSwitchboard) -> None:
    assert [message["method"] for message in sent(board.hang_up(1))] == [UNSUBSCRIBE]
    assert board.hang_up(2) == [End("closed by us")]
    assert board.hang_up(2) == []


def test_what_a_line_asked_for_before_it_hung_up_is_undone(board: SpotSwitchboard) -> None:
    board.join(3, CAROL)
    board.send(3, asking("late"))
    board.hang_up(3)
    assert not board.can_take(CAROL)
    [closing] = sent(route(board, opened("late", 2)))
    assert closing["params"] == {"subscriptionId": 2}
    assert route(board, event(2)) == []
    assert route(board, refused(str(closing["id"]), -2036)) == []
    assert board.can_take(CAROL)


def test_what_is_no_request_is_sent_all_the_same(board: SpotSwitchboard) -> None:
    assert board.send(1, Secret("hello")) == [Transmit(Secret("hello"), 1)]
    assert board.send(9, asking("gone")) == []


def test_weights_are_those_of_the_documents(board: SpotSwitchboard) -> None:
    methods = ("time", "session.logon", SUBSCRIBE, "userDataStream.subscribe")
    weights = [effect.weight for method in methods for effect in board.send(1, asking(method, method)) if isinstance(effect, Transmit)]
    assert weights == [1, 2, 2, 2]
    assert (SPOT_SHARING.dial_weight, SPOT_SHARING.line_weight) == (2, 3)


def test_a_socket_that_is_logged_on_is_not_shared() -> None:
    place = AccountPlace(
        account=AccountId("a"), venue=VenueName("binance-spot"), credentials=Credentials(api_key=Secret("k")), endpoints=SPOT.real
    )
    assert SPOT_SHARING.may_share(place)
    assert not SPOT_SHARING.may_share(msgspec.structs.replace(place, session_logon=True))
    assert shared_place(place).rotate_after_ms * 2 == place.rotate_after_ms


# --- laws ---


class World:
    """A venue, a way there and back, and lines that come and go in any order. Every frame that arrives is held to what is true of it.
    `is_kept`: the first line never hangs up, so that the socket goes on."""

    def __init__(self, *, is_kept: bool) -> None:
        self.is_kept = is_kept
        self.board = SpotSwitchboard()
        self.owners: dict[int, Secret] = {}
        self.owner_of: dict[int, Secret] = {}
        self.outward: deque[dict[str, object]] = deque()
        self.inward: deque[tuple[bytes, int | None]] = deque()
        self.asked_by: dict[str, int] = {}
        self.active: dict[int, int] = {}
        self.made_for: dict[int, int] = {}
        self.subscribed: set[int] = set()
        self.ended: set[int] = set()
        self.lines = self.numbers = self.ids = self.times = 0
        self.is_over = False
        if is_kept:
            self.come(0)

    def come(self, pick: int) -> None:
        self.join(pick)
        self.ask(-1)

    def join(self, pick: int) -> None:
        owner = (ALICE, BOB, CAROL, Secret("d"), Secret("e"))[pick % 5]
        if self.is_over or not self.board.can_take(owner):
            return
        self.lines += 1
        self.board.join(self.lines, owner)
        self.owners[self.lines] = self.owner_of[self.lines] = owner

    def ask(self, pick: int) -> None:
        self._ask_for([line for line in self.owners if line not in self.subscribed], pick)

    def renew(self, pick: int) -> None:
        self._ask_for([line for line in self.owners if line in self.active.values()], pick)

    def _ask_for(self, lines: list[int], pick: int) -> None:
        if lines:
            line = lines[pick % len(lines)]
            self.subscribed.add(line)
            self.ids += 1
            self.asked_by[f"id-{self.ids}"] = line
            self._carry_out(self.board.send(line, asking(f"id-{self.ids}")))

    def hang_up(self, pick: int) -> None:
        leaving = list(self.owners)[self.is_kept :]
        if leaving:
            line = leaving[pick % len(leaving)]
            del self.owners[line]
            self._carry_out(self.board.hang_up(line))

    def answer(self, pick: int) -> None:
        """The venue takes one request, not always the oldest."""
        if not self.outward:
            return
        self.outward.rotate(-(pick % len(self.outward)))
        request = self.outward.popleft()
        number = str(request["id"])
        if request["method"] == SUBSCRIBE:
            line = self.asked_by[number]
            others = {self.made_for[other] for other in self.active} - {line}
            assert self.owner_of[line] not in {self.owner_of[other] for other in others}, "the venue would refuse this"
            self.active = {former: NOBODY if holder == line else holder for former, holder in self.active.items()}
            self.active[self.numbers] = self.made_for[self.numbers] = line
            self.ended.discard(line)
            self.inward.append((opened(number, self.numbers), line))
            self.numbers += 1
            return
        parameters = request["params"]
        assert isinstance(parameters, dict)
        ending = parameters["subscriptionId"]
        if self.active.pop(ending, None) is None:
            self.inward.append((refused(number, -2036), None))
            return
        self.inward.append((json.dumps({"id": number, "status": 200, "result": {}}).encode(), None))
        self.inward.append((event(ending, "eventStreamTerminated"), None))

    def happen(self, pick: int) -> None:
        if self.active:
            number = list(self.active)[pick % len(self.active)]
            self.times += 1
            self.inward.append((event(number, time=self.times), self.active[number]))

    def terminate(self, pick: int) -> None:
        if self.active:
            number = list(self.active)[pick % len(self.active)]
            line = self.active.pop(number)
            self.ended.add(line)
            self.inward.append((event(number, "eventStreamTerminated"), line))

    def arrive(self, pick: int) -> None:
        del pick
        if self.inward and not self.is_over:
            frame, line = self.inward.popleft()
            effects = route(self.board, frame)
            told = [each for effect in effects if isinstance(effect, Deliver) for each in effect.lines]
            assert told == ([line] if line in self.owners else []), frame
            self._carry_out(effects)

    def settle(self) -> None:
        while not self.is_over and (self.outward or self.inward):
            self.answer(0)
            self.arrive(0)

    def _carry_out(self, effects: Sequence[SwitchEffect]) -> None:
        for effect in effects:
            assert not isinstance(effect, Cut)
            if isinstance(effect, End):
                assert not self.owners, "a socket that somebody uses is closed"
                self.is_over = True
            if isinstance(effect, Transmit):
                self.outward.append(json.loads(effect.text.reveal()))


COMINGS: Final = ("come", "come", "join", "ask", "renew", "hang_up", "hang_up")
STEPS: Final = (*COMINGS, "answer", "answer", "happen", "happen", "terminate", *["arrive"] * 3)
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), min_size=20, max_size=120)


@settings(max_examples=300)
@given(steps, st.booleans())
def test_each_hears_its_own_once_and_in_order_whatever_happens(script: list[tuple[str, int]], is_kept: bool) -> None:
    world = World(is_kept=is_kept)
    for step, pick in script:
        getattr(world, step)(pick)
    world.settle()
    if not world.is_over:
        heard_of = (world.subscribed & world.owners.keys()) - world.ended
        assert sorted(world.active.values()) == sorted(heard_of), "a subscription that nobody hears"
        assert world.board.strays == 0


def test_an_answer_without_an_id_that_refuses_nothing_is_nobodys(board: SpotSwitchboard) -> None:
    board.send(1, asking("x"))
    assert route(board, b'{"id":null,"status":200,"result":{}}') == []
    assert (board.strays, heard(board, opened("x", 0))) == (1, [1])


def test_people_see_how_full_it_is(board: SpotSwitchboard) -> None:
    assert repr(board) == "<SpotSwitchboard, 2 lines, 2 subscriptions>"
    assert "alice" not in repr(board)


@pytest.mark.parametrize(("sharing", "logged_on"), [(SPOT_SHARING, False), (MARGIN_SHARING, True)])
def test_who_wants_a_socket_for_itself_gets_one(sharing: Sharing, logged_on: bool) -> None:
    """A token is subscribed without the session's authorization: being logged on does not matter to it."""
    wanted = AccountPlace(
        account=AccountId("alice"), venue=VenueName("any"), credentials=Credentials(api_key=ALICE), endpoints=SPOT.real, session_logon=True
    )
    assert sharing.may_share(wanted) is logged_on
    assert sharing.may_share(msgspec.structs.replace(wanted, session_logon=False))
    assert not sharing.may_share(msgspec.structs.replace(wanted, session_logon=False, shared_socket=False))


def test_every_answer_tells_what_is_used_of_the_addresss_weight_whoever_asked(board: SpotSwitchboard) -> None:
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 321}]
    board.send(1, asking("x", "time"))
    answered = msgspec.json.encode({"id": "x", "status": 200, "result": {}, "rateLimits": limits})
    assert route(board, answered) == [Used(321), Deliver((1,))]
    assert route(board, answered) == [Used(321)], "nobody asked, and it is true all the same"
    board.send(1, asking("y"))
    board.send(2, asking("z"))
    error = {"code": -1003, "msg": "too many"}
    effects = route(board, msgspec.json.encode({"id": None, "status": 429, "error": error, "rateLimits": limits}))
    assert effects[:2] == [Used(321), Refrain(PAUSE_AFTER_LIMIT_MS)]


def test_all_products_of_the_host_are_counted_as_one() -> None:
    assert MARGIN.host_of == RISK.host_of == SPOT.name and SPOT.host_of is None
    assert SPOT_SHARING.dials_per_5_minutes == MARGIN_SHARING.dials_per_5_minutes <= 300
