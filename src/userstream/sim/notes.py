"""What a person must know of the actions, read from the records themselves. Pure."""

from __future__ import annotations

import inspect

import msgspec

from userstream.sim.actions import ACTIONS, Action
from userstream.sim.rules import FieldRule, rules_of


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
    rules = rules_of(kind)
    return {field.name: _describe_field(field, rules[field.name]) for field in msgspec.structs.fields(kind)}


def _describe_field(field: msgspec.structs.FieldInfo, rule: FieldRule) -> FieldNote:
    default = field.default if field.default is not msgspec.NODEFAULT else None
    return FieldNote(
        type=rule.type,
        required=field.required,
        default=default if isinstance(default, bool | int) or default is None else str(default),
        meaning=rule.meaning,
    )
