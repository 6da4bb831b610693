"""A COIN-M account at a paper house without sockets."""

from decimal import Decimal

import msgspec

from tests.unit.sim.kit import Answered, Desk, open_house
from userstream.sim.settings import AccountSpec

VENUE = "binance-coinm"
SYMBOL = "BTCUSD_PERP"
LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "12", "price": "80000.0"}
COINS = {"BTC": Decimal(2), "ETH": Decimal(50)}


def owner(account: str = "paper-1", **changes: object) -> AccountSpec:
    return msgspec.structs.replace(AccountSpec(account=account, venue=VENUE, balances=COINS), **changes)


class CoinmDesk(Desk):
    """One COIN-M account as its owner uses it."""

    def limit(self, **changes: object) -> Answered:
        return self.call("POST", "/dapi/v1/order", **(LIMIT | changes))

    def market(self, **changes: object) -> Answered:
        order = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "12", "newOrderRespType": "RESULT"}
        return self.call("POST", "/dapi/v1/order", **(order | changes))

    def open_key(self) -> str:
        key = self.send("POST", "/dapi/v1/listenKey")["listenKey"]
        assert isinstance(key, str)
        return key

    def stream(self) -> "CoinmDesk":
        """Open a stream socket in the plain form of the venue."""
        self.listen(f"/dstream/ws/{self.open_key()}")
        return self

    def fill(self, **changes: object) -> int:
        """An order that is taken from outside at its own price; returns its id."""
        order_id = self.limit(**changes)["orderId"]
        assert isinstance(order_id, int)
        symbol = str(changes.get("symbol", SYMBOL))
        self.contracts.counter_fill(self.account, order_id, symbol, None, self.clock.now())
        self.publish()
        return order_id

    def publish(self) -> None:
        self.house.publish(self.hall, self.clock.now())


def open_coinm(*specs: AccountSpec, **changes: object) -> CoinmDesk:
    house, clock, _ = open_house(**{"venues": (VENUE,), "accounts": specs or (owner(), owner("paper-2")), **changes})
    return CoinmDesk(house, clock, house.accounts[0])
