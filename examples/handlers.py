"""Functions that are called for events, and orders placed on the paper exchange: `python examples/handlers.py`, Ctrl-C ends it."""

import asyncio
import contextlib
from decimal import Decimal

import userstream


async def main() -> None:
    async with userstream.paper("binance-usdm", balances={"USDT": 10_000}) as account:

        @account.on(userstream.Filled)
        def note_fill(event: userstream.Event) -> None:
            assert isinstance(event, userstream.Filled)
            print("filled", event.side, event.quantity, event.symbol, "at", event.price, flush=True)

        @account.on(userstream.StreamChanged, userstream.GapOpened, userstream.GapRepaired)
        async def note_trouble(event: userstream.Event) -> None:
            print(userstream.public_form(event)["kind"], account.state, flush=True)

        for number in range(1, 1_000):
            name = f"order-{number}"
            await account.exchange.place("BTCUSDT", "buy", "0.001", "60000", client_order_id=name)
            await account.wait_for(name, final=False, timeout=10)
            await account.exchange.fill("BTCUSDT", name)
            order = await account.wait_for(name, timeout=10)
            held = account.positions["BTCUSDT"].amount
            print(order.client_order_id, order.status, "- held:", held, "- last fill:", account.fills.recent()[-1].trade_id, flush=True)
            assert held == number * Decimal("0.001")
            if number % 5 == 0:
                await account.exchange.cut()  # the socket is torn off; nothing is lost
                await account.wait_proven(timeout=30)
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
