"""The configuration file of `userstream run`: TOML and the environment to checked settings, with errors that name the place."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from userstream.entry.account_words import check_name, check_symbols
from userstream.entry.addresses import check_addresses
from userstream.entry.alert_settings import AlertsSection, AlertTarget, split_urls, target_of
from userstream.entry.bootstrap import AccountSettings, check_offered, credentials_of
from userstream.entry.key_owners import KeyOwners
from userstream.entry.metrics_port import MetricsSection
from userstream.entry.storage import PostgresSection, PostgresTarget, address_of
from userstream.entry.vault_settings import RegistryPart, RegistrySection, VaultSection
from userstream.entry.web.settings import HttpSection
from userstream.kernel.errors import SettingsError, nearest
from userstream.kernel.secret import Secret
from userstream.kernel.settings import RecoverySettings, StreamSettings, check
from userstream.venues import find_venue
from userstream.wire.pacing import RISK_RESERVE
from userstream.wire.venue import Credentials

MISSING: Final = "Object missing required field "
WRONG_TYPE: Final = re.compile(r"Expected (\w+)(?: \| null)?, got .*")
TYPES: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list of texts",
    "object": "a table",
}
LISTS: Final = {
    "symbols": "a list of names, such as ['BTCUSDT']",
    "key_command": "a list of words, such as ['cat', 'vault.keys']",
    "hosts": "a list of names, such as ['desk.example.com']",
    "origins": "a list of origins, such as ['https://desk.example.com']",
    "proxies": "a list of addresses, such as ['127.0.0.1']",
}
SectionType = TypeVar("SectionType", bound=msgspec.Struct)
SECTIONS: Final = (
    *("store", "postgres", "log", "registry", "vault", "manager", "recovery", "stream", "account"),
    *("http", "alerts", "metrics"),
)
SECRETS: Final = ("api_key", "api_secret", "passphrase")
HIDDEN: Final = (*SECRETS, "url", "password", "urls")
SWITCH: Final = "WEBSOCKET_ENABLED"
ON: Final = ("true", "1", "yes", "on")
OFF: Final = ("false", "0", "no", "off")
FORMATS: Final = ("auto", "console", "json")
LONGEST_LOOP_S: Final = 3_600
MOST_RESERVE: Final = 0.5
LEVELS: Final = ("debug", "info", "warning", "error")
REFERENCE: Final = "docs/reference/configuration.md"


class StoreSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where events are kept, and for how many days the journal keeps its raw bytes."""

    path: str = "userstream.db"
    keep_days: int = 14

    def __post_init__(self) -> None:
        check(bool(self.path.strip()) and "\0" not in self.path, "path", self.path, "must name a file")
        check(1 <= self.keep_days <= 36_500, "keep_days", self.keep_days, "must be between 1 and 36500 (days)")


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is logged, and in which form (auto: for people on a terminal, else JSON lines)."""

    level: str = "info"
    format: str = "auto"

    def __post_init__(self) -> None:
        for field, value, known in (("level", self.level, LEVELS), ("format", self.format, FORMATS)):
            check(value in known, field, value, f"is not known; {nearest(value, known)}")


class ManagerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the accounts of a running service are looked after. `health_s`: how often all of them are; `dark_limit_s`: how long one may try
    by itself to get a socket; `retry_s`: after how long one that was given up is tried again; `risk_reserve`: the share of every request
    budget that is kept for risk actions."""

    health_s: float = 60.0
    dark_limit_s: float = 300.0
    retry_s: float = 60.0
    risk_reserve: float = RISK_RESERVE

    def __post_init__(self) -> None:
        for field, value, least in (("health_s", self.health_s, 1), ("dark_limit_s", self.dark_limit_s, 10), ("retry_s", self.retry_s, 10)):
            check(least <= value <= LONGEST_LOOP_S, field, value, f"must be between {least} and {LONGEST_LOOP_S} (seconds)")
        check(0 <= self.risk_reserve <= MOST_RESERVE, "risk_reserve", self.risk_reserve, f"must be between 0 and {MOST_RESERVE}")


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
    symbols: tuple[str, ...] = ()
    session_logon: bool = False
    isolated_symbol: str = ""
    shared_socket: bool = True
    microseconds: bool = False
    enabled: bool = True
    recovery: dict[str, object] = {}
    stream: dict[str, object] = {}

    def __post_init__(self) -> None:
        check_name(self.name)
        check_symbols("symbols", self.symbols)
        if self.isolated_symbol:
            check_symbols("isolated_symbol", (self.isolated_symbol,))

    def __repr__(self) -> str:
        return f"AccountSection({self.name!r}, {self.venue!r})"


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """All that `userstream run` needs. `stream_only` names the accounts without a secret: nothing can be proven for them. `http`: None
    where the file has no such table, and nothing listens."""

    store: StoreSection
    postgres: PostgresTarget | None = None
    log: LogSection
    accounts: tuple[AccountSettings, ...]
    stream_only: tuple[str, ...]
    websocket_enabled: bool
    registry: RegistryPart
    manager: ManagerSection
    recovery: RecoverySettings
    stream: StreamSettings
    http: HttpSection | None
    alerts: AlertTarget | None = None
    metrics: MetricsSection | None = None
    folder: Path


