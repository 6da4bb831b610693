"""What a venue says of a key, from a paper exchange and from calls that fail."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.transport import PipeTransport, RecordingHttp, json_answer
from userstream.adapters.clock import SystemClock
from userstream.adapters.http import AiohttpClient
from userstream.adapters.memory import MemoryJournal
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of
from userstream.entry.gates import budget_name
from userstream.entry.key_identity import LOOK_LIMIT_MS
from userstream.entry.key_rights import AGAIN_MS, COUNTED_WITH, DIALECTS, EVERY_MS, MOST_AT_ONCE, RightsCalendar, RightsDesk
from userstream.entry.web.gatekeeper import REQUEST_LIMIT_S
from userstream.kernel.errors import AuthenticationError, RequestRefused, RetryLater, SettingsError, UserStreamError
from userstream.kernel.ids import Millis, OrderId, Symbol, VenueName
from userstream.runtime.gate import Gate
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.venues import REGISTRY, find_venue
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.rights import KeyRights

KEY = credentials_of("KEY-OF-ALICE", "SECRET-OF-ALICE")
TIME = 1_760_000_000_123


class ScriptedHttp:
    """Answers in the order of its script, and remembers what was asked."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        self.asked.append((base_url, request.target.reveal()))
        status, body = self._answers.pop(0)
        return HttpResponse(status=status, body=body)

    async def close(self) -> None:
        return


def settings(venue: str = "binance-usdm", rest_url: str | None = None) -> AccountSettings:
    return AccountSettings(name="alice", venue=venue, credentials=KEY, rest_url=rest_url)


@pytest.mark.parametrize("venue", ["binance-usdm", "binance-spot", "binance-coinm", "binance-margin"])
@pytest.mark.parametrize("can_withdraw", [False, True])
async def test_a_paper_exchange_tells_what_its_keys_may_do(venue: str, can_withdraw: bool) -> None:
    spec = AccountSpec(
        account="alice", venue=venue, api_key="K" * 64, api_secret="S" * 64, can_withdraw=can_withdraw, ip_restricted=not can_withdraw
    )
    http = AiohttpClient()
    async with PaperExchangeServer(SimulatorSettings(venues=(venue,), accounts=(spec,))) as server:
        place = server.listing.venues[venue]
        asked = AccountSettings(name="alice", venue=venue, credentials=credentials_of("K" * 64, "S" * 64), rest_url=place.rest_url)
        rights = await RightsDesk(http, SystemClock(), {}).ask(asked)
        with pytest.raises(AuthenticationError):
            await RightsDesk(http, SystemClock(), {}).ask(settings(venue, place.rest_url))
        await http.close()
    assert rights == KeyRights(read=True, trade=True, withdraw=can_withdraw, transfer=can_withdraw, ip_restricted=not can_withdraw)


@pytest.mark.parametrize("venue", ["binance-usdm", "binance-spot", "binance-coinm", "binance-margin"])
async def test_a_paper_exchange_tells_whose_account_a_key_opens(venue: str) -> None:
    specs = tuple(AccountSpec(account=name, venue=venue, api_key=name * 12, api_secret="S" * 64) for name in ("alice", "carol"))
    http, told = AiohttpClient(), []
    symbol = Symbol("BTCUSD_PERP" if venue == "binance-coinm" else "BTCUSDT")
    async with PaperExchangeServer(SimulatorSettings(venues=(venue,), accounts=specs)) as server:
        keys = server.house.halls[venue].room.keys
        keys.add(msgspec.structs.replace(next(keys.of_account("alice")), api_key="second" * 10))
        for key in ("alice" * 12, "second" * 10, "carol" * 12):
            credentials = credentials_of(key, "S" * 64)
            rest_url = server.listing.venues[venue].rest_url
            asked = AccountSettings(name="alice", venue=venue, credentials=credentials, rest_url=rest_url)
            told.append(await RightsDesk(http, SystemClock(), {}).identify(asked))
            assert not await RightsDesk(http, SystemClock(), {}).knows_order(asked, symbol, OrderId("77"))
        await http.close()
    assert told[0] and told[0] == told[1] != told[2]


async def test_whose_a_margin_key_is_is_counted_where_the_real_venue_counts_it() -> None:
    place = Place()
    place.http.plan("GET /sapi/v1/time", lambda request: json_answer({"serverTime": place.clock.wall()}))
    place.http.plan("GET /api/v3/time", lambda request: json_answer({"serverTime": place.clock.wall()}))
    place.http.plan("GET /api/v3/account", json_answer({"uid": 354937868}))
    assert await place.desk.identify(settings("binance-margin")) == "354937868"
    spot = find_venue("binance-spot")
    assert place.gate(budget_name(spot, spot.real.rest_url)).used_weight >= 20
    await place.application.stop()


