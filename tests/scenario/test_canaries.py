"""A service with secrets that are known, and all that it leaves behind: none of them is in it. A planted one is found everywhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.support.canaries import find_leaks
from tests.support.postgres import PostgresServer, execute, find_programs, running_server
from userstream.adapters.clock import SystemClock
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

VENUE: Final = "binance-usdm"
PLANTED: Final = "PlantedLeak0123456789"
"""The name of an account: it goes wherever something is told of one, as a leaked secret would."""
SECRETS: Final = {
    "alice's key": "Al1ceKey" + "q7" * 28,
    "alice's secret": "Al1ceSecret" + "w5" * 26,
    "planted account's key": "B0bsKey9" + "e3" * 28,
    "planted account's secret": "B0bsSecret" + "r1" * 27,
    "dora's key": "D0rasKey" + "t9" * 28,
    "dora's secret": "D0rasSecret" + "y7" * 26,
    "database password": "PgPassw0rd-canary",
    "alert address": "Al3rtPath-canary",
}
CONFIGURATION: Final = """
[store]
path = "desk.db"
[log]
level = "debug"
format = "json"
[registry]
[vault]
key_file = "vault.keys"
[http]
port = 0
[postgres]
url_env = "DESK_POSTGRES"
[alerts]
urls_env = "DESK_ALERTS"
dark_after_s = 0.2
settle_s = 0.2
gather_s = 0.1
[recovery]
lag_s = 0.2
"""
OPEN_PATHS: Final = ("/nothing", "/api/fills?limit=0", "/api/fills?accuont=x", "/api/accounts/nobody", f"/api/accounts/{PLANTED}/state")


class Service:
    """A folder, its commands, and everything that was said."""

    def __init__(self, folder: Path, database: str, exchange: PaperExchangeServer) -> None:
        self._folder, self._exchange = folder, exchange
        self._environment = os.environ | {"DESK_POSTGRES": database, "DESK_ALERTS": f"json://user:{SECRETS['alert address']}@127.0.0.1:9/"}
        self.places: dict[str, bytes] = {"commands": b"", "log": b"", "http": b"", "metrics": b"", "live feed": b""}

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "userstream", *words)
        return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=self._folder, env=self._environment)

    async def call(self, *words: str, is_told: bool = True) -> str:
        process = await self.start(*words)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert b"Traceback" not in err, err.decode()
        if is_told:
            self.places["commands"] += out
        self.places["commands"] += err
        return out.decode().strip()

    async def add(self, name: str, key: str, secret: str) -> None:
        for ending, text in (("key", SECRETS[key]), ("secret", SECRETS[secret])):
            path = self._folder / f"{name}.{ending}"
            path.touch(0o600)
            path.write_text(text)
        place = self._exchange.listing.venues[VENUE]
        files = ("--api-key-file", f"{name}.key", "--api-secret-file", f"{name}.secret")
        await self.call(
            *("accounts", "add", name, "--venue", VENUE, "--rest-url", place.rest_url, "--ws-url", place.ws_url, "--allow-unsafe-key"),
            *files,
        )

    def act(self, action: str, **fields: object) -> None:
        reply = self._exchange.control.answer(Call(method="POST", path=f"/control/{action}", body=json.dumps(fields).encode()))
        assert reply.status == 200, reply.body

    def listen_keys(self) -> list[str]:
        return [known.key for known in self._exchange.house.halls[VENUE].room.listen_keys.living()]


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[str]:
    """The address of the API; the whole log is kept."""
    process = await service.start("run")
    assert process.stderr is not None
    url = ""
    try:
        async for line in process.stderr:
            service.places["log"] += line
            if b"http_started" in line:
                url = f"http://127.0.0.1:{json.loads(line)['port']}"
                break
        rest = asyncio.ensure_future(process.stderr.read())
        yield url
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)
        service.places["log"] += await rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def fetch(service: Service, client: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    async with client.get(url, headers=headers) as answer:
        text = await answer.text()
        place = "metrics" if url.endswith("/metrics") else "http"
        service.places[place] += f"{answer.status} {dict(answer.headers)} {text}\n".encode()
        return answer.status, text


async def until_proven(service: Service, client: aiohttp.ClientSession, url: str) -> None:
    """dora's key is wrong, so hers is the only account that is not."""
    async with asyncio.timeout(60):
        while True:
            _, text = await fetch(service, client, f"{url}/health")
            if list(json.loads(text).get("unhealthy") or {"nobody"}) == ["dora"]:
                return
            await SystemClock().sleep(250)  # an address may ask so often a minute, and no more


