"""The control interface as its users see it, without a socket."""

import json
from decimal import Decimal
from typing import cast

import pytest

from tests.unit.sim.kit import Answered, Desk, answered, open_desk, open_house, rich
from userstream.sim.actions import ACTIONS
from userstream.sim.control import Control
from userstream.sim.venue import Call

Fields = dict[str, object]


def ask(desk: Desk, method: str, path: str, body: str = "") -> Answered:
    return answered(Control(desk.house).answer(Call(method=method, path=path, body=body.encode())))


def post(desk: Desk, name: str, **fields: object) -> Answered:
    return ask(desk, "POST", f"/control/{name}", json.dumps(fields))


def test_the_list_of_actions_is_machine_readable_and_complete() -> None:
    listed = ask(open_desk(), "GET", "/control")
    actions = cast(dict[str, Fields], listed["actions"])
    assert set(actions) == set(ACTIONS)
    place = cast(dict[str, Fields], actions["place"]["fields"])
    assert place["side"] == {"type": "one of buy, sell", "required": True, "default": None, "meaning": ""}


def test_an_action_answers_with_its_name_and_result_and_its_news_go_out() -> None:
    desk = open_desk()
    lane = desk.listen()
    done = post(desk, "place", account=desk.account, symbol="BTCUSDT", side="buy", quantity="0.01", price=80000.1)
    assert (done.status, done["action"]) == (200, "place")
    assert cast(Fields, done["result"])["price"] == "80000.1"
    assert desk.heard_types(lane) == ["ORDER_TRADE_UPDATE"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/control/sillence", "{}", 400, "'silence'"),
        ("POST", "/control/silence", '{"fors": 1}', 400, "'for_s'"),
        ("POST", "/control/silence", "[1]", 400, "object"),
        ("POST", "/control/silence", "{", 400, "JSON"),
        ("POST", "/control/cut", '{"account": "nobody"}', 404, "'nobody'"),
        ("POST", "/control/margin_call", '{"account": "nobody"}', 404, "'nobody'"),
        ("POST", "/control/margin_call", '{"account": "paper-1"}', 409, "position"),
        ("POST", "/control/move_price", '{"symbol": "NONE", "price": 1}', 409, "'NONE'"),
        ("GET", "/control/truth/nobody", "", 404, "'nobody'"),
        ("GET", "/control/truth/nobody", "", 404, "there are paper-1"),
        ("GET", "/control/truth/", "", 404, "needs the name of an account; there are paper-1"),
        ("GET", "/control/truth", "", 404, "/control/truth/ACCOUNT"),
        ("POST", "/control/move_price", '{"symbol": "BTCUSDT", "price": NaN}', 400, "price NaN must be a finite number"),
        ("POST", "/control/silence", '{"for_s": -1}', 400, "for_s -1 must be between 0 and"),
        ("GET", "/control/stat", "", 400, "'state'"),
        ("GET", "/control/cut", "", 400, "POST"),
        ("POST", "/control", "", 400, "unknown"),
        ("DELETE", "/control/state", "", 400, "state"),
    ],
)
def test_a_mistake_is_answered_with_its_status_and_a_hint(method: str, path: str, body: str, status: int, words: str) -> None:
    found = ask(open_desk(), method, path, body)
    assert found.status == status
    assert words in str(found["error"])


def test_a_refusal_names_the_rule_of_the_books() -> None:
    found = post(open_desk(), "place", account="paper-1", symbol="BTCUSDT", side="buy", quantity="0.0001", price=80000)
    assert (found.status, found["rule"]) == (409, "quantity_too_small")


def test_an_empty_body_has_no_fields() -> None:
    assert ask(open_desk(), "POST", "/control/pause_trading").body == {"action": "pause_trading", "result": None}


def test_the_truth_has_the_neutral_names_and_adds_up() -> None:
    desk = open_desk(accounts=(rich(),))
    desk.limit()
    desk.market()
    truth = ask(desk, "GET", "/control/truth/paper-1")
    assert isinstance(truth.body, dict)
    assert set(truth.body) == {"account", "time", "orders", "fills", "balances", "positions", "income", "algo_orders", "settings"}
    orders, fills = truth.body["orders"], truth.body["fills"]
    assert [(order["side"], order["status"], order["order_type"]) for order in orders] == [
        ("buy", "new", "limit"),
        ("buy", "filled", "market"),
    ]
    assert sum(Decimal(fill["quantity"]) for fill in fills) == Decimal(orders[1]["filled_quantity"])
    usdt = next(each for each in truth.body["balances"] if each["asset"] == "USDT")
    assert Decimal(usdt["wallet"]) == Decimal(100_000) + sum(Decimal(each["amount"]) for each in truth.body["income"])
    assert truth.body["positions"][0]["position_side"] == "both"
    assert all(isinstance(order["order_id"], int) for order in orders)


def test_the_truth_is_never_lagged() -> None:
    desk = open_desk(rest_lag_ms=5000)
    desk.clock.turn(1)
    desk.limit()
    assert desk.get("/fapi/v1/openOrders").rows == []
    assert len(cast(list[Fields], ask(desk, "GET", "/control/truth/paper-1")["orders"])) == 1


def test_the_state_shows_sockets_masked_keys_and_counters() -> None:
    desk = open_desk()
    key = desk.open_key()
    desk.listen()
    desk.listen()
    desk.listen("/ws/nothing")
    desk.limit()
    post(desk, "drop")
    state = ask(desk, "GET", "/control/state")
    venue = cast(dict[str, Fields], state["venues"])["binance-usdm"]
    assert venue["sockets"] == {"": 1, "paper-1": 2}
    assert venue["listen_keys"] == {"paper-1": {"key": f"{key[:4]}...{key[-4:]}", "left_s": 3600}}
    assert cast(int, venue["highest_weight_per_minute"]) >= 1
    assert cast(Fields, state["frames"])["published"] == 1
    assert key not in str(state.body)


def test_the_control_owns_its_paths_only() -> None:
    control = Control(open_house()[0])
    assert [control.serves(path) for path in ("/control", "/control/x", "/controls", "/")] == [True, True, False, False]


def test_of_many_accounts_the_first_ones_are_named() -> None:
    told = str(ask(open_desk(accounts=23), "GET", "/control/truth/nobody")["error"])
    assert told.endswith("paper-20 and 3 more")
