"""How margin accounts are listened to: listen tokens for trade events, a listen key for risk events (Binance Spot, 2.4, 2.5, 4.4)."""

from typing import Final

from userstream.sim.dialects.binance_calls import Security
from userstream.sim.dialects.binance_errors import VenueError, invalid, missing
from userstream.sim.dialects.binance_margin_calls import account_of
from userstream.sim.dialects.binance_spot_calls import Endpoint, Request
from userstream.sim.dialects.binance_spot_public import say_retired
from userstream.sim.venue import Json

LONGEST_VALIDITY_MS: Final = 24 * 3_600_000


def open_token(request: Request) -> Json:
    """A new token each time; `validity` in milliseconds, a day at most and by default."""
    validity_ms = request.parameters.maybe_whole("validity")
    if validity_ms is not None and not 0 < validity_ms <= LONGEST_VALIDITY_MS:
        raise invalid("validity")
    made = request.room.listen_tokens.open(account_of(request), validity_ms or LONGEST_VALIDITY_MS, request.now)
    return {"token": made.token, "expirationTime": made.expires_at}


def open_key(request: Request) -> Json:
    """The key of the risk stream: cross margin only."""
    return {"listenKey": request.room.listen_keys.open(_cross(request), request.now).key}


def extend_key(request: Request) -> Json:
    """Unlike on futures the key is named. -1125 for one that is not the living key of the account."""
    named = request.parameters.maybe_text("listenKey")
    if named is None:
        raise missing("listenKey")
    account = _cross(request)
    known = request.room.listen_keys.of_account(account, request.now)
    if known is None or known.key != named:
        raise VenueError(-1125)
    request.room.listen_keys.extend(account, request.now)
    return {}


def close_key(request: Request) -> Json:
    request.room.listen_keys.close(_cross(request))
    return {}


def _cross(request: Request) -> str:
    return request.exchange.margin_account(request.user)


KEY: Final = Security.KEY
RISK_PATH: Final = "/sapi/v1/margin/listen-key"
RETIRED: Final = ("/sapi/v1/userDataStream", "/sapi/v1/userDataStream/isolated")
ENDPOINTS = (
    Endpoint(method="POST", path="/sapi/v1/userListenToken", handler=open_token, security=KEY, by_account=True),
    Endpoint(method="POST", path=RISK_PATH, handler=open_key, security=KEY, by_account=True),
    Endpoint(method="PUT", path=RISK_PATH, handler=extend_key, security=KEY, by_account=True),
    Endpoint(method="DELETE", path=RISK_PATH, handler=close_key, weight=3000, security=KEY, by_account=True),
    *(
        Endpoint(method=method, path=path, handler=say_retired, security=Security.NONE)
        for path in RETIRED
        for method in ("POST", "PUT", "DELETE")
    ),
)
