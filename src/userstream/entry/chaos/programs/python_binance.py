"""A user of python-binance: the user socket of the product, read on while the client reconnects by itself, opened anew when reading ends.

Its documentation says "close and restart the socket" to every error message. While the client is reconnecting, that close waits for ever,
so this user does it only when the client says that it reads no more: the kinder way.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import Any

from .messages import tell_message
from .told import Place, Witness, read_place

RETRY_S = 0.2


async def watch(binance: Any, place: Place, witness: Witness) -> None:
    class Client(binance.AsyncClient):  # type: ignore[misc]
        """Its WebSocket API takes no other address than that of its class."""

        WS_API_URL = place.ws_api_url

    client = Client(place.api_key, place.api_secret)
    client.FUTURES_URL, client.FUTURES_COIN_URL = f"{place.rest_url}/fapi", f"{place.rest_url}/dapi"
    manager = binance.BinanceSocketManager(client)
    manager.FSTREAM_URL = manager.DSTREAM_URL = f"{place.ws_url}/"
    sockets = {"binance-spot": manager.user_socket, "binance-coinm": manager.coin_futures_user_socket}
    while True:
        try:
            async with sockets.get(place.venue, manager.futures_user_socket)() as socket:
                witness.ready()
                await read(socket, place, witness)
        except Exception as error:
            # a user who wants to go on begins again, whatever it was
            witness.trouble(f"{type(error).__name__}: {error}")
        await asyncio.sleep(RETRY_S)


async def read(socket: Any, place: Place, witness: Witness) -> None:
    """Tells every message. Raises what the client raises once it gave up."""
    while True:
        message = await socket.recv()
        if message.get("e") == "error":
            witness.trouble(message.get("m", ""))
            continue
        tell_message(witness, message.get("event", message))
        await asyncio.sleep(place.work_s)


if __name__ == "__main__":
    logging.getLogger("binance").setLevel(logging.CRITICAL)
    asyncio.run(watch(import_module("binance"), read_place(), Witness()))
