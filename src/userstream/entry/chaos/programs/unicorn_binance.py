"""A user of unicorn-binance-websocket-api: one `!userData` stream read from its asyncio queue, the way it recommends."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import Any

from .messages import tell_message
from .told import Place, Witness, read_place

LOOK_S = 0.2


def make_rest(place: Place) -> Any:
    """Its REST client. Time and ping it asks of the Spot venue, also where it is told to speak to futures; here it asks both of futures."""
    client: Any = import_module("unicorn_binance_rest_api").BinanceRestApiManager

    class Rest(client):  # type: ignore[misc]
        API_URL = FUTURES_URL = f"{place.rest_url}/fapi"

        def get_server_time(self) -> object:
            return self.futures_time()

        def ping(self) -> object:
            return self.futures_ping()

    return Rest(place.api_key, place.api_secret, tld="com", warn_on_update=False, disable_colorama=True)


def make_manager(place: Place) -> Any:
    """The manager with its addresses at the exchange, as watchful as it can be told to be."""
    manager = import_module("unicorn_binance_websocket_api").BinanceWebSocketApiManager(
        exchange="binance.com-futures",
        restful_base_uri=f"{place.rest_url}/fapi",
        websocket_base_uri=f"{place.ws_url}/",
        ping_interval_default=max(1, int(place.watch_s / 3)),
        ping_timeout_default=max(1, int(place.watch_s * 2 / 3)),
        warn_on_update=False,
        disable_colorama=True,
    )
    manager.restclient.ubra = make_rest(place)
    return manager


async def watch(manager: Any, place: Place, witness: Witness) -> None:
    async def read(stream_id: str) -> None:
        while not manager.is_stop_request(stream_id):
            data = await manager.get_stream_data_from_asyncio_queue(stream_id)
            tell_message(witness, json.loads(data))
            manager.asyncio_queue_task_done(stream_id)
            await asyncio.sleep(place.work_s)

    keys = {"api_key": place.api_key, "api_secret": place.api_secret}
    manager.create_stream("arr", "!userData", process_asyncio_queue=read, **keys)
    witness.ready()
    while not manager.is_manager_stopping():
        await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    place = read_place()
    with make_manager(place) as manager:
        asyncio.run(watch(manager, place, Witness()))
