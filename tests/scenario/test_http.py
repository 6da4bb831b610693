"""The HTTP API of `userstream run` in a process of its own: opened with the accounts, ended before them."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import signal
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

VENUE = "binance-usdm"


async def start(folder: Path, environment: Mapping[str, str], *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "userstream", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ | environment, cwd=folder,
    )  # fmt: skip


async def call(folder: Path, *words: str) -> tuple[int, str, str]:
    process = await start(folder, {}, *words)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert b"Traceback" not in err
    return process.returncode or 0, out.decode().strip(), err.decode()


def write_configuration(folder: Path, server: PaperExchangeServer, http: str) -> dict[str, str]:
    place, key = server.listing.venues[VENUE], server.listing.accounts[0]
    text = (
        f'[log]\nformat = "json"\n[http]\n{http}\n[[account]]\nname = "alice"\nvenue = "{VENUE}"\napi_key_env = "KEY"\n'
        f'api_secret_env = "SECRET"\nrest_url = "{place.rest_url}"\nws_url = "{place.ws_url}"\n'
    )
    (folder / "userstream.toml").write_text(text)
    return {"KEY": key.api_key, "SECRET": key.api_secret}


async def find_url(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if b"http_started" in line:
            told = json.loads(line)
            return f"{told['mode']}://{told['host']}:{told['port']}"
    raise AssertionError("it never listened")


async def drain(process: asyncio.subprocess.Process) -> bytes:
    assert process.stderr is not None
    return await process.stderr.read()


async def test_run_serves_its_accounts_and_ends_in_order(tmp_path: Path) -> None:
    server = PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=(AccountSpec(account="alice", venue=VENUE),)))
    await server.start()
    environment = write_configuration(tmp_path, server, "port = 0\nrequests_per_minute = 100000")
    process = await start(tmp_path, environment, "run")
    try:
        url = await find_url(process)
        told = asyncio.ensure_future(drain(process))
        code, token, _ = await call(tmp_path, "tokens", "add", "page", "--role", "viewer")
        assert code == 0
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client:
            for _ in range(2_000):
                async with client.get(f"{url}/health") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.005)
            async with client.get(f"{url}/api/accounts") as answer:
                [account] = (await answer.json())["items"]
                assert account["account"] == "alice" and account["is_healthy"]
            socket = await client.ws_connect(f"{url}/api/live")
            await socket.send_json({"type": "hello", "token": token})
            assert (await socket.receive_json())["type"] == "welcome"
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            while (message := await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert message.data == 1001
        log = await told
        assert b"Traceback" not in log and token.encode() not in log and environment["SECRET"].encode() not in log
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await server.stop()


async def test_without_connections_it_serves_and_is_not_healthy(tmp_path: Path) -> None:
    async with PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=(AccountSpec(account="alice", venue=VENUE),))) as server:
        environment = write_configuration(tmp_path, server, "port = 0") | {"WEBSOCKET_ENABLED": "false"}
        process = await start(tmp_path, environment, "run")
        try:
            url = await find_url(process)
            told = asyncio.ensure_future(drain(process))
            _, token, _ = await call(tmp_path, "tokens", "add", "page", "--role", "viewer")
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client:
                async with client.get(f"{url}/health") as answer:
                    assert answer.status == 503
                    reasons = (await answer.json())["unhealthy"]
                assert "WEBSOCKET_ENABLED is false" in reasons["(connections)"] and "WEBSOCKET_ENABLED is false" in reasons["alice"]
                async with client.get(f"{url}/ready") as answer:
                    assert answer.status == 200
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
        assert (await told).count(b"WEBSOCKET_ENABLED is false") == 1
        assert not any(server.control.requests.values())


def write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "a.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "b.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


async def test_beyond_this_machine_it_needs_tls_and_a_token(tmp_path: Path) -> None:
    server = PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=(AccountSpec(account="alice", venue=VENUE),)))
    await server.start()
    try:
        environment = write_configuration(tmp_path, server, 'host = "0.0.0.0"\nport = 0')
        process = await start(tmp_path, environment, "run")
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 2 and b"not this machine alone" in err and b"Traceback" not in err
        write_certificate(tmp_path)
        tls = 'host = "0.0.0.0"\nport = 0\ncertificate_file = "a.pem"\nkey_file = "b.pem"'
        environment = write_configuration(tmp_path, server, tls)
        process = await start(tmp_path, environment, "run")
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 2 and b"no token yet" in err and len(err.splitlines()) == 1
        _, token, _ = await call(tmp_path, "tokens", "add", "page", "--role", "viewer")
        process = await start(tmp_path, environment, "run")
        url = (await find_url(process)).replace("0.0.0.0", "127.0.0.1")
        told = asyncio.ensure_future(drain(process))
        trust = ssl.create_default_context(cafile=str(tmp_path / "a.pem"))
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as client, client.get(f"{url}/api/me", ssl=trust) as answer:
            assert answer.status == 200 and "Strict-Transport-Security" in answer.headers
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert b"Traceback" not in await told
    finally:
        await server.stop()
