"""A user to whom rights mean something: root may do everything, so that tests of rights become somebody else for a while."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import userstream

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


def need_readable_environment() -> None:
    """Skips a test that runs a whole command as somebody else, where that one cannot read the program."""
    places = (sys.prefix, userstream.__file__)
    if not all(os.access(place, os.R_OK, effective_ids=os.access in os.supports_effective_ids) for place in places):
        pytest.skip(f"a user without rights cannot read {' or '.join(places)}, where this Python and the program are")
