"""The registry's desk: accounts come in with a key that was looked at, and go out to whoever runs them. Every deed is noted.

Secrets are opened here and nowhere else; they leave as `Secret`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

import msgspec

from userstream.domain.audit import AuditHead, AuditNote, verify_chain
from userstream.entry.advice import next_step
from userstream.entry.bootstrap import AccountSettings, check_account
from userstream.entry.key_identity import ADD_LIMIT_MS, Comparison, OwnerDesk, Owners, Silent
from userstream.entry.key_owners import KeyOwners
from userstream.kernel.errors import DID_YOU_MEAN, ConnectionError, RetryLater, SettingsError, UserStreamError, nearest
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.kernel.sealed import SealPlace, VaultError
from userstream.kernel.secret import Secret
from userstream.kernel.settings import RecoverySettings, StreamSettings
from userstream.ports import AuditLog, Clock, Registry, Vault
from userstream.wire.registration import AccountOptions, NameHistory, RegisteredAccount, SealedKey
from userstream.wire.rights import KeyRights, RightsVerdict, judge_rights
from userstream.wire.venue import Credentials

PAGE: Final = 500
FEW_KEYS: Final = 50
MOST_NAMES: Final = 20
KEEPS_KEY: Final = (
    "keeps its key; userstream accounts add makes a new account, and --allow-other-account takes the key all the same, which is written to"
    " the audit log"
)
ANOTHER_NAME: Final = "Choose another name: what the store holds under this one is another account's"
NOT_SURE: Final = "Try again later; --allow-other-account takes the key without knowing, which is written to the audit log"
AskRights = Callable[[AccountSettings], Awaitable[KeyRights]]


class AuditedRegistry(Registry, AuditLog, Protocol):
    """Both in one store."""


class Caller(msgspec.Struct, frozen=True):
    """Who does it, and from which machine."""

    actor: str
    origin: str


class NewAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of an account, its key left out."""

    account: AccountId
    user: str
    venue: VenueName
    label: str = ""
    options: AccountOptions = AccountOptions()


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of looking at a key. `trouble`: why its rights are not known; `next_step`: what a person does where it is refused;
    `widened`: rights that it did not have when last asked; `wait_ms`: where it may be known later, how long the venue wants silence, 0 if
    it did not say; None where asking again does not help; `time`: when the venue gave its final word (our clock, ms), None where it did
    not; `is_stale`: the account has another key by now, or is gone, and nothing that was found is told; `told`: how it is known that the
    key is the account's own."""

    rights: KeyRights | None
    verdict: RightsVerdict
    trouble: str = ""
    next_step: str = ""
    widened: tuple[str, ...] = ()
    wait_ms: int | None = None
    time: Millis | None = None
    is_stale: bool = False
    told: str = ""

    @property
    def refusals(self) -> str:
        """Why the key should not be used, in one line; empty if it may be."""
        told = "; ".join(self.verdict.refusals)
        return f"{told} ({self.trouble})" if told and self.trouble else told


STALE: Final = Looked(
    rights=None,
    verdict=RightsVerdict(warnings=("the key was replaced while the venue was asked about the former one: look again",)),
    wait_ms=0,
    is_stale=True,
)