async def read_everything(service: Service, client: aiohttp.ClientSession, url: str, token: str) -> None:
    _, document = await fetch(service, client, f"{url}/api/openapi.json")
    for path, operations in json.loads(document)["paths"].items():
        if "get" in operations:
            for name in (PLANTED, "dora"):
                await fetch(service, client, url + path.replace("{name}", name))
    for path in OPEN_PATHS:
        await fetch(service, client, url + path)
        await fetch(service, client, url + path, Authorization=f"Bearer {token}x")
    socket = await client.ws_connect(f"{url}/api/live")
    await socket.send_json({"type": "hello", "token": token, "accounts": [PLANTED]})
    for _ in range(2):
        service.places["live feed"] += (await socket.receive_str(timeout=20)).encode()
    await socket.close()


async def live(service: Service, url: str, token: str) -> list[str]:
    """Trades, an order, a listen key that ends, a key that is wrong, and every page read. The listen keys that there were."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client:
        await until_proven(service, client, url)
        keys = service.listen_keys()
        service.act("place", account=PLANTED, symbol="BTCUSDT", side="buy", quantity="0.010", order_type="market")
        service.act("place", account=PLANTED, symbol="BTCUSDT", side="buy", quantity="0.010", price="60000")
        service.act("expire_key", account=PLANTED)
        async with asyncio.timeout(30):
            while len(set(keys) | set(service.listen_keys())) < 3:
                await fetch(service, client, f"{url}/health")
        keys += service.listen_keys()
        await until_proven(service, client, url)
        async with asyncio.timeout(30):
            while not json.loads((await fetch(service, client, f"{url}/api/fills?account={PLANTED}"))[1]).get("items"):
                pass
        await read_everything(service, client, url, token)
        return keys


def dump(server: PostgresServer) -> bytes:
    programs = find_programs()
    assert programs is not None
    command = [str(programs / "pg_dump"), "--no-owner", server.url("desk")]
    return subprocess.run(command, check=True, capture_output=True).stdout


def read_store(folder: Path) -> bytes:
    """The file and what stands beside it."""
    return b"".join(file.read_bytes() for file in sorted(folder.glob("desk.db*")))


async def look_around(service: Service) -> None:
    """What a person would call afterwards."""
    for words in (
        *(
            ("accounts", "list"),
            ("accounts", "show", PLANTED, "--json"),
            ("accounts", "check"),
            ("tokens", "list"),
            ("doctor", "--patience", "3"),
        ),
        *(("state", "desk.db", "--json"), ("tail", "desk.db", "--json", "--last", "50"), ("db", "check"), ("keys", "rotate")),
        *(("tokens", "add", "page", "--role", "viewer"), ("accounts", "show", "nobody")),
    ):
        await service.call(*words)


@pytest.mark.timeout(240)
async def test_no_secret_is_in_anything_that_a_service_leaves_behind(tmp_path: Path) -> None:
    accounts = {PLANTED: "planted account's", "alice": "alice's"}
    specs = tuple(
        AccountSpec(
            account=name, api_key=SECRETS[f"{whose} key"], api_secret=SECRETS[f"{whose} secret"], can_withdraw=False, ip_restricted=True
        )
        for name, whose in accounts.items()
    )
    dora = AccountSpec(account="dora", api_key=SECRETS["dora's key"], api_secret="of the exchange")
    with running_server() as server:
        await execute(server.url("postgres"), "CREATE DATABASE desk")
        async with PaperExchangeServer(SimulatorSettings(accounts=(*specs, dora))) as exchange:
            service = Service(tmp_path, server.url("desk", password=SECRETS["database password"]), exchange)
            (tmp_path / "userstream.toml").write_text(CONFIGURATION)
            await service.call("keys", "generate", "--file", "vault.keys")
            for name, whose in accounts.items():
                await service.add(name, f"{whose} key", f"{whose} secret")
            await service.add("dora", "dora's key", "dora's secret")
            token = await service.call("tokens", "add", "page", "--role", "admin", is_told=False)
            async with running(service) as url:
                listen_keys = await live(service, url, token)
            await look_around(service)
        service.places["database dump"] = dump(server)
    service.places["store"] = read_store(tmp_path)
    ring = (tmp_path / "vault.keys").read_text().split()
    known = SECRETS | {f"listen key {place}": key for place, key in enumerate(dict.fromkeys(listen_keys))}
    known |= {"token": token.split("_", 2)[2]} | {f"vault {place}": word for place, word in enumerate(ring) if len(word) >= 40}
    assert len(known) >= len(SECRETS) + 5
    assert min(map(len, known.values())) >= 16, "what is shorter is found by chance"
    assert find_leaks(known, service.places) == []
    # the control: what is planted is found in every one of these places
    found = find_leaks({"planted": PLANTED}, service.places)
    assert {f"planted (plain) in {place}" for place in service.places} <= set(found), found
