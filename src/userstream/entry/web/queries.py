"""What a route takes in its path and its query, as the API document says it, in words for whoever asked otherwise. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from userstream.entry.web.checks import Refusal
from userstream.kernel.errors import nearest

LONGEST_SHOWN: Final = 80
WHOLE_BODY: Final = "data"
NO_BODY: Final = (WHOLE_BODY, repr(WHOLE_BODY))
"""How the framework tells of a body that did not come: a name that it looked for in vain."""
_NAMED_PLACES: Final = frozenset({"query", "path"})


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """place: query or path. rule: what its value must be, as the end of a sentence."""

    place: str
    rule: str


Parameters = Mapping[str, Parameter]


class _Schema(msgspec.Struct, frozen=True, kw_only=True):
    type: str | list[str] = ""
    one_of: list[_Schema] = msgspec.field(default=[], name="oneOf")
    enum: list[str | int | None] = []
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = msgspec.field(default=None, name="maxLength")


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    place: str = msgspec.field(name="in")
    schema: _Schema = _Schema()
    description: str = ""


class _Operation(msgspec.Struct, frozen=True, kw_only=True):
    parameters: list[_Told] = []


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    paths: dict[str, dict[str, _Operation]]


def read_parameters(document: Mapping[str, object]) -> dict[tuple[str, str], dict[str, Parameter]]:
    """What each route takes, by its method in small letters and its path in the document."""
    told = msgspec.convert(document, _Document)
    return {
        (method, path): {
            one.name: Parameter(place=one.place, rule=_rule_of(one)) for one in operation.parameters if one.place in _NAMED_PLACES
        }
        for path, operations in told.paths.items()
        for method, operation in operations.items()
    }


def refuse_names(known: Parameters, given: Iterable[str]) -> Refusal | None:
    """Why a query with these names is refused: one that the route does not take, or one that is given twice; None if it may go on."""
    taken = [name for name, parameter in known.items() if parameter.place == "query"]
    for name, times in Counter(given).items():
        if name not in taken:
            hint = nearest(name, taken) if taken else "this route takes none"
            return Refusal(status=400, code="unknown_parameter", message=f"there is no parameter {_shown(name)} here: {hint}")
        if times > 1:
            return Refusal(status=400, code="bad_parameter", message=f"{name} is given {times} times: give it once")
    return None


def refuse_values(known: Parameters, wrong: Sequence[tuple[str, str]]) -> Refusal:
    """The refusal of values, each with the name of its parameter, that are not as the rules say."""
    words = (f"{name} = {_shown(value)} must be {known[name].rule}" for name, value in wrong)
    return Refusal(status=400, code="bad_parameter", message="; ".join(words))


def refuse_body(wrong: Sequence[tuple[str, str]]) -> Refusal:
    """The refusal of a body: each field, or the whole, with what was expected there. Values are not shown: a body may hold a key."""
    if NO_BODY in wrong:
        return Refusal(status=400, code="bad_body", message="the body is not as the API document says: it is empty")
    words = (f"{field}: {expected}" if field != WHOLE_BODY else expected for field, expected in wrong)
    return Refusal(status=400, code="bad_body", message=f"the body is not as the API document says: {'; '.join(words)}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...")


def _rule_of(told: _Told) -> str:
    schema = told.schema
    words = [str(one) for one in schema.enum if one is not None]
    if words:
        return f"one of {', '.join(words)}"
    if "integer" in _types_of(schema):
        return _range_of(schema)
    if schema.pattern is not None:
        return told.description.removesuffix(".") or f"text of the form {schema.pattern}"
    if schema.max_length is not None:
        return f"text of at most {schema.max_length} characters"
    return told.description.removesuffix(".") or "as the API document says"


def _types_of(schema: _Schema) -> set[str]:
    own = [schema.type] if isinstance(schema.type, str) else schema.type
    return {*own, *(name for part in schema.one_of for name in _types_of(part))}


def _range_of(schema: _Schema) -> str:
    least, most = (None if limit is None else int(limit) for limit in (schema.minimum, schema.maximum))
    if least is None:
        return "a whole number" if most is None else f"a whole number up to {most}"
    return f"a whole number from {least}" + ("" if most is None else f" to {most}")
