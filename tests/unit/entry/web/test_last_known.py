"""What is told of an account that does not run equals what was true of it when it ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.desk import NAME, VENUE
from tests.support.web import Site, open_site
from userstream.adapters.memory import MemoryJournal
from userstream.domain.access import Role
from userstream.domain.words import StreamState
from userstream.entry.web.last_known import read_last_known
from userstream.kernel.ids import AccountId, VenueName

PICTURE = ("account", "venue", "orders", "positions", "balances")
OF_ACCOUNT = (f"/api/accounts/{NAME}", f"/api/accounts/{NAME}/state", f"/api/accounts/{NAME}/certificate")
LISTS = tuple(f"/api/{name}?account={NAME}" for name in ("positions", "balances", "orders", "fills", "ledger", "margin-calls"))
OF_SERVICE = ("/health", "/ready", "/metrics", "/api/accounts", "/api/me", "/api/audit-log", "/api/openapi.json")
CSV = tuple(f"/api/{name}?account={NAME}&format=csv" for name in ("orders", "fills", "ledger", "margin-calls"))


def without_key(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != name} for row in rows]


async def filled(site: Site) -> None:
    for side in ("buy", "sell", "buy"):
        site.desk.trade(side=side)
    site.desk.place(price="50000")
    await site.desk.until_same()


async def test_an_account_that_was_stopped_is_told_as_it_was(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await filled(site)
        _, live = await site.get(f"/api/accounts/{NAME}/state")
        _, legs = await site.get(f"/api/positions?account={NAME}")
        assert live["is_connected"] and live["known_until"] is None and live["orders"] and live["positions"]
        await site.post(f"/api/accounts/{NAME}/disconnect")
        status, known = await site.get(f"/api/accounts/{NAME}/state")
        assert status == 200 and not known["is_connected"] and known["health"] is None
        assert {name: known[name] for name in PICTURE} == {name: live[name] for name in PICTURE}
        assert 0 < known["known_until"] <= site.desk.application.clock.wall() and known["sequence"] >= live["sequence"]
        _, stored = await site.get(f"/api/positions?account={NAME}")
        assert without_key(stored["items"], "known_until") == without_key(legs["items"], "known_until")
        assert {row["known_until"] for row in stored["items"]} == {known["known_until"]}
        assert (await site.get("/api/positions"))[1] == {"items": []}, "without a name only those that run are told of"


async def test_an_account_that_was_given_up_is_not_connected_and_says_why_until_it_is_begun_anew(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await filled(site)
        _, live = await site.get(f"/api/accounts/{NAME}/state")
        for action in ("revoke_api_key", "expire_key"):
            site.desk.act(action, account=NAME)
        await site.desk.until(lambda: site.desk.account.state is StreamState.FAILED, "the refusal")
        listed = (await site.get("/api/accounts"))[1]["items"]
        for form in (*listed, (await site.get(OF_ACCOUNT[0]))[1], (await site.get(OF_ACCOUNT[1]))[1]):
            assert not form["is_connected"] and form["health"]["state"] == "failed" and form["health"]["reason"]
        _, known = await site.get(OF_ACCOUNT[1])
        assert {name: known[name] for name in PICTURE} == {name: live[name] for name in PICTURE}
        assert 0 < known["known_until"] <= site.desk.application.clock.wall()
        for path in ("/api/positions", "/api/balances"):
            assert (await site.get(path))[1] == {"items": []}, "it does not run"
            rows = (await site.get(f"{path}?account={NAME}"))[1]["items"]
            assert {row["known_until"] for row in rows} == {known["known_until"]}
        site.desk.act("restore_api_key", account=NAME)
        status, form = await site.post(f"/api/accounts/{NAME}/connect")
        assert (status, form["is_connected"]) == (200, True)
        await site.desk.until(lambda: site.desk.application.accounts[NAME].health.is_healthy, "health")
        assert (await site.get(OF_ACCOUNT[1]))[1]["known_until"] is None


@pytest.mark.parametrize("still_wanted", [True, False])
async def test_every_route_answers_for_an_account_that_does_not_run(tmp_path: Path, still_wanted: bool) -> None:
    async with open_site(tmp_path) as site:
        await filled(site)
        for path in (*OF_ACCOUNT, *LISTS, *OF_SERVICE, *CSV):
            assert (await site.get(path, Role.ADMIN))[0] == 200, path
        await site.post(f"/api/accounts/{NAME}/disconnect")
        if not still_wanted:  # as after its removal
            site.wanted.clear()
        for path in (*OF_ACCOUNT, *LISTS, *OF_SERVICE, *CSV):
            status, told = await site.get(path, Role.ADMIN)
            expected = (503 if path == "/health" else 200) if still_wanted else (404 if path in OF_ACCOUNT else 200)
            assert status == expected, (path, told)
        assert (await site.get(f"/api/fills?account={NAME}"))[1]["items"]
        assert (await site.get(f"/api/positions?account={NAME}"))[1]["items"]


async def test_of_an_account_that_was_never_heard_nothing_is_told(tmp_path: Path) -> None:
    known = await read_last_known(MemoryJournal(), ManualClock(), AccountId("young"), VenueName(VENUE))
    assert (known.sequence, known.known_until, known.account.balances) == (0, 0, {})
    async with open_site(tmp_path) as site:
        for path in OF_ACCOUNT:
            assert (await site.get(path.replace(NAME, "nobody")))[0] == 404
