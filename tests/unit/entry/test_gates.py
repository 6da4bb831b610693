"""One gate for each budget and place: shared while anybody uses it, and gone afterwards."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.transport import PipeTransport, RecordingEvents, RecordingHttp, json_answer
from userstream.entry.gates import AddressedHttp, GateBook
from userstream.kernel.ids import AccountId, VenueName
from userstream.kernel.secret import Secret
from userstream.runtime.gate import Gate
from userstream.runtime.shared_sockets import SharedSockets
from userstream.venues import find_venue
from userstream.venues.binance.switchboard import SPOT_SHARING
from userstream.wire.pacing import RISK_RESERVE
from userstream.wire.request import HttpRequest
from userstream.wire.switchboard import DialPace
from userstream.wire.venue import AccountPlace, Credentials, VenueSpec

SPEC = find_venue("binance-usdm")
CALL = HttpRequest(method="GET", target=Secret("/fapi/v1/time"), label="GET /fapi/v1/time")


COINM = find_venue("binance-coinm")
OTHER = msgspec.structs.replace(SPEC, name=VenueName("other"), budget="")


def take_real(book: GateBook, user: object, spec: VenueSpec) -> Gate:
    return book.take(user, spec, spec.real.rest_url, RecordingHttp(default=json_answer({})), ManualClock(), None)


async def test_products_with_one_budget_share_a_gate_behind_their_addresses() -> None:
    book = GateBook()
    usdm, coinm = take_real(book, "a", SPEC), take_real(book, "b", COINM)
    assert usdm is coinm
    assert usdm.name == "binance-futures"
    paper, test = "http://127.0.0.1:8080", "https://testnet.binancefuture.com"
    clock, http = ManualClock(), RecordingHttp(default=json_answer({}))
    at_paper = {book.take("c", spec, paper, http, clock, None).name for spec in (SPEC, COINM)}
    assert at_paper == {"binance-futures 127.0.0.1:8080"}
    assert {book.take("d", spec, test, http, clock, None) for spec in (SPEC, COINM)}.isdisjoint({usdm})
    for user in "abcd":
        await book.leave(user)


SPOT, MARGIN, RISK = map(find_venue, ("binance-spot", "binance-margin", "binance-margin-risk"))
OTHER_REAL = ("https://api1.binance.com", "https://api4.binance.com", "https://api-gcp.binance.com/", "https://API3.Binance.com:443")
SPELLINGS = ("https://api.binance.com/", "https://API.binance.com", "https://api.binance.com:443", *OTHER_REAL)


@pytest.mark.parametrize("spec", [SPOT, MARGIN, RISK], ids=lambda spec: spec.name)
@pytest.mark.parametrize("address", SPELLINGS)
async def test_the_real_venue_has_one_budget_behind_whichever_of_its_addresses(spec: VenueSpec, address: str) -> None:
    book = GateBook()
    real = take_real(book, "a", spec)
    assert book.take("b", spec, address, RecordingHttp(default=json_answer({})), ManualClock(), None) is real
    for user in "ab":
        await book.leave(user)


@pytest.mark.parametrize("address", ["https://api5.binance.com", "https://api.binance.com.example", "https://api.binance.com:8443"])
async def test_another_host_or_port_is_another_place(address: str) -> None:
    book = GateBook()
    assert book.take("a", SPOT, address, RecordingHttp(default=json_answer({})), ManualClock(), None).name != "binance-spot"
    await book.leave("a")


async def test_what_is_asked_of_the_host_counts_in_its_budget_and_its_answer_is_learned_there() -> None:
    book, http = GateBook(), RecordingHttp(default=json_answer({}, x_mbx_used_weight_1m="777"))
    host = take_real(book, "spot", find_venue("binance-spot"))
    through = AddressedHttp("https://y", http, host)
    own = HttpRequest(method="GET", target=Secret("/sapi/v1/x"), label="GET /sapi/v1/x", weight=5)
    await through.send("https://x", own, time_limit_ms=1_000)
    assert host.used_weight == 0
    await through.send("https://x", msgspec.structs.replace(own, of_host=True, weight=20), time_limit_ms=1_000)
    assert host.used_weight == 777
    assert len(http.requests) == 2
    await AddressedHttp("https://y", http).send("https://x", msgspec.structs.replace(own, of_host=True), time_limit_ms=1_000)
    assert host.used_weight == 777


async def test_what_the_hosts_budget_does_not_allow_is_not_sent_and_leaves_its_reserve() -> None:
    book, http, clock = GateBook(), RecordingHttp(default=json_answer({})), ManualClock()
    spot = find_venue("binance-spot")
    host = book.take("spot", spot, spot.real.rest_url, http, clock, None)
    through = AddressedHttp("https://y", http, host)
    call = HttpRequest(method="GET", target=Secret("/api/v3/exchangeInfo"), label="x", weight=20, of_host=True)
    answers = [await through.send("https://x", call, time_limit_ms=1_000) for _ in range(host.budget.limit // 20 + 5)]
    assert {answer.status for answer in answers} == {200, 0}
    assert answers[-1].body.startswith(b"not sent: waiting ")
    assert host.budget.limit * (1 - RISK_RESERVE) - 20 < host.used_weight <= host.budget.limit * (1 - RISK_RESERVE)
    await asyncio.wait_for(host.grant_risk(1), 1)
    host.refrain(9_900)
    await clock.advance(60_000 - clock.now() % 60_000)
    host.refrain(9_900)
    assert (await through.send("https://x", call, time_limit_ms=1_000)).status == 0
    await book.leave("spot")


async def test_one_address_may_serve_several_budgets() -> None:
    book, address = GateBook(), "http://127.0.0.1:8080"
    clock, http = ManualClock(), RecordingHttp(default=json_answer({}))
    futures, other = (book.take("a", spec, address, http, clock, None) for spec in (SPEC, OTHER))
    assert futures is not other
    assert (futures.name, other.name) == ("binance-futures 127.0.0.1:8080", "other 127.0.0.1:8080")
    await book.leave("a")


async def test_calls_of_each_product_go_to_its_own_address() -> None:
    book, http = GateBook(), RecordingHttp(default=json_answer({}))
    gate = book.take("a", SPEC, SPEC.real.rest_url, http, ManualClock(), None)
    connections = AddressedHttp(COINM.real.rest_url, http)
    await gate.send(CALL, time_limit_ms=1_000, http=connections)
    await connections.close()
    await gate.send(CALL, time_limit_ms=1_000)
    assert http.base_urls == ["https://dapi.binance.com", "https://fapi.binance.com"]
    await book.leave("a")


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


async def test_dials_of_several_applications_are_counted_together() -> None:
    book, spec, clock, pipes = GateBook(), find_venue("binance-spot"), ManualClock(), PipeTransport()
    assert spec.sharing is not None

    async def dial(user: int) -> None:
        gate = book.take(user, spec, spec.real.rest_url, RecordingHttp(default=json_answer({})), clock, None)
        shared = SharedSockets(pipes, clock, gate, SPOT_SHARING, book.pace_of(gate, SPOT_SHARING, clock))
        account, credentials = AccountId(f"a-{user}"), Credentials(api_key=Secret(f"k-{user}"))
        place = AccountPlace(account=account, venue=spec.name, credentials=credentials, endpoints=spec.real)
        await shared.own_transport(place).connect(Secret("wss://venue/ws"), RecordingEvents(), time_limit_ms=60_000)

    dials = [asyncio.ensure_future(dial(user)) for user in range(2 * DialPace.BURST)]
    await clock.advance(1_000)
    assert len(pipes.sockets) == DialPace.BURST
    await clock.advance(60_000)
    await asyncio.gather(*dials)
    for user in range(2 * DialPace.BURST):
        await book.leave(user)


async def test_what_was_dialed_counts_at_its_place_after_its_users_have_left() -> None:
    book, clock = GateBook(), ManualClock()
    first = take(book, "a")
    pace = book.pace_of(first, SPOT_SHARING, clock)
    await book.leave("a")
    assert book.pace_of(take(book, "b"), SPOT_SHARING, clock) is pace
    assert book.pace_of(take(book, "b", "https://elsewhere"), SPOT_SHARING, clock) is not pace
    await book.leave("b")


def test_another_event_loop_has_its_own() -> None:
    book = GateBook()

    async def gate() -> Gate:
        return take(book, "a")

    assert asyncio.run(gate()) is not asyncio.run(gate())


async def test_the_highest_reserve_of_all_users_is_kept() -> None:
    book, http, clock = GateBook(), RecordingHttp(default=json_answer({})), ManualClock()
    gate = book.take("a", SPEC, SPEC.real.rest_url, http, clock, None)
    assert gate.budget.reserve == RISK_RESERVE
    assert book.take("b", COINM, COINM.real.rest_url, http, clock, None, reserve=0.2) is gate
    assert gate.budget.reserve == 0.2
    for user in "ab":
        await book.leave(user)