async def test_the_real_venue_is_asked_where_it_answers_in_its_own_time() -> None:
    flags = dict.fromkeys(("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"), False)
    told = json.dumps({"enableReading": True, "ipRestrict": True, **flags}).encode()
    http = ScriptedHttp((200, b'{"serverTime":%d}' % TIME), (200, told))
    assert (await RightsDesk(http, ManualClock(), {}).ask(settings())).trade is False
    (clock_url, clock_path), (url, target) = http.asked
    assert (clock_url, clock_path, url) == ("https://fapi.binance.com", "/fapi/v1/time", "https://api.binance.com")
    assert f"timestamp={TIME}&" in target


@pytest.mark.parametrize("answers", [[(0, b"no route")], [(200, b'{"serverTime":1}'), (404, b"<html>")]])
async def test_a_venue_that_does_not_tell_is_an_error(answers: list[tuple[int, bytes]]) -> None:
    with pytest.raises((RetryLater, RequestRefused)):
        await RightsDesk(ScriptedHttp(*answers), ManualClock(), {}).ask(settings(rest_url="http://127.0.0.1:1"))


async def test_a_key_without_a_secret_cannot_ask() -> None:
    without = AccountSettings(name="alice", venue="binance-usdm", credentials=credentials_of("KEY", None))
    with pytest.raises(SettingsError, match="api_secret is missing"):
        await RightsDesk(ScriptedHttp(), ManualClock(), {}).ask(without)


def test_every_venue_that_can_be_connected_can_be_asked() -> None:
    assert set(DIALECTS) == set(REGISTRY)
    assert VenueName("binance-usdm") in DIALECTS


RIGHTS = {
    "enableReading": True,
    "ipRestrict": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "permitsUniversalTransfer": False,
}
BANNED = HttpResponse(status=418, body=b'{"code":-1003,"msg":"Way too many requests."}', headers={"retry-after": "600"})


class Place:
    """An application whose gates the questions pass."""

    def __init__(self) -> None:
        self.clock, self.http = ManualClock(), RecordingHttp()
        self.http.plan("GET /fapi/v1/time", lambda request: json_answer({"serverTime": self.clock.wall()}))
        self.http.plan("GET /sapi/v1/account/apiRestrictions", json_answer(RIGHTS))
        self.application = Application(self.clock, PipeTransport(), self.http, MemoryJournal())
        self.desk = RightsDesk(self.http, self.clock, {}, self.application.take_gate)

    def gate(self, name: str) -> Gate:
        return next(gate for gate in self.application.gates if gate.name == name)


async def test_questions_are_counted_in_the_budgets_of_the_application() -> None:
    place = Place()
    assert (await place.desk.ask(settings())).read
    product, counted = find_venue("binance-usdm"), find_venue(COUNTED_WITH)
    for spec in (product, counted):
        gate = place.gate(budget_name(spec, spec.real.rest_url))
        assert (gate.requests, gate.used_weight) == (1, 1)
    await place.application.stop()
    with pytest.raises(UserStreamError, match="all was stopped"):
        await place.desk.ask(settings())


async def test_a_ban_is_learned_from_an_answer_and_obeyed() -> None:
    place = Place()
    place.http.plan("GET /sapi/v1/account/apiRestrictions", BANNED)
    with pytest.raises(RetryLater) as caught:
        await place.desk.ask(settings())
    assert caught.value.after_ms == 600_000
    asked = len(place.http.requests)
    for venue in ("binance-margin", "binance-usdm"):
        with pytest.raises(RetryLater, match="wants no calls from this address for 600 s") as caught:
            await place.desk.ask(settings(venue))
        assert caught.value.after_ms == 600_000
    assert [request.label for request in place.http.requests[asked:]] == ["GET /fapi/v1/time"]
    spec = find_venue("binance-usdm")
    place.gate(budget_name(spec, spec.real.rest_url)).refrain(900_000)
    with pytest.raises(RetryLater, match="900 s"):
        await place.desk.ask(settings())
    assert len(place.http.requests) == asked + 1
    await place.application.stop()


async def test_where_the_host_wants_silence_the_key_is_not_asked_about_either() -> None:
    place = Place()
    spot = find_venue("binance-spot")
    place.application.take_gate(spot, spot.real.rest_url).refrain(5_000)
    with pytest.raises(RetryLater, match="5 s"):
        await place.desk.ask(settings("binance-margin"))
    assert place.http.requests == []
    await place.application.stop()


