"""The OpenAPI document, completed with what every route has in common: roles, refusals, the header of changes, CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from userstream.domain.access import Role
from userstream.entry.web.answers import ErrorAnswer
from userstream.entry.web.checks import CHANGE_HEADER

Document = dict[str, Any]
Routes = Mapping[tuple[str, str], object]
"""Method in small letters and path, with the role that the route needs."""

TEMPLATE: Final = "#/components/schemas/{name}"
ERROR: Final = {"content": {"application/json": {"schema": {"$ref": TEMPLATE.format(name="ErrorAnswer")}}}}
HEALTH: Final = {"content": {"application/json": {"schema": {"$ref": TEMPLATE.format(name="ServiceHealth")}}}}
COMMON: Final = {"400": "the request is not as this document says", "429": "too many requests: Retry-After says when", "503": "not now"}
GUARDED: Final = {"401": "no token, or it is over", "403": "the token's role, or the page's origin, does not allow this"}
ACCOUNT_NAMES: Final = frozenset({"name", "account"})
"""Parameters that name an account, in a path or in a query."""
CSV_PATHS: Final = frozenset({"/api/orders", "/api/fills", "/api/ledger", "/api/margin-calls"})


def complete_document(document: Document, routes: Routes) -> Document:
    """Changes the document in place and returns it."""
    _, schemas = msgspec.json.schema_components([ErrorAnswer], ref_template=TEMPLATE)
    document["components"]["schemas"] |= schemas
    for method, path, operation in _operations(document):
        role = routes[method, path]
        is_guarded = isinstance(role, Role)
        if is_guarded:
            operation["description"] = f"Needs a token of the role {role}, or of a greater one."
        else:
            operation["security"] = []
        parameters = operation.get("parameters", [])
        names_account = any(parameter["name"] in ACCOUNT_NAMES for parameter in parameters)
        operation["responses"] |= _refusals(is_guarded=is_guarded, names_account=names_account)
        for parameter in parameters:
            _complete_range(parameter["schema"])
        if method != "get":
            operation.setdefault("parameters", []).append(_change_header())
        if path in CSV_PATHS:
            operation["responses"]["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    return document


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method, path, operation


def _refusals(*, is_guarded: bool, names_account: bool) -> Document:
    words = COMMON | (GUARDED if is_guarded else {})
    if names_account:
        words |= {"404": "no such account", "409": "the account is not connected"}
    refusals = {status: {"description": text, **ERROR} for status, text in words.items()}
    # health and readiness say no in the form in which they say yes
    return refusals if is_guarded else refusals | {"503": {"description": "failing", **HEALTH}}


def _complete_range(schema: Document) -> None:
    """A least value of 0 is left out by whoever made the document; no number that is taken here is negative."""
    if schema.get("type") == "integer" or {"type": "integer"} in schema.get("oneOf", ()):
        schema.setdefault("minimum", 0)


def _change_header() -> Document:
    return {"name": CHANGE_HEADER, "in": "header", "required": True, "schema": {"type": "string"}, "description": "Any text, such as 1."}
