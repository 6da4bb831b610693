"""What is told of accounts as they are now."""

from __future__ import annotations

from pathlib import Path

from tests.support.desk import NAME
from tests.support.web import open_site


async def test_accounts_positions_balances_and_certificate(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        site.desk.trade()
        await site.desk.until_same()
        status, account = await site.get(f"/api/accounts/{NAME}")
        assert status == 200 and account["is_healthy"] and account["health"]["state"] == "live"
        _, legs = await site.get(f"/api/positions?account={NAME}")
        assert [(leg["account"], leg["symbol"], leg["amount"]) for leg in legs["items"]] == [(NAME, "BTCUSDT", "0.010")]
        assert (await site.get("/api/positions?symbol=ETHUSDT"))[1] == {"items": []}
        _, wallets = await site.get("/api/balances?asset=BNB")
        assert [wallet["asset"] for wallet in wallets["items"]] == ["BNB"]
        status, certificate = await site.get(f"/api/accounts/{NAME}/certificate")
        assert status == 200 and certificate["is_whole"] and certificate["intervals"] and certificate["holes"] == []
        assert (await site.get(f"/api/accounts/{NAME}/certificate?since=10&until=5"))[0] == 400


async def test_a_disconnected_account_keeps_its_history_and_certificate(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await site.post(f"/api/accounts/{NAME}/disconnect")
        assert (await site.post(f"/api/accounts/{NAME}/disconnect"))[0] == 200
        status, certificate = await site.get(f"/api/accounts/{NAME}/certificate")
        assert status == 200 and not certificate["is_growing"]
        assert (await site.get("/api/accounts"))[1]["items"][0]["is_connected"] is False
        assert (await site.get("/ready", None))[0] == 200
