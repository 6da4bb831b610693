"""The registry's desk as commands open it: from a configuration file, for the person at the terminal."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from userstream.entry.cli.output import complain
from userstream.kernel.errors import SettingsError

if TYPE_CHECKING:
    from userstream.entry.registry import AccountBook, AccountDesk
    from userstream.entry.vault_settings import RegistryPart

ResultT = TypeVar("ResultT")
LARGEST_SECRET = 64 * 1024
Ask = Callable[[str], str]
"""Asks a person at the terminal, without showing what is typed."""


def run_at_desk(config: Path, work: Callable[[AccountDesk], Coroutine[object, object, ResultT]]) -> ResultT:
    """Opens the desk of a configuration, does one thing there, and closes it."""
    from userstream.entry.configuration import read_registry_part
    from userstream.entry.desk import open_desk

    part = read_registry_part(config)

    async def serve() -> ResultT:
        async with open_desk(part) as desk:
            return await work(desk)

    return asyncio.run(serve())


def run_at_book(config: Path, work: Callable[[AccountBook], Coroutine[object, object, ResultT]]) -> ResultT:
    """The same for what needs no key of the vault, and is possible when all of them are lost."""
    from userstream.adapters.clock import SystemClock
    from userstream.entry.configuration import read_registry_part
    from userstream.entry.desk import find_caller, open_registry
    from userstream.entry.registry import AccountBook

    part = read_registry_part(config)

    async def serve() -> ResultT:
        async with open_registry(part) as registry:
            return await work(AccountBook(registry, SystemClock(), find_caller()))

    return asyncio.run(serve())


def read_secret(name: str, file: Path | None, ask: Ask | None, *, is_needed: bool) -> str | None:
    """A secret from its file, else from the person. Raises SettingsError, which never holds it. `ask`: None where nobody can be asked."""
    if file is not None:
        return _read_file(name, file)
    option = f"--{name.replace('_', '-')}-file"
    if ask is None:
        if is_needed:
            raise SettingsError(f"nobody can be asked for the {name}, because standard input is no terminal: give {option}")
        return None
    try:
        text = ask(f"{name} ({'not shown' if is_needed else 'not shown; empty for none'}): ").strip()
    except EOFError:
        raise SettingsError(f"the {name} was not typed: nothing was changed; {option} reads it from a file") from None
    if not text and is_needed:
        raise SettingsError(f"the {name} is empty: nothing was changed")
    return text or None


def find_ask() -> Ask | None:
    """How to ask the person at the terminal without showing what is typed; None where there is no terminal."""
    return getpass.getpass if sys.stdin is not None and sys.stdin.isatty() else None


def _read_file(name: str, file: Path) -> str:
    from userstream.adapters.key_ring import check_private

    try:
        if file.is_dir():
            raise SettingsError(f"{file} is a folder: name the file with the {name} in it")
        check_private(file, f"it holds the {name}")
        with file.open("rb") as opened:
            data = opened.read(LARGEST_SECRET + 1)
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8 text, so it holds no {name}") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or "it cannot be opened") if isinstance(error, OSError) else "that is no name of a file"
        raise SettingsError(f"cannot read the {name} from {file}: {reason}") from None
    if not text or len(data) > LARGEST_SECRET:
        raise SettingsError(f"{file} {'is empty' if not text else 'is too large'}: it holds no {name}")
    return text


def warn_unless_run(part: RegistryPart, config: Path) -> None:
    """Says so where the accounts of the registry are not run."""
    if not part.is_run:
        complain(f"{config} has no table [registry]: userstream run will start the registry's accounts once it has")
