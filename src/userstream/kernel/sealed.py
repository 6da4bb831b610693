"""The written form of an encrypted value, and what it is bound to. No key, no chance, no arithmetic of ciphers here.

A record is one line of text, `v1|kek_id|wrapped_dek|nonce|ciphertext|tag`; all but the first two parts are base64url without padding. Each
record has exactly one spelling, so that no changed character is read as the same record.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import AccountId, VenueName

FORMAT: Final = "v1"
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
WRAPPED_BYTES: Final = NONCE_BYTES + KEY_BYTES + TAG_BYTES
"""A wrapped data key: nonce, encrypted key, tag."""

_KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_LENGTHS: Final = (("wrapped key", WRAPPED_BYTES), ("nonce", NONCE_BYTES), ("ciphertext", None), ("tag", TAG_BYTES))


class VaultError(UserStreamError):
    """A secret cannot be sealed or opened: a key is missing or wrong, or a record was changed or stands in a foreign place."""


class SealPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value belongs: opened anywhere else it fails. `destination`: the addresses it may be sent to, empty for the venue's own.
    `version`: counts the account's credentials; older ones are not accepted in the place of newer ones."""

    user: str
    account: AccountId
    venue: VenueName
    destination: str = ""
    version: int

    def value_data(self, field: str) -> bytes:
        """What the encrypted value of a field is bound to. The key that wraps its data key is no part of it, so that it can change."""
        parts = (FORMAT, self.user, self.account, self.venue, self.destination, field, str(self.version))
        return _join(parts)

    def key_data(self, key_id: str) -> bytes:
        """What the wrapped data key is bound to."""
        return _join((FORMAT, "key", key_id, self.user, self.account))


class SealedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a record."""

    key_id: str
    wrapped_key: bytes
    nonce: bytes
    ciphertext: bytes
    tag: bytes

    def write(self) -> str:
        """The record as text."""
        parts = (self.wrapped_key, self.nonce, self.ciphertext, self.tag)
        return "|".join((FORMAT, self.key_id, *map(write_base64, parts)))


def read_record(text: str) -> SealedRecord:
    """Raises VaultError, in one line without the text, for what was not written by `SealedRecord.write`."""
    version, *parts = text.split("|")
    if version != FORMAT or len(parts) != 5:
        raise VaultError(f"this is no encrypted record of the form {FORMAT}")
    key_id, *encoded = parts
    check_key_id(key_id)
    wrapped, nonce, ciphertext, tag = (_part(name, length, word) for (name, length), word in zip(_LENGTHS, encoded, strict=True))
    return SealedRecord(key_id=key_id, wrapped_key=wrapped, nonce=nonce, ciphertext=ciphertext, tag=tag)


def check_key_id(key_id: str) -> str:
    """The id itself. Raises VaultError for one that no key has."""
    if _KEY_ID.fullmatch(key_id) is None:
        raise VaultError("the id of a key holds other characters than a-z, 0-9 and -, or is too long")
    return key_id


def write_base64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def read_base64(text: str) -> bytes:
    """Raises ValueError for a text that `write_base64` does not write: other characters, padding, or bits that say nothing."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("no base64url") from None
    if write_base64(data) != text:
        raise ValueError("no base64url")
    return data


def _part(name: str, length: int | None, text: str) -> bytes:
    try:
        data = read_base64(text)
    except ValueError:
        raise VaultError(f"the {name} of an encrypted record is damaged") from None
    if length is not None and len(data) != length:
        raise VaultError(f"the {name} of an encrypted record has {len(data)} bytes instead of {length}")
    return data


def _join(parts: Iterable[str]) -> bytes:
    """Each part with its length before it: no two lists of parts are one text."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
