"""`userstream accounts`: the accounts that the service runs, their keys encrypted in the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from userstream.entry.cli.desks import find_ask, read_secret, run_at_book, run_at_desk, warn_unless_run
from userstream.entry.cli.output import complain, say
from userstream.entry.times import show_time
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import AccountId, VenueName

if TYPE_CHECKING:
    from userstream.entry.registry import AccountBook, AccountDesk, Looked, NewAccount
    from userstream.wire.registration import AccountOptions, RegisteredAccount
    from userstream.wire.venue import Credentials

Config = Annotated[Path, Parameter(help="The configuration file; its [store] and [vault] are used.")]
Name = Annotated[str, Parameter(help="The account's name.")]
Json = Annotated[bool, Parameter(help="JSON instead of words.")]
KeyFile = Annotated[Path | None, Parameter(help="A file with the API key that only you can read; without it you are asked.")]
SecretFile = Annotated[Path | None, Parameter(help="A file with the key's secret, or with a private key in PEM.")]
PassphraseFile = Annotated[Path | None, Parameter(help="A file with the passphrase, for venues that have one.")]
Other = Annotated[bool, Parameter(help="Take the key of another account of the venue, or one that may be. It is audited.")]
Unsafe = Annotated[bool, Parameter(help="Take a key that can withdraw or transfer, or whose rights cannot be read. It is audited.")]

DEFAULT_CONFIG = Path("userstream.toml")
WIDE = 240
COLUMNS = ("account", "user", "venue", "label", "active", "rights", "created", "proven", "version", "key")

accounts = App(
    name="accounts",
    help="The accounts of the registry, which `userstream run` runs; their keys are encrypted in the store.\n\n"
    "Example: userstream accounts list",
)


@accounts.command
def add(
    name: Name,
    *,
    venue: Annotated[str, Parameter(help="The exchange, such as binance-usdm.")],
    user: Annotated[str | None, Parameter(help="Whose account it is; without it, [registry] user.")] = None,
    label: Annotated[str, Parameter(help="A few words for people.")] = "",
    api_key_file: KeyFile = None,
    api_secret_file: SecretFile = None,
    passphrase_file: PassphraseFile = None,
    rest_url: Annotated[str | None, Parameter(help="Another place than the real venue, such as a paper exchange.")] = None,
    ws_url: Annotated[str | None, Parameter(help="The same for its sockets.")] = None,
    ws_api_url: Annotated[str | None, Parameter(help="The same for its calls over sockets.")] = None,
    symbol: Annotated[tuple[str, ...], Parameter(help="A symbol whose past is always read; may be repeated.")] = (),
    isolated_symbol: Annotated[str, Parameter(help="The pair of an isolated margin account.")] = "",
    session_logon: Annotated[bool, Parameter(help="Log in on the socket (Binance Spot, Ed25519 keys).")] = False,
    monitor_only: Annotated[bool, Parameter(help="Refuse a key that can trade.")] = False,
    allow_unsafe_key: Unsafe = False,
    allow_other_account: Other = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> int:
    """Add an account. Its key is asked for without being shown, or read from files; the venue is asked what the key may do, and a key that
    can withdraw or transfer is refused.

    Example: `userstream accounts add alice --venue binance-usdm --api-key-file alice.key --api-secret-file alice.secret`
    """
    from userstream.entry.configuration import read_registry_part
    from userstream.wire.registration import AccountOptions

    part = read_registry_part(config)
    options = AccountOptions(
        rest_url=rest_url,
        ws_url=ws_url,
        ws_api_url=ws_api_url,
        symbols=symbol,
        isolated_symbol=isolated_symbol,
        session_logon=session_logon,
        monitor_only=monitor_only,
    )
    wish = _wish(name, venue, user or part.registry.user, label, options)
    credentials = _credentials(api_key_file, api_secret_file, passphrase_file)
    unsafe, other = allow_unsafe_key, allow_other_account
    looked = run_at_desk(config, lambda desk: desk.add(wish, credentials, allow_unsafe=unsafe, allow_other=other))
    warn_unless_run(part, config)
    return _tell_looked(name, "added", looked, as_json=json)


@accounts.command(name="list")
def list_accounts(*, config: Config = DEFAULT_CONFIG, json: Json = False) -> int:
    """List all accounts; no key is opened.

    Example: `userstream accounts list`
    """
    found = run_at_book(config, _read_all)
    if json:
        say(msgspec.json.encode([form_of(account) for account in found]).decode())
    else:
        _show_table(found)
    return 0


@accounts.command
def show(name: Name, *, config: Config = DEFAULT_CONFIG, json: Json = False) -> int:
    """Show one account and what its key may do; no key is opened.

    Example: `userstream accounts show alice --json`
    """
    form = form_of(run_at_book(config, lambda book: book.require(AccountId(name))))
    if json:
        say(msgspec.json.encode(form).decode())
        return 0
    for field, value in form.items():
        say(f"{field:16} {_words(field, value)}")
    return 0


@accounts.command
def enable(name: Name, *, config: Config = DEFAULT_CONFIG) -> int:
    """Let `userstream run` run an account again; one that runs takes it up within seconds.

    Example: `userstream accounts enable alice`
    """
    return _switch(config, name, active=True)


@accounts.command
def disable(name: Name, *, config: Config = DEFAULT_CONFIG) -> int:
    """Keep an account, but let `userstream run` leave it out; one that runs stops it within seconds.

    Example: `userstream accounts disable alice`
    """
    return _switch(config, name, active=False)


@accounts.command
def remove(name: Name, *, config: Config = DEFAULT_CONFIG) -> int:
    """Remove an account and its key; a `userstream run` stops it within seconds. What the store holds of its orders, fills and balances
    stays.

    Example: `userstream accounts remove alice`
    """
    run_at_book(config, lambda book: book.remove(AccountId(name)))
    say(f"{name}: removed")
    return 0


@accounts.command
def check(
    name: Annotated[str | None, Parameter(help="The account's name; without it, all active ones.")] = None,
    *,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> int:
    """Open the keys, ask the venue what they may do, and verify the audit log. Exit code 1 for a key that should not be used.

    Example: `userstream accounts check alice`
    """
    found, log = run_at_desk(config, lambda desk: _check(desk, name))
    for line in () if json else found:
        say(f"{line['account']}: {line['words']}")
    if json:
        say(msgspec.json.encode({"accounts": found, "audit_log": log or "whole"}).decode())
    elif log:
        complain(log)
    return 1 if log or any(line["verdict"] == "problem" for line in found) else 0


@accounts.command
def rotate(
    name: Name,
    *,
    api_key_file: KeyFile = None,
    api_secret_file: SecretFile = None,
    passphrase_file: PassphraseFile = None,
    allow_unsafe_key: Unsafe = False,
    allow_other_account: Other = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> int:
    """Replace an account's key by a new one of the same account at the venue; a `userstream run` takes it up within seconds.

    Example: `userstream accounts rotate alice --api-key-file new.key --api-secret-file new.secret`
    """
    run_at_book(config, lambda book: book.require(AccountId(name)))
    credentials = _credentials(api_key_file, api_secret_file, passphrase_file)
    unsafe, other = allow_unsafe_key, allow_other_account
    looked = run_at_desk(config, lambda desk: desk.rotate(AccountId(name), credentials, allow_unsafe=unsafe, allow_other=other))
    return _tell_looked(name, "rotated", looked, as_json=json)


# --- what the commands share ---


def check_addresses(options: AccountOptions) -> None:
    """Raises SettingsError for an empty one, by the name that the option has here."""
    from userstream.entry.addresses import ADDRESSES, EMPTY

    for name in ADDRESSES:
        if (given := getattr(options, name)) is not None and not given.strip():
            raise SettingsError(f"--{name.replace('_', '-')} {given!r} is empty: {EMPTY}")


def form_of(account: RegisteredAccount) -> dict[str, object]:
    """What may be shown of an account, in JSON's types."""
    from userstream.kernel.sealed import VaultError, read_record

    try:
        key = read_record(account.key.api_key).key_id
    except VaultError:
        key = "damaged"
    return {
        "account": account.account,
        "user": account.user,
        "venue": account.venue,
        "label": account.label,
        "active": account.active,
        "rights": None if account.rights is None else msgspec.to_builtins(account.rights),
        "created": account.created_time,
        "proven": account.proven_time,
        "version": account.record_version,
        "key": key,
        "secrets": sorted(account.key.fields),
        "venue_account": account.identity or None,
        "listen_key_ends": None if account.listen_key is None else account.listen_key.expires_at,
        "options": msgspec.to_builtins(account.options),
    }


