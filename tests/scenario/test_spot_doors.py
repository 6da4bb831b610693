"""Binance Spot by every door: `connect`, the command line, the classic surface, and what they say of the listen keys that are no more."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

import userstream
from tests.scenario.test_classic import until
from tests.scenario.test_commands import call, simulator
from tests.support.desk import NAME, QUICK, WIDE
from userstream import BinanceClient
from userstream.entry.bootstrap import AccountSettings, credentials_of, start_application
from userstream.kernel.errors import SettingsError
from userstream.sim.keys import KeyType
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call

VENUE: Final = "binance-spot"
RETIRED: Final = r"removed on 2026-02-20; the stream is now subscribed with a signed request"
FILL: Final = (
    b'{"subscriptionId":0,"event":{"e":"executionReport","E":1790000001203,"s":"ETHUSDT","c":"a","S":"BUY","o":"LIMIT","f":"GTC","q":"1",'
    b'"p":"2875.1","P":"0","F":"0","g":-1,"C":"","x":"TRADE","X":"FILLED","r":"NONE","i":42,"l":"1","z":"1","L":"2875.1","n":"0.001",'
    b'"N":"ETH","T":1790000001202,"t":77001,"I":8,"w":false,"m":true,"M":true,"O":1789999990000,"Z":"2875.1","Y":"2875.1","Q":"0",'
    b'"V":"NONE"}}'
)
BALANCE: Final = b'{"subscriptionId":0,"event":{"e":"outboundAccountPosition","E":1,"u":1,"B":[{"a":"BTC","f":"1","l":"2"}]}}'


async def test_a_paper_account_needs_no_setting() -> None:
    async with userstream.paper(VENUE, balances={"USDT": 10_000}, recovery=QUICK) as account:
        placed = await account.exchange.place("BTCUSDT", "buy", "0.01")
        done = await account.wait_for(str(placed["order_id"]), final=True, timeout=5)
        assert (account.venue, done.filled_quantity) == (VENUE, Decimal("0.01"))


@pytest.mark.parametrize(
    "places",
    [
        {"rest_url": "https://api.example", "ws_url": "wss://stream.binance.com:9443/ws/abc", "ws_api_url": "wss://ws-api.example"},
        {"rest_url": "https://api.example", "ws_url": "wss://stream.binance.com:9443"},
        {"rest_url": "https://api.example", "ws_api_url": "wss://stream.binance.com:9443"},
        {"rest_url": "https://api.example/api/v3/userDataStream", "ws_api_url": "wss://ws-api.example"},
    ],
)
async def test_listen_key_addresses_are_said_to_be_retired(places: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=RETIRED):
        async with userstream.connect(VENUE, api_key="k", api_secret="s", **places):  # type: ignore[arg-type]
            pass


async def test_listen_key_options_are_said_to_be_retired() -> None:
    stream = userstream.StreamSettings(close_listen_key_on_stop=True)
    with pytest.raises(SettingsError, match=RETIRED):
        async with userstream.connect(VENUE, api_key="k", api_secret="s", stream=stream):
            pass
    config = {"venue": VENUE, "api_secret": "s", "close_listen_key_on_stop": True}
    with pytest.raises(SettingsError, match=RETIRED):
        await BinanceClient().user_stream("k", print, config)


async def test_without_a_secret_nothing_can_be_subscribed() -> None:
    with pytest.raises(SettingsError, match="api_secret is missing: Spot tells"):
        async with userstream.connect(VENUE, api_key="k"):
            pass


async def test_an_ed25519_key_may_log_in_on_the_socket() -> None:
    spec = AccountSpec(account=NAME, venue=VENUE, balances={"USDT": Decimal(1_000)}, key_type=KeyType.ED25519)
    settings = SimulatorSettings(venues=(VENUE,), accounts=(spec,), limits=WIDE)
    async with PaperExchangeServer(settings) as server:
        place, key = server.listing.venues[VENUE], server.listing.accounts[0]
        application = await start_application(None)
        try:
            account = await application.add(
                AccountSettings(
                    name=NAME,
                    venue=VENUE,
                    credentials=credentials_of(key.api_key, key.api_secret),
                    rest_url=place.rest_url,
                    ws_api_url=place.ws_api_url,
                    recovery=QUICK,
                    session_logon=True,
                    symbols=("BTCUSDT",),
                )
            )
            await account.wait_proven(10)
            assert server.control.requests["GET /api/v3/myTrades"] > 0, "configured symbols are read though nothing happened"
        finally:
            await application.stop()


async def test_decode_reads_the_frames_of_the_socket() -> None:
    lines = b"\n".join([FILL, BALANCE, b'{"id":"1","status":200,"result":{}}', b'{"event":{"e":"news","E":1}}', b"garbage"])
    outcome = await call("decode", "--venue", VENUE, "-", given=lines + b"\n")
    assert outcome.code == 0
    assert [line["kind"] for line in outcome.lines] == ["filled", "order_changed", "balance_set", "unrecognized", "unrecognized"]
    fill, order, balance, *_ = outcome.lines
    assert (fill["trade_id"], fill["fee"], fill["fee_asset"], fill["position_side"]) == ("77001", "0.001", "ETH", None)
    assert (order["status"], order["average_price"], balance["total"], balance["available"]) == ("filled", "2875.1", "3", "1")


async def test_run_state_and_tail(tmp_path: Path) -> None:
    async with simulator("--rate", "30", venue=VENUE) as listing:
        key, place = listing["accounts"][0], listing["venues"][VENUE]
        environment = {"KEY": key["api_key"], "SECRET": key["api_secret"]}
        text = f'[recovery]\nlag_s = 0.3\n[[account]]\nname = "alice"\nvenue = "{VENUE}"\napi_key_env = "KEY"\napi_secret_env = "SECRET"\n'
        places = f'rest_url = "{place["rest_url"]}"\nws_api_url = "{place["ws_api_url"]}"\nsymbols = ["BTCUSDT"]\n'
        (tmp_path / "userstream.toml").write_text(text + places)
        run = await call("run", "--seconds", "3", environment=environment, cwd=tmp_path)
        assert run.code == 0, run.err
        assert key["api_key"] not in run.err and key["api_secret"] not in run.err
        (tmp_path / "userstream.toml").write_text(text + 'rest_url = "https://a.example"\n')
        half = await call("run", "--seconds", "1", environment=environment, cwd=tmp_path)
        assert half.code == 2 and "alone would leave" in half.err and "give ws_api_url" in half.err
    state = (await call("state", "userstream.db", "--json", cwd=tmp_path)).lines[0]
    assert {balance["asset"] for balance in state["balances"]} >= {"USDT"} and state["positions"] == []
    told = (await call("tail", "userstream.db", "--kind", "filled", "--json", "--last", "2", cwd=tmp_path)).lines
    assert [(line["kind"], line["venue"]) for line in told] == [("filled", VENUE)] * 2


async def test_the_classic_surface_tells_recovered_fills_in_the_streams_shape() -> None:
    spec = AccountSpec(account=NAME, venue=VENUE, balances={"USDT": Decimal(100_000)})
    async with PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=(spec,), limits=WIDE)) as server:
        place, key = server.listing.venues[VENUE], server.listing.accounts[0]
        seen: list[dict[str, Any]] = []
        places = {"rest_url": place.rest_url, "ws_url": place.ws_url, "reconnect_delay": 0.1, "max_reconnect_delay": 1}
        stream = await BinanceClient().user_stream(key.api_key, seen.append, {"venue": VENUE, "api_secret": key.api_secret, **places})
        assert stream.account is not None
        await stream.account.wait_proven(30)
        wish = {"account": NAME, "symbol": "BTCUSDT", "side": "buy", "quantity": "0.01", "order_type": "market"}
        for action, fields in (("cut", {}), ("place", wish)):
            reply = server.control.answer(Call(method="POST", path=f"/control/{action}", body=msgspec.json.encode(fields)))
            assert reply.status == 200, reply.body
        asked = Counter(server.control.requests)
        await until(lambda: server.control.requests["GET /api/v3/account"] > asked["GET /api/v3/account"], "the next reading")
        await until(lambda: any(message.get("_source") == "recovery" for message in seen), "the recovered fill")
        message = next(message for message in seen if message.get("_source") == "recovery")
        assert (message["event"]["e"], message["event"]["s"], message["event"]["x"]) == ("executionReport", "BTCUSDT", "TRADE")
        await stream.stop()
        assert [message for message in seen if "event" not in message] == [], "the handler is told the venue's events alone"
