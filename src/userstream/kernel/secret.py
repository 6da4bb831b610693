"""Secrets that cannot be printed."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """Text that never shows itself: not by repr, str, format, pickle, copy or JSON. `reveal` is for the signer alone."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        return self.__text

    def __bytes(self) -> bytes:
        # Text from the environment may hold surrogates; an encoding error would carry the secret.
        return self.__text.encode("utf-8", "surrogatepass")

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.__bytes(), other.__bytes())

    def __hash__(self) -> int:
        return hash(("Secret", self.__text))

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")
