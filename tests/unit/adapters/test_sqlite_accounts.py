"""Rows of the registry: what is written is read, what was never written is told."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.vaults import NOW, make_account, note
from userstream.adapters.sqlite_accounts import audit_entry, entry_values, registered, row_values
from userstream.domain.audit import AuditHead, link
from userstream.kernel.errors import StoreError

COLUMNS = ("id", "user_id", "venue", "label", "active", "rights", "rights_time", "options", "created_time", "proven_time", "record_version")
SECRETS = ("api_key_encrypted", "api_secret_encrypted", "passphrase_encrypted")


def test_an_account_is_read_as_it_was_written() -> None:
    values = row_values(make_account())
    row = (*(values[name] for name in (*COLUMNS, *SECRETS)), None, None, "SgsR")
    assert registered(row) == msgspec.structs.replace(make_account(), identity="SgsR")
    with pytest.raises(StoreError, match="'alice'"):
        registered((*row[:4], "yes", *row[5:]))


def test_an_entry_is_read_as_it_was_written() -> None:
    entry = link(AuditHead(), note(time=NOW))
    values = entry_values(entry)
    names = ("sequence", "time", "actor", "origin", "action", "subject", "result", "detail", "previous", "hash")
    row = tuple(values[name] for name in names)
    assert audit_entry(row) == entry
    with pytest.raises(StoreError, match="row 1 of the audit log"):
        audit_entry((*row[:1], "late", *row[2:]))