class AccountBook:
    """What can be done with the registry without a key of the vault. Raises SettingsError for a user's mistake, and StoreError."""

    def __init__(self, registry: AuditedRegistry, clock: Clock, caller: Caller) -> None:
        self.registry = registry
        self._clock, self._caller = clock, caller

    async def set_active(self, name: AccountId, active: bool) -> bool:
        """Whether `userstream run` runs it. False where nothing was changed: it was so before."""
        if (await self.require(name)).active is active:
            return False
        await self.registry.set_active(name, active, self.note("account.enable" if active else "account.disable", name))
        return True

    async def remove(self, name: AccountId) -> None:
        """Its key is gone; its events stay in the store."""
        await self.require(name)
        await self.registry.remove(name, self.note("account.remove", name))

    async def require(self, name: AccountId) -> RegisteredAccount:
        """Raises SettingsError for an account that is not there, with the nearest name."""
        account = await self.registry.get(name)
        if account is None:
            names = [account.account async for account in self.accounts()]
            help_words = nearest(name, names) if names else "it is empty"
            if len(names) > MOST_NAMES and not help_words.startswith(DID_YOU_MEAN):
                help_words = "userstream accounts list shows them all"
            raise SettingsError(f"there is no account {name!r} in the registry; {help_words}")
        return account

    async def accounts(self, *, active_only: bool = False) -> AsyncIterator[RegisteredAccount]:
        """All of them, in the order of ids."""
        after = ""
        while page := await self.registry.page(after=after, limit=PAGE, active_only=active_only):
            for account in page:
                yield account
            after = page[-1].account

    async def count(self) -> int:
        """How many accounts there are."""
        return sum([1 async for _ in self.accounts()])

    async def verify_log(self) -> str:
        """What is wrong with the audit log; empty if nothing is."""
        head, entries, after = await self.registry.audit_head(), [], 0
        while page := await self.registry.audit_entries(after=after, limit=PAGE):
            entries += page
            after = page[-1].sequence
        return verify_chain(entries, head)

    def note(self, action: str, subject: str, result: str = "done", detail: str = "") -> AuditNote:
        """A note of now."""
        return AuditNote(
            time=self._clock.wall(),
            actor=self._caller.actor,
            origin=self._caller.origin,
            action=action,
            subject=subject,
            result=result,
            detail=detail,
        )


class RosterLine(NamedTuple):
    """An account of the registry, and whether it is to run."""

    account: AccountId
    venue: VenueName
    is_active: bool


class Roster:
    """Who is in the registry, for those who ask often: read anew only after a deed was noted, as every change of it is."""

    def __init__(self, book: AccountBook) -> None:
        self._book = book
        self._head: AuditHead | None = None
        self._lines: tuple[RosterLine, ...] = ()
        self._reading = asyncio.Lock()

    async def read(self) -> Sequence[RosterLine]:
        """All of them as they are now, in the order of ids. Raises StoreError."""
        async with self._reading:
            # before the accounts: a deed done while they are read is seen the next time
            head = await self._book.registry.audit_head()
            if head != self._head:
                lines = [RosterLine(one.account, one.venue, one.active) async for one in self._book.accounts()]
                self._head, self._lines = head, tuple(lines)
            return self._lines


class KeyRefused(UserStreamError):
    """No account is run with the key. `reason`: why; `next_step`: what a person does about it."""

    def __init__(self, name: str, reason: str, next_step: str) -> None:
        super().__init__(f"the key of account {name!r} is refused: {reason}. {next_step}")
        self.reason, self.next_step = reason, next_step


