"""A user of the venue's own SDK: a listen key from its REST client, the user stream on it, and the key kept alive.

Its documents name no way to go on after a cut: what it renews before the 24 hours are over, it renews itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from .messages import tell_message
from .told import Place, Witness, read_place

KEEP_ALIVE_S = 1_800
NAMES = {"OrderTradeUpdate": "ORDER_TRADE_UPDATE", "AccountUpdate": "ACCOUNT_UPDATE"}
PACKAGE = "binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures"


def make_client(place: Place) -> Any:
    settings = import_module("binance_common.configuration")
    rest = settings.ConfigurationRestAPI(api_key=place.api_key, api_secret=place.api_secret, base_path=place.rest_url)
    streams = settings.ConfigurationWebSocketStreams(stream_url=f"{place.ws_url}/stream", reconnect_delay=500)
    return import_module(PACKAGE).DerivativesTradingUsdsFutures(config_rest_api=rest, config_ws_streams=streams)


def fields_of(message: Any) -> Mapping[str, Any]:
    """The venue's names again, from the model that the client made of them."""
    inner = getattr(message, "actual_instance", None)
    return {} if inner is None else inner.to_dict() | {"e": NAMES.get(type(inner).__name__, "")}


async def watch(client: Any, place: Place, witness: Witness) -> None:
    key = (await asyncio.to_thread(client.rest_api.start_user_data_stream)).data().listen_key
    connection = await client.websocket_streams.create_connection()
    stream = await connection.user_data(key)
    stream.on("message", lambda message: tell_message(witness, fields_of(message)))
    connection.on_connection("error", witness.trouble)
    connection.on_connection("close", lambda: witness.trouble("closed"))
    witness.ready()
    while True:
        await asyncio.sleep(KEEP_ALIVE_S)
        await asyncio.to_thread(client.rest_api.keepalive_user_data_stream)


if __name__ == "__main__":
    place = read_place()
    asyncio.run(watch(make_client(place), place, Witness()))
