"""A user of margin at a paper house without sockets: the cross account, isolated ones, and a spot account beside them."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from tests.unit.sim.kit import Answered, open_house
from tests.unit.sim.spot_kit import Caller, SpotDesk, part
from userstream.sim.lanes import Lane
from userstream.sim.settings import AccountSpec

VENUE = "binance-margin"
CROSS, PAIR = "paper-1", "paper-1.BTCUSDT"
BALANCES: Mapping[str, Decimal] = {"USDT": Decimal(10_000), "BTC": Decimal("0.5")}
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "80000"}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


def user(account: str = CROSS, **changes: object) -> AccountSpec:
    return msgspec.structs.replace(AccountSpec(account=account, venue=VENUE, balances=BALANCES), **changes)


class MarginDesk(SpotDesk):
    """One user of margin over REST."""

    def limit(self, **changes: object) -> Answered:
        return self.call("POST", "/sapi/v1/margin/order", **(LIMIT | changes))

    def market(self, **changes: object) -> Answered:
        return self.call("POST", "/sapi/v1/margin/order", **(MARKET | changes))

    def borrow(self, asset: str, amount: str, **changes: object) -> Answered:
        return self.call("POST", "/sapi/v1/margin/borrow-repay", **{"type": "BORROW", "asset": asset, "amount": amount, **changes})

    def repay(self, asset: str, amount: str, **changes: object) -> Answered:
        return self.borrow(asset, amount, **{"type": "REPAY", **changes})

    def token(self, **parameters: object) -> str:
        """A listen token; parameters go as they are."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        found = self.send("POST", "/sapi/v1/userListenToken", query)["token"]
        assert isinstance(found, str)
        return found

    def open_key(self) -> str:
        key = self.send("POST", "/sapi/v1/margin/listen-key")["listenKey"]
        assert isinstance(key, str)
        return key

    def listen_to_risk(self) -> Lane:
        return self.listen(f"/margin-stream/ws/{self.open_key()}")

    def fund_pair(self, amount: str = "5000") -> None:
        """Money of the cross account for the isolated one."""
        moved = self.call("POST", "/sapi/v1/asset/transfer", type="MARGIN_ISOLATED_MARGIN", asset="USDT", amount=amount, toSymbol="BTCUSDT")
        assert moved.status == 200, moved.body


class TokenCaller(Caller):
    """A client that listens by tokens."""

    def listen(self, token: str) -> dict[str, object]:
        return self.plain("userDataStream.subscribe.listenToken", listenToken=token)

    def number(self, token: str) -> int:
        found = part(self.listen(token), "result")["subscriptionId"]
        assert isinstance(found, int)
        return found


def open_margin(*specs: AccountSpec, **changes: object) -> MarginDesk:
    house, clock, _ = open_house(**{"venues": (VENUE,), "accounts": specs or (user(),), **changes})
    return MarginDesk(house, clock, house.accounts[0])