def read_configuration(path: Path, environment: Mapping[str, str] = os.environ) -> Configuration:
    """Reads and checks a file. Raises SettingsError naming the file, the key, the value and the rule."""
    document = _read_known(path)
    store = _section(path, "store", document.get("store", {}), StoreSection)
    log = _section(path, "log", document.get("log", {}), LogSection)
    common = _Common(
        recovery=_section(path, "recovery", document.get("recovery", {}), RecoverySettings),
        stream=_section(path, "stream", document.get("stream", {}), StreamSettings),
    )
    registry = _registry_part(path, document, store)
    sections = [] if registry.is_run and "account" not in document else _accounts(path, document.get("account", []))
    accounts = tuple(_account(path, section, common, environment) for section in sections if section.enabled)
    _check_keys(path, accounts, environment)
    http = _section(path, "http", document["http"], HttpSection) if "http" in document else None
    metrics = _section(path, "metrics", document["metrics"], MetricsSection) if "metrics" in document else None
    _check_ports(path, http, metrics)
    return Configuration(
        store=store,
        postgres=_postgres(path, document.get("postgres"), environment),
        log=log,
        accounts=accounts,
        stream_only=tuple(account.name for account in accounts if account.credentials.api_secret is None),
        websocket_enabled=_read_switch(environment.get(SWITCH, "").strip() or ON[0]),
        registry=registry,
        manager=_section(path, "manager", document.get("manager", {}), ManagerSection),
        recovery=common.recovery,
        stream=common.stream,
        http=http,
        alerts=_alerts(path, document.get("alerts"), environment),
        metrics=metrics,
        folder=path.parent,
    )


def read_registry_part(path: Path) -> RegistryPart:
    """What the commands of the registry need of a file; no account's secret is read. Raises SettingsError as `read_configuration`."""
    document = _read_known(path)
    return _registry_part(path, document, _section(path, "store", document.get("store", {}), StoreSection))


def read_alerts(path: Path, environment: Mapping[str, str] = os.environ) -> AlertTarget:
    """Whom to tell, by the table [alerts]; no account's secret is read. Raises SettingsError as `read_configuration`, and where there is
    no such table."""
    target = _alerts(path, _read_known(path).get("alerts"), environment)
    if target is None:
        raise SettingsError(f"{path}: there is no table [alerts]; {REFERENCE} shows how to write one")
    return target


def _read_switch(text: str) -> bool:
    """Raises SettingsError for a word that is neither yes nor no: meant was something, and nobody knows what."""
    word = text.strip().lower()
    if word not in (*ON, *OFF):
        raise SettingsError(f"the environment variable {SWITCH} = {text!r} must be {', '.join(ON)} or {', '.join(OFF)}; or unset it")
    return word in ON


