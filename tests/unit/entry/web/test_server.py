"""The server on a real socket of this machine, over an account of the paper exchange."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.desk import NAME
from tests.support.web import open_site
from userstream.domain.access import Role


async def test_what_the_account_holds_is_read_over_http(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        assert await site.get("/health", None) == (200, {"status": "ok"})
        assert (await site.get("/ready", None))[0] == 200
        site.desk.trade()
        name = site.desk.place()
        await site.desk.until(lambda: len(site.desk.account.positions) == 1 and len(site.desk.account.orders.open()) == 1, "trade")
        status, accounts = await site.get("/api/accounts")
        assert (status, [row["account"] for row in accounts["items"]]) == (200, [NAME])
        status, state = await site.get(f"/api/accounts/{NAME}/state")
        assert status == 200, state
        assert [order["client_order_id"] for order in state["orders"]] == [name]
        assert [(leg["symbol"], leg["amount"]) for leg in state["positions"]] == [("BTCUSDT", "0.010")]
        status, text = await site.get("/metrics")
        assert status == 200 and "# HELP" in text
        async with site.client.get(f"{site.server.url}/metrics", headers=site.headers()) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("path", ["/api/positions", "/api/balances", "/api/fills", "/api/orders", "/api/ledger", "/api/margin-calls"])
async def test_every_list_answers(tmp_path: Path, path: str) -> None:
    async with open_site(tmp_path) as site:
        status, body = await site.get(path)
        assert status == 200, body
        assert isinstance(body["items"], list)


async def test_the_api_document_names_every_route(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        assert (await site.get("/api/openapi.json", None))[0] == 401
        status, document = await site.get("/api/openapi.json")
        assert status == 200, document
        assert "/api/fills" in document["paths"]
        assert await site.get("/api/audit-log", Role.ADMIN) != (403, None)
