"""Frames to events: what the documents promise, what they do not, and that nothing ever raises."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.unit.venues.binance.kit import (
    ALICE,
    FILL,
    LISTEN_KEY,
    RECEIVED,
    USDM,
    Case,
    decode,
    decoder,
    encoded,
    golden_cases,
    order_frame,
    the_only,
)
from userstream.domain.events import BalanceSet, Filled, OrderChanged, StreamChanged, Unrecognized
from userstream.domain.words import OrderStatus, StreamState
from userstream.venues.binance.decoding import ControlReply, Decoder, KeyExpired, ShutdownAnnounced
from userstream.venues.binance.frames import MOST_BYTES

GOLDEN = list(golden_cases())


@pytest.mark.parametrize("case", [case for _, case in GOLDEN], ids=[name for name, _ in GOLDEN])
def test_a_golden_payload_means_its_recorded_events(case: Case) -> None:
    events = decode(bytes(case.frame))
    common = {"account": ALICE, "venue": USDM, "received_time": RECEIVED}
    assert [msgspec.to_builtins(event) for event in events] == [{**event, **common} for event in case.events]


@pytest.mark.parametrize("case", [case for _, case in GOLDEN], ids=[name for name, _ in GOLDEN])
def test_key_order_and_white_space_do_not_matter(case: Case) -> None:
    turned = msgspec.json.format(msgspec.json.encode(turn(bytes(case.frame))), indent=1)
    [one, other] = [decode(frame) for frame in (bytes(case.frame), turned)]
    assert facts(one) == facts(other)


def turn(frame: bytes) -> object:
    """The same JSON with the keys of the message and of its objects in the opposite order, numbers as they were written."""
    text = frame.strip()
    if text.startswith(b"{"):
        items = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).items()
        return {key: turn(bytes(value)) for key, value in reversed(items)}
    if text.startswith(b"["):
        return [turn(bytes(value)) for value in msgspec.json.decode(text, type=list[msgspec.Raw])]
    return msgspec.Raw(text)


def notice_of(reader: Decoder) -> object:
    return reader.notice


def facts(events: tuple[object, ...]) -> list[object]:
    """Samples show the frame as it came; unknown names come in the order of the frame."""
    unlike = sorted((event.name, event.reason) for event in events if isinstance(event, Unrecognized))
    return [*(event for event in events if not isinstance(event, Unrecognized)), *unlike]


def test_numbers_reach_the_amounts_exactly_whether_text_or_number() -> None:
    digits = "0.123456789012345678901234567890"
    as_text = the_only(OrderChanged, decode(order_frame(q=digits)))
    as_number = the_only(OrderChanged, decode(order_frame(q="@").replace(b'"@"', digits.encode())))
    assert as_text.quantity == as_number.quantity == Decimal(digits)
    assert str(the_only(OrderChanged, decode(order_frame(q="1.50E-7"))).quantity) == "1.50E-7"


def test_ids_beyond_what_a_float_can_hold_stay_exact() -> None:
    event = the_only(Filled, decode(order_frame(**{**FILL, "i": 9007199254740993, "t": 123456789012345678901})))
    assert (event.order_id, event.trade_id) == ("9007199254740993", "123456789012345678901")


@pytest.mark.parametrize("word", ["NaN", "sNaN", "-Infinity", "inf", "1e61", "1e-61", "-1e999999999"])
@pytest.mark.parametrize("field", ["q", "p", "ap", "sp", "z", "l", "L", "n", "rp", "AP", "cr"])
def test_what_is_no_finite_number_of_a_sane_size_makes_the_frame_unreadable(field: str, word: str) -> None:
    [event] = decode(order_frame(**{**FILL, field: word}))
    assert isinstance(event, Unrecognized)
    assert (event.name, event.event_time) == ("bytes", 1790000001203)
    assert event.reason == f"field ORDER_TRADE_UPDATE.o.{field} is no finite number"


def test_the_last_of_two_equal_keys_counts() -> None:
    frame = order_frame().replace(b'"X":"NEW"', b'"X":"NEW","X":"CANCELED"')
    assert the_only(OrderChanged, decode(frame)).status is OrderStatus.CANCELED


def test_an_unknown_field_is_told_once_and_counted_each_time() -> None:
    reader = decoder()
    first = reader.decode(order_frame(zz=1), RECEIVED)
    second = reader.decode(order_frame(zz={"deep": [1, {"e": 2}]}, yy=2), RECEIVED)
    assert [type(event).__name__ for event in first] == ["OrderChanged", "Unrecognized"]
    assert the_only(Unrecognized, second).name == "field ORDER_TRADE_UPDATE.o.yy"
    assert reader.drift == {"field ORDER_TRADE_UPDATE.o.zz": 2, "field ORDER_TRADE_UPDATE.o.yy": 1}


def test_a_field_in_many_entries_counts_once_for_its_frame() -> None:
    reader = decoder()
    wallets = [{"a": asset, "wb": "1", "cw": "1", "bc": "0", "zz": 1} for asset in ("USDT", "USDC")]
    events = reader.decode(encoded({"e": "ACCOUNT_UPDATE", "E": 5, "T": 4, "a": {"m": "ORDER", "B": wallets, "P": []}}), RECEIVED)
    assert [event.asset for event in events if isinstance(event, BalanceSet)] == ["USDT", "USDC"]
    assert reader.drift == {"field ACCOUNT_UPDATE.a.B.zz": 1}


@pytest.mark.parametrize(("total", "cross"), [("0.00000000", "0"), ("0", "0.00"), ("120.5", "80.25")])
def test_an_emptied_wallet_is_told_and_its_cross_part_is_never_called_available(total: str, cross: str) -> None:
    wallet = {"a": "USDT", "wb": total, "cw": cross, "bc": "-7.5"}
    told = the_only(BalanceSet, decode(encoded({"e": "ACCOUNT_UPDATE", "E": 5, "T": 4, "a": {"m": "ORDER", "B": [wallet], "P": []}})))
    assert (told.total, told.cross_total, told.available) == (Decimal(total), Decimal(cross), None)


def test_an_unknown_word_is_told_once_and_counted_each_time() -> None:
    reader = decoder()
    told = [reader.decode(order_frame(X="HALTED"), RECEIVED) for _ in range(3)]
    assert [len(events) for events in told] == [2, 1, 1]
    assert all(the_only(OrderChanged, events).status is OrderStatus.UNKNOWN for events in told)
    assert reader.drift == {"word ORDER_TRADE_UPDATE.o.X=HALTED": 3}


def test_an_unknown_event_is_told_each_time() -> None:
    reader = decoder()
    for _ in range(2):
        event = the_only(Unrecognized, reader.decode(b'{"e":"ALGO_ORDER_UPDATE","E":1790000001203}', RECEIVED))
        assert (event.name, event.event_time) == ("event ALGO_ORDER_UPDATE", 1790000001203)
    assert reader.drift == {"event ALGO_ORDER_UPDATE": 2}


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not JSON"),
        (b"pong", "not JSON"),
        (b"[]", "expected object, got array"),
        (b"null", "expected object, got null"),
        (b'{"e":"ORDER_TRADE_UPDATE"', "not JSON"),
        (b'{"e":"\xff","E":1}', "not UTF-8"),
        (order_frame().replace(b"BTCUSDT", b"\xff"), "ORDER_TRADE_UPDATE: not UTF-8"),
        (b'{"e":7,"E":1}', "expected str, got int"),
        (b'{"E":1}', "no event name"),
        (b'{"data":[],"stream":"x"}', "expected object, got array"),
        (b'{"e":"MARGIN_CALL","E":1}', "MARGIN_CALL: field p is missing"),
        (b'{"e":"MARGIN_CALL","E":1,"p":[{"s":"A"}]}', "MARGIN_CALL: field p.ps is missing"),
        (b'{"e":"MARGIN_CALL","E":1,"p":{}}', "MARGIN_CALL: field p: expected array, got object"),
        (b'{"e":"MARGIN_CALL","E":-1,"p":[]}', "MARGIN_CALL: field E: expected int >= 0"),
        (b'{"e":"MARGIN_CALL","E":1e3,"p":[]}', "MARGIN_CALL: field E: expected int, got float"),
        (b'{"e":"MARGIN_CALL","E":1,"p":[]}', "MARGIN_CALL that names no position"),
        (b'{"e":"serverShutdown","E":"soon"}', "serverShutdown: field E: expected int, got str"),
        (b'{"e":"\\ud800","E":1}', "not JSON"),
        (b'{"x":' + b"[" * 40 + b"]" * 40 + b"}", "nested too deeply"),
        (b'{"x":' + b'{"y":' * 40 + b"1" + b"}" * 40 + b"}", "nested too deeply"),
        (b"[" * 200_000, "expected object, got array"),
        (b'{"x":' + b"[" * 200_000, "nested too deeply"),
        (b" " * (MOST_BYTES + 1), "longer than 1 MiB"),
    ],
)
def test_bytes_that_are_no_message_say_why(frame: bytes, reason: str) -> None:
    reader = decoder()
    event = the_only(Unrecognized, reader.decode(frame, RECEIVED))
    assert (event.name, event.reason, event.account, event.venue, event.received_time) == ("bytes", reason, ALICE, USDM, RECEIVED)
    assert reader.drift == {f"bytes {reason}": 1}
    assert len(event.sample) <= 200


def test_brackets_inside_text_are_no_levels() -> None:
    frame = order_frame(c="[" * 50 + '\\"{{' + "}" * 50, zz=1)
    assert the_only(OrderChanged, decode(frame)).client_order_id.startswith("[[[")


def test_many_entries_are_no_levels() -> None:
    position = {"s": "BTCUSDT", "pa": "0", "ep": "0", "ps": "BOTH", "zz": 1}
    frame = encoded({"e": "ACCOUNT_UPDATE", "E": 5, "T": 4, "a": {"m": "ORDER", "B": [], "P": [position] * 300}})
    assert len(decode(frame)) == 301
    cut = the_only(Unrecognized, decode(frame[:-3]))
    assert cut.reason == "not JSON"


@pytest.mark.parametrize(
    ("frame", "time"),
    [
        (b'{"e":"zz","E":"1790000001203"}', 1790000001203),
        (b'{"e":"zz","E":1790000001203}', 1790000001203),
        (b'{"e":"zz","E":"yesterday"}', 0),
        (b'{"e":"zz","E":-4}', 0),
        (b'{"e":"zz","E":null}', 0),
        (b'{"e":"zz","E":"12345678901234567890"}', 0),
        (b'{"e":"zz"}', 0),
    ],
)
def test_an_unreadable_message_keeps_its_time_where_it_has_one(frame: bytes, time: int) -> None:
    assert the_only(Unrecognized, decode(frame)).event_time == time


def test_wrapped_frames_mean_the_same_as_bare_ones() -> None:
    bare = order_frame(**FILL)
    for wrapped in (
        b'{"stream":"%b","data":%b}' % (LISTEN_KEY.encode(), bare),
        b'{"data":%b,"stream":"%b"}' % (bare, LISTEN_KEY.encode()),
        b' {"stream":null,"data":%b}' % bare,
        b'{"data":%b}' % bare,
    ):
        assert decode(wrapped) == decode(bare)


def test_an_unknown_key_of_the_envelope_is_seen() -> None:
    reader = decoder()
    events = reader.decode(b'{"stream":"x","id":7,"data":%b}' % order_frame(), RECEIVED)
    assert [type(event).__name__ for event in events] == ["OrderChanged", "Unrecognized"]
    assert reader.drift == {"field (envelope).id": 1}


@pytest.mark.parametrize("wrap", [b"%b", b'{"stream":"x","data":%b}'])
def test_an_expired_key_and_a_shutdown_are_notices(wrap: bytes) -> None:
    reader = decoder()
    expired = reader.decode(wrap % encoded({"e": "listenKeyExpired", "E": "1790003600000", "listenKey": LISTEN_KEY}), RECEIVED)
    assert notice_of(reader) == KeyExpired()
    assert the_only(StreamChanged, expired).state is StreamState.STALE
    assert LISTEN_KEY not in repr(expired)
    reader.decode(wrap % b'{"e":"serverShutdown","E":1790000000000}', RECEIVED)
    assert notice_of(reader) == ShutdownAnnounced()
    reader.decode(order_frame(), RECEIVED)
    assert notice_of(reader) is None


def test_answers_to_control_frames_are_notices() -> None:
    reader = decoder()
    assert reader.decode(b'{"result":null,"id":1}', RECEIVED) == ()
    assert notice_of(reader) == ControlReply(1, "")
    assert reader.decode(b'{"stream":"x","data":{"result":null,"id":3}}', RECEIVED) == ()
    assert notice_of(reader) == ControlReply(3, "")
    event = the_only(Unrecognized, reader.decode(b'{"error":{"code":2,"msg":"Invalid request\\u001b"},"id":1}', RECEIVED))
    assert (event.name, event.reason) == ("event (control)", "refused: 2: Invalid request\ufffd")
    assert notice_of(reader) == ControlReply(1, "2: Invalid request\ufffd")
    assert reader.drift == {"event (control)": 1}


def test_a_control_reply_of_a_strange_form_is_unreadable() -> None:
    reader = decoder()
    assert the_only(Unrecognized, reader.decode(b'{"error":"no","id":1}', RECEIVED)).name == "bytes"
    assert notice_of(reader) is None


def test_samples_hold_no_listen_key() -> None:
    for frame in (
        encoded({"e": "listenKeyExpired", "E": 1, "listenKey": LISTEN_KEY, "zz": 1}),
        encoded({"stream": LISTEN_KEY, "data": {"e": "zz"}}),
        encoded({"stream": "short-key", "data": {"e": "zz"}}),
        encoded({"e": LISTEN_KEY}),
        encoded({"e": "ORDER_TRADE_UPDATE", LISTEN_KEY: 1}),
        b'{"e":"zz","listenKey":"%b' % LISTEN_KEY[:30].encode(),
    ):
        text = repr(decode(frame))
        assert LISTEN_KEY[:30] not in text
        assert "short-key" not in text
