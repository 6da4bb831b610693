"""A user of this package: `connect`, then every event."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from .told import Place, Witness, read_place


async def watch(userstream: Any, place: Place, witness: Witness) -> None:
    """Reads the account's events until the process ends."""
    recovery = import_module("userstream.kernel.settings").RecoverySettings(
        lag_s=1.0, overlap_s=2.0, audit_s=5.0, history_s=60.0, poll_s=2.0
    )
    stream = import_module("userstream.kernel.settings").StreamSettings(
        own_ping_s=place.watch_s / 3,
        silence_s=place.watch_s,
        first_delay_s=0.2,
        max_delay_s=2.0,
        rotate_s=min(place.life_s * 0.6, 82_800.0),
    )
    keys = {"api_key": place.api_key, "api_secret": place.api_secret}
    addresses = {"rest_url": place.rest_url, "ws_url": place.ws_url, "ws_api_url": place.ws_api_url}
    async with userstream.connect(place.venue, **keys, **addresses, recovery=recovery, stream=stream) as account:
        events = account.events()
        witness.ready()
        async for event in events:
            if tell_event(userstream, witness, event):
                await asyncio.sleep(place.work_s)


def tell_event(userstream: Any, witness: Witness, event: Any) -> bool:
    """Tells a fill, a plain order, a leg or a wallet; False of anything else."""
    match event:
        case userstream.Filled(symbol=symbol, trade_id=trade_id, order_id=order_id):
            witness.fill(symbol=symbol, trade_id=trade_id, order_id=order_id, price=f"{event.price:f}", quantity=f"{event.quantity:f}")
        case userstream.OrderChanged(conditional=False, symbol=symbol, order_id=order_id):
            told = {"client_order_id": event.client_order_id, "status": str(event.status), "filled": f"{event.filled_quantity:f}"}
            witness.order(symbol=symbol, order_id=order_id, **told)
        case userstream.PositionSet(symbol=symbol, position_side=side):
            witness.position(symbol=symbol, side=str(side), amount=f"{event.amount:f}")
        case userstream.BalanceSet(asset=asset) if event.venue == "binance-spot":
            witness.wallet(asset=asset, amount=f"{event.total:f}")
        case _:
            return False
    return True


if __name__ == "__main__":
    asyncio.run(watch(import_module("userstream"), read_place(), Witness()))
