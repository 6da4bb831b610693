"""Comparing frames by their names and JSON types, and the hand-written frames to compare with."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

GOLDEN = Path(__file__).parent / "golden"
WORDS = frozenset({"e", "x", "X", "o", "f", "m", "mt", "ps", "wt", "ot", "V", "pm", "S", "r", "l", "L", "t", "s"})
"""Members whose text is one of the venue's words."""

Shape: TypeAlias = "str | list[Shape] | dict[str, Shape]"


class Case(msgspec.Struct, frozen=True):
    """One hand-written frame."""

    name: str
    frame: dict[str, object]


class Sheet(msgspec.Struct, frozen=True):
    """One kind of message."""

    section: str
    cases: list[Case]


def golden(venue: str, kind: str) -> dict[str, dict[str, object]]:
    """The hand-written frames of one kind, by name."""
    sheet = msgspec.json.decode((GOLDEN / venue / f"{kind}.json").read_bytes(), type=Sheet)
    assert sheet.section
    return {case.name: case.frame for case in sheet.cases}


def shape_of(value: object, name: str = "") -> Shape:
    """Names and JSON types of a frame; a text is a decimal, a word in capitals or any text."""
    if isinstance(value, Mapping):
        return {str(member): shape_of(each, str(member)) for member, each in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0], name)] if value else []
    if isinstance(value, str):
        return _text(value, name)
    return "null" if value is None else type(value).__name__


def _text(value: str, name: str) -> str:
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return "decimal"
    return f"word {value}" if name in WORDS else "text"
