"""The WebSocket API of Binance Spot: its methods, and the user data streams that it carries (Binance Spot, 2.3, 6.2)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.sim.books import Millis
from userstream.sim.dialects.binance_calls import Outcome, Product
from userstream.sim.dialects.binance_errors import VenueError
from userstream.sim.dialects.binance_methods import MethodSession
from userstream.sim.dialects.binance_parameters import Parameters
from userstream.sim.dialects.binance_spot_calls import Request
from userstream.sim.dialects.binance_spot_errors import refuse
from userstream.sim.dialects.binance_spot_subscriptions import Subscriptions
from userstream.sim.dialects.binance_spot_times import answer_in_microseconds
from userstream.sim.keys import ApiKey
from userstream.sim.room import Room
from userstream.sim.spot.exchange import spot_of
from userstream.sim.venue import Frame, Json

SOCKET_PATH: Final = "/ws-api/v3"
CONNECT_WEIGHT: Final = 2
MICROSECONDS: Final = "MICROSECOND"
METHODS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "ping": ("GET", "/api/v3/ping"),
        "time": ("GET", "/api/v3/time"),
        "exchangeInfo": ("GET", "/api/v3/exchangeInfo"),
        "avgPrice": ("GET", "/api/v3/avgPrice"),
        "depth": ("GET", "/api/v3/depth"),
        "klines": ("GET", "/api/v3/klines"),
        "trades.recent": ("GET", "/api/v3/trades"),
        "trades.aggregate": ("GET", "/api/v3/aggTrades"),
        "ticker.price": ("GET", "/api/v3/ticker/price"),
        "ticker.book": ("GET", "/api/v3/ticker/bookTicker"),
        "ticker.24hr": ("GET", "/api/v3/ticker/24hr"),
        "order.place": ("POST", "/api/v3/order"),
        "order.test": ("POST", "/api/v3/order/test"),
        "order.status": ("GET", "/api/v3/order"),
        "order.cancel": ("DELETE", "/api/v3/order"),
        "order.cancelReplace": ("POST", "/api/v3/order/cancelReplace"),
        "order.amend.keepPriority": ("PUT", "/api/v3/order/amend/keepPriority"),
        "order.amendments": ("GET", "/api/v3/order/amendments"),
        "openOrders.status": ("GET", "/api/v3/openOrders"),
        "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
        "orderList.place": ("POST", "/api/v3/order/oco"),
        "orderList.place.oco": ("POST", "/api/v3/orderList/oco"),
        "orderList.place.oto": ("POST", "/api/v3/orderList/oto"),
        "orderList.place.otoco": ("POST", "/api/v3/orderList/otoco"),
        "orderList.status": ("GET", "/api/v3/orderList"),
        "orderList.cancel": ("DELETE", "/api/v3/orderList"),
        "openOrderLists.status": ("GET", "/api/v3/openOrderList"),
        "account.status": ("GET", "/api/v3/account"),
        "account.commission": ("GET", "/api/v3/account/commission"),
        "account.rateLimits.orders": ("GET", "/api/v3/rateLimit/order"),
        "allOrders": ("GET", "/api/v3/allOrders"),
        "allOrderLists": ("GET", "/api/v3/allOrderList"),
        "myTrades": ("GET", "/api/v3/myTrades"),
        "myPreventedMatches": ("GET", "/api/v3/myPreventedMatches"),
        "myAllocations": ("GET", "/api/v3/myAllocations"),
    }
)


class SpotSession(MethodSession[Request]):
    """One socket of the WebSocket API, with the subscriptions on it."""

    def __init__(self, room: Room, product: Product[Request], address: str, query: Mapping[str, str], now: Millis) -> None:
        super().__init__(room, product, address, query, now)
        self._microseconds = query.get("timeUnit", "").upper() == MICROSECONDS
        self._subscriptions = Subscriptions(microseconds=self._microseconds)
        self._ended: list[bytes] = []  # ends of subscriptions, told behind the answer
        self._own |= {
            "session.subscriptions": self._tell_subscriptions,
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.subscribe.listenToken": self._subscribe_by_token,
            "userDataStream.unsubscribe": self._unsubscribe,
        }
        room.limits.charge(address, CONNECT_WEIGHT, now)

    @property
    def accounts(self) -> frozenset[str]:
        return self._subscriptions.accounts

    def wrap(self, frame: Frame) -> list[bytes]:
        return self._subscriptions.wrap(frame)

    def announce(self, body: bytes) -> bytes:
        return self._subscriptions.announce(body)

    def terminate(self, account: str, now: Millis) -> list[bytes]:
        return self._subscriptions.close_account(account, self._room.stated(now))

    def _take_behind(self) -> list[bytes]:
        ended, self._ended = self._ended, []
        return ended

    def _carry_out(self, method: str, parameters: Parameters, now: Millis) -> Outcome:
        """A session whose key is gone ends with the next request, whatever that was (Binance Spot, 2.3)."""
        if self._key is not None and self._room.keys.find(self._key.api_key) is None:
            self._key = None
            raise VenueError(-2015, is_answer=False)
        return super()._carry_out(method, parameters, now)

    def _shown(self, body: Json) -> Json:
        return answer_in_microseconds(body) if self._microseconds else body

    # --- session and subscriptions -------------------------------------------------------------------------------------

    def _log_out(self, parameters: Parameters, now: Millis) -> Json:
        self._ended += self._subscriptions.close_logon(self._room.stated(now))
        return super()._log_out(parameters, now)

    def _status(self, now: Millis) -> dict[str, Json]:
        return super()._status(now) | {"userDataStream": bool(self._subscriptions.accounts)}

    def _subscribe(self, parameters: Parameters, now: Millis) -> Json:
        del parameters, now
        if self._key is None:
            raise VenueError(-1002)
        return {"subscriptionId": self._subscriptions.open(self._spot_account(self._key), by_logon=True)}

    def _subscribe_signed(self, parameters: Parameters, now: Millis) -> Json:
        return {"subscriptionId": self._subscriptions.open(self._spot_account(self._signer(parameters, now)), by_logon=False)}

    def _spot_account(self, key: ApiKey) -> str:
        return spot_of(self._room.exchange).spot_account(key.account)

    def _subscribe_by_token(self, parameters: Parameters, now: Millis) -> Json:
        """Nobody needs to be logged on; the time of the end is in microseconds, whatever the socket speaks (Binance Spot, 2.4)."""
        token = self._room.listen_tokens.find(parameters.text("listenToken"), now)
        if token is None:
            raise refuse(-1209)
        number = self._subscriptions.open(token.account, by_logon=False, token=token.token)
        return {"subscriptionId": number, "expirationTime": token.expires_at * 1000}

    def _unsubscribe(self, parameters: Parameters, now: Millis) -> Json:
        self._ended += self._subscriptions.close(parameters.maybe_whole("subscriptionId"), self._room.stated(now))
        return {}

    def _tell_subscriptions(self, parameters: Parameters, now: Millis) -> Json:
        del parameters, now
        return [{"subscriptionId": number} for number in self._subscriptions.numbers]
