"""A paper account: the other side is at hand, and its refusals are errors with the exchange's reason."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import userstream
from userstream.entry.paper import PaperExchange
from userstream.kernel.errors import PaperExchangeError, SettingsError


async def test_the_other_side_trades_moves_and_refuses() -> None:
    async with userstream.paper(balances={"USDT": "5000.5"}, account="mine") as account:
        exchange = account.exchange
        assert account.id == "mine"
        assert account.balances["USDT"].total == Decimal("5000.5")
        assert exchange.control_url.startswith("http://127.0.0.1:")
        placed = await exchange.place("BTCUSDT", "buy", Decimal("0.010"), 60_000, client_order_id="a")
        assert placed["client_order_id"] == "a"
        await exchange.fill("BTCUSDT", "a", "0.004")
        await exchange.cancel("BTCUSDT", "a")
        order = await account.wait_for("a", timeout=10)
        assert (order.status, order.filled_quantity) == (userstream.OrderStatus.CANCELED, Decimal("0.004"))
        await exchange.place("BTCUSDT", "sell", "0.004", client_order_id="b")
        assert (await account.wait_for("b", timeout=10)).filled_quantity == Decimal("0.004")
        await exchange.move_price("BTCUSDT", 90_000)
        await exchange.cut()
        await account.wait_proven(10)
        truth: Any = exchange.truth()
        assert [row["quantity"] for row in truth["fills"]][:1] == ["0.004"]
        with pytest.raises(PaperExchangeError, match="does not exist"):
            await exchange.cancel("BTCUSDT", "nothing")
        with pytest.raises(PaperExchangeError, match="nearest is 'cut'"):
            await exchange.act("cutt")
        assert isinstance(exchange, PaperExchange)


def test_a_program_without_an_event_loop_has_the_same_in_blocks_that_wait(tmp_path: Path) -> None:
    with userstream.paper(store=tmp_path / "paper.db") as account:
        exchange = account.exchange
        assert exchange.control_url.startswith("http://127.0.0.1:")
        fills = account.events(types={userstream.Filled})
        assert exchange.place("BTCUSDT", "buy", Decimal("0.010"), 60_000, client_order_id="a")["client_order_id"] == "a"
        exchange.fill("BTCUSDT", "a", "0.004")
        exchange.cancel("BTCUSDT", "a")
        assert account.wait_for("a", timeout=10).filled_quantity == Decimal("0.004")
        exchange.move_price("BTCUSDT", 90_000)
        exchange.cut()
        exchange.act("cut", account="paper")
        account.wait_proven(10)
        truth: Any = exchange.truth()
        assert [row["quantity"] for row in truth["fills"]] == ["0.004"]
        with pytest.raises(PaperExchangeError, match="does not exist"):
            exchange.cancel("BTCUSDT", "nothing")
        assert next(fills).account == "paper"
    for ask in (lambda: next(fills), exchange.truth):
        with pytest.raises(userstream.ConnectionError, match="the event loop of the account has ended"):
            ask()


def test_what_cannot_be_is_told_without_an_event_loop_too() -> None:
    with pytest.raises(SettingsError, match="balances: USDT"), userstream.paper(balances={"USDT": "much"}):
        pass
    nowhere = userstream.connect("binance-usdm", api_key="k", rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9", timeout_s=0.05)
    with pytest.raises(userstream.ConnectionError, match="refused"), nowhere:
        pass


async def test_a_paper_account_has_a_store_like_any_other(tmp_path: Path) -> None:
    async with userstream.paper(store=tmp_path / "paper.db") as account:
        assert account.complete_since is not None
    assert (tmp_path / "paper.db").is_file()


@pytest.mark.parametrize(
    "wrong",
    [{"balances": {"USDT": "-1"}}, {"rate": -1.0}, {"venue": "binance-usd"}, {"balances": {"USDT": "much"}}, {"balances": {"USDT": "NaN"}}],
)
async def test_what_cannot_be_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        async with userstream.paper(**wrong):
            pass
    assert "\n" not in str(caught.value)
