"""Incidents over a restart: a small file beside the store. It is written whole, under another name first, so that it is never half."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from userstream.domain.alerts import KeptIncident
from userstream.kernel.errors import StoreError

FORM: Final = 1


class _Kept(msgspec.Struct, frozen=True):
    form: int
    incidents: tuple[KeptIncident, ...]


class IncidentFile:
    """One for a service. Its calls block for as long as the disk takes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[KeptIncident, ...]:
        """What was written last; nothing if there is no such file. Raises StoreError for one that cannot be read."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it holds something else"
            raise StoreError(f"{self._path} cannot be read ({why}): what was told before is not known") from None
        return kept.incidents if kept.form == FORM else ()

    def write(self, incidents: Sequence[KeptIncident]) -> None:
        """Replaces what it holds; only its owner can read it. Raises StoreError."""
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            beside.unlink(missing_ok=True)
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.encode(_Kept(FORM, tuple(incidents))))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written ({error.strerror})") from None
