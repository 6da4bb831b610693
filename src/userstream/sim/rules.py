"""Mistakes in the fields of an action or a step, in one form: the field, its value, and what it must be. Pure."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

import msgspec

_MISSING: Final = re.compile(r"^Object missing required field `(?P<field>\w+)`")
_WRONG: Final = re.compile(r" - at `\$\.(?P<field>\w+)")
_LONGEST_VALUE: Final = 60
_MUST: Final = types.MappingProxyType({"decimal": "a decimal number such as '0.001'", "integer": "a whole number", "object": "an object"})


class FieldRule(typing.NamedTuple):
    """What may stand in a field: a word for its type (decimal, one of buy, sell, ...), and what it means; empty where that is plain."""

    type: str
    meaning: str

    @property
    def words(self) -> str:
        """As it stands behind the field and its value."""
        kinds = ", or ".join(_MUST.get(word, word) for word in self.type.split(" or ")) if self.type != "true or false" else self.type
        return f"must be {kinds}" + (f" ({self.meaning})" if self.meaning else "")


def rules_of(kind: type[msgspec.Struct]) -> dict[str, FieldRule]:
    """The rule of each field, from its annotation."""
    return {name: _rule(hint) for name, hint in typing.get_type_hints(kind, include_extras=True).items() if name in kind.__struct_fields__}


def explain_mistake(kind: type[msgspec.Struct], fields: Mapping[str, object], wrong: Exception) -> str:
    """What a reader found wrong with these fields of such a record. A rule of the record's own is told as the record tells it."""
    text = str(wrong)
    if missing := _MISSING.match(text):
        return f"{missing['field']} is missing: it {rules_of(kind)[missing['field']].words}"
    if found := _WRONG.search(text):
        return f"{found['field']} {show_value(fields.get(found['field']))} {rules_of(kind)[found['field']].words}"
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """The most similar known word, whatever its case; there is always one."""
    words = {known_word.lower(): known_word for known_word in sorted(known)}
    found = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.0)
    return words[found[0]] if found else next(iter(words.values()))


def show_value(value: object) -> str:
    """A value as a script has it: text in quotes, cut where it is long."""
    match value:
        case str():
            shown = repr(str(value))  # a word of an enumeration is told as it is written
        case None | bool():
            shown = msgspec.json.encode(value).decode()
        case _:
            shown = str(value)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}..."


def show_given(record: msgspec.Struct) -> str:
    """The fields of a record that say anything, with their values."""
    given = ((field.name, getattr(record, field.name), field.default) for field in msgspec.structs.fields(record))
    return ", ".join(f"{name} {show_value(value)}" for name, value, default in given if value != default and value is not None)


def _rule(hint: object) -> FieldRule:
    notes = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    plain = typing.get_args(hint)[0] if notes else hint
    meaning = " ".join(note.description or "" for note in notes if isinstance(note, msgspec.Meta)).strip()
    return FieldRule(_type_word(plain), meaning)


def _type_word(plain: object) -> str:
    if isinstance(plain, types.UnionType):
        return " or ".join(_type_word(part) for part in typing.get_args(plain))
    if plain is types.NoneType:
        return "null"
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return "one of " + ", ".join(member.value for member in plain)
    words = {Decimal: "decimal", str: "text", int: "integer", bool: "true or false"}
    return words.get(plain, "object") if isinstance(plain, type) else "object"