def _wish(name: str, venue: str, user: str, label: str, options: AccountOptions) -> NewAccount:
    from userstream.entry.account_words import check_words
    from userstream.entry.registry import NewAccount

    check_addresses(options)
    check_words(label=label, user=user)
    return NewAccount(account=AccountId(name), user=user, venue=VenueName(venue), label=label, options=options)


def _credentials(api_key_file: Path | None, api_secret_file: Path | None, passphrase_file: Path | None) -> Credentials:
    from userstream.entry.bootstrap import credentials_of

    ask = find_ask()
    key = read_secret("api_key", api_key_file, ask, is_needed=True)
    secret = read_secret("api_secret", api_secret_file, ask, is_needed=False)
    # no venue of this version has one: nobody is asked
    passphrase = read_secret("passphrase", passphrase_file, None, is_needed=False)
    return credentials_of(key or "", secret, passphrase)


async def _read_all(book: AccountBook) -> list[RegisteredAccount]:
    return [account async for account in book.accounts()]


def _switch(config: Path, name: str, *, active: bool) -> int:
    word = "enabled" if active else "disabled"
    if run_at_book(config, lambda book: book.set_active(AccountId(name), active)):
        say(f"{name}: {word}; a userstream run that has the registry sees it within seconds")
    else:
        say(f"{name}: was {word} already, nothing was changed")
    return 0