async def test_a_look_ends_before_whoever_waits_for_it_gives_up() -> None:
    place = Place()
    spec = find_venue("binance-usdm")
    gate = place.application.take_gate(spec, spec.real.rest_url)
    while gate.grant_at_once(100):
        pass
    began = place.clock.now()
    look = asyncio.ensure_future(place.desk.ask(settings()))
    await place.clock.advance(LOOK_LIMIT_MS)
    with pytest.raises(RetryLater, match="no room in the venue's request budget"):
        await look
    assert place.clock.now() - began == LOOK_LIMIT_MS < REQUEST_LIMIT_S * 1_000
    assert place.http.requests == [] and gate.waiting == 0
    await place.application.stop()


async def test_what_the_first_call_took_is_not_left_for_the_second() -> None:
    place, limits = Place(), list[int]()

    class SlowHttp(ScriptedHttp):
        async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
            limits.append(time_limit_ms)
            await place.clock.sleep(5_000)
            return await super().send(base_url, request, time_limit_ms=time_limit_ms)

    told = json.dumps(RIGHTS | {"enableSpotAndMarginTrading": False}).encode()
    http = SlowHttp((200, b'{"serverTime":%d}' % TIME), (200, told), (200, b'{"serverTime":%d}' % TIME))
    desk = RightsDesk(http, place.clock, {})
    look = asyncio.ensure_future(desk.ask(settings()))
    await place.clock.advance(10_000)
    assert (await look).read and limits == [LOOK_LIMIT_MS, LOOK_LIMIT_MS - 5_000]
    await place.application.stop()


@pytest.mark.parametrize(
    "rest_url", ["https://fapi.binance.com", "https://FAPI.binance.com", "https://fapi.binance.com:443", "https://fapi.binance.com/"]
)
async def test_the_real_venue_is_known_in_every_spelling(rest_url: str) -> None:
    http = ScriptedHttp((200, b'{"serverTime":%d}' % TIME), (200, json.dumps(RIGHTS).encode()))
    await RightsDesk(http, ManualClock(), {}).ask(settings(rest_url=rest_url))
    assert http.asked[1][0] == "https://api.binance.com"


DAYS = st.integers(-3 * EVERY_MS, 3 * EVERY_MS)


@given(st.dictionaries(st.sampled_from("abcdef"), st.none() | DAYS, min_size=1))
def test_a_key_is_looked_at_a_day_after_its_last_look_however_often_all_begins_anew(ages: dict[str, int | None]) -> None:
    calendar, now, wall = RightsCalendar(), Millis(5_000), Millis(TIME)
    calendar.take_up({name: None if age is None else Millis(wall - age) for name, age in ages.items()}, now, wall)
    for name, age in ages.items():
        wait_ms = 0 if age is None else max(0, min(EVERY_MS, EVERY_MS - age))
        assert name in calendar.due(Millis(now + wait_ms))
        assert wait_ms == 0 or name not in calendar.due(Millis(now + wait_ms - 1))


def taken_up(*names: str, now: Millis) -> RightsCalendar:
    calendar = RightsCalendar()
    calendar.take_up(dict.fromkeys(names), now, Millis(TIME))
    return calendar


def test_each_key_has_its_turn_once_a_day() -> None:
    now = Millis(1_000)
    names = [f"account-{number:03}" for number in range(MOST_AT_ONCE + 1)]
    calendar = taken_up(*names, now=now)
    assert calendar.due(now) == names[:-1]
    for name in names:
        calendar.note_asked(name, now)
    calendar.take_up({names[0]: None, "young": Millis(TIME)}, Millis(now + 1), Millis(TIME))
    assert calendar.due(Millis(now + EVERY_MS - 1)) == []
    assert calendar.due(Millis(now + EVERY_MS)) == [names[0]]
    assert calendar.due(Millis(now + EVERY_MS + 1)) == [names[0], "young"]


def test_a_look_that_somebody_else_made_counts() -> None:
    now = Millis(1_000)
    calendar = taken_up("alice", now=now)
    calendar.note_silence("alice", now, 0)
    calendar.take_up({"alice": Millis(TIME)}, now, Millis(TIME))
    assert calendar.due(Millis(now + EVERY_MS - 1)) == []
    assert calendar.due(Millis(now + EVERY_MS)) == ["alice"]


def test_silence_holds_for_all_and_a_key_without_an_answer_waits_longer() -> None:
    now = Millis(1_000)
    calendar = taken_up("alice", "bob", now=now)
    assert calendar.due(now) == ["alice", "bob"]
    calendar.note_silence("alice", now, 60_000)
    calendar.take_up({"alice": None, "bob": None}, now, Millis(TIME))
    assert calendar.due(Millis(now + 59_999)) == [], "that somebody else changed the registry ends no silence"
    assert calendar.due(Millis(now + 60_000)) == ["bob"]
    assert calendar.due(Millis(now + AGAIN_MS)) == ["bob", "alice"]
    calendar.note_silence("bob", now, 0)
    assert calendar.due(Millis(now + AGAIN_MS)) == ["alice", "bob"]
