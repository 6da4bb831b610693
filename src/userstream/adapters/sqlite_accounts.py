"""Rows of the registry and of the audit log, to values and back."""

from __future__ import annotations

import msgspec

from userstream.domain.audit import AuditEntry, AuditNote
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.wire.registration import AccountOptions, RegisteredAccount, SealedKey, SealedListenKey
from userstream.wire.rights import KeyRights

Row = tuple[str | int | None, ...]
Values = dict[str, str | int | None]


class _AccountRow(msgspec.Struct, frozen=True, array_like=True):
    """The columns as the queries name them."""

    id: str
    user_id: str
    venue: str
    label: str
    active: int
    rights: str | None
    rights_time: int | None
    options: str
    created_time: int
    proven_time: int | None
    version: int
    api_key: str
    api_secret: str | None
    passphrase: str | None
    listen_key: str | None
    expires_at: int | None
    identity: str


def registered(row: Row) -> RegisteredAccount:
    """The account of a row. Raises StoreError for a row that holds what was never written there."""
    try:
        found = msgspec.convert(row, _AccountRow)
        rights = None if found.rights is None else msgspec.json.decode(found.rights, type=KeyRights)
        options = msgspec.json.decode(found.options, type=AccountOptions)
    except (msgspec.MsgspecError, ValueError):
        raise StoreError(f"the row of account {row[0]!r} in the registry holds what was never written there") from None
    listen_key = None
    if found.listen_key is not None and found.expires_at is not None:
        listen_key = SealedListenKey(record=found.listen_key, expires_at=Millis(found.expires_at))
    return RegisteredAccount(
        account=AccountId(found.id),
        user=found.user_id,
        venue=VenueName(found.venue),
        label=found.label,
        active=bool(found.active),
        rights=rights,
        rights_time=None if found.rights_time is None else Millis(found.rights_time),
        options=options,
        created_time=Millis(found.created_time),
        proven_time=None if found.proven_time is None else Millis(found.proven_time),
        record_version=found.version,
        key=SealedKey(api_key=found.api_key, api_secret=found.api_secret, passphrase=found.passphrase),
        listen_key=listen_key,
        identity=found.identity,
    )


def row_values(account: RegisteredAccount) -> Values:
    """What is written of a new account, or of an account with new credentials."""
    return {
        "id": account.account,
        "user_id": account.user,
        "venue": account.venue,
        "label": account.label,
        "active": int(account.active),
        "rights": None if account.rights is None else encode_json(account.rights),
        "rights_time": account.rights_time,
        "options": encode_json(account.options),
        "created_time": account.created_time,
        "proven_time": account.proven_time,
        "record_version": account.record_version,
        "api_key_encrypted": account.key.api_key,
        "api_secret_encrypted": account.key.api_secret,
        "passphrase_encrypted": account.key.passphrase,
    }


def swap_values(before: RegisteredAccount, after: RegisteredAccount) -> Values:
    """The records of an account, and those that must still be there."""
    values: Values = {"id": before.account}
    for prefix, account in (("old_", before), ("", after)):
        for name in ("api_key", "api_secret", "passphrase"):
            values[f"{prefix}{name}"] = getattr(account.key, name)
        values[f"{prefix}listen_key"] = None if account.listen_key is None else account.listen_key.record
    return values


def encode_json(value: msgspec.Struct) -> str:
    """A struct as JSON text."""
    return msgspec.json.encode(value).decode()


def audit_entry(row: Row) -> AuditEntry:
    """The entry of a row, whatever its chain says. Raises StoreError for a row of another shape."""
    try:
        sequence, time, actor, origin, action, subject, result, detail, previous, digest = msgspec.convert(row, _EntryRow)
    except msgspec.ValidationError:
        raise StoreError(f"row {row[0]!r} of the audit log holds what was never written there") from None
    note = AuditNote(time=Millis(time), actor=actor, origin=origin, action=action, subject=subject, result=result, detail=detail)
    return AuditEntry(sequence=sequence, note=note, previous=previous, hash=digest)


_EntryRow = tuple[int, int, str, str, str, str, str, str, str, str]


def entry_values(entry: AuditEntry) -> Values:
    """What is written of an entry."""
    return {**msgspec.structs.asdict(entry.note), "sequence": entry.sequence, "previous": entry.previous, "hash": entry.hash}