class AccountDesk(AccountBook):
    """What people and the service do with accounts and their keys. Raises VaultError beside what `AccountBook` raises."""

    def __init__(
        self,
        registry: AuditedRegistry,
        vault: Vault,
        clock: Clock,
        caller: Caller,
        ask: AskRights,
        environment: Mapping[str, str],
        owners: OwnerDesk | None = None,
    ) -> None:
        """`owners`: asks venues whose account a key opens; None where no venue tells."""
        super().__init__(registry, clock, caller)
        self.vault = vault
        self._ask, self._environment, self._owners = ask, environment, Owners(owners or Silent())

    def on_behalf_of(self, caller: Caller) -> AccountDesk:
        """The same desk for somebody else, whose deeds are noted as theirs."""
        return AccountDesk(self.registry, self.vault, self._clock, caller, self._ask, self._environment, self._owners.desk)

    def ask_with(self, ask: AskRights, owners: OwnerDesk | None = None) -> None:
        """From now on venues are asked for the rights of a key, and whose it is, in this way."""
        self._ask, self._owners = ask, Owners(owners or Silent())

    async def add(
        self,
        wish: NewAccount,
        credentials: Credentials,
        *,
        allow_unsafe: bool = False,
        allow_other: bool = False,
        beside: Sequence[AccountSettings] = (),
    ) -> Looked:
        """Registers an account once its key was looked at. `beside`: accounts that are run and are not of the registry. Raises
        SettingsError for a name or a key that another account has, and for a name whose history in the store is of another venue;
        KeyRefused for a key that should not be used, unless `allow_unsafe`, and for that of another account than the name's history is
        of, unless `allow_other`; what becomes of the key stands in the audit log."""
        check_account(_settings(wish, credentials), self._environment)
        if any(other.name == wish.account for other in beside):
            raise SettingsError(f"account {wish.account!r} is in the configuration file: choose another name")
        if await self.registry.get(wish.account) is not None:
            raise SettingsError(f"there is an account {wish.account!r} in the registry already: choose another name, or remove that one")
        settings, history = _settings(wish, credentials), await self.registry.history_of(wish.account)
        await self._check_history(wish, history)
        await self._check_owner("account.add", settings, beside)
        looked = await self._look(wish, credentials)
        note = await self._admit("account.add", wish.account, looked, allow_unsafe)
        found = await self._find_owner(settings, history)
        note = await self._admit_owner(note, found, allow_other, ANOTHER_NAME)
        version = await self.registry.next_version(wish.account)
        place = SealPlace(user=wish.user, account=wish.account, venue=wish.venue, destination=wish.options.destination, version=version)
        account = RegisteredAccount(
            account=wish.account,
            user=wish.user,
            venue=wish.venue,
            label=wish.label,
            rights=looked.rights,
            rights_time=looked.time,
            options=wish.options,
            created_time=self._clock.wall(),
            record_version=version,
            key=self._seal(place, credentials),
            identity=found.identity,
        )
        await self.registry.add(account, note)
        return _with_owner(looked, found)

    async def rotate(self, name: AccountId, credentials: Credentials, *, allow_unsafe: bool = False, allow_other: bool = False) -> Looked:
        """Replaces an account's credentials, with a new data key. Raises as `add`; KeyRefused also for the key of another account of the
        venue, unless `allow_other`: the books of two would be told as those of one."""
        account = await self.require(name)
        settings = _settings(_wish_of(account), credentials)
        check_account(settings, self._environment)
        await self._check_owner("account.rotate", settings, ())
        looked = await self._look(_wish_of(account), credentials)
        note = await self._admit("account.rotate", name, looked, allow_unsafe)
        told, history = await self._owners.identify(settings), await self.registry.history_of(name)
        known = account.identity or (await self._identity_of(account) if told[0] else "")
        found = await self._owners.compare(settings, told, known, history.fill, self._clock.wall())
        note = await self._admit_owner(note, found, allow_other, f"{name} {KEEPS_KEY}")
        renewed = msgspec.structs.replace(
            account,
            record_version=await self.registry.next_version(name),
            rights=looked.rights,
            rights_time=looked.time,
            identity=found.identity,
        )
        await self.registry.replace_key(msgspec.structs.replace(renewed, key=self._seal(renewed.place, credentials)), note)
        return _with_owner(looked, found)

    async def check(self, name: AccountId) -> Looked:
        """Opens the account's key, asks the venue what it may do, and keeps the answer, unless the account has another key by then: what
        the former one could do is nobody's news."""
        account = await self.require(name)
        credentials = await self._open_noted(account, "account.check")
        looked = await self._look(_wish_of(account), credentials)
        looked = msgspec.structs.replace(looked, widened=_widened(account.rights, looked.rights))
        words = looked.refusals or ", ".join(looked.widened)
        note = self.note("account.check", name, "refused" if looked.refusals else "done", words)
        if looked.time is None:
            await self.registry.write_note(note)
        else:
            await self.registry.save_rights(name, account.record_version, looked.rights, looked.time, note)
        if not account.identity and (identity := (await self._owners.identify(_settings(_wish_of(account), credentials)))[0]):
            await self.registry.save_identity(name, account.record_version, identity)
        now = await self.registry.get(name)
        return looked if now is not None and now.record_version == account.record_version else STALE

    def open_key(self, account: RegisteredAccount) -> Credentials:
        """Its credentials. Raises VaultError; the caller notes it."""
        opened = {field: self.vault.open(account.place, field, record) for field, record in account.key.fields.items()}
        return Credentials(**opened)

    async def _look(self, wish: NewAccount, credentials: Credentials) -> Looked:
        rights, trouble = None, None
        try:
            rights = await self._ask(_settings(wish, credentials))
        except UserStreamError as error:
            trouble = error
        verdict, told = judge_rights(rights, monitor_only=wish.options.monitor_only), "" if trouble is None else str(trouble)
        wait_ms = _wait_ms(trouble)
        time = self._clock.wall() if wait_ms is None else None
        return Looked(rights=rights, verdict=verdict, trouble=told, next_step=next_step(rights, trouble), wait_ms=wait_ms, time=time)

    async def _check_owner(self, action: str, settings: AccountSettings, beside: Sequence[AccountSettings]) -> None:
        """Raises SettingsError where another account has this key; what does not open cannot be compared."""
        owners, opened, after = KeyOwners(), 0, ""
        for other in beside:
            owners.claim(other, self._environment)
        while page := await self.registry.page(after=after, limit=PAGE):
            others = [account for account in page if account.account != settings.name]
            # other accounts' events must not wait until very many keys are opened
            many = len(others) > FEW_KEYS
            opened += await asyncio.to_thread(self._claim_all, owners, others) if many else self._claim_all(owners, others)
            after = page[-1].account
        if opened:
            await self.registry.write_note(self.note("vault.open", f"{opened} accounts", detail="to compare keys"))
        try:
            owners.claim(settings, self._environment)
        except SettingsError as error:
            await self.registry.write_note(self.note(action, settings.name, "refused", str(error)))
            raise

    def _claim_all(self, owners: KeyOwners, accounts: Sequence[RegisteredAccount]) -> int:
        """How many of them could be opened."""
        opened = 0
        for account in accounts:
            with suppress(VaultError, SettingsError):
                credentials = self.open_key(account)
                opened += 1
                owners.claim(_settings(_wish_of(account), credentials), self._environment)
        return opened

    async def _admit(self, action: str, name: AccountId, looked: Looked, allow_unsafe: bool) -> AuditNote:
        if not looked.refusals:
            return self.note(action, name, detail="; ".join(looked.verdict.warnings))
        if allow_unsafe:
            return self.note(action, name, "overridden", looked.refusals)
        await self.registry.write_note(self.note(action, name, "refused", looked.refusals))
        raise KeyRefused(name, looked.refusals, looked.next_step)

    async def _check_history(self, wish: NewAccount, history: NameHistory) -> None:
        """Raises SettingsError where the store holds another venue's events under the name."""
        if history.venue in ("", wish.venue):
            return
        told = f"the store holds the history of {wish.account!r} at {history.venue}, and this account is one at {wish.venue}"
        await self.registry.write_note(self.note("account.add", wish.account, "refused", told))
        raise SettingsError(f"{told}: choose another name, so that the two do not mix")

    async def _find_owner(self, settings: AccountSettings, history: NameHistory) -> Comparison:
        """Of a key that comes in under a name."""
        told = await self._owners.identify(settings, ADD_LIMIT_MS)
        if not history.venue:
            return Comparison(identity=told[0])
        return _going_on(settings.name, await self._owners.compare(settings, told, history.identity, history.fill, self._clock.wall()))

    async def _admit_owner(self, note: AuditNote, found: Comparison, allow_other: bool, next_step: str) -> AuditNote:
        """The note of a deed with what was found of whose key it is. Raises KeyRefused."""
        detail = "; ".join(filter(None, (note.detail, found.refusal or found.warning or found.told)))
        if found.refusal and not allow_other:
            await self.registry.write_note(self.note(note.action, note.subject, "refused", found.refusal))
            raise KeyRefused(note.subject, found.refusal, next_step if found.is_sure else NOT_SURE)
        return msgspec.structs.replace(note, detail=detail, result="overridden" if found.refusal else note.result)

    async def _identity_of(self, account: RegisteredAccount) -> str:
        """What the venue calls the account of the key that is kept; empty where it does not say."""
        try:
            credentials = self.open_key(account)
        except VaultError:
            return ""
        await self.registry.write_note(self.note("vault.open", account.account, detail="to compare accounts of the venue"))
        return (await self._owners.identify(_settings(_wish_of(account), credentials)))[0]

    async def _open_noted(self, account: RegisteredAccount, action: str) -> Credentials:
        try:
            return self.open_key(account)
        except VaultError as error:
            await self.registry.write_note(self.note(action, account.account, "refused", str(error)))
            raise

    def _seal(self, place: SealPlace, credentials: Credentials) -> SealedKey:
        given: dict[str, Secret] = {
            name: value for name in credentials.__struct_fields__ if (value := getattr(credentials, name)) is not None
        }
        return SealedKey(**self.vault.seal(place, given))


