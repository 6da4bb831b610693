"""`userstream keys`: the keys that the registry's secrets are encrypted with."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from userstream.entry.cli.accounts import DEFAULT_CONFIG, Config, Json
from userstream.entry.cli.desks import run_at_desk
from userstream.entry.cli.output import complain, say, show_count
from userstream.kernel.errors import SettingsError, UserStreamError

if TYPE_CHECKING:
    from userstream.entry.key_rotation import RotationReport
    from userstream.entry.registry import AccountDesk

MOST_TOLD = 10

keys = App(
    name="keys", help="The keys that the secrets of the registry are encrypted with.\n\nExample: userstream keys generate --file vault.keys"
)


@keys.command
def generate(
    *,
    file: Annotated[Path | None, Parameter(help="The ring to write; without it the key's line is printed.")] = None,
    append: Annotated[bool, Parameter(help="The ring is there already: the new key becomes its newest.")] = False,
    json: Json = False,
) -> int:
    """Make a new key: as a new ring that only you can read, as the newest key of a ring, or as a line for a password manager.

    Example: `userstream keys generate --file vault.keys`
    """
    from userstream.adapters.key_ring import NoRing, generate_key, id_of, read_file, write_key

    key = generate_key()
    if file is None:
        if append or json:
            raise SettingsError("--append and --json need --file; without it the line of the new key is all that is printed")
        say(write_key(key))
        return 0
    try:
        known = read_file(file).ids if append else ()
    except NoRing as error:
        raise SettingsError(f"{error}: without --append a new one is made") from None
    _write_ring(file, f"{_text_of(file)}{write_key(key)}\n" if append else f"{write_key(key)}\n", is_new=not append)
    if json:
        say(msgspec.json.encode({"file": str(file), "newest": id_of(key), "keys": [*known, id_of(key)]}).decode())
    else:
        say(f"{file}: {id_of(key)} is the newest key" + ("; userstream keys rotate moves the accounts to it" if known else ""))
        complain("keep a copy of this file in another place: without it no secret of the registry can be read")
    return 0


@keys.command
def rotate(*, config: Config = DEFAULT_CONFIG, json: Json = False) -> int:
    """Move all accounts to the newest key of the ring, while the service runs. May be ended anywhere and begun again. At the end it names
    the keys that nobody needs any more. Exit code 1 when accounts are left.

    Example: `userstream keys rotate --config userstream.toml`
    """
    from userstream.entry.configuration import read_registry_part

    report, unused = run_at_desk(config, _rotate)
    if json:
        say(msgspec.json.encode({**msgspec.to_builtins(report), "unused": unused}).decode())
    else:
        _tell(report, unused, is_read_again=bool(read_registry_part(config).vault.key_file))
    return 1 if report.left else 0


async def _rotate(desk: AccountDesk) -> tuple[RotationReport, list[str]]:
    from rich.console import Console
    from rich.progress import Progress

    from userstream.entry.key_rotation import rewrap_all

    with Progress(console=Console(stderr=True), transient=True, disable=not Console(stderr=True).is_terminal) as progress:
        task = progress.add_task("accounts", total=await desk.count())
        report = await rewrap_all(desk.registry, desk.vault, tell=lambda done: progress.advance(task, done))
    result = "refused" if report.left else "done"
    detail = f"{report.rewrapped} moved, {report.left} left"
    await desk.registry.write_note(desk.note("keys.rotate", report.newest, result, detail))
    return report, [key for key in desk.vault.keys if key != report.newest and key not in report.keys]


def _tell(report: RotationReport, unused: list[str], *, is_read_again: bool) -> None:
    """`is_read_again`: a running service reads the ring every minute, as it does one in a file."""
    say(f"newest key {report.newest}: {show_count(report.rewrapped, 'account')} moved, {report.left} left")
    for name, reason in list(report.failed.items())[:MOST_TOLD]:
        complain(f"{name}: {reason}")
    if len(report.failed) > MOST_TOLD:
        complain(f"and {len(report.failed) - MOST_TOLD} accounts more")
    if unused and not report.left:
        taken_up = "a running service has the new key (it reads the file every minute)" if is_read_again else "the service was restarted"
        say(f"no account needs {', '.join(unused)} any more: once {taken_up} and your backups are newer, remove these lines")


def _text_of(file: Path) -> str:
    text = file.read_text("ascii")
    return text if not text or text.endswith("\n") else f"{text}\n"


def _write_ring(file: Path, text: str, *, is_new: bool) -> None:
    """All of it or nothing, and never readable by others. Raises SettingsError, UserStreamError."""
    if is_new and file.exists():
        raise SettingsError(f"{file} is there already, and its keys may be needed: choose another name, or add --append")
    try:
        # a temporary file is its owner's alone from its first moment
        number, name = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(number, "w", encoding="ascii") as written:
                written.write(text)
                written.flush()
                os.fsync(written.fileno())
            if is_new:
                os.link(name, file)
            else:
                os.replace(name, file)
        finally:
            Path(name).unlink(missing_ok=True)
    except FileExistsError:
        raise SettingsError(f"{file} is there already, and its keys may be needed: choose another name, or add --append") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or "it cannot be made") if isinstance(error, OSError) else "that is no name of a file"
        raise UserStreamError(f"cannot write {file}: {reason}") from None
