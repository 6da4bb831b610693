"""The methods of the WebSocket API of USD-M and COIN-M, and the calls that they are (Binance USD-M, 6.1)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# method -> HTTP method and the path below the product's prefix
COMMON: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "ping": ("GET", "/v1/ping"),
        "time": ("GET", "/v1/time"),
        "ticker.price": ("GET", "/v1/ticker/price"),
        "ticker.book": ("GET", "/v1/ticker/bookTicker"),
        "depth": ("GET", "/v1/depth"),
        "userDataStream.start": ("POST", "/v1/listenKey"),
        "userDataStream.ping": ("PUT", "/v1/listenKey"),
        "userDataStream.stop": ("DELETE", "/v1/listenKey"),
        "order.place": ("POST", "/v1/order"),
        "order.modify": ("PUT", "/v1/order"),
        "order.cancel": ("DELETE", "/v1/order"),
        "order.status": ("GET", "/v1/order"),
        "algoOrder.place": ("POST", "/v1/algoOrder"),
        "algoOrder.cancel": ("DELETE", "/v1/algoOrder"),
    }
)
USDM_ACCOUNT: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "account.balance": ("GET", "/v2/balance"),
        "account.status": ("GET", "/v2/account"),
        "account.position": ("GET", "/v2/positionRisk"),
        "v2/account.balance": ("GET", "/v3/balance"),
        "v2/account.status": ("GET", "/v3/account"),
        "v2/account.position": ("GET", "/v3/positionRisk"),
    }
)
COINM_ACCOUNT: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "account.balance": ("GET", "/v1/balance"),
        "account.status": ("GET", "/v1/account"),
        "account.position": ("GET", "/v1/positionRisk"),
    }
)


def below(prefix: str, *tables: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    """The methods with the full paths of a product."""
    return MappingProxyType({name: (method, prefix + path) for table in tables for name, (method, path) in table.items()})
