"""What follows the journal is told of when it stops and when it goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog

from userstream.entry.followers import tell_pump_trouble, tell_store_trouble
from userstream.kernel.errors import StoreError


@pytest.mark.parametrize("tell", [tell_store_trouble, tell_pump_trouble])
def test_trouble_of_the_store_is_one_line_and_its_end_another(tell: Callable[[Exception | None], None]) -> None:
    with structlog.testing.capture_logs() as entries:
        tell(StoreError("the disk is full"))
        tell(None)
    assert [entry["log_level"] for entry in entries] == ["error", "info"]
    assert entries[0]["reason"] == "the disk is full"
    assert [str(entry["action"]).partition("_")[2] for entry in entries] == ["trouble", "recovered"]
