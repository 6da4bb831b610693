"""Every form of a stream socket (Binance USD-M, 1.2 and 2.2)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sim.kit import START, Desk, open_desk, open_house
from userstream.sim.lanes import Lane
from userstream.sim.venue import Frame

FULL = "ORDER_TRADE_UPDATE/ACCOUNT_UPDATE/MARGIN_CALL/ACCOUNT_CONFIG_UPDATE/TRADE_LITE/ALGO_UPDATE/listenKeyExpired"


def after_an_order(desk: Desk, lane: Lane) -> list[dict[str, object]]:
    desk.market(quantity="0.001")
    return desk.heard(lane)


def answer(lane: Lane, text: str) -> dict[str, object]:
    [reply] = lane.session.receive(text, START)
    found: dict[str, object] = msgspec.json.decode(reply)
    return found


@pytest.mark.parametrize(
    ("path", "query", "kinds", "wrapped"),
    [
        ("/private/ws/{key}", "", 4, False),
        ("/private/ws", "listenKey={key}&events=" + FULL, 4, False),
        ("/private/ws", "listenKey={key}", 4, False),
        ("/private/ws", "listenKey={key}&events=ORDER_TRADE_UPDATE", 2, False),
        ("/private/ws", "listenKey={key}&events=ALGO_ORDER_UPDATE", 0, False),
        ("/private/stream", "listenKey={key}&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE", 3, True),
        ("/private/stream", "streams={key}", 4, True),
        ("/private/stream", "", 0, True),
        ("/private/ws/unknown-key", "", 0, False),
        ("/private/ws", "listenKey=unknown&events=" + FULL, 0, False),
        ("/ws/{key}", "", 0, False),
        ("/ws", "listenKey={key}", 0, False),
        ("/stream", "streams={key}", 0, True),
        ("/public/ws/{key}", "", 0, False),
        ("/market/stream", "listenKey={key}", 0, True),
    ],
)
def test_which_address_gets_which_events(path: str, query: str, kinds: int, wrapped: bool) -> None:
    desk = open_desk()
    key = desk.open_key()
    lane = desk.listen(path.format(key=key), query.format(key=key))
    events = after_an_order(desk, lane)
    assert len(events) == kinds
    if wrapped:
        assert all(set(event) == {"stream", "data"} and event["stream"] == key for event in events)
    else:
        assert all("e" in event for event in events)


@pytest.mark.parametrize(
    ("path", "query", "kinds"),
    [("/private/ws/{key}", "", 0), ("/private/ws", "listenKey={key}", 0), ("/private/ws", "listenKey={key}&events=" + FULL, 4)],
)
def test_a_strict_exchange_is_silent_without_a_list_of_events(path: str, query: str, kinds: int) -> None:
    desk = open_desk(strict=True)
    key = desk.open_key()
    assert len(after_an_order(desk, desk.listen(path.format(key=key), query.format(key=key)))) == kinds


def test_two_keys_on_one_wrapped_socket_are_told_apart() -> None:
    house, clock, _ = open_house()
    one, two = (Desk(house, clock, account) for account in house.accounts)
    keys = one.open_key(), two.open_key()
    lane = one.listen("/private/stream", f"listenKey={keys[0]}&events=ORDER_TRADE_UPDATE&listenKey={keys[1]}&events=ACCOUNT_UPDATE")
    one.market(quantity="0.001")
    two.market(quantity="0.001")
    data = [(event["stream"], event["data"]["e"]) for event in one.heard(lane)]  # type: ignore[index]
    assert data == [(keys[0], "ORDER_TRADE_UPDATE")] * 2 + [(keys[1], "ACCOUNT_UPDATE")]


def test_parallel_sockets_on_one_key_each_get_every_event() -> None:
    desk = open_desk()
    lanes = [desk.listen() for _ in range(3)]
    desk.market(quantity="0.001")
    heard = [desk.heard(lane) for lane in lanes]
    assert len(heard[0]) == 4
    assert heard[0] == heard[1] == heard[2]


@pytest.mark.parametrize("path", ["/private/stream", "/private/ws"])
def test_subscribing_by_frame(path: str) -> None:
    desk = open_desk(strict=True)
    lane, key = desk.listen(path), desk.open_key()
    assert after_an_order(desk, lane) == []
    assert answer(lane, f'{{"method":"SUBSCRIBE","params":["{key}"],"id":1}}') == {"result": None, "id": 1}
    desk.hall.hub.refile(lane)
    assert answer(lane, '{"method":"LIST_SUBSCRIPTIONS","id":"x"}') == {"result": [key], "id": "x"}
    assert len(after_an_order(desk, lane)) == 4
    answer(lane, f'{{"method":"UNSUBSCRIBE","params":["{key}"],"id":2}}')
    desk.hall.hub.refile(lane)
    assert after_an_order(desk, lane) == []


def test_the_combined_flag_changes_the_envelope() -> None:
    desk = open_desk()
    lane = desk.listen()
    assert answer(lane, '{"method":"GET_PROPERTY","params":["combined"],"id":1}')["result"] is False
    answer(lane, '{"method":"SET_PROPERTY","params":["combined",true],"id":2}')
    assert all("stream" in event for event in after_an_order(desk, lane))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 3),
        ("[]", 2),
        ('{"method":"SING","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[true],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"k","id":1}', 2),
        ('{"method":"SET_PROPERTY","params":["other",true],"id":1}', 0),
    ],
)
def test_bad_control_frames_get_an_error(text: str, code: int) -> None:
    error = answer(open_desk().listen(), text)["error"]
    assert isinstance(error, dict)
    assert error["code"] == code


@given(st.text(max_size=60))
def test_any_text_gets_an_answer(text: str) -> None:
    assert len(open_desk().listen().session.receive(text, START)) == 1


def test_a_replaced_key_leaves_the_old_socket_silent_and_the_new_one_hears() -> None:
    desk = open_desk()
    old = desk.listen()
    desk.hall.room.listen_keys.replace(desk.account, START)
    new = desk.listen()
    desk.limit()
    assert (desk.heard(old), len(desk.heard(new))) == ([], 1)


def test_a_socket_of_the_private_route_knows_its_accounts_also_after_the_key_died() -> None:
    desk = open_desk()
    lane = desk.listen()
    desk.hall.room.listen_keys.close(desk.account)
    assert lane.session.accounts == {desk.account}
    assert desk.listen("/ws/anything").session.accounts == frozenset()


def test_messages_of_the_server_are_wrapped_like_events() -> None:
    desk = open_desk()
    key = desk.open_key()
    assert desk.listen().session.announce(b"{}") == b"{}"
    assert desk.listen("/private/stream", f"listenKey={key}").session.announce(b"{}") == b'{"stream":"%s","data":{}}' % key.encode()


def test_paths_that_are_no_socket() -> None:
    dialect = open_desk().hall.dialect
    for path in ("/", "/private", "/private/ws2", "/private/streams", "/fapi/v1/time", "/pm/ws/k"):
        assert dialect.open_socket(path, "", "127.0.0.1", START) is None


def test_a_frame_for_one_key_does_not_reach_the_others() -> None:
    desk = open_desk()
    session = desk.listen().session
    assert session.wrap(Frame(account=desk.account, event="E", body=b"{}", key="another")) == []
