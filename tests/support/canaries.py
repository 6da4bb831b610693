"""Looks for secrets in what a program left behind, in every form in which one could slip out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

SHORTEST_PART: Final = 8
"""So much of a secret's beginning is a leak already."""


def forms_of(secret: str) -> dict[str, bytes]:
    """The secret as it is, its beginning, and as other programs would write it."""
    plain = secret.encode()
    return {
        "plain": plain,
        "beginning": plain[:SHORTEST_PART],
        "url": quote(secret, safe="").encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        **{f"base64, {skipped} in": form for skipped, form in enumerate(_base64_forms(plain))},
    }


def _base64_forms(plain: bytes) -> Iterator[bytes]:
    """Whatever stands in front of it; the digits that belong to neighbours too are left out."""
    for skipped in range(3):
        digits = base64.b64encode(b"\0" * skipped + plain)
        yield digits[(0, 2, 3)[skipped] : len(digits) - (4 if digits.endswith(b"=") else 0)]


def find_leaks(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[str]:
    """Each name, form and place of a secret that is somewhere."""
    return [
        f"{name} ({form}) in {place}"
        for name, secret in secrets.items()
        for form, text in forms_of(secret).items()
        for place, content in places.items()
        if text in content
    ]