async def _check(desk: AccountDesk, name: str | None) -> tuple[list[dict[str, str]], str]:
    from userstream.kernel.sealed import VaultError

    names = [account.account async for account in desk.accounts(active_only=True)] if name is None else [AccountId(name)]
    found = []
    for each in names:
        try:
            looked = await desk.check(each)
        except VaultError as error:
            found.append({"account": str(each), "verdict": "problem", "words": str(error)})
        else:
            found.append({"account": str(each), "verdict": _verdict(looked), "words": _judged(looked)})
    return found, await desk.verify_log()


def _verdict(looked: Looked) -> str:
    return "problem" if looked.refusals or looked.widened else "warning" if looked.verdict.warnings else "ok"


def _judged(looked: Looked) -> str:
    widened = f"the key may do more than before: {', '.join(looked.widened)}" if looked.widened else ""
    return "; ".join(filter(None, (looked.refusals, widened, *looked.verdict.warnings))) or "the key may do nothing that it should not"


def _tell_looked(name: str, deed: str, looked: Looked, *, as_json: bool) -> int:
    if as_json:
        rights = None if looked.rights is None else msgspec.to_builtins(looked.rights)
        say(
            msgspec.json.encode(
                {
                    "account": name,
                    "done": deed,
                    "rights": rights,
                    "verdict": _verdict(looked),
                    "words": _judged(looked),
                    "told": looked.told,
                }
            ).decode()
        )
        return 0
    say(f"{name}: {deed}" + (f"; {looked.told}" if looked.told else ""))
    for warning in (*looked.verdict.refusals, *looked.verdict.warnings):
        complain(f"{name}: {warning}")
    return 0


def _show_table(found: list[RegisteredAccount]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = WIDE  # a pipe has no edge: nothing is cut off there
    if not found:
        console.print("no account yet; userstream accounts add --help shows how to add one")
        return
    table = Table()
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for form in map(form_of, found):
        table.add_row(*(_words(column, form[column]) for column in COLUMNS))
    console.print(table)


def _words(field: str, value: object) -> str:
    match value:
        case None:
            return "unknown" if field == "rights" else "-"
        case bool():
            return "yes" if value else "no"
        case int() if field in ("created", "proven", "listen_key_ends"):
            return show_time(value)
        case dict():
            return ", ".join(name if flag is True else f"{name}: {flag}" for name, flag in value.items() if flag) or "-"
        case list():
            return ", ".join(map(str, value)) or "-"
        case _:
            return str(value) or "-"
