"""Every route of the API document under queries, paths and bodies that nobody would write: refused in the common form, never a failure."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
import yarl

from tests.support.desk import NAME
from tests.support.web import Site, open_site
from userstream.domain.access import Role
from userstream.entry.web.answers import SECURITY_HEADERS
from userstream.entry.web.checks import CHANGE_HEADER

pytestmark = pytest.mark.slow

SEED: Final = 20_261_121
ROUNDS: Final = 12
VALUES: Final = (
    *("", "0", "1", "-1", "1e3", "1.5", "NaN", "null", "true", "9" * 30, "9" * 18, NAME, "nobody", "BTCUSDT", "csv", "xml"),
    *(
        "' OR 1=1 --",
        "\0",
        "\n\r",
        "\u202e",
        "\ud7ff",
        "𝟙",
        "a" * 64,
        "a" * 65,
        "a" * 4_000,
        "../../etc/passwd",
        "<b>",
        "{}",
        "%00",
        "=1+1",
    ),
)
NAMES: Final = (
    "account",
    "symbol",
    "asset",
    "since",
    "until",
    "cursor",
    "limit",
    "format",
    "after",
    "before",
    "",
    "limit[]",
    "Limit",
    "\0",
)
BODIES: Final = (
    b"",
    b"{",
    b"null",
    b"[[[[",
    b'{"account": null}',
    b'{"a": 1e999}',
    b"\xff\xfe",
    b'"' + b"a" * 60_000 + b'"',
    b"[" * 30_000,
)
FINE: Final = frozenset({200, 201, 400, 404, 405, 409, 413, 422, 503})
SECURE: Final = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}


def queries(chance: random.Random, known: list[str]) -> Iterator[str]:
    for _ in range(ROUNDS):
        names = [chance.choice((*known, *known, *NAMES)) for _ in range(chance.randint(1, 4))]
        yield urlencode([(name, chance.choice(VALUES)) for name in names])


async def ask(site: Site, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    """Status and content type; what is wrong with the answer's form raises."""
    headers = site.headers(Role.ADMIN) | ({CHANGE_HEADER: "1"} if method != "get" else {})
    url = yarl.URL(site.server.url + path, encoded=True)
    async with site.client.request(method, url, headers=headers, data=body) as answer:
        text = await answer.text()
        assert {name: answer.headers.get(name) for name in SECURE} == SECURE
        assert "Traceback" not in text and "sqlite" not in text.lower()
        if answer.status >= 400 and not path.startswith(("/health", "/ready")):
            told: Any = json.loads(text)
            assert set(told) == {"error"} and set(told["error"]) == {"code", "message"}
            assert told["error"]["code"] and "\n" not in told["error"]["message"]
        return answer.status, answer.content_type


async def test_no_query_path_or_body_makes_a_route_fail(tmp_path: Path) -> None:
    chance, wrong, asked = random.Random(SEED), [], 0
    async with open_site(tmp_path) as site:
        site.desk.trade()
        await site.desk.until_same()
        _, document = await site.get("/api/openapi.json")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
                for query in queries(chance, known):
                    name = chance.choice((NAME, NAME, *VALUES)) or "x"
                    place = f"{path.replace('{name}', quote(name, safe=''))}?{query}"
                    body = chance.choice(BODIES) if method != "get" else None
                    status, _ = await ask(site, method, place, body)
                    asked += 1
                    if status not in FINE:
                        wrong.append((method, place[:200], status))
    assert wrong == [] and asked > 200
