"""Which keys each message may have, read from the structs themselves, and frames cut down to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias, get_args

import msgspec
from msgspec import inspect

from userstream.venues.binance.messages import AnyMessage

Shape: TypeAlias = Mapping[str, "Shape | None"]
"""Key -> the shape of the object (or of each object of the list) behind it; None where there is no object."""

AMOUNT: Final[Shape] = MappingProxyType({})
"""The shape of an amount, which is text; written as a bare number, it is as good."""

_DIGITS: Final = b"-0123456789"

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODE: Final = msgspec.json.Encoder().encode


def _shape_behind(kind: inspect.Type) -> Shape | None:
    match kind:
        case inspect.Metadata(extra={"amount": True}):
            return AMOUNT
        case inspect.StructType():
            return {part.encode_name: _shape_behind(part.type) for part in kind.fields}
        case inspect.VarTupleType():
            return _shape_behind(kind.item_type)
        case inspect.UnionType():
            found = [shape for shape in map(_shape_behind, kind.types) if shape is not None]
            return found[0] if found else None
        case _:
            return None


def shapes_of(messages: Iterable[type[msgspec.Struct]]) -> dict[str, Shape]:
    """Event name -> its shape, of these messages."""
    return {str(message.__struct_config__.tag): _whole_shape(message) for message in messages}


def _whole_shape(message: type[msgspec.Struct]) -> Shape:
    fields = _shape_behind(inspect.type_info(message)) or {}
    return {str(message.__struct_config__.tag_field): None, **fields}


SHAPES: Final[Mapping[str, Shape]] = shapes_of(get_args(AnyMessage))
"""The shapes of the USD-M messages."""


def prune(frame: bytes | msgspec.Raw, shape: Shape, path: str) -> tuple[bytes, list[str]]:
    """The frame without the keys its shape does not know, and the paths of those keys, each once.

    Values keep their exact digits; an amount that is a bare number becomes text. What is no object (or no list of objects) where one is
    expected stays as it is: the typed decoder says what is wrong with it.
    """
    unknown: dict[str, None] = {}
    return _pruned(frame, shape, path, unknown), list(unknown)


def _pruned(raw: bytes | msgspec.Raw, shape: Shape, path: str, unknown: dict[str, None]) -> bytes:
    text = bytes(raw).lstrip()
    if shape is AMOUNT:
        return b'"%b"' % text if text[0] in _DIGITS else text
    if text.startswith(b"["):
        return _ENCODE([msgspec.Raw(_pruned(item, shape, path, unknown)) for item in _LIST.decode(text)])
    if not text.startswith(b"{"):
        return text
    kept: dict[str, msgspec.Raw] = {}
    for key, value in _OBJECT.decode(text).items():
        if key not in shape:
            unknown[f"{path}.{key}"] = None
            continue
        inner = shape[key]
        kept[key] = value if inner is None else msgspec.Raw(_pruned(value, inner, f"{path}.{key}", unknown))
    return _ENCODE(kept)
