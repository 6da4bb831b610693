"""Ordinary threads beside an event loop, on one account: `python examples/threads.py`, Ctrl-C ends it."""

import asyncio
import contextlib
import sys
import threading

import userstream


def tell(line: str) -> None:
    """In one piece: of two threads that print, one may come between the words of the other."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def trade_diary(account: userstream.SyncAccount) -> None:
    """Blocks between fills; ends when the account is stopped (by ConnectionError, if it is behind then)."""
    with contextlib.suppress(userstream.ConnectionError):
        for fill in account.events(types={userstream.Filled}):
            assert isinstance(fill, userstream.Filled)
            tell(f"diary: {fill.side} {fill.quantity} {fill.symbol} - USDT {account.balances['USDT'].total}")


def watch(account: userstream.SyncAccount, ended: threading.Event) -> None:
    while not ended.wait(2):
        tell(f"watch: {account.health.state}, {len(account.orders.open())} open orders, {account.positions}")


async def main() -> None:
    ended = threading.Event()
    async with userstream.paper("binance-usdm", balances={"USDT": 10_000}, rate=20) as account:
        beside = account.sync()
        threads = [threading.Thread(target=trade_diary, args=[beside]), threading.Thread(target=watch, args=[beside, ended])]
        for thread in threads:
            thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
