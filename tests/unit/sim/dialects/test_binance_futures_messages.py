"""Every event has exactly the keys and JSON types of the venue's tables (Binance USD-M, 4.1)."""

import random
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sim.kit import START, Desk, open_desk, rich
from userstream.sim.books import (
    AccountHappened,
    AlgoHappened,
    AlgoOrder,
    AlgoStatus,
    AssetModeHappened,
    Balance,
    Execution,
    Happening,
    LeverageHappened,
    MarginCallHappened,
    Millis,
    Order,
    OrderHappened,
    Position,
    PositionSide,
    Side,
)
from userstream.sim.dialects.binance_futures_messages import (
    EVENT_NAMES,
    MessageWriter,
    listen_key_expired,
    message_of,
    rare_event,
    server_shutdown,
)

Shape = Mapping[str, object]


def is_decimal(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) is not None


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def one_of(*words: str) -> Callable[[object], bool]:
    return lambda value: value in words


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_flag(value: object) -> bool:
    return isinstance(value, bool)


def is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and (value == 0 or 10**12 < value < 10**14)


S, D, N, B, MS = is_text, is_decimal, is_whole, is_flag, is_time
SIDE, PS = one_of("BUY", "SELL"), one_of("BOTH", "LONG", "SHORT")
STP = one_of("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")

ORDER: Final[Shape] = MappingProxyType(
    {
        "s": S,
        "c": S,
        "S": SIDE,
        "o": one_of("LIMIT", "MARKET", "LIQUIDATION"),
        "f": one_of("GTC", "IOC", "FOK", "GTX", "GTD"),
        "q": D,
        "p": D,
        "ap": D,
        "sp": D,
        "x": one_of("NEW", "CANCELED", "CALCULATED", "EXPIRED", "TRADE", "AMENDMENT"),
        "X": one_of("NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"),
        "i": N,
        "l": D,
        "z": D,
        "L": D,
        "T": MS,
        "t": N,
        "b": D,
        "a": D,
        "m": B,
        "R": B,
        "wt": one_of("CONTRACT_PRICE", "MARK_PRICE"),
        "ot": S,
        "ps": PS,
        "cp": B,
        "pP": B,
        "si": N,
        "ss": N,
        "rp": D,
        "V": STP,
        "pm": S,
        "gtd": MS,
        "er": one_of(*"0123456789", "10", "11"),
    }
)
POSITION: Final[Shape] = MappingProxyType(
    {"s": S, "pa": D, "ep": D, "bep": D, "cr": D, "up": D, "mt": one_of("cross", "isolated"), "iw": D, "ps": PS}
)
TRADE_LITE: Final[Shape] = MappingProxyType(
    {"e": S, "E": MS, "T": MS, "s": S, "q": D, "p": D, "m": B, "c": S, "S": SIDE, "L": D, "l": D, "t": N, "i": N}
)
ALGO: Final[Shape] = MappingProxyType(
    {
        "caid": S,
        "aid": N,
        "at": one_of("CONDITIONAL"),
        "o": S,
        "s": S,
        "S": SIDE,
        "ps": PS,
        "f": S,
        "q": D,
        "X": one_of("NEW", "CANCELED", "TRIGGERING", "TRIGGERED", "FINISHED", "REJECTED", "EXPIRED"),
        "ai": S,
        "ap": D,
        "aq": D,
        "act": S,
        "tp": D,
        "p": D,
        "V": STP,
        "wt": one_of("CONTRACT_PRICE", "MARK_PRICE"),
        "pm": S,
        "cp": B,
        "pP": B,
        "R": B,
        "tt": MS,
        "gtd": MS,
        "rm": S,
    }
)
CALL_POSITION: Final[Shape] = MappingProxyType(
    {"s": S, "ps": PS, "pa": D, "mt": one_of("CROSSED", "ISOLATED"), "iw": D, "mp": D, "up": D, "mm": D}
)


