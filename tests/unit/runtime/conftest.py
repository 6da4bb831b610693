"""What most tests of a running account begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.runtime.kit import Shell


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell()
    await made.start()
    yield made
    await made.stop()