def settings_of(
    account: RegisteredAccount, credentials: Credentials, recovery: RecoverySettings, stream: StreamSettings
) -> AccountSettings:
    """An account of the registry as one of the configuration file would be."""
    return msgspec.structs.replace(_settings(_wish_of(account), credentials), recovery=recovery, stream=stream)


def _going_on(name: str, found: Comparison) -> Comparison:
    """The same of an account that takes up a name with a history."""
    begin = f"the history of {name} in the store goes on"
    told, warning = (f"{begin}: {words}" if words else "" for words in (found.told, found.warning))
    return msgspec.structs.replace(found, told=told, warning=warning)


def _with_owner(looked: Looked, found: Comparison) -> Looked:
    words = filter(None, (found.warning, f"taken all the same: {found.refusal}" if found.refusal else ""))
    verdict = msgspec.structs.replace(looked.verdict, warnings=(*looked.verdict.warnings, *words))
    return msgspec.structs.replace(looked, verdict=verdict, told=found.told)


def _wish_of(account: RegisteredAccount) -> NewAccount:
    return NewAccount(account=account.account, user=account.user, venue=account.venue, label=account.label, options=account.options)


def _settings(wish: NewAccount, credentials: Credentials) -> AccountSettings:
    options = wish.options
    return AccountSettings(
        name=wish.account,
        venue=wish.venue,
        credentials=credentials,
        rest_url=options.rest_url,
        ws_url=options.ws_url,
        ws_api_url=options.ws_api_url,
        symbols=options.symbols,
        session_logon=options.session_logon,
        isolated_symbol=options.isolated_symbol,
    )


def _wait_ms(trouble: UserStreamError | None) -> int | None:
    match trouble:
        case RetryLater(after_ms=after_ms):
            return after_ms or 0
        case ConnectionError():
            return 0
        case _:
            return None


def _widened(before: KeyRights | None, now: KeyRights | None) -> tuple[str, ...]:
    """Rights that a key did not have before; to be used from any address is one."""
    if before is None or now is None:
        return ()
    more = [name for name in ("read", "trade", "withdraw", "transfer") if getattr(now, name) and not getattr(before, name)]
    anywhere = ["any address"] if before.ip_restricted and not now.ip_restricted else []
    return (*more, *anywhere, *(name for name in now.unknown if name not in before.unknown))