def check(message: object, shape: Shape, optional: Shape | None = None) -> None:
    """Exactly these keys, each of its type; a nested mapping is a shape of its own, a list of one shape is a list of those."""
    assert isinstance(message, dict)
    extra = dict(optional or {})
    assert set(message) - set(extra) == set(shape)
    for key, value in message.items():
        kind = shape.get(key, extra.get(key))
        if isinstance(kind, Mapping):
            check(value, kind)
        elif isinstance(kind, list):
            assert isinstance(value, list)
            for each in value:
                check(each, kind[0])
        else:
            assert callable(kind)
            assert kind(value), f"{key}={value!r}"


def check_event(event: dict[str, object]) -> None:
    """Any event of the books against its table."""
    name = event["e"]
    stamped: dict[str, object] = {"e": S, "E": MS, "T": MS}
    match name:
        case "ORDER_TRADE_UPDATE":
            trade = isinstance(event["o"], dict) and event["o"]["x"] in ("TRADE", "CALCULATED")
            order = {**ORDER, **({"n": D, "N": S} if trade else {})}
            assert isinstance(event["o"], dict)
            check({key: value for key, value in event["o"].items() if key != "M"}, order)
            check({key: value for key, value in event.items() if key != "o"}, stamped)
        case "ACCOUNT_UPDATE":
            assert isinstance(event["a"], dict)
            funding = {"S": S} if event["a"]["m"] == "FUNDING_FEE" else {}
            balances = [{"a": S, "wb": D, "cw": D, "bc": D}]
            check(event, stamped | {"a": {"m": S, "B": balances, "P": [POSITION], **funding}})
        case "TRADE_LITE":
            check(event, TRADE_LITE)
        case "MARGIN_CALL":
            check(event, {"e": S, "E": MS, "p": [CALL_POSITION]}, {"cw": D})
        case "ACCOUNT_CONFIG_UPDATE":
            kinds = {"ac": {"s": S, "l": N}} if "ac" in event else {"ai": {"j": B}}
            check(event, stamped | kinds)
        case "ALGO_UPDATE":
            assert isinstance(event["o"], dict)
            check(event, stamped | {"o": ALGO if "ia" not in event["o"] else {**ALGO, "ia": B}})
        case _:
            raise AssertionError(f"no table for {name}")


def order(**changes: object) -> Order:
    plain = Order(
        order_id=3_300_000_001,
        account="a",
        symbol="BTCUSDT",
        client_order_id="c-1",
        side=Side.BUY,
        order_type="limit",
        original_type="limit",
        time_in_force="gtc",
        price=Decimal("81000.0"),
        quantity=Decimal("0.050"),
        created_time=START,
        updated_time=START,
    )
    return msgspec.structs.replace(plain, **changes)


def algo(**changes: object) -> AlgoOrder:
    plain = AlgoOrder(
        algo_id=7,
        account="a",
        client_algo_id="x",
        symbol="BTCUSDT",
        side=Side.SELL,
        order_type="stop",
        created_time=START,
        updated_time=START,
    )
    return msgspec.structs.replace(plain, **changes)


def shown(happening: OrderHappened | AccountHappened | MarginCallHappened | AlgoHappened) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(msgspec.json.encode(message_of(happening, START)))
    check_event(found)
    return found


def busy_desk() -> Desk:
    """An account that went through every kind of event the books cause."""
    desk = open_desk(accounts=(rich(),))
    desk.listen()
    desk.limit(newClientOrderId="stays")
    desk.call(
        "PUT", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", origClientOrderId="stays", quantity="0.02", price="79999", modifyId="41"
    )
    desk.market(quantity="0.5")
    desk.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="stays")
    desk.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage="25")
    desk.call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="true")
    exchange, now = desk.contracts, desk.clock.now()
    exchange.fund("BTCUSDT", Decimal("0.0001"), now)
    exchange.transfer("paper-1", "BNB", Decimal(1), now)
    exchange.margin_call("paper-1", now)
    trail = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL"}
    desk.call("POST", "/fapi/v1/algoOrder", **trail, type="TRAILING_STOP_MARKET", callbackRate="1", quantity="0.1", activatePrice="85000")
    desk.call("POST", "/fapi/v1/algoOrder", **trail, type="STOP_MARKET", triggerPrice="80000", quantity="0.1")
    exchange.move_price("BTCUSDT", Decimal("79000"), now)
    exchange.liquidate("paper-1", "BTCUSDT", exchange.positions("paper-1")[0].position_side, now)
    desk.house.publish(desk.hall, now)
    return desk


