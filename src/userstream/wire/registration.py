"""An account of the registry: everything that is kept of it, its secrets encrypted."""

from __future__ import annotations

import msgspec

from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName
from userstream.kernel.sealed import SealPlace
from userstream.wire.rights import KeyRights


class AccountOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an account may say beside its key; as in a configuration file. Addresses left out are the venue's own. monitor_only: its key
    must not trade."""

    rest_url: str | None = None
    ws_url: str | None = None
    ws_api_url: str | None = None
    symbols: tuple[str, ...] = ()
    isolated_symbol: str = ""
    session_logon: bool = False
    monitor_only: bool = False

    @property
    def destination(self) -> str:
        """The addresses that the key may be sent to, as one text; empty for the venue's own."""
        return " ".join(f"{name}={url}" for name in ("rest_url", "ws_url", "ws_api_url") if (url := getattr(self, name)))


class SealedKey(msgspec.Struct, frozen=True, kw_only=True):
    """The encrypted credentials of an account: a record for each secret, all under one data key."""

    api_key: str
    api_secret: str | None = None
    passphrase: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The records that there are, by the field they are bound to."""
        return {name: record for name in self.__struct_fields__ if (record := getattr(self, name)) is not None}


class SealedListenKey(msgspec.Struct, frozen=True, kw_only=True):
    """The encrypted listen key of an account, and until when the venue lets it live (our clock, ms)."""

    record: str
    expires_at: Millis


class RegisteredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the registry. `rights`: what the venue said last of what the key may do, None if it never did; `rights_time`: when it was
    asked last and gave its final word, that it does not tell included; None if that is not known. Times are our clock's ms.
    `record_version` counts the credentials that the account has had, over removals too. `identity`: what the venue calls the account, empty
    where it was never learned."""

    account: AccountId
    user: str
    venue: VenueName
    label: str = ""
    active: bool = True
    rights: KeyRights | None = None
    rights_time: Millis | None = None
    options: AccountOptions = AccountOptions()
    created_time: Millis
    proven_time: Millis | None = None
    record_version: int
    key: SealedKey
    listen_key: SealedListenKey | None = None
    identity: str = ""

    @property
    def place(self) -> SealPlace:
        """What the account's records are bound to."""
        return SealPlace(
            user=self.user,
            account=self.account,
            venue=self.venue,
            destination=self.options.destination,
            version=self.record_version,
        )

    @property
    def records(self) -> tuple[str, ...]:
        """All encrypted records of the account: those of its key, then that of its listen key."""
        own = tuple(self.key.fields.values())
        return own if self.listen_key is None else (*own, self.listen_key.record)

    def with_records(self, records: tuple[str, ...]) -> RegisteredAccount:
        """The account with other records in the order of `records`."""
        key = SealedKey(**dict(zip(self.key.fields, records, strict=False)))
        listen_key = self.listen_key
        if listen_key is not None:
            listen_key = msgspec.structs.replace(listen_key, record=records[-1])
        return msgspec.structs.replace(self, key=key, listen_key=listen_key)


class KnownFill(msgspec.Struct, frozen=True):
    """The newest fill of an account that the store has. `created_time`: when its order was made (the venue's ms), 0 where that is not
    known."""

    symbol: Symbol
    order_id: OrderId
    created_time: Millis


class NameHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What the store holds under a name, whoever it was registered for. `venue`: whose events they are, empty where there are none;
    `identity`: what that venue called the account, empty where it was never learned."""

    venue: VenueName = VenueName("")
    identity: str = ""
    fill: KnownFill | None = None