def _check_ports(path: Path, http: HttpSection | None, metrics: MetricsSection | None) -> None:
    if http is not None and metrics is not None and http.port and metrics.place == (http.host, http.port):
        raise SettingsError(f"{path}: [http] and [metrics] name the same place, {metrics.listen}: give each a port of its own")


def _registry_part(path: Path, document: Mapping[str, object], store: StoreSection) -> RegistryPart:
    registry = _section(path, "registry", document.get("registry", {}), RegistrySection)
    return RegistryPart(
        folder=path.parent,
        store=store.path,
        registry=registry,
        vault=_section(path, "vault", document.get("vault", {}), VaultSection),
        is_run="registry" in document and registry.enabled,
    )


def _read_known(path: Path) -> dict[str, object]:
    document = _read(path)
    for name in document:
        if name not in SECTIONS:
            raise SettingsError(f"{path}: {name!r} is not known; {nearest(name, SECTIONS)} ({REFERENCE} has all)")
    return document


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every account that does not say otherwise."""

    recovery: RecoverySettings
    stream: StreamSettings


def _read(path: Path) -> dict[str, object]:
    try:
        # some editors begin a text with a mark of its byte order
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"the configuration {path} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read the configuration {path}: {_why(error)}; {REFERENCE} shows how to write one") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the configuration {path} is not TOML: {error}; {REFERENCE} shows the form") from None


def _why(error: OSError | ValueError) -> str:
    return error.strerror or "it cannot be opened" if isinstance(error, OSError) else "that is no name of a file"


# --- sections ---


def _section(path: Path, name: str, entry: object, kind: type[SectionType]) -> SectionType:
    if not isinstance(entry, dict):
        raise SettingsError(f"{path}: [{name}] must be a table")
    known = kind.__struct_fields__
    for key in entry:
        if key not in known:
            raise SettingsError(f"{path}: [{name}] {key!r} is not known; {nearest(str(key), known)} ({REFERENCE} has all)")
    try:
        return msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: [{name}] {_plain(error, entry)}") from None
    except SettingsError as error:
        raise SettingsError(f"{path}: [{name}] {error}") from None


def _plain(error: msgspec.ValidationError, entry: Mapping[str, object]) -> str:
    """The rule that a value breaks, with the value, unless it may be a secret."""
    rule, _, place = str(error).replace("`", "").partition(" - at $.")
    if rule.startswith(MISSING):
        return f"{rule.removeprefix(MISSING)} is missing; {REFERENCE} says what it is"
    if not place:
        return rule
    if wrong := WRONG_TYPE.fullmatch(rule):
        wanted = TYPES.get(wrong[1], wrong[1])
        rule = f" must be {LISTS.get(place, wanted) if wrong[1] == 'array' else wanted}"
    else:
        rule = f": {rule}"
    return f"{place}{rule}" if place in HIDDEN or place not in entry else f"{place} = {entry[place]!r}{rule}"


def _accounts(path: Path, entries: object) -> list[AccountSection]:
    if isinstance(entries, dict) and entries:
        raise SettingsError(f"{path}: write [[account]] instead of [account], with two brackets: there can be more than one account")
    if not isinstance(entries, list) or not entries:
        raise SettingsError(f"{path}: no account is configured; add a table [[account]] with name, venue and api_key_env")
    accounts = [_section(path, f"account {number}", entry, AccountSection) for number, entry in enumerate(entries, 1)]
    seen: set[str] = set()
    for account in accounts:
        if account.name in seen:
            raise SettingsError(f"{path}: two accounts are named {account.name!r}; names are unique")
        seen.add(account.name)
    return accounts


# --- accounts ---


def _account(path: Path, account: AccountSection, common: _Common, environment: Mapping[str, str]) -> AccountSettings:
    place = f"account {account.name!r}"
    credentials = _credentials(path, account, environment)
    settings = AccountSettings(
        name=account.name,
        venue=account.venue,
        credentials=credentials,
        rest_url=account.rest_url,
        ws_url=account.ws_url,
        ws_api_url=account.ws_api_url,
        symbols=account.symbols,
        session_logon=account.session_logon,
        isolated_symbol=account.isolated_symbol,
        shared_socket=account.shared_socket,
        microseconds=account.microseconds,
        recovery=_merged(path, f"{place} recovery", common.recovery, account.recovery),
        stream=_merged(path, f"{place} stream", common.stream, account.stream),
    )
    try:
        check_addresses(settings, find_venue(settings.venue), environment)
        check_offered(settings, find_venue(settings.venue))
    except SettingsError as error:
        raise SettingsError(f"{path}: {place} {error}") from None
    return settings


def _merged(path: Path, name: str, common: SectionType, own: Mapping[str, object]) -> SectionType:
    return _section(path, name, {**msgspec.structs.asdict(common), **own}, type(common)) if own else common


def _check_keys(path: Path, accounts: Sequence[AccountSettings], environment: Mapping[str, str]) -> None:
    keys = KeyOwners()
    for account in accounts:
        try:
            keys.claim(account, environment)
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from None


# --- secrets ---


def _credentials(path: Path, account: AccountSection, environment: Mapping[str, str]) -> Credentials:
    place = f"account {account.name!r}"
    key, secret, passphrase = (_secret(path, account, place, name, environment) for name in SECRETS)
    if key is None:
        raise SettingsError(f"{path}: {place} has no api_key; give api_key_env, api_key_file or api_key")
    try:
        return credentials_of(key, secret, passphrase)
    except SettingsError as error:
        raise SettingsError(f"{path}: {place} {error}") from None


def _postgres(path: Path, entry: object, environment: Mapping[str, str]) -> PostgresTarget | None:
    if entry is None:
        return None
    section = _section(path, "postgres", entry, PostgresSection)
    url, password = (_secret(path, section, "[postgres]", name, environment) for name in ("url", "password"))
    if not url:
        raise SettingsError(f"{path}: [postgres] has no url; give url_env, url_file or url")
    target = PostgresTarget(
        url=Secret(url), password=Secret(password) if password else None, migrate=section.migrate, own_process=section.own_process
    )
    try:
        address_of(target)
    except SettingsError as error:
        raise SettingsError(f"{path}: [postgres] {error}") from None
    return target


def _alerts(path: Path, entry: object, environment: Mapping[str, str]) -> AlertTarget | None:
    if entry is None:
        return None
    section = _section(path, "alerts", entry, AlertsSection)
    found = _secret(path, section, "[alerts]", "urls", environment)
    try:
        return target_of(section, split_urls(found or "") if section.urls is None else section.urls)
    except SettingsError as error:
        raise SettingsError(f"{path}: [alerts] {error}") from None


def _secret(
    path: Path, section: AccountSection | PostgresSection | AlertsSection, owner: str, name: str, environment: Mapping[str, str]
) -> str | None:
    inline, variable, file = (getattr(section, f"{name}{ending}") for ending in ("", "_env", "_file"))
    if sum(way is not None for way in (inline, variable, file)) > 1:
        raise SettingsError(f"{path}: {owner} gives {name} in more than one way; keep one of {name}, {name}_env, {name}_file")
    if inline is not None:
        _check_private(path, f"it holds the {name} of {owner}")
        return str(inline)
    if variable is not None:
        if not environment.get(variable):
            raise SettingsError(f"{path}: {owner} takes its {name} from the environment variable {variable}, which is not set")
        return environment[variable]
    return None if file is None else _read_secret(path, owner, name, file)


def _read_secret(path: Path, owner: str, name: str, file: str) -> str:
    place = path.parent / file
    try:
        if place.is_dir():
            raise SettingsError(f"{path}: {owner} {name}_file = {file!r} is a folder; name the file in it")
        _check_private(place, f"it holds the {name} of {owner}")
        return place.read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise SettingsError(f"{place} is not UTF-8 text, so it holds no {name}") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read {place}, which {path} names as {name}_file: {_why(error)}") from None


def _check_private(path: Path, why: str) -> None:
    """Secrets stand only where nobody else can read them."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise SettingsError(f"{path} can be read by others (mode {mode:04o}), and {why}: run chmod 600 {path}")
