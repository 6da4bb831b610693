"""The control interface: the hand of the world, for tests, scripts and people.

GET <control_url> lists the actions. POST <control_url>/<action> carries one out: {"action": ..., "result": ...}, or {"error": ...} with
400 for a mistake, 404 for an unknown account, 409 when the books refuse. GET <control_url>/truth/<account> shows the books themselves,
GET <control_url>/state the sockets, keys and counters.
"""

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import unquote

import msgspec

from userstream.sim.actions import ACTIONS, BadAction, parse_action
from userstream.sim.books import Millis, Refused
from userstream.sim.house import Hall, House, UnknownAccount
from userstream.sim.keys import mask
from userstream.sim.notes import describe_actions
from userstream.sim.performing import perform, plain
from userstream.sim.rules import nearest
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.venue import Call, Json, Reply

PREFIX = "/control"
JSON_TYPE = {"Content-Type": "application/json"}
READS = {
    "GET /control": "this list",
    "GET /control/truth/ACCOUNT": "the exchange's own books of an account: orders, fills, balances, positions, income, ...",
    "GET /control/state": "open sockets, masked keys, counters, requests by path, limits",
    "POST /control/ACTION": "carry out an action; the body is a JSON object with its fields",
}


class Control:
    """Answers control requests and counts what the server saw."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.requests: Counter[str] = Counter()

    def serves(self, path: str) -> bool:
        return path == PREFIX or path.startswith(PREFIX + "/")

    def answer(self, call: Call) -> Reply:
        """Answer one control request; a mistake is a Reply with an error."""
        try:
            return _reply(200, self._answer(call))
        except BadAction as wrong:
            return _reply(400, {"error": str(wrong)})
        except UnknownAccount as wrong:
            return _reply(404, {"error": str(wrong)})
        except Refused as refused:
            return _reply(409, {"error": str(refused), "rule": refused.rule})

    def _answer(self, call: Call) -> Json:
        parts = [unquote(part) for part in call.path.removeprefix(PREFIX).split("/") if part]
        match call.method, parts:
            case "GET", [] | ["help"]:
                return {"reads": READS, "actions": plain(describe_actions())}
            case "GET", ["state"]:
                return self.state()
            case "GET", ["truth", account]:
                return self.truth(account)
            case "GET", ["truth"]:
                raise UnknownAccount(f"GET {PREFIX}/truth/ACCOUNT needs the name of an account; {self._house.known_names}")
            case "POST", [name]:
                return {"action": name, "result": self._perform(name, call.body)}
        raise BadAction(_advice(call.method, parts))

    def _perform(self, name: str, body: bytes) -> Json:
        action = parse_action(name, _fields(body))
        now = self._house.now()
        try:
            return perform(action, self._house, now)
        finally:
            for hall in self._house.halls.values():
                self._house.publish(hall, now)

    def truth(self, account: str) -> Json:
        """The exchange's own books of one account, never lagged. Raises UnknownAccount."""
        exchange = self._house.hall_of(account).room.exchange
        return {
            "account": account,
            "time": exchange.time,
            "orders": plain(exchange.orders(account)),
            "fills": plain(exchange.fills(account)),
            "balances": plain(exchange.balances(account)),
            "positions": plain(exchange.positions(account)),
            "income": plain(exchange.income(account)),
            "algo_orders": plain(exchange.algo_orders(account)),
            "settings": plain(exchange.settings(account)),
            **(
                {"debts": plain(exchange.debts(account)), "loans": plain(exchange.loans(account))}
                if isinstance(exchange, SpotExchange)
                else {}
            ),
        }

    def state(self) -> Json:
        """What the server sees of its clients."""
        house, now = self._house, self._house.now()
        return {
            "time": now,
            "up_s": (now - house.started_at) // 1000,
            "faults": {"skew_ms": house.faults.skew_ms, "rest_lag_ms": house.faults.rest_lag_ms, "strict": house.faults.strict},
            "trading": {"events_per_s": str(house.pace.events_per_s), "paused": house.pace.paused},
            "frames": plain(house.faults.counters),
            "requests": dict(sorted(self.requests.items())),
            "venues": {name: self._venue_state(hall, now) for name, hall in house.halls.items()},
        }

    def _venue_state(self, hall: Hall, now: Millis) -> Json:
        limits = hall.room.limits
        accounts = [account for account in hall.room.exchange.accounts() if self._house.hall_of(account) is hall]
        listening = (account for lane in hall.hub.lanes() for account in lane.session.accounts or ("",))
        sockets = Counter(account for account in listening if account in ("", *accounts))
        return {
            "accounts": accounts,
            "sockets": dict(sorted(sockets.items())),
            "waiting_frames": sum(lane.waiting for lane in hall.hub.lanes()),
            "listen_keys": {
                known.account: {"key": mask(known.key), "left_s": (known.expires_at - now) // 1000}
                for known in hall.room.listen_keys.living()
                if known.account in accounts
            },
            "answered_429": limits.slowed,
            "answered_418": limits.banned,
            "highest_weight_per_minute": limits.highest,
        }


def _reply(status: int, content: Json) -> Reply:
    return Reply(status=status, body=msgspec.json.encode(content), headers=JSON_TYPE)


def _fields(body: bytes) -> Mapping[str, object]:
    """The fields of an action; an empty body has none. Numbers keep their digits."""
    if not body.strip():
        return {}
    try:
        fields: object = json.loads(body, parse_float=Decimal)
    except ValueError as wrong:
        raise BadAction(f"the body is not JSON: {wrong}") from wrong
    if not isinstance(fields, dict):
        raise BadAction("the body must be a JSON object with the fields of the action")
    return fields


def _advice(method: str, parts: list[str]) -> str:
    asked = f"{method} {PREFIX}/{'/'.join(parts)}"
    if method == "GET" and parts and parts[0] in ACTIONS:
        return f"{asked}: an action is carried out with POST"
    word = nearest(parts[0], [*ACTIONS, "state", "truth"]) if parts else "state"
    return f"{asked} is unknown; the nearest is {word!r}"
