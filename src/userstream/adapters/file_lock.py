"""A lock between processes: one writer for a store, whoever else may read it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from userstream.kernel.errors import StoreError

# Windows locks bytes against reading too: the lock lies far behind the number that others want to read.
_LOCKED_BYTE: Final = 1 << 30
_LONGEST_NUMBER: Final = 32

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held from `take` until `release`, or until the process ends, however it ends. The file stays: removing it would let two
    processes lock two files of the same name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> None:
        """Raises StoreError that names the process which holds it, or says why the file cannot be made."""
        file = self._open()
        try:
            _try_lock(file)
        except OSError:
            owner = os.read(file, _LONGEST_NUMBER).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise StoreError(f"{self._path.with_suffix('')} is in use by process {owner}: stop it, or choose another path") from None
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise StoreError(f"cannot write {self._path}: {why}: this user must be able to write the file and its folder") from None
