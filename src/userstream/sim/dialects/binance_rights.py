"""What a key may do, as all products of the Binance family tell it; clients look before they use a key (3.3)."""

from userstream.sim.keys import ApiKey
from userstream.sim.venue import Json


def rights_of(key: ApiKey | None, *, futures: bool = False, spot: bool = False, margin: bool = False) -> dict[str, Json]:
    """`apiRestrictions`: what the key may do where the asking product trades; elsewhere it may nothing."""
    trades, leaves = key is not None and key.can_trade, key is not None and key.can_withdraw
    return {
        "ipRestrict": key is not None and key.ip_restricted,
        "createTime": 0,
        "enableReading": True,
        "enableWithdrawals": leaves,
        "enableInternalTransfer": leaves,
        "permitsUniversalTransfer": leaves,
        "enableMargin": trades and margin,
        "enableFutures": trades and futures,
        "enableVanillaOptions": False,
        "enableSpotAndMarginTrading": trades and spot,
        "enablePortfolioMarginTrading": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
    }
