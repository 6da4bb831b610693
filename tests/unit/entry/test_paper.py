"""A paper account: the other side is at hand, and its refusals are errors with the exchange's reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import userstream
from tests.unit.runtime.kit import Shell
from userstream.entry.paper import PaperAccount, PaperExchange
from userstream.kernel.errors import PaperExchangeError, SettingsError
from userstream.runtime.live import LiveAccount
from userstream.sim.server import PaperExchangeServer


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
        with pytest.raises(PaperExchangeError, match="there is no action 'cutt'; did you mean 'cut'"):
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


async def test_refusals_name_the_field_the_value_the_rule_and_what_to_do() -> None:
    async with userstream.paper() as account:
        exchange = account.exchange
        tries: list[tuple[Callable[[], Awaitable[object]], str]] = [
            (lambda: exchange.place("BTCUSD", "buy", "0.001"), "place: symbol = 'BTCUSD' is not traded here; did you mean 'BTCUSDT'?"),
            (lambda: exchange.place("BTCUSDT", "bye", "0.001"), "place: side 'bye' must be one of buy, sell"),
            (lambda: exchange.place("BTCUSDT", "buy", "x"), "place: quantity 'x' must be a decimal number such as '0.001'"),
            (lambda: exchange.place("BTCUSDT", "buy", "0"), "place: quantity 0 is below 0.001; take more"),
            (lambda: exchange.place("BTCUSDT", "buy", "1000", 60_000), "quantity = '1000', price = '60000': .*; take less"),
            (lambda: exchange.cancel("BTCUSDT", "a"), "client_order_id = 'a': order does not exist; the orders it knows are in truth"),
            (lambda: exchange.move_price("BTCUSDT", "-5"), "move_price: price -5 must be 0 or more"),
            (lambda: exchange.move_price("BTCUSDT", "x"), "move_price: price 'x' must be a decimal number"),
            (lambda: exchange.act("cut", account="bob"), "cut: account = 'bob' is not known; this one is 'paper'"),
            (lambda: exchange.act("silence", for_s="-1"), "^silence: for_s -1 must be between 0 and"),
            (lambda: exchange.act("delay", ms=-1), r"^delay: ms -1 must be a whole number \(0 or more\)"),
            (lambda: exchange.act("answer", status=42), r"^answer: status 42 must be a whole number \(200 to 599\)"),
            (lambda: exchange.act("fill"), "fill: account is missing: it must be text"),
            (lambda: exchange.act("fill", accounts="a"), "fill: there is no field 'accounts'; did you mean 'account'"),
            (lambda: exchange.act("../truth"), "there is no action '../truth'"),
            (lambda: exchange.act("fill", symbol=object()), "fill: symbol = <object .*> cannot be sent: give text"),
        ]
        for attempt, told in tries:
            with pytest.raises(PaperExchangeError, match=told) as caught:
                await attempt()
            assert "\n" not in str(caught.value)


async def test_a_paper_account_is_as_well_as_its_store() -> None:
    shell = Shell()
    account = LiveAccount(shell.runner, shell.clock, shell.journal, trouble_beside=lambda: "the disk is full")
    assert PaperAccount(account, PaperExchange(PaperExchangeServer(), "paper")).health.store_trouble == "the disk is full"


async def test_a_paper_account_has_a_store_like_any_other(tmp_path: Path) -> None:
    async with userstream.paper(store=tmp_path / "paper.db") as account:
        assert account.complete_since is not None
    assert (tmp_path / "paper.db").is_file()


@pytest.mark.parametrize(
    "wrong",
    [
        {"balances": {"USDT": "-1"}},
        {"balances": {"USDT": "much"}},
        {"balances": {"USDT": "NaN"}},
        {"balances": 5},
        {"balances": {5: 5}},
        {"rate": -1.0},
        {"rate": "fast"},
        {"rate": float("inf")},
        {"seed": "x"},
        {"account": "a/b"},
        {"account": None},
        {"venue": "binance-usd"},
    ],
)
async def test_what_cannot_be_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        async with userstream.paper(**wrong):
            pass
    [name] = wrong
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
