"""AES-256-GCM for credentials and listen keys: a data key for each account, wrapped by a key-encryption key of a ring.

A wrapped data key is unwrapped for the moment of one call. A nonce is 96 bits of the system's chance, for each value and each wrapping.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from userstream.adapters.key_ring import KeyRing
from userstream.kernel.sealed import KEY_BYTES, NONCE_BYTES, TAG_BYTES, SealedRecord, SealPlace, VaultError, read_record
from userstream.kernel.secret import Secret

Chance = Callable[[int], bytes]
"""So many bytes that nobody can foresee."""

LONGEST_SECRET: Final = 64 * 1024


class _Wrapping(NamedTuple):
    key_id: str
    wrapped_key: bytes


class AesVault:
    """`Vault` over a ring of keys: new records use its newest key, old ones are read with whichever key they name."""

    def __init__(self, ring: KeyRing, chance: Chance = secrets.token_bytes, reread: Callable[[], KeyRing] | None = None) -> None:
        """`reread`: how to read the ring again; None where it never changes."""
        self._ring, self._chance, self._reread = ring, chance, reread

    def __repr__(self) -> str:
        return f"<AesVault, newest key {self._ring.newest}>"

    def renew(self) -> None:
        """As in `Vault`."""
        if self._reread is not None:
            self._ring = self._reread()

    @property
    def newest_key(self) -> str:
        """The id of the key that new records are sealed with."""
        return self._ring.newest

    @property
    def keys(self) -> tuple[str, ...]:
        """The ids of all keys of the ring, the newest last."""
        return self._ring.ids

    def key_of(self, record: str) -> str:
        """The id of the key that a record needs. Raises VaultError for what is no record."""
        return read_record(record).key_id

    def seal(self, place: SealPlace, values: Mapping[str, Secret]) -> dict[str, str]:
        """As in `Vault`: records by field, under one new data key."""
        data_key = self._chance(KEY_BYTES)
        wrapped = self._wrap(data_key, place)
        return {field: self._encrypt(place, field, value, data_key, wrapped).write() for field, value in values.items()}

    def seal_beside(self, place: SealPlace, field: str, value: Secret, neighbour: str) -> str:
        """As in `Vault`: the account keeps its one data key, wrapped as it is."""
        beside = read_record(neighbour)
        wrapping = _Wrapping(beside.key_id, beside.wrapped_key)
        return self._encrypt(place, field, value, self._unwrap(beside, place), wrapping).write()

    def open(self, place: SealPlace, field: str, record: str) -> Secret:
        """As in `Vault`."""
        sealed = read_record(record)
        try:
            data = AESGCM(self._unwrap(sealed, place)).decrypt(sealed.nonce, sealed.ciphertext + sealed.tag, place.value_data(field))
            return Secret(data.decode("utf-8", "surrogatepass"))
        except (InvalidTag, UnicodeDecodeError):
            raise VaultError(
                f"the {field} of account {place.account!r} cannot be opened: the record was changed, or belongs to another account, "
                "venue, field or version"
            ) from None

    def rewrap(self, place: SealPlace, records: Iterable[str]) -> list[str]:
        """As in `Vault`. Records that share a wrapped data key share the new one."""
        renewed: dict[bytes, _Wrapping] = {}
        found = []
        for sealed in map(read_record, records):
            if sealed.key_id != self._ring.newest:
                if sealed.wrapped_key not in renewed:
                    renewed[sealed.wrapped_key] = self._wrap(self._unwrap(sealed, place), place)
                sealed = msgspec.structs.replace(sealed, **renewed[sealed.wrapped_key]._asdict())
            found.append(sealed.write())
        return found

    def _encrypt(self, place: SealPlace, field: str, value: Secret, data_key: bytes, wrapping: _Wrapping) -> SealedRecord:
        data = value.reveal().encode("utf-8", "surrogatepass")
        if len(data) > LONGEST_SECRET:
            raise VaultError(f"the {field} of account {place.account!r} is longer than any key: {len(data)} bytes")
        nonce = self._chance(NONCE_BYTES)
        sealed = AESGCM(data_key).encrypt(nonce, data, place.value_data(field))
        ciphertext, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
        return SealedRecord(key_id=wrapping.key_id, wrapped_key=wrapping.wrapped_key, nonce=nonce, ciphertext=ciphertext, tag=tag)

    def _wrap(self, data_key: bytes, place: SealPlace) -> _Wrapping:
        key_id = self._ring.newest
        nonce = self._chance(NONCE_BYTES)
        wrapped = nonce + AESGCM(self._ring.key(key_id)).encrypt(nonce, data_key, place.key_data(key_id))
        return _Wrapping(key_id, wrapped)

    def _unwrap(self, sealed: SealedRecord, place: SealPlace) -> bytes:
        nonce, wrapped = sealed.wrapped_key[:NONCE_BYTES], sealed.wrapped_key[NONCE_BYTES:]
        try:
            return AESGCM(self._ring.key(sealed.key_id)).decrypt(nonce, wrapped, place.key_data(sealed.key_id))
        except InvalidTag:
            raise VaultError(
                f"the data key of account {place.account!r} cannot be unwrapped with key {sealed.key_id}: the record was changed, or "
                "belongs to another account"
            ) from None
