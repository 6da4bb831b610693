"""History over HTTP: every fill of the exchange once, page by page, and as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.support.desk import NAME
from tests.support.web import Site, open_site
from userstream.domain.access import Role


async def read_pages(site: Site, path: str) -> list[str]:
    told, cursor = [], ""
    while True:
        status, page = await site.get(f"{path}?limit=2{cursor}")
        assert status == 200, page
        told += [row["trade_id"] for row in page["items"]]
        if page["next_cursor"] is None:
            return told
        cursor = f"&cursor={page['next_cursor']}"


async def settle(site: Site, fills: int) -> None:
    """Until the tables have followed the journal."""
    for _ in range(1_000):
        if len(await read_pages(site, "/api/fills")) >= fills:
            return
        await site.desk.application.clock.sleep(5)


async def test_every_fill_of_the_exchange_is_told_once(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        for side in ("buy", "sell", "buy", "sell"):
            site.desk.trade(side=side)
        await site.desk.until_same()
        truth = sorted(str(fill["trade_id"]) for fill in site.desk.truth()["fills"])
        await settle(site, len(truth))
        assert sorted(await read_pages(site, "/api/fills")) == truth
        assert (await site.get(f"/api/fills?account={NAME}&symbol=NONE"))[1] == {"items": [], "next_cursor": None}
        assert len((await site.get("/api/fills?symbol=BTCUSDT"))[1]["items"]) == len(truth)
        assert len((await site.get("/api/orders"))[1]["items"]) == 4
        for accept, query in (("text/csv", ""), ("*/*", "&format=csv")):
            status, text = await site.get(f"/api/fills?limit=1000{query}", Accept=accept)
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            assert status == 200 and sorted(row["trade_id"] for row in rows) == truth
        async with site.client.get(f"{site.server.url}/api/fills?limit=1&format=csv", headers=site.headers()) as answer:
            assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
            assert answer.headers["X-Next-Cursor"].isdecimal()
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/api/orders", "/api/fills", "/api/ledger", "/api/margin-calls", "/api/positions", "/api/balances"])
async def test_an_account_that_nobody_knows_is_named_in_a_404(tmp_path: Path, path: str) -> None:
    async with open_site(tmp_path) as site:
        status, told = await site.get(f"{path}?account=nobody")
        assert (status, told["error"]["code"]) == (404, "unknown_account") and "'nobody'" in told["error"]["message"]


async def test_the_history_of_an_account_that_was_removed_can_still_be_read(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        site.desk.trade()
        await site.desk.until_same()
        await settle(site, len(site.desk.truth()["fills"]))
        await site.desk.application.remove(NAME)
        del site.wanted[NAME]
        status, page = await site.get(f"/api/fills?account={NAME}")
        assert status == 200 and page["items"]
        assert (await site.get(f"/api/ledger?account={NAME}"))[0] == 200
        assert (await site.get(f"/api/accounts/{NAME}"))[0] == 404


async def test_the_audit_log_is_read_on_from_a_place(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await site.post(f"/api/accounts/{NAME}/disconnect")
        _, page = await site.get("/api/audit-log?limit=2", Role.ADMIN)
        _, rest = await site.get(f"/api/audit-log?after={page['next_after']}", Role.ADMIN)
        told = [*page["items"], *rest["items"]]
        assert [entry["sequence"] for entry in told] == list(range(1, len(told) + 1)) and rest["next_after"] is None
        assert [entry["previous"] for entry in told[1:]] == [entry["hash"] for entry in told[:-1]]
