"""Which of a user's margin accounts a call is about: the cross account, or the isolated one of a pair (Binance Spot, 2.4)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.sim.dialects.binance_errors import invalid, missing
from userstream.sim.dialects.binance_spot_calls import Request
from userstream.sim.dialects.binance_spot_errors import RULES, refuse
from userstream.sim.spot.instruments import has_margin

FLAGS: Final[Mapping[str, bool]] = MappingProxyType({"true": True, "false": False})


def is_isolated(request: Request) -> bool:
    """TRUE or FALSE in either case; cross where nothing is said."""
    word = (request.parameters.maybe_text("isIsolated") or "false").lower()
    if word not in FLAGS:
        raise invalid("isIsolated")
    return FLAGS[word]


def account_of(request: Request) -> str:
    """The account that the call is about. -3003 for a user without margin, -1102 for an isolated account without its pair, -3021 for a pair
    that is traded on spot only."""
    named = request.maybe_symbol()
    if not is_isolated(request):
        if named is not None and not has_margin(named):
            raise refuse(*RULES["no_margin_pair"])
        return request.exchange.margin_account(request.user)
    if request.parameters.maybe_text("symbol") is None:
        raise missing("symbol")
    return request.exchange.margin_account(request.user, request.symbol())


def aimed(request: Request) -> Request:
    """The same request as one of that account."""
    found = Request(request.room, request.user, request.parameters, request.now, request.key)
    found.account = account_of(request)
    return found
