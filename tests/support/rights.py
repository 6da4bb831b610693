"""A user to whom rights mean something: root may do everything, so that tests of rights become somebody else for a while."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65_534


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder of the user's own, in which tests forbid what they like. Files that root made before are not the user's."""
    folder = Path(tempfile.mkdtemp(prefix="userstream-rights-"))
    was_root = os.geteuid() == 0
    try:
        if was_root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)
