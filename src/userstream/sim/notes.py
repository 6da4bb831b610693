"""What a person must know of the actions, read from the records themselves. Pure."""

from __future__ import annotations

import inspect
import types
import typing
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from userstream.sim.actions import ACTIONS, Action, Meta


class FieldNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a person must know of a field of an action."""

    type: str
    required: bool
    default: str | int | bool | None
    meaning: str


class ActionNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a person must know of an action."""

    meaning: str
    fields: dict[str, FieldNote]


def describe_actions() -> dict[str, ActionNote]:
    """All actions with their fields, from the records themselves."""
    return {name: ActionNote(meaning=inspect.getdoc(kind) or "", fields=_describe_fields(kind)) for name, kind in ACTIONS.items()}


def _describe_fields(kind: type[Action]) -> dict[str, FieldNote]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: _describe_field(field, hints[field.name]) for field in msgspec.structs.fields(kind)}


def _describe_field(field: msgspec.structs.FieldInfo, hint: object) -> FieldNote:
    notes = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    plain = typing.get_args(hint)[0] if notes else hint
    default = field.default if field.default is not msgspec.NODEFAULT else None
    return FieldNote(
        type=_type_word(plain),
        required=field.required,
        default=default if isinstance(default, bool | int) or default is None else str(default),
        meaning=" ".join(note.description or "" for note in notes if isinstance(note, Meta)).strip(),
    )


def _type_word(plain: object) -> str:
    if isinstance(plain, types.UnionType):
        return " or ".join(_type_word(part) for part in typing.get_args(plain))
    if plain is types.NoneType:
        return "null"
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return "one of " + ", ".join(member.value for member in plain)
    words = {Decimal: "decimal", str: "text", int: "integer", bool: "true or false"}
    return words.get(plain, "object") if isinstance(plain, type) else "object"
