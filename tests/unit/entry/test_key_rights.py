"""What a venue says of a key, from a paper exchange and from calls that fail."""

from __future__ import annotations

import json

import pytest

from tests.support.clock import ManualClock
from userstream.adapters.clock import SystemClock
from userstream.adapters.http import AiohttpClient
from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.entry.key_rights import DIALECTS, RightsDesk
from userstream.kernel.errors import AuthenticationError, RequestRefused, RetryLater, SettingsError
from userstream.kernel.ids import VenueName
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.venues import REGISTRY
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
