"""A paper exchange for a command: its script of faults, its port, and what is told when they cannot be had."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from userstream.entry.descriptors import OUT_OF_FILES
from userstream.kernel.errors import SettingsError
from userstream.sim.faults import Script, ScriptError, load_script
from userstream.sim.server import PaperExchangeServer, PortInUse


def load_faults(script: Path | None) -> Script | None:
    """The script of a file. Raises SettingsError that names the file and what is wrong."""
    try:
        return None if script is None else load_script(script)
    except RecursionError:
        raise SettingsError(f"the script {script} is no script: lists in lists without an end") from None
    except ScriptError as error:
        raise SettingsError(str(error) if str(script) in str(error) else f"{script}: {error}") from None


@asynccontextmanager
async def open_exchange(server: PaperExchangeServer) -> AsyncIterator[PaperExchangeServer]:
    """Runs an exchange until the end of the block. Raises SettingsError where its port cannot be opened."""
    try:
        await server.start()
    except PortInUse as error:
        raise SettingsError(f"--{error}") from None
    except OSError as error:
        if error.errno in OUT_OF_FILES:
            raise
        why = os.strerror(error.errno or 0).lower()
        raise SettingsError(f"--port {server.settings.port} cannot be opened: {why}; choose another one, or 0 for a free one") from None
    try:
        yield server
    finally:
        await server.stop()
