"""The service's own routes, and that no answer holds a secret."""

from __future__ import annotations

from pathlib import Path

from tests.support.desk import NAME
from tests.support.web import open_site
from userstream.domain.access import Role, hash_token
from userstream.kernel.secret import Secret

PATHS = (
    "/health", "/ready", "/metrics", "/api/me", "/api/accounts", f"/api/accounts/{NAME}", f"/api/accounts/{NAME}/state",
    f"/api/accounts/{NAME}/certificate", "/api/orders", "/api/fills", "/api/ledger", "/api/margin-calls", "/api/positions", "/api/balances",
    "/api/audit-log", "/api/openapi.json", "/nothing", "/api/fills?cursor=x",
)  # fmt: skip


async def test_a_caller_is_told_who_it_is(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        status, caller = await site.get("/api/me", Role.OPERATOR)
        assert (status, caller["role"]) == (200, "operator") and caller["token_id"] in site.texts[Role.OPERATOR]


async def test_no_answer_holds_a_secret(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        key = site.desk.server.listing.accounts[0]
        canaries = [key.api_key, key.api_secret, site.desk.account.listen_key_in_use or key.api_key]
        for text in site.texts.values():
            canaries += [text, hash_token(Secret(text))]
        site.desk.trade()
        await site.desk.until_same()
        leaks = []
        for path in PATHS:
            async with site.client.get(site.server.url + path, headers=site.headers(Role.ADMIN)) as answer:
                shown = await answer.text() + str(answer.headers)
            leaks += [(path, canary) for canary in canaries if canary in shown]
        assert leaks == []
        _, planted = await site.post("/api/live/ticket", Role.VIEWER)
        assert planted["ticket"] in str(planted), "the search finds what is there"


async def test_ready_ends_when_the_stop_begins(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        assert (await site.get("/ready", None))[0] == 200
        site.server._desk.is_ready = False
        assert (await site.get("/ready", None))[0] == 503
