"""No picture of a process that holds secrets. Asked of a process of its own, because it cannot be taken back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource
from userstream.adapters.core_dumps import forbid_core_dumps, is_dumpable
before = is_dumpable()
forbid_core_dumps()
forbid_core_dumps()
print(json.dumps([before, is_dumpable(), resource.getrlimit(resource.RLIMIT_CORE)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_neither_a_crash_nor_a_debugger_sees_the_memory() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=50)
    assert json.loads(done.stdout) == [True, False, [0, 0]]