def test_every_event_of_a_full_day_has_exactly_its_keys_and_types() -> None:
    events = busy_desk().heard()
    for event in events:
        check_event(event)
    seen = {event["e"] for event in events}
    assert seen == {"ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "ALGO_UPDATE"}
    executions = {event["o"]["x"] for event in events if event["e"] == "ORDER_TRADE_UPDATE" and isinstance(event["o"], dict)}
    assert executions >= {"NEW", "TRADE", "AMENDMENT", "CANCELED", "CALCULATED"}
    statuses = {event["o"]["X"] for event in events if event["e"] == "ALGO_UPDATE" and isinstance(event["o"], dict)}
    assert statuses >= {"NEW", "TRIGGERING", "TRIGGERED", "FINISHED"}


def test_the_modify_id_is_shown_on_the_amendment_only() -> None:
    orders = [event["o"] for event in busy_desk().heard() if event["e"] == "ORDER_TRADE_UPDATE"]
    assert [each["M"] for each in orders if isinstance(each, dict) and "M" in each] == ["41"]


def test_a_fill_comes_as_trade_lite_first_and_carries_the_same_numbers() -> None:
    events = busy_desk().heard()
    lites = {event["t"]: place for place, event in enumerate(events) if event["e"] == "TRADE_LITE"}
    trades = {
        each["t"]: (place, each)
        for place, event in enumerate(events)
        if event["e"] == "ORDER_TRADE_UPDATE" and isinstance(each := event["o"], dict) and each["x"] == "TRADE"
    }
    assert lites.keys() == trades.keys()
    for trade_id, place in lites.items():
        later, order_part = trades[trade_id]
        assert place < later
        assert all(events[place][key] == order_part[key] for key in ("s", "q", "p", "m", "c", "S", "L", "l", "t", "i"))


def test_one_type_is_always_in_order_whatever_chance_does() -> None:
    for seed in range(20):
        desk = open_desk(seed=seed)
        desk.listen()
        desk.market(quantity="2")
        events = desk.heard()
        for name in ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE"):
            stamps = [(event["E"], event["T"]) for event in events if event["e"] == name]
            assert stamps == sorted(stamps)
        filled = [Decimal(str(event["o"]["z"])) for event in events if event["e"] == "ORDER_TRADE_UPDATE" and isinstance(event["o"], dict)]
        assert filled == sorted(filled)


def test_the_account_update_comes_sometimes_before_and_sometimes_after_its_order() -> None:
    seen = set()
    for seed in range(12):
        desk = open_desk(seed=seed)
        desk.listen()
        desk.market(quantity="0.001")
        seen.add(tuple(desk.heard_types()[-2:]))
    assert seen == {("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"), ("ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE")}


@given(st.lists(st.sampled_from(["order", "account", "algo"]), max_size=12), st.integers())
def test_writing_loses_and_invents_nothing(kinds: list[str], seed: int) -> None:
    made: dict[str, Happening] = {
        "order": OrderHappened(account="a", time=START, execution=Execution.NEW, order=order()),
        "account": AccountHappened(account="a", time=START, reason="order"),
        "algo": AlgoHappened(account="a", time=START, algo=algo()),
    }
    names = {"order": "ORDER_TRADE_UPDATE", "account": "ACCOUNT_UPDATE", "algo": "ALGO_UPDATE"}
    frames = MessageWriter(random.Random(seed)).write([made[kind] for kind in kinds], START)
    assert sorted(each.event for each in frames) == sorted(names[kind] for kind in kinds)


def test_funding_names_its_symbol_and_only_funding_does() -> None:
    balance = Balance(account="a", asset="USDT", wallet=Decimal("-1.5"), cross_wallet=Decimal("0E-8"))
    paid = shown(
        AccountHappened(
            account="a", time=START, reason="funding_fee", balances=(balance,), deltas={"USDT": Decimal("-0.16")}, symbol="BTCUSDT"
        )
    )
    assert paid["a"] == {"m": "FUNDING_FEE", "S": "BTCUSDT", "B": [{"a": "USDT", "wb": "-1.5", "cw": "0", "bc": "-0.16"}], "P": []}
    moved = shown(AccountHappened(account="a", time=START, reason="deposit", balances=(balance,)))
    assert isinstance(moved["a"], dict)
    assert "S" not in moved["a"]


@pytest.mark.parametrize("cross_wallet", [None, Decimal("31.6812")])
def test_a_margin_call_shows_the_cross_wallet_only_when_it_is_about_it(cross_wallet: Decimal | None) -> None:
    position = Position(
        account="a",
        symbol="ETHUSDT",
        position_side=PositionSide.BOTH,
        amount=Decimal("1.3"),
        margin_type="cross" if cross_wallet else "isolated",
    )
    message = shown(MarginCallHappened(account="a", time=START, cross_wallet=cross_wallet, positions=(position,)))
    assert ("cw" in message) == (cross_wallet is not None)
    assert isinstance(message["p"], list)
    assert message["p"][0]["mt"] == ("CROSSED" if cross_wallet else "ISOLATED")


def test_an_algo_order_shows_its_real_order_only_after_the_trigger() -> None:
    before = shown(AlgoHappened(account="a", time=START, algo=algo(), actual_type="market"))["o"]
    after = shown(AlgoHappened(account="a", time=START, algo=algo(status=AlgoStatus.TRIGGERED, order_id=9), actual_type="market"))["o"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert (before["ai"], before["act"]) == ("", "0")
    assert (after["ai"], after["act"]) == ("9", "MARKET")


def test_only_a_trailing_order_says_whether_it_is_active() -> None:
    assert "ia" not in str(shown(AlgoHappened(account="a", time=START, algo=algo())))
    trailing = shown(AlgoHappened(account="a", time=START, algo=algo(order_type="trailing_stop_market", activated=True)))["o"]
    assert isinstance(trailing, dict)
    assert trailing["ia"] is True


def test_configuration_events_carry_exactly_one_of_two() -> None:
    leverage = message_of(LeverageHappened(account="a", time=START, symbol="BTCUSDT", leverage=25), Millis(START + 1))
    assert leverage == {"e": "ACCOUNT_CONFIG_UPDATE", "T": START, "E": START + 1, "ac": {"s": "BTCUSDT", "l": 25}}
    assert message_of(AssetModeHappened(account="a", time=START, multi_assets=True), START)["ai"] == {"j": True}


def test_a_message_is_never_stamped_before_it_happened() -> None:
    late = OrderHappened(account="a", time=Millis(START + 50), execution=Execution.NEW, order=order())
    assert message_of(late, START)["E"] == START + 50


@pytest.mark.parametrize(
    ("name", "place", "shape"),
    [
        ("CONDITIONAL_ORDER_TRIGGER_REJECT", "or", {"s": S, "i": N, "r": S}),
        ("STRATEGY_UPDATE", "su", {"si": N, "st": S, "ss": S, "s": S, "ut": MS, "c": N}),
        ("GRID_UPDATE", "gu", {"si": N, "st": S, "ss": S, "s": S, "r": D, "up": D, "uq": D, "uf": D, "mp": D, "ut": MS}),
    ],
)
def test_rare_events_have_their_tables_and_take_other_values(name: str, place: str, shape: Shape) -> None:
    check(rare_event(name, {}, START), {"e": S, "E": MS, "T": MS, place: shape})
    changed = rare_event(name, {"s": "XRPUSDT"}, START)[place]
    assert isinstance(changed, dict)
    assert changed["s"] == "XRPUSDT"


def test_an_unknown_rare_event_is_refused() -> None:
    with pytest.raises(ValueError, match="STRATEGY_UPDATE"):
        rare_event("ORDER_TRADE_UPDATE", {}, START)


def test_the_messages_of_the_server_itself() -> None:
    check(listen_key_expired("k", START), {"e": one_of("listenKeyExpired"), "E": MS, "listenKey": S})
    check(server_shutdown(START), {"e": one_of("serverShutdown"), "E": MS})
    assert len(EVENT_NAMES) == 10
