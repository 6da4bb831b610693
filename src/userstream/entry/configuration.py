"""The configuration file of `userstream run`: TOML and the environment to checked settings, with errors that name the place."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.kernel.errors import SettingsError, nearest
from userstream.kernel.settings import RecoverySettings, StreamSettings

SectionType = TypeVar("SectionType", bound=msgspec.Struct)
SECRETS: Final = ("api_key", "api_secret", "passphrase")
FORMATS: Final = ("auto", "console", "json")
LEVELS: Final = ("debug", "info", "warning", "error")


class StoreSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where events are kept, and for how many days the journal keeps its raw bytes."""

    path: str = "userstream.db"
    keep_days: int = 14


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is logged, and in which form (auto: for people on a terminal, else JSON lines)."""

    level: str = "info"
    format: str = "auto"


class AccountSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One account. Each secret is given in one of three ways: written here, named as an environment variable, or as a file."""

    name: str
    venue: str
    api_key: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None
    api_secret: str | None = None
    api_secret_env: str | None = None
    api_secret_file: str | None = None
    passphrase: str | None = None
    passphrase_env: str | None = None
    passphrase_file: str | None = None
    rest_url: str | None = None
    ws_url: str | None = None
    ws_api_url: str | None = None
    enabled: bool = True
    recovery: dict[str, object] = {}
    stream: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"AccountSection({self.name!r}, {self.venue!r})"


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """All that `userstream run` needs. `stream_only` names the accounts without a secret: nothing can be proven for them."""

    store: StoreSection
    log: LogSection
    accounts: tuple[AccountSettings, ...]
    stream_only: tuple[str, ...]
    websocket_enabled: bool


def read_configuration(path: Path, environment: Mapping[str, str] = os.environ) -> Configuration:
    """Reads and checks a file. Raises SettingsError naming the file, the key, the value and the rule."""
    document = _read(path)
    unknown = sorted(document.keys() - {"store", "log", "recovery", "stream", "account"})
    if unknown:
        raise SettingsError(
            f"{path}: {unknown[0]!r} is not known; {nearest(unknown[0], ('store', 'log', 'recovery', 'stream', 'account'))}"
        )
    sections = document.get("account", [])
    if not isinstance(sections, list) or not sections:
        raise SettingsError(f"{path}: no account is configured; add a table [[account]] with name, venue and api_key_env")
    accounts = [_section(path, f"account {number}", entry, AccountSection) for number, entry in enumerate(sections, 1)]
    _check_names(path, accounts)
    enabled = [account for account in accounts if account.enabled]
    log = _section(path, "log", document.get("log", {}), LogSection)
    _check_log(path, log)
    settings = tuple(_account(path, account, document, environment) for account in enabled)
    return Configuration(
        store=_section(path, "store", document.get("store", {}), StoreSection),
        log=log,
        accounts=settings,
        stream_only=tuple(account.name for account in settings if account.credentials.api_secret is None),
        websocket_enabled=environment.get("WEBSOCKET_ENABLED", "true").lower() not in ("false", "0", "no"),
    )


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read the configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"the configuration {path} is not UTF-8 text") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the configuration {path} is not TOML: {error}") from None


def _section(path: Path, name: str, entry: object, kind: type[SectionType]) -> SectionType:
    if not isinstance(entry, dict):
        raise SettingsError(f"{path}: [{name}] must be a table")
    known = kind.__struct_fields__
    for key in entry:
        if key not in known:
            raise SettingsError(f"{path}: [{name}] {key!r} is not known; {nearest(str(key), known)}")
    try:
        return msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: [{name}] {str(error).replace('`', '').replace('$.', '')}") from None
    except SettingsError as error:
        raise SettingsError(f"{path}: [{name}] {error}") from None


def _check_names(path: Path, accounts: list[AccountSection]) -> None:
    seen: set[str] = set()
    for account in accounts:
        if account.name in seen:
            raise SettingsError(f"{path}: two accounts are named {account.name!r}; names are unique")
        seen.add(account.name)


def _check_log(path: Path, log: LogSection) -> None:
    for field, value, known in (("level", log.level, LEVELS), ("format", log.format, FORMATS)):
        if value not in known:
            raise SettingsError(f"{path}: [log] {field} = {value!r} is not known; {nearest(value, known)}")


def _account(path: Path, account: AccountSection, document: Mapping[str, object], environment: Mapping[str, str]) -> AccountSettings:
    place = f"account {account.name!r}"
    key, secret, passphrase = (_secret(path, account, name, environment) for name in SECRETS)
    if key is None:
        raise SettingsError(f"{path}: {place} has no api_key; give api_key_env, api_key_file or api_key")
    return AccountSettings(
        name=account.name,
        venue=account.venue,
        credentials=credentials_of(key, secret, passphrase),
        rest_url=account.rest_url,
        ws_url=account.ws_url,
        ws_api_url=account.ws_api_url,
        recovery=_section(path, "recovery", _merged(document, "recovery", account.recovery), RecoverySettings),
        stream=_section(path, "stream", _merged(document, "stream", account.stream), StreamSettings),
    )


def _merged(document: Mapping[str, object], name: str, own: Mapping[str, object]) -> object:
    common = document.get(name, {})
    return {**common, **own} if isinstance(common, dict) else common


def _secret(path: Path, account: AccountSection, name: str, environment: Mapping[str, str]) -> str | None:
    inline, variable, file = (getattr(account, f"{name}{ending}") for ending in ("", "_env", "_file"))
    if sum(way is not None for way in (inline, variable, file)) > 1:
        raise SettingsError(
            f"{path}: account {account.name!r} gives {name} in more than one way; keep one of {name}, {name}_env, {name}_file"
        )
    if inline is not None:
        _check_private(path, f"it holds the {name} of account {account.name!r}")
        return str(inline)
    if variable is not None:
        if not environment.get(variable):
            raise SettingsError(
                f"{path}: account {account.name!r} takes its {name} from the environment variable {variable}, which is not set"
            )
        return environment[variable]
    return None if file is None else _read_secret(path, Path(file), name)


def _read_secret(path: Path, file: Path, name: str) -> str:
    place = file if file.is_absolute() else path.parent / file
    _check_private(place, f"it holds a {name}")
    try:
        return place.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"cannot read {place}: {error.strerror}") from None


def _check_private(path: Path, why: str) -> None:
    """Secrets stand only where nobody else can read them."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    if os.name == "posix" and mode & 0o077:
        raise SettingsError(f"{path} can be read by others (mode {mode:04o}), and {why}: run chmod 600 {path}")
