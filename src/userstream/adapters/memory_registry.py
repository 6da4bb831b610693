"""The registry and its audit log in memory: nothing of it survives the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from userstream.domain.audit import AuditEntry, AuditHead, AuditNote, head_of, link
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.wire.registration import NameHistory, RegisteredAccount, SealedListenKey
from userstream.wire.rights import KeyRights


class MemoryRegistry:
    """`Registry` and `AuditLog`."""

    def __init__(self, histories: Mapping[str, NameHistory] | None = None) -> None:
        """`histories`: what a store would hold under a name; here nothing writes any."""
        self._histories, self._identities = histories or {}, dict[AccountId, str]()
        self._accounts: dict[AccountId, RegisteredAccount] = {}
        self._versions: dict[AccountId, int] = {}
        self._entries: list[AuditEntry] = []

    async def next_version(self, account: AccountId) -> int:
        """As in `Registry`."""
        return self._versions.get(account, 0) + 1

    async def add(self, account: RegisteredAccount, note: AuditNote) -> None:
        """As in `Registry`."""
        if account.account in self._accounts:
            raise taken(account.account)
        self._take_version(account)
        self._accounts[account.account] = msgspec.structs.replace(account, listen_key=None)
        self._append(note)

    async def get(self, account: AccountId) -> RegisteredAccount | None:
        """As in `Registry`."""
        return self._accounts.get(account)

    async def page(self, *, after: str = "", limit: int = 1_000, active_only: bool = False) -> list[RegisteredAccount]:
        """As in `Registry`."""
        names = sorted(name for name, found in self._accounts.items() if name > after and (found.active or not active_only))
        return [self._accounts[name] for name in names[:limit]]

    async def set_active(self, account: AccountId, active: bool, note: AuditNote) -> None:
        """As in `Registry`."""
        self._accounts[account] = msgspec.structs.replace(self._known(account), active=active)
        self._append(note)

    async def remove(self, account: AccountId, note: AuditNote) -> None:
        """As in `Registry`."""
        del self._accounts[self._known(account).account]
        self._append(note)

    async def replace_key(self, account: RegisteredAccount, note: AuditNote) -> None:
        """As in `Registry`."""
        known = self._known(account.account)
        self._take_version(account)
        self._accounts[known.account] = msgspec.structs.replace(
            known,
            key=account.key,
            rights=account.rights,
            rights_time=account.rights_time,
            record_version=account.record_version,
            listen_key=None,
            identity=account.identity,
        )
        self._append(note)

    async def save_rights(self, account: AccountId, version: int, rights: KeyRights | None, time: Millis, note: AuditNote) -> None:
        """As in `Registry`."""
        known = self._known(account)
        if known.record_version == version:
            self._accounts[account] = msgspec.structs.replace(known, rights=rights or known.rights, rights_time=time)
        self._append(note)

    async def save_proven(self, account: AccountId, time: Millis) -> None:
        """As in `Registry`."""
        known = self._known(account)
        self._accounts[account] = msgspec.structs.replace(known, proven_time=max(known.proven_time or Millis(0), time))

    async def save_identity(self, account: AccountId, version: int, identity: str) -> None:
        """As in `Registry`."""
        known = self._accounts.get(account)
        if known is not None and known.record_version == version:
            self._accounts[account] = msgspec.structs.replace(known, identity=identity)
            self._identities[account] = identity

    async def history_of(self, account: AccountId) -> NameHistory:
        """As in `Registry`."""
        history = self._histories.get(account, NameHistory())
        return msgspec.structs.replace(history, identity=self._identities.get(account, history.identity))

    async def save_listen_key(self, account: AccountId, version: int, listen_key: SealedListenKey | None) -> bool:
        """As in `Registry`."""
        known = self._accounts.get(account)
        if known is None or known.record_version != version:
            return False
        self._accounts[account] = msgspec.structs.replace(known, listen_key=listen_key)
        return True

    async def swap_records(self, swaps: Sequence[tuple[RegisteredAccount, RegisteredAccount]]) -> int:
        """As in `Registry`."""
        swapped = 0
        for before, after in swaps:
            known = self._accounts.get(before.account)
            if known is not None and known.records == before.records:
                self._accounts[before.account] = known.with_records(after.records)
                swapped += 1
        return swapped

    async def write_note(self, note: AuditNote) -> None:
        """As in `AuditLog`."""
        self._append(note)

    async def audit_entries(self, *, after: int = 0, limit: int = 1_000) -> list[AuditEntry]:
        """As in `AuditLog`."""
        return self._entries[after : after + limit]

    async def audit_head(self) -> AuditHead:
        """As in `AuditLog`."""
        return head_of(self._entries[-1]) if self._entries else AuditHead()

    async def close(self) -> None:
        """As in `Registry`."""

    def _known(self, account: AccountId) -> RegisteredAccount:
        if account not in self._accounts:
            raise missing(account)
        return self._accounts[account]

    def _take_version(self, account: RegisteredAccount) -> None:
        if account.record_version != self._versions.get(account.account, 0) + 1:
            raise outrun(account.account)
        self._versions[account.account] = account.record_version
        self._identities[account.account] = account.identity

    def _append(self, note: AuditNote) -> None:
        head = head_of(self._entries[-1]) if self._entries else AuditHead()
        self._entries.append(link(head, note))


def taken(account: AccountId) -> SettingsError:
    """For a name that is in use."""
    return SettingsError(f"there is an account {account!r} in the registry already: choose another name, or remove that one")


def missing(account: AccountId) -> SettingsError:
    """For an account that is not there."""
    return SettingsError(f"there is no account {account!r} in the registry; userstream accounts list shows them all")


def outrun(account: AccountId) -> StoreError:
    """For a change that somebody else has overtaken."""
    return StoreError(f"the key of account {account!r} was changed by somebody else at the same moment: nothing was changed now, try again")
