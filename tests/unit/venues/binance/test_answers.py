"""REST answers to facts: each shape once in full, and what a broken answer says."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import ALICE, FILL, RECEIVED, USDM, decode, encoded, order_frame
from userstream.domain.events import BalanceSet, Event, Filled, OrderChanged, PositionSet
from userstream.domain.orders import order_age, same_order
from userstream.domain.registers import same_balance, same_position
from userstream.domain.words import Origin
from userstream.kernel.errors import DecodeError, RetryLater, UserStreamError
from userstream.kernel.ids import Millis
from userstream.venues.binance.answers import Reading, read_row, read_rows
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.rows import (
    AccountConfigRow,
    AlgoRow,
    BalanceRow,
    IncomeRow,
    OrderRow,
    PositionRow,
    Row,
    SymbolConfigRow,
    TradeRow,
)

ACCOUNT_UPDATE = (
    b'{"e":"ACCOUNT_UPDATE","T":1790000001200,"E":1790000001203,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"10240.11871200","cw":'
    b'"9840.11871200","bc":"0"}],"P":[{"s":"BTCUSDT","pa":"0.020","ep":"80999.5","bep":"81015.7","cr":"-12.5","up":"-0.1",'
    b'"mt":"cross","iw":"0","ps":"BOTH"}]}}'
)
ALGO_UPDATE = (
    b'{"e":"ALGO_UPDATE","T":1790000300000,"E":1790000300004,"o":{"caid":"svc7-sl-9","aid":2148719,"at":"CONDITIONAL","o":"STOP_MARKET",'
    b'"s":"BTCUSDT","S":"SELL","ps":"BOTH","f":"GTC","q":"0.020","X":"NEW","ai":"","ap":"0.00000","aq":"0.00000","act":"0","tp":"79500.0",'
    b'"p":"0","V":"EXPIRE_MAKER","wt":"MARK_PRICE","pm":"NONE","cp":false,"pP":false,"R":true,"tt":0,"gtd":0,"rm":""}}'
)
AS_OF = Millis(1_790_000_005_000)

# Binance USD-M, 6.5.
ORDER = (
    b'{"orderId":3300012345,"symbol":"BTCUSDT","status":"PARTIALLY_FILLED","clientOrderId":"svc7-000123","price":"81000.0","avgPrice":'
    b'"80999.50000","origQty":"0.050","executedQty":"0.020","cumQuote":"1619.99000","timeInForce":"GTC","type":"LIMIT","reduceOnly":false,'
    b'"closePosition":false,"side":"BUY","positionSide":"BOTH","stopPrice":"0","workingType":"CONTRACT_PRICE","priceProtect":false,'
    b'"origType":"LIMIT","priceMatch":"NONE","selfTradePreventionMode":"EXPIRE_MAKER","goodTillDate":0,"time":1790000000900,'
    b'"updateTime":1790000001200}'
)
ALGO = (
    b'{"algoId":2148719,"clientAlgoId":"svc7-sl-9","algoType":"CONDITIONAL","orderType":"STOP_MARKET","symbol":"BTCUSDT","side":"SELL",'
    b'"positionSide":"BOTH","timeInForce":"GTC","quantity":"0.020","algoStatus":"NEW","actualOrderId":"","actualPrice":"0.00000",'
    b'"triggerPrice":"79500.0","price":"0.0","icebergQuantity":null,"selfTradePreventionMode":"EXPIRE_MAKER","workingType":"MARK_PRICE",'
    b'"priceMatch":"NONE","closePosition":false,"priceProtect":false,"reduceOnly":true,"createTime":1790000300000,'
    b'"updateTime":1790000300000,"triggerTime":0,"goodTillDate":0}'
)
POSITION = (
    b'{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"0.020","entryPrice":"80999.5","breakEvenPrice":"81015.7","markPrice":'
    b'"81010.12000000","unRealizedProfit":"0.21240000","liquidationPrice":"41020.1","isolatedMargin":"0","notional":"1620.20240000",'
    b'"marginAsset":"USDT","isolatedWallet":"0","initialMargin":"64.80809600","maintMargin":"6.48080960","adl":1,'
    b'"updateTime":1790000001200}'
)
BALANCE = (
    b'{"accountAlias":"SgsRfWuX","asset":"USDT","balance":"10240.11871200","crossWalletBalance":"9840.11871200","crossUnPnl":"0.21240000",'
    b'"availableBalance":"9678.32301600","maxWithdrawAmount":"9678.32301600","marginAvailable":true,"updateTime":1790000001200}'
)
TRADE = (
    b'{"symbol":"BTCUSDT","pair":"BTCUSDT","id":5200001,"orderId":3300012345,"side":"BUY","price":"80999.5","qty":"0.020","quoteQty":'
    b'"1619.99000","baseQty":"0.020","realizedPnl":"0","commission":"0.32399800","commissionAsset":"USDT","marginAsset":"USDT",'
    b'"time":1790000001200,"positionSide":"BOTH","buyer":true,"maker":true}'
)
FUNDING = (
    b'{"symbol":"BTCUSDT","incomeType":"FUNDING_FEE","income":"-0.16199900","asset":"USDT","info":"FUNDING_FEE","time":1790006400000,'
    b'"tranId":9689322392001,"tradeId":""}'
)


def changed(body: bytes, **fields: object) -> bytes:
    return encoded({**msgspec.json.decode(body), **fields})


def without(body: bytes, *names: str) -> bytes:
    return encoded({name: value for name, value in msgspec.json.decode(body).items() if name not in names})


def reading(drift: Drift | None = None) -> Reading:
    return Reading(drift or Drift(ALICE, USDM), "GET /x", AS_OF, RECEIVED)


def shown(event: Event) -> dict[str, object]:
    """The told fields, without the common stamp, which is checked here."""
    fields = msgspec.to_builtins(event)
    common = {name: fields.pop(name) for name in ("account", "venue", "received_time", "source", "as_of")}
    assert common == {"account": ALICE, "venue": USDM, "received_time": RECEIVED, "source": "snapshot", "as_of": AS_OF}
    assert isinstance(fields, dict)
    return fields


def order(body: bytes, drift: Drift | None = None) -> dict[str, object]:
    return shown(reading(drift).order(read_row(body, OrderRow, "GET /x")))


def algo(body: bytes) -> dict[str, object]:
    return shown(reading().conditional_order(read_row(body, AlgoRow, "GET /x")))


def test_an_order() -> None:
    assert order(ORDER) == {
        "kind": "order_changed",
        "event_time": 1790000001200,
        "symbol": "BTCUSDT",
        "order_id": "3300012345",
        "client_order_id": "svc7-000123",
        "side": "buy",
        "order_type": "limit",
        "original_type": "limit",
        "time_in_force": "gtc",
        "status": "partially_filled",
        "execution_type": "snapshot",
        "price": "81000.0",
        "stop_price": "0",
        "average_price": "80999.50000",
        "quantity": "0.050",
        "filled_quantity": "0.020",
        "transaction_time": 1790000001200,
        "created_time": 1790000000900,
        "self_trade_prevention": "expire_maker",
        "working_type": "contract_price",
    }


def test_orders_of_other_kinds() -> None:
    trailing = order(changed(ORDER, type="TRAILING_STOP_MARKET", activatePrice="81500", priceRate="0.5", reduceOnly=True))
    assert "stop_price" not in trailing
    assert (trailing["activation_price"], trailing["callback_rate"], trailing["reduce_only"]) == ("81500", "0.5", True)
    assert order(changed(ORDER, timeInForce="GTX"))["post_only"] is True
    assert order(changed(ORDER, clientOrderId="autoclose-1"))["origin"] == "liquidation"
    assert order(changed(ORDER, status="NEW_ADL"))["origin"] == "adl"
    assert order(changed(ORDER, status="NEW_ADL", clientOrderId="web_1"))["origin"] == "external"
    assert order(without(ORDER, "avgPrice"))["filled_quantity"] == "0.020"


def test_a_conditional_order_before_its_trigger() -> None:
    assert algo(ALGO) == {
        "kind": "order_changed",
        "event_time": 1790000300000,
        "symbol": "BTCUSDT",
        "order_id": "2148719",
        "client_order_id": "svc7-sl-9",
        "side": "sell",
        "order_type": "stop_market",
        "time_in_force": "gtc",
        "status": "new",
        "execution_type": "snapshot",
        "price": "0.0",
        "stop_price": "79500.0",
        "quantity": "0.020",
        "filled_quantity": "0",
        "reduce_only": True,
        "transaction_time": 1790000300000,
        "created_time": 1790000300000,
        "conditional": True,
        "self_trade_prevention": "expire_maker",
        "working_type": "mark_price",
    }


@pytest.mark.parametrize("real", ["3300012399", 3300012399])
def test_a_conditional_order_after_its_trigger(real: object) -> None:
    fields = algo(changed(ALGO, algoStatus="FINISHED", actualOrderId=real, actualPrice="79491.2", actualQty="0.020"))
    assert (fields["status"], fields["triggered_order_id"], fields["average_price"]) == ("filled", "3300012399", "79491.2")
    part = algo(changed(ALGO, algoStatus="FINISHED", actualOrderId=real, actualPrice="", actualQty="0.010"))
    assert (part["status"], part["filled_quantity"]) == ("canceled", "0.010")
    assert "average_price" not in part


@pytest.mark.parametrize("real", ["", "0", 0, None])
def test_no_real_order_yet(real: object) -> None:
    assert "triggered_order_id" not in algo(changed(ALGO, actualOrderId=real))


def test_a_position() -> None:
    assert shown(reading().position(read_row(POSITION, PositionRow, "GET /x"))) == {
        "kind": "position_set",
        "event_time": 1790000001200,
        "symbol": "BTCUSDT",
        "position_side": "both",
        "amount": "0.020",
        "entry_price": "80999.5",
        "break_even_price": "81015.7",
        "unrealized_pnl": "0.21240000",
        "isolated_wallet": "0",
        "mark_price": "81010.12000000",
        "liquidation_price": "41020.1",
        "transaction_time": 1790000001200,
    }


def test_a_wallet() -> None:
    assert shown(reading().balance(read_row(BALANCE, BalanceRow, "GET /x"))) == {
        "kind": "balance_set",
        "event_time": 1790000001200,
        "asset": "USDT",
        "total": "10240.11871200",
        "cross_total": "9840.11871200",
        "available": "9678.32301600",
        "transaction_time": 1790000001200,
    }


def test_a_fill() -> None:
    assert shown(reading().fill(read_row(TRADE, TradeRow, "GET /x"))) == {
        "kind": "filled",
        "event_time": 1790000001200,
        "symbol": "BTCUSDT",
        "order_id": "3300012345",
        "trade_id": "5200001",
        "side": "buy",
        "position_side": "both",
        "price": "80999.5",
        "quantity": "0.020",
        "fee": "0.32399800",
        "fee_asset": "USDT",
        "maker": True,
        "realized_pnl": "0",
        "transaction_time": 1790000001200,
    }
    bare = shown(reading().fill(read_row(without(TRADE, "commission", "realizedPnl", "maker"), TradeRow, "GET /x")))
    assert not {"fee", "fee_asset", "realized_pnl", "maker"} & bare.keys()


def test_a_movement() -> None:
    assert shown(reading().movement(read_row(FUNDING, IncomeRow, "GET /x"))) == {
        "kind": "balance_moved",
        "event_time": 1790006400000,
        "asset": "USDT",
        "delta": "-0.16199900",
        "reason": "funding_fee",
        "symbol": "BTCUSDT",
        "movement_id": "FUNDING_FEE:9689322392001",
        "transaction_time": 1790006400000,
    }
    transfer = shown(reading().movement(read_row(changed(FUNDING, symbol="", incomeType="TRANSFER"), IncomeRow, "GET /x")))
    assert "symbol" not in transfer
    assert (transfer["reason"], transfer["movement_id"]) == ("transfer", "TRANSFER:9689322392001")


def test_settings() -> None:
    account = encoded({"feeTier": 0, "canTrade": True, "dualSidePosition": False, "multiAssetsMargin": True, "updateTime": 0})
    assert shown(reading().account_config(read_row(account, AccountConfigRow, "GET /x"))) == {
        "kind": "account_config_changed",
        "event_time": AS_OF,
        "hedge_mode": False,
        "multi_asset_mode": True,
        "can_trade": True,
        "transaction_time": AS_OF,
    }
    symbol = encoded(
        {"symbol": "BTCUSDT", "marginType": "CROSSED", "isAutoAddMargin": False, "leverage": 21, "maxNotionalValue": "1000000"}
    )
    assert shown(reading().symbol_config(read_row(symbol, SymbolConfigRow, "GET /x"))) == {
        "kind": "account_config_changed",
        "event_time": AS_OF,
        "symbol": "BTCUSDT",
        "leverage": 21,
        "margin_type": "cross",
        "transaction_time": AS_OF,
    }


def test_unknown_words_are_kept_where_they_are_text_and_counted_under_the_call() -> None:
    drift = Drift(ALICE, USDM)
    fields = order(changed(ORDER, side="SHORT", positionSide="NET", status="HALTED", type="ICEBERG", timeInForce="DAY"), drift)
    assert (fields["side"], fields["position_side"], fields["status"]) == ("unknown", "unknown", "unknown")
    assert (fields["order_type"], fields["time_in_force"]) == ("iceberg", "day")
    symbol = encoded({"symbol": "BTCUSDT", "marginType": "PORTFOLIO", "leverage": 21})
    assert shown(reading(drift).symbol_config(read_row(symbol, SymbolConfigRow, "GET /x")))["margin_type"] == "unknown"
    assert drift.counts.keys() == {
        "word GET /x.side=SHORT",
        "word GET /x.positionSide=NET",
        "word GET /x.status=HALTED",
        "word GET /x.type=ICEBERG",
        "word GET /x.timeInForce=DAY",
        "word GET /x.marginType=PORTFOLIO",
    }


def test_amounts_given_as_numbers_stay_exact() -> None:
    body = BALANCE.replace(b'"10240.11871200"', b"10240.118712000000000000000001")
    assert read_row(body, BalanceRow, "GET /x").balance == Decimal("10240.118712000000000000000001")


AMOUNT = re.compile(rb'":"(-?[0-9]+(?:\.[0-9]+)?)"')


@pytest.mark.parametrize(("body", "kind", "read"), [(ORDER, OrderRow, Reading.order), (TRADE, TradeRow, Reading.fill)])
def test_amounts_of_a_history_given_as_numbers_stay_exact(body: bytes, kind: type[Row], read: Callable[[Reading, Row], Event]) -> None:
    numbers = AMOUNT.sub(rb'": \1 ', body)
    assert AMOUNT.search(numbers) is None
    assert numbers != body
    facts = [read(reading(), row) for row in read_rows(b"[%b,%b]" % (body, numbers), kind, "GET /x")]
    assert facts == [read(reading(), read_row(body, kind, "GET /x"))] * 2


def test_what_is_wrong_beside_amounts_given_as_numbers_is_named() -> None:
    with pytest.raises(DecodeError, match="GET /x: field side is missing"):
        read_row(AMOUNT.sub(rb'": \1 ', without(ORDER, "side")), OrderRow, "GET /x")


WORDS = st.fixed_dictionaries(
    {
        "side": st.sampled_from(["BUY", "SELL", "SHORT"]),
        "positionSide": st.sampled_from(["BOTH", "LONG", "NET"]),
        "status": st.sampled_from(["NEW", "FILLED", "NEW_INSURANCE", "HALTED"]),
        "type": st.sampled_from(["LIMIT", "STOP_MARKET", "TRAILING_STOP_MARKET", "ICEBERG"]),
        "origType": st.sampled_from(["LIMIT", "TRAILING_STOP_MARKET", "ICEBERG"]),
        "timeInForce": st.sampled_from(["GTC", "GTX", "GTD", "DAY"]),
        "selfTradePreventionMode": st.sampled_from(["NONE", "EXPIRE_MAKER", "HUG"]),
        "workingType": st.sampled_from(["MARK_PRICE", "CONTRACT_PRICE", "MOON_PRICE"]),
        "reduceOnly": st.booleans(),
        "closePosition": st.booleans(),
        "clientOrderId": st.sampled_from(["svc7-1", "autoclose-1", "adl_autoclose", ""]),
        "price": st.sampled_from(["0", "81000.0"]),
        "avgPrice": st.sampled_from(["0", "80999.5"]),
        "stopPrice": st.sampled_from(["0", "79500.0"]),
        "origQty": st.sampled_from(["0", "0.050"]),
        "executedQty": st.sampled_from(["0", "0.020"]),
        "activatePrice": st.sampled_from([None, "80000.0"]),
        "priceRate": st.sampled_from([None, "0.5"]),
        "goodTillDate": st.sampled_from([0, 1_790_000_600_000]),
        "orderId": st.sampled_from([1, 2]),
        "time": st.sampled_from([1_790_000_000_900, 1_790_000_000_901]),
        "updateTime": st.sampled_from([1_790_000_001_200, 1_790_000_001_201]),
    }
)


@given(st.lists(WORDS, max_size=12))
def test_a_row_tells_the_same_whatever_rows_came_before_it(words: list[dict[str, object]]) -> None:
    together, alone = Drift(ALICE, USDM), Drift(ALICE, USDM)
    rows = [read_row(changed(ORDER, **row), OrderRow, "GET /x") for row in words]
    one_reading = reading(together)
    assert [one_reading.order(row) for row in rows] == [reading(alone).order(row) for row in rows]
    assert together.counts == alone.counts


def test_what_few_orders_have_is_told_of_them_alone() -> None:
    one_reading = reading()
    trailing = changed(ORDER, type="TRAILING_STOP_MARKET", activatePrice="80000.0", priceRate="0.5", stopPrice="79500.0")
    dated = changed(ORDER, timeInForce="GTD", goodTillDate=1_790_000_600_000)
    forced = changed(ORDER, clientOrderId="autoclose-1")
    told = [one_reading.order(read_row(body, OrderRow, "GET /x")) for body in (ORDER, trailing, dated, forced, ORDER)]
    assert [(fact.stop_price, fact.activation_price, fact.callback_rate, fact.good_till_time, fact.origin) for fact in told] == [
        (Decimal(0), None, None, 0, Origin.OWN),
        (None, Decimal(80_000), Decimal("0.5"), 0, Origin.OWN),
        (Decimal(0), None, None, 1_790_000_600_000, Origin.OWN),
        (Decimal(0), None, None, 0, Origin.LIQUIDATION),
        (Decimal(0), None, None, 0, Origin.OWN),
    ]


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (without(BALANCE, "asset"), DecodeError, "GET /x: field asset is missing"),
        (changed(BALANCE, balance=None), DecodeError, "GET /x: field balance: expected decimal, got null"),
        (changed(BALANCE, balance="NaN"), DecodeError, "GET /x: field balance is no finite number"),
        (changed(BALANCE, balance="1e999"), DecodeError, "GET /x: field balance is no finite number"),
        (b"[]", DecodeError, "GET /x: expected object, got array"),
        (b'{"239999":"maintenance"}', RetryLater, "GET /x: an answer that is not the venue's own (field asset is missing)"),
        (b"<html>", RetryLater, "GET /x: an answer that is not the venue's own (not JSON)"),
        (BALANCE[:-4], RetryLater, "GET /x: an answer that is not the venue's own (not JSON)"),
        (BALANCE.replace(b"USDT", b"\xff"), RetryLater, "GET /x: an answer that is not the venue's own (not UTF-8)"),
        (BALANCE.replace(b'"USDT"', b"[" * 100_000), DecodeError, "GET /x: field asset: expected str, got array"),
        (b'{"x":' + b"[" * 100_000, RetryLater, "GET /x: an answer that is not the venue's own (nested too deeply)"),
    ],
)
def test_a_broken_answer_names_the_call_and_the_field(body: bytes, error: type[UserStreamError], text: str) -> None:
    with pytest.raises(UserStreamError) as caught:
        read_row(body, BalanceRow, "GET /x")
    assert (type(caught.value), str(caught.value)) == (error, text)


def test_a_broken_list() -> None:
    for body, error, text in (
        (b"{}", DecodeError, "GET /x: expected array, got object"),
        (b'{"239999":"maintenance"}', RetryLater, "GET /x: an answer that is not the venue's own (expected array, got object)"),
        (b"[{]", RetryLater, "GET /x: an answer that is not the venue's own (not JSON)"),
        (b"[%b,{}]" % BALANCE, DecodeError, "GET /x: field asset is missing"),
        (b"[" * 100_000, RetryLater, "GET /x: an answer that is not the venue's own (nested too deeply)"),
    ):
        with pytest.raises(UserStreamError) as caught:
            read_rows(body, BalanceRow, "GET /x")
        assert (type(caught.value), str(caught.value)) == (error, text)


@pytest.mark.parametrize("word", ["abc", "NaN", "1e999999"])
def test_an_executed_quantity_that_is_no_number_is_named(word: str) -> None:
    with pytest.raises(DecodeError, match="GET /x: field actualQty is no finite number"):
        algo(changed(ALGO, actualQty=word))


def test_an_answer_and_the_stream_say_the_same_of_one_thing() -> None:
    filled, told = decode(order_frame(**FILL))
    assert isinstance(told, OrderChanged) and isinstance(filled, Filled)
    asked = reading().order(read_row(ORDER, OrderRow, "GET /x"))
    assert same_order(told, asked) and order_age(told) == order_age(asked)
    fill = reading().fill(read_row(TRADE, TradeRow, "GET /x"))
    names = set(Filled.__struct_fields__) - {"client_order_id", "source", "as_of", "event_time"}
    assert {name: getattr(fill, name) for name in names} == {name: getattr(filled, name) for name in names}
    wallet, leg = decode(ACCOUNT_UPDATE)
    assert isinstance(wallet, BalanceSet) and isinstance(leg, PositionSet)
    assert same_balance(wallet, reading().balance(read_row(BALANCE, BalanceRow, "GET /x")))
    assert same_position(leg, reading().position(read_row(POSITION, PositionRow, "GET /x")))


def test_an_answer_and_the_stream_say_the_same_of_a_conditional_order() -> None:
    [told] = decode(ALGO_UPDATE)
    assert isinstance(told, OrderChanged)
    assert same_order(told, reading().conditional_order(read_row(ALGO, AlgoRow, "GET /x")))
