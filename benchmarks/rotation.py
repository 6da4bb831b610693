"""How long all accounts of a registry take to come to a new key of the vault, and whether a rotation that is killed goes on.

`python -m benchmarks.rotation [--accounts 10000] [--kills 3]`. The rotation is a process of its own, as `userstream keys rotate` is; it is
killed without warning at moments drawn by chance, begun again, and at the end every account is opened with the new key alone.
Goal: 10,000 accounts in under 60 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks.feed import ROOT, show
from userstream.adapters.key_ring import KeyRing, generate_key, read_file, write_key
from userstream.adapters.sqlite_registry import SqliteRegistry
from userstream.adapters.vault import AesVault
from userstream.domain.audit import AuditNote
from userstream.entry.key_rotation import count_keys, rewrap_all
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.kernel.sealed import SealPlace
from userstream.kernel.secret import Secret
from userstream.wire.registration import RegisteredAccount, SealedKey, SealedListenKey

GOAL_S: Final = 60.0
ACCOUNTS: Final = 10_000
SEED: Final = 20_260_701
NOTE: Final = AuditNote(time=Millis(0), actor="benchmark", origin="here", action="account.add", subject="many")


def make_account(number: int, vault: AesVault) -> RegisteredAccount:
    """An account with a key, a secret and a listen key."""
    name = AccountId(f"account-{number:06}")
    place = SealPlace(user="desk", account=name, venue=VenueName("binance-usdm"), version=1)
    values = {"api_key": Secret(f"{number:064}"), "api_secret": Secret(f"{-number:064}"), "listen_key": Secret(f"listen-{number:064}")}
    records = vault.seal(place, values)
    return RegisteredAccount(
        account=name,
        user=place.user,
        venue=place.venue,
        created_time=Millis(0),
        record_version=1,
        key=SealedKey(api_key=records["api_key"], api_secret=records["api_secret"]),
        listen_key=SealedListenKey(record=records["listen_key"], expires_at=Millis(1)),
    )


async def fill(store: Path, vault: AesVault, count: int) -> None:
    async with await SqliteRegistry.open(store) as registry:
        for number in range(count):
            account = make_account(number, vault)
            await registry.add(account, NOTE)
            await registry.save_listen_key(account.account, 1, account.listen_key)


async def rotate(store: Path, ring: Path) -> None:
    """The child's whole work: says how long the rotation itself took."""
    vault = AesVault(read_file(ring))
    async with await SqliteRegistry.open(store) as registry:
        begun = time.perf_counter()
        report = await rewrap_all(registry, vault)
        print(json.dumps({"rotate_s": time.perf_counter() - begun, "rewrapped": report.rewrapped, "left": report.left}))


async def run_child(store: Path, ring: Path, kill_after_s: float | None = None) -> dict[str, float]:
    """What the child says; nothing where it was killed before its end."""
    words = (sys.executable, "-m", "benchmarks.rotation", "--child", str(store), str(ring))
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    if kill_after_s is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), kill_after_s)
        if process.returncode is None:
            process.kill()
    out, _ = await process.communicate()
    told: dict[str, float] = json.loads(out) if out else {}
    return told


async def check(store: Path, keys: list[bytes], count: int) -> None:
    """Raises where an account does not open with the newest key alone."""
    vault = AesVault(KeyRing(keys[-1:]))
    async with await SqliteRegistry.open(store) as registry:
        after, seen = "", 0
        while page := await registry.page(after=after):
            for account in page:
                opened = vault.open(account.place, "api_key", account.key.api_key)
                if opened != Secret(f"{seen:064}"):
                    raise RuntimeError(f"{account.account} opens to another key")
                seen += 1
            after = page[-1].account
        if seen != count or set(await count_keys(registry, vault)) != {vault.newest_key}:
            raise RuntimeError(f"{seen} accounts of {count} are there, or some need an older key")


def write_ring(ring: Path, keys: list[bytes]) -> None:
    ring.touch(0o600)
    ring.write_text("\n".join(map(write_key, keys)))


async def run(count: int, kills: int) -> dict[str, float]:
    """The figures of one clean rotation, then of one that is killed so many times."""
    chance = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        store, ring, keys = Path(folder) / "desk.db", Path(folder) / "vault.keys", [generate_key()]
        await fill(store, AesVault(KeyRing(keys)), count)
        keys.append(generate_key())
        write_ring(ring, keys)
        clean = await run_child(store, ring)
        await check(store, keys, count)
        keys.append(generate_key())
        write_ring(ring, keys)
        for _ in range(kills):
            await run_child(store, ring, chance.uniform(0.0, 1.0 + clean["rotate_s"]))
        last = await run_child(store, ring)
        await check(store, keys, count)
    return {
        "accounts": count,
        "rotate_s": clean["rotate_s"],
        "accounts_per_s": count / clean["rotate_s"],
        "kills": kills,
        "left_after_kills": last["left"],
        "goal_s_of_10000": GOAL_S,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rotation", description=__doc__)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--kills", type=int, default=3, help="how often the second rotation is killed")
    parser.add_argument("--child", nargs=2, metavar=("STORE", "RING"), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    given = parser.parse_args()
    if given.child:
        asyncio.run(rotate(Path(given.child[0]), Path(given.child[1])))
        return
    show(asyncio.run(run(given.accounts, given.kills)), as_json=given.json)


if __name__ == "__main__":
    main()
