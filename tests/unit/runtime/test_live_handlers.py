"""Handlers as their authors type them: what a type checker takes and refuses (`make types` reads this file), and that each is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_type

import pytest

from tests.unit.runtime.kit import Shell
from userstream.domain.events import BalanceSet, Event, Fact, Filled, OrderChanged, PositionSet, StreamChanged
from userstream.runtime.live import LiveAccount


async def test_handlers_of_one_kind(shell: Shell) -> None:
    heard: list[tuple[str, str]] = []

    @shell.account.on(Filled)
    def plain(fill: Filled) -> None:
        heard.append(("plain", fill.trade_id))

    @shell.account.on(Filled)
    async def awaited(fill: Filled) -> None:
        heard.append(("awaited", fill.trade_id))

    @shell.account.on(Filled)
    def wide(event: Event) -> None:
        heard.append(("wide", type(event).__name__))

    assert_type(plain, Callable[[Filled], None])
    await shell.trade()
    await shell.clock.settle()
    [fill] = (event for event in shell.events if isinstance(event, Filled))
    assert sorted(heard) == [("awaited", fill.trade_id), ("plain", fill.trade_id), ("wide", "Filled")]


async def test_handlers_of_several_kinds(shell: Shell) -> None:
    heard: list[str] = []

    @shell.account.on(Filled, OrderChanged)
    def two(event: Filled | OrderChanged) -> None:
        heard.append(f"two {event.symbol}")

    @shell.account.on(Filled, OrderChanged, StreamChanged)
    async def three(event: Filled | OrderChanged | StreamChanged) -> None:
        heard.append("three")

    @shell.account.on(Filled, OrderChanged, StreamChanged, BalanceSet, PositionSet)
    def many(event: Event) -> None:
        heard.append("many")

    @shell.account.on()
    def everything(event: Event) -> None:
        heard.append("everything")

    kinds: list[type[Fact]] = [Filled]
    shell.account.on(*kinds, handler=everything)
    await shell.trade()
    await shell.clock.settle()
    assert {"two BTCUSDT", "three", "many", "everything"} == set(heard)


async def test_the_call_form_gives_the_handler_back(shell: Shell) -> None:
    fills: list[Filled] = []
    changes: list[Filled | OrderChanged] = []
    events: list[Event] = []
    assert shell.account.on(Filled, handler=fills.append) == fills.append
    shell.account.on(Filled, OrderChanged, handler=changes.append)
    shell.account.on(handler=events.append)

    async def wait(fill: Filled) -> None:
        fills.append(fill)

    assert shell.account.on(Filled, handler=wait) is wait
    await shell.trade()
    await shell.clock.settle()
    assert len(fills) == 2
    assert len(changes) >= 2
    assert len(events) >= len(changes)


def refused_by_a_type_checker(account: LiveAccount) -> None:
    """Never called: a checker that takes one of these finds its `ignore` unused."""

    def of_orders(order: OrderChanged) -> None: ...

    def of_nothing() -> None: ...

    def with_a_number(fill: Filled) -> int:
        return 0

    async def of_fills(fill: Filled) -> None: ...

    account.on(Filled)(of_orders)  # type: ignore[arg-type]
    account.on(Filled, handler=of_orders)  # type: ignore[arg-type]
    account.on(Filled, OrderChanged)(of_orders)  # type: ignore[arg-type]
    account.on(Filled, OrderChanged, handler=of_fills)  # type: ignore[arg-type]
    account.on(Filled)(of_nothing)  # type: ignore[arg-type]
    account.on(Filled)(with_a_number)  # type: ignore[type-var]
    account.on()(of_fills)  # type: ignore[type-var]
    account.on(int)  # type: ignore[type-var]
    account.on("Filled")  # type: ignore[call-overload]


def taken_by_a_type_checker(account: LiveAccount) -> None:
    """Never called: what a program's own names for handlers need."""
    handlers: list[Callable[[Filled], Awaitable[None] | None]] = []
    for handler in handlers:
        account.on(Filled, handler=handler)
    account.on(Filled, handler=lambda fill: print(fill.price))  # noqa: T201 - never called


async def test_what_is_no_function_is_no_handler(shell: Shell) -> None:
    with pytest.raises(TypeError, match="handler 3 is no function"):
        shell.account.on(Filled, handler=3)  # type: ignore[call-overload]


async def test_a_decorator_without_parentheses_is_told_how_it_is_written(shell: Shell) -> None:
    with pytest.raises(
        TypeError, match=r"note is a function, and no class of an event: write @account\.on\(userstream\.Filled\), or @account\.on\(\)"
    ):

        @shell.account.on  # type: ignore[call-overload]
        def note(event: Event) -> None: ...

    await shell.trade()
    await shell.clock.settle()
    assert shell.account.health.handler_errors == 0
