"""A change of the vault's key that is killed without warning, three times, and begun again: nothing is lost, and nothing is left."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.rotation import check, fill, write_ring
from userstream.adapters.key_ring import KeyRing, generate_key
from userstream.adapters.sqlite_registry import SqliteRegistry
from userstream.adapters.vault import AesVault
from userstream.entry.key_rotation import count_keys
from userstream.kernel.secret import Secret

ACCOUNTS: Final = 240
BATCHES: Final = (0, 2, 5)
"""How many are taken before each kill; those that are done already are looked at again."""
CHILD: Final = """
import asyncio, sys
from pathlib import Path
from userstream.adapters.key_ring import read_file
from userstream.adapters.sqlite_registry import SqliteRegistry
from userstream.adapters.vault import AesVault
from userstream.entry.key_rotation import rewrap_all

def tell(count):
    print(count, flush=True)
    sys.stdin.readline()

async def rotate():
    async with await SqliteRegistry.open(Path(sys.argv[1])) as registry:
        report = await rewrap_all(registry, AesVault(read_file(Path(sys.argv[2]))), tell=tell, batch=20)
        print("left", report.left, flush=True)

asyncio.run(rotate())
"""


class Rotation:
    """A process that stops after each batch until it is told to go on."""

    def __init__(self, store: Path, ring: Path) -> None:
        command = [sys.executable, "-c", CHILD, str(store), str(ring)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take_batches(self, count: int) -> None:
        for _ in range(count):
            assert self._read() == "20"
            self._go_on()

    def kill(self) -> None:
        """Wherever it is: between two batches, or in the middle of one that was just let go."""
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait(20) == -signal.SIGKILL
        self._close()

    def finish(self) -> str:
        while (line := self._read()).isdigit():
            self._go_on()
        assert self._process.wait(20) == 0
        self._close()
        return line

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _go_on(self) -> None:
        print(file=self._process.stdin, flush=True)

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


async def keys_of(store: Path, keys: list[bytes]) -> dict[str, int]:
    """How many accounts need each key; every one of them opens with the ring as it is."""
    vault = AesVault(KeyRing(keys))
    async with await SqliteRegistry.open(store) as registry:
        for number, account in enumerate(await registry.page(limit=ACCOUNTS + 1)):
            assert vault.open(account.place, "api_key", account.key.api_key) == Secret(f"{number:064}")
        return await count_keys(registry, vault)


async def test_a_rotation_that_is_killed_three_times_ends_well(tmp_path: Path) -> None:
    store, ring, keys = tmp_path / "desk.db", tmp_path / "vault.keys", [generate_key()]
    await fill(store, AesVault(KeyRing(keys)), ACCOUNTS)
    keys.append(generate_key())
    write_ring(ring, keys)
    newest, moved = AesVault(KeyRing(keys)).newest_key, 0
    for count in BATCHES:
        rotation = Rotation(store, ring)
        rotation.take_batches(count)
        rotation.kill()
        needed = await keys_of(store, keys)
        assert sum(needed.values()) == ACCOUNTS and needed.get(newest, 0) >= moved
        moved = needed.get(newest, 0)
        assert moved < ACCOUNTS
    assert moved >= 20 * max(BATCHES)
    assert Rotation(store, ring).finish() == "left 0"
    await check(store, keys, ACCOUNTS)
