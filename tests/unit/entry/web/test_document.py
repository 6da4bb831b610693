"""The OpenAPI document is right for every route: what is answered is what it says, refusals too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.desk import NAME
from tests.support.web import open_site
from userstream.domain.access import Role

Json = Any


def faults(document: Json, schema: Json, value: Json, place: str) -> Iterator[str]:
    """Where a value is not as its schema says: names, types and alternatives."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    options = schema.get("oneOf") or schema.get("anyOf")
    if options is not None:
        if all(list(faults(document, option, value, place)) for option in options):
            yield f"{place}: {value!r} is none of {options}"
        return
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, kinds[kind]) or (kind == "integer" and isinstance(value, bool))):
        yield f"{place}: {value!r} is no {kind}"
    elif kind == "array":
        for row in value:
            yield from faults(document, schema["items"], row, f"{place}[]")
    elif "properties" in schema:
        yield from (f"{place}.{name}: missing" for name in schema.get("required", []) if name not in value)
        yield from (f"{place}.{name}: not in the document" for name in value if name not in schema["properties"])
        for name, part in schema["properties"].items():
            if name in value:
                yield from faults(document, part, value[name], f"{place}.{name}")


async def test_every_answer_is_as_the_document_says(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        site.desk.trade()
        site.desk.place()
        await site.desk.until_same()
        await site.post("/api/live/ticket", Role.ADMIN)
        _, document = await site.get("/api/openapi.json")
        found, seen = [], 0
        for path, operations in document["paths"].items():
            if "get" not in operations:
                continue
            asked = path.replace("{name}", NAME)
            for role in (None, Role.VIEWER, Role.ADMIN):
                status, body = await site.get(asked, role)
                content = operations["get"]["responses"][str(status)]["content"]
                if "application/json" in content:
                    found += list(faults(document, content["application/json"]["schema"], body, f"{asked} {status}"))
                    seen += 1
        assert found == [] and seen > 40


async def test_roles_headers_and_refusals_are_told(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        _, document = await site.get("/api/openapi.json")
        connect = document["paths"]["/api/accounts/{name}/connect"]["post"]
        assert "operator" in connect["description"] and {"401", "403", "404", "429"} <= connect["responses"].keys()
        assert "x-userstream-request" in [parameter["name"] for parameter in connect["parameters"]]
        assert document["paths"]["/health"]["get"]["security"] == [] and document["security"] == [{"token": []}]
        fills = document["paths"]["/api/fills"]["get"]
        assert {parameter["name"] for parameter in fills["parameters"]} == {
            "account", "symbol", "since", "until", "cursor", "limit", "format"
        }  # fmt: skip
        assert "text/csv" in fills["responses"]["200"]["content"]
        accounts = document["components"]["schemas"]["AccountList"]
        assert "is_whole" in accounts["required"] and "registry" in accounts["properties"]["is_whole"]["description"]
        for path in ("/api/fills", "/api/positions", "/api/balances", "/api/ledger"):
            assert "404" in document["paths"][path]["get"]["responses"], path


def test_a_wrong_answer_would_be_found() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}
    wrongs: list[Json] = [{}, {"a": 1}, {"a": "x", "b": 1}, []]
    for wrong in wrongs:
        assert list(faults({}, schema, wrong, "x"))
    assert list(faults({}, schema, {"a": "x"}, "x")) == []
