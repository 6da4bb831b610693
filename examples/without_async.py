"""A program of threads, without async: `python examples/without_async.py`, Ctrl-C ends it.

The block of `with` holds the account; its event loop runs in a thread of its own. With a real key: `with userstream.connect(...)`.
"""

import contextlib
import sys
import threading

import userstream


def tell(line: str) -> None:
    """In one piece: of two threads that print, one may come between the words of the other."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def keep_diary(account: userstream.SyncAccount) -> None:
    """Blocks between fills; ends when the account is stopped (by ConnectionError, if it is behind then)."""
    with contextlib.suppress(userstream.ConnectionError):
        for fill in account.events(types={userstream.Filled}):
            assert isinstance(fill, userstream.Filled)
            tell(f"diary: {fill.side} {fill.quantity} {fill.symbol} at {fill.price}")


def main() -> None:
    with userstream.paper("binance-usdm", balances={"USDT": 10_000}) as account:
        threading.Thread(target=keep_diary, args=[account]).start()
        pause = threading.Event()
        for number in range(1, 1_000):
            name = f"order-{number}"
            account.exchange.place("BTCUSDT", "buy", "0.001", "60000", client_order_id=name)
            account.exchange.fill("BTCUSDT", name)
            order = account.wait_for(name, timeout=10)
            tell(f"{order.client_order_id} {order.status} - held: {account.positions['BTCUSDT'].amount}")
            pause.wait(0.5)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
