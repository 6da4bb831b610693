"""Listen keys over a restart: used again while they live, kept encrypted, forgotten when they are over."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.vaults import FIRST_KEY, SECOND_KEY, make_account, make_vault, note
from userstream.adapters.memory_registry import MemoryRegistry
from userstream.entry.key_rotation import count_keys, rewrap_all
from userstream.entry.listen_keys import LEAST_LEFT_MS, KeepingHttp, ListenKeys
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance import listen_key
from userstream.venues.binance.listen_key import VALID_MS
from userstream.venues.binance.products import MARGIN_RISK, USD_M
from userstream.wire.registration import SealedListenKey
from userstream.wire.request import HttpRequest, HttpResponse

ALICE = AccountId("alice")
PATH = USD_M.feed.listen_key_path
API_KEY = Secret("API-KEY-OF-ALICE")
OLD, FRESH = Secret("old-listen-key"), Secret("fresh-listen-key")
GONE = HttpResponse(status=400, body=b'{"code":-1125,"msg":"This listenKey does not exist."}')
LOST = HttpResponse(status=0, body=b"no route")


def told(key: Secret) -> HttpResponse:
    return HttpResponse(status=200, body=msgspec.json.encode({"listenKey": key.reveal()}))


class Venue:
    """Answers by method, and remembers what was asked."""

    def __init__(self, **answers: HttpResponse) -> None:
        self._answers = answers
        self.asked: list[str] = []

    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        self.asked.append(f"{request.method} {request.target.reveal()}")
        assert request.headers == (("X-MBX-APIKEY", API_KEY),)
        return self._answers[request.method]

    async def close(self) -> None:
        return


class Run:
    """One life of the process: the registry stays, the rest is new."""

    def __init__(self, registry: MemoryRegistry, clock: ManualClock, seed: int, **answers: HttpResponse) -> None:
        self.registry, self.clock, self.vault = registry, clock, make_vault(seed=seed)
        self.venue = Venue(**answers)

    async def begin(self) -> None:
        account = await self.registry.get(ALICE)
        assert account is not None
        self.keys = ListenKeys(account, self.registry, self.vault, self.clock)
        self.keys.recall()
        self.http = KeepingHttp(self.venue, self.keys, self.clock)

    async def ask(self, request: HttpRequest) -> HttpResponse:
        response = await self.http.send("http://venue", request, time_limit_ms=1)
        await self.keys.flush()
        return response

    async def kept(self) -> tuple[Secret, Millis] | None:
        await self.keys.flush()
        found = await self.registry.get(ALICE)
        assert found is not None
        if found.listen_key is None:
            return None
        return self.vault.open(found.place, "listen_key", found.listen_key.record), found.listen_key.expires_at


async def start(age_ms: int | None, **answers: HttpResponse) -> Run:
    """A run after one that kept a key `age_ms` ago (None: after none)."""
    registry, clock = MemoryRegistry(), ManualClock()
    account = make_account(vault=make_vault())
    await registry.add(account, note())
    if age_ms is not None:
        record = make_vault(seed=2).seal_beside(account.place, "listen_key", OLD, account.key.api_key)
        expires_at = Millis(clock.wall() + VALID_MS - age_ms)
        await registry.save_listen_key(ALICE, 1, SealedListenKey(record=record, expires_at=expires_at))
    run = Run(registry, clock, 3, **answers)
    await run.begin()
    return run


async def test_a_key_of_the_venue_is_kept_encrypted_with_its_end() -> None:
    run = await start(None, POST=told(FRESH))
    since = run.clock.wall()
    assert await run.ask(listen_key.create(PATH, API_KEY)) == told(FRESH)
    assert await run.kept() == (FRESH, since + VALID_MS)
    found = await run.registry.get(ALICE)
    assert found is not None
    assert FRESH.reveal() not in repr(found)
    assert FRESH.reveal() not in repr(run.keys)


async def test_a_key_that_lives_is_extended_and_used_again() -> None:
    run = await start(10 * 60_000, PUT=told(OLD))
    assert await run.ask(listen_key.create(PATH, API_KEY)) == told(OLD)
    assert run.venue.asked == [f"PUT {PATH}"]
    assert await run.kept() == (OLD, run.clock.wall() + VALID_MS)


async def test_a_key_that_was_replaced_meanwhile_is_taken_from_the_answer() -> None:
    run = await start(10 * 60_000, PUT=told(FRESH))
    assert await run.ask(listen_key.create(PATH, API_KEY)) == told(FRESH)
    assert (await run.kept() or (None,))[0] == FRESH


async def test_an_answer_without_a_key_means_that_ours_was_extended() -> None:
    run = await start(10 * 60_000, PUT=HttpResponse(status=200, body=b"{}"))
    assert await run.ask(listen_key.create(PATH, API_KEY)) == told(OLD)


async def test_a_key_that_is_gone_is_asked_for_anew() -> None:
    run = await start(10 * 60_000, PUT=GONE, POST=told(FRESH))
    assert await run.ask(listen_key.create(PATH, API_KEY)) == told(FRESH)
    assert run.venue.asked == [f"PUT {PATH}", f"POST {PATH}"]
    assert (await run.kept() or (None,))[0] == FRESH


@pytest.mark.parametrize(("age_ms", "is_used"), [(0, True), (VALID_MS - LEAST_LEFT_MS - 1, True), (VALID_MS - LEAST_LEFT_MS, False)])
async def test_where_the_venue_cannot_be_asked_a_young_key_is_used(age_ms: int, is_used: bool) -> None:
    run = await start(age_ms, PUT=LOST, POST=LOST)
    assert await run.ask(listen_key.create(PATH, API_KEY)) == (told(OLD) if is_used else LOST)
    assert run.venue.asked == [f"PUT {PATH}", *([] if is_used else [f"POST {PATH}"])]


@pytest.mark.parametrize("age_ms", [VALID_MS, VALID_MS + 1, 10 * VALID_MS, -1])
async def test_a_key_older_than_an_hour_or_from_the_future_is_forgotten(age_ms: int) -> None:
    run = await start(age_ms, POST=told(FRESH))
    assert await run.kept() is None
    await run.ask(listen_key.create(PATH, API_KEY))
    assert run.venue.asked == [f"POST {PATH}"]


async def test_only_the_first_socket_takes_the_key_of_an_earlier_run() -> None:
    run = await start(0, PUT=told(OLD), POST=told(FRESH))
    await run.ask(listen_key.create(PATH, API_KEY))
    assert await run.ask(listen_key.create(PATH, API_KEY)) == told(FRESH)


async def test_an_extension_moves_the_end_and_a_farewell_forgets() -> None:
    run = await start(None, PUT=told(FRESH), DELETE=HttpResponse(status=200, body=b"{}"))
    await run.ask(listen_key.extend(PATH, API_KEY))
    assert await run.kept() == (FRESH, run.clock.wall() + VALID_MS)
    await run.ask(listen_key.give_up(PATH, API_KEY))
    assert await run.kept() is None


async def test_refusals_and_other_calls_change_nothing() -> None:
    run = await start(0, POST=GONE, PUT=GONE, GET=LOST)
    before = await run.kept()
    await run.ask(HttpRequest(method="GET", target=Secret("/x"), label="GET /x", headers=(("X-MBX-APIKEY", API_KEY),)))
    assert await run.kept() == before
    await run.ask(listen_key.extend(PATH, API_KEY))
    assert await run.kept() == before


async def test_the_margin_feed_names_the_key_that_it_extends() -> None:
    run = await start(0, PUT=told(OLD))
    await run.ask(listen_key.create(MARGIN_RISK.listen_key_path, API_KEY))
    assert run.venue.asked == [f"PUT {MARGIN_RISK.listen_key_path}?listenKey={OLD.reveal()}"]


async def test_a_record_that_does_not_open_is_not_used() -> None:
    run = await start(0, POST=told(FRESH))
    account = await run.registry.get(ALICE)
    assert account is not None
    foreign = make_account("bob").key.api_key
    await run.registry.save_listen_key(ALICE, 1, SealedListenKey(record=foreign, expires_at=Millis(run.clock.wall() + 1)))
    await run.begin()
    assert await run.kept() is None
    await run.ask(listen_key.create(PATH, API_KEY))
    assert run.venue.asked == [f"POST {PATH}"]


async def test_saves_come_in_order_and_a_store_in_trouble_ends_nothing() -> None:
    class Full(MemoryRegistry):
        async def save_listen_key(self, account: AccountId, version: int, listen_key: SealedListenKey | None) -> bool:
            raise StoreError("no room")

    run = await start(None, POST=told(FRESH))
    for key in (OLD, FRESH):
        run.keys.keep(key, run.clock.wall())
    assert (await run.kept() or (None,))[0] == FRESH
    full = Full()
    await full.add(make_account(vault=make_vault()), note())
    troubled = Run(full, run.clock, 4, POST=told(FRESH))
    await troubled.begin()
    assert await troubled.ask(listen_key.create(PATH, API_KEY)) == told(FRESH)


async def test_a_key_that_cannot_be_sealed_is_used_and_not_kept() -> None:
    run = await start(None, POST=told(FRESH))
    run.vault = make_vault(SECOND_KEY)
    await run.begin()
    assert await run.ask(listen_key.create(PATH, API_KEY)) == told(FRESH)
    found = await run.registry.get(ALICE)
    assert found is not None
    assert found.listen_key is None


async def test_after_a_rotation_of_the_vaults_keys_a_listen_key_is_sealed_with_the_new_one() -> None:
    run = await start(None, POST=told(FRESH))
    run.vault = make_vault(FIRST_KEY, SECOND_KEY, seed=5)
    await run.begin()
    assert (await rewrap_all(run.registry, run.vault)).left == 0
    await run.ask(listen_key.create(PATH, API_KEY))
    assert await count_keys(run.registry, run.vault) == {run.vault.newest_key: 1}
    assert (await run.kept() or (None,))[0] == FRESH


async def test_the_listen_key_of_a_replaced_key_is_not_kept() -> None:
    run = await start(None, POST=told(FRESH))
    await run.registry.replace_key(make_account(version=2), note("account.rotate"))
    assert await run.ask(listen_key.create(PATH, API_KEY)) == told(FRESH)
    assert await run.kept() is None
