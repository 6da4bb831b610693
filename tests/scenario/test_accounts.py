"""`userstream accounts`, `userstream keys` and `userstream run` as a person calls them: a paper exchange, a folder, files with keys."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import msgspec
import pytest

from userstream.entry.cli import run_command
from userstream.entry.configuration import read_registry_part
from userstream.entry.desk import open_desk
from userstream.kernel.ids import AccountId
from userstream.sim.keys import ApiKey
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

Capture = pytest.CaptureFixture[str]
KEYS = {
    "alice": ("ALICEKEY" * 8, "ALICESECRET" * 5),
    "bob": ("BOBSKEY1" * 8, "BOBSSECRET1" * 5),
    "carol": ("CAROLKEY" * 8, "CAROLSECRET" * 5),
}
NEW_KEYS = {"alice-2": ("ALICENEW" * 8, "ALICENEWSEC" * 5)}
CONFIGURATION = '[store]\npath = "desk.db"\n\n[registry]\n\n[vault]\nkey_file = "vault.keys"\n'


class Outcome:
    def __init__(self, code: int | None, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Desk:
    """A folder with a configuration and files of keys, beside a paper exchange where carol's key can withdraw."""

    def __init__(self, folder: Path, url: str, capture: Capture) -> None:
        self.folder, self._url, self._capture = folder, url, capture
        self.told = ""

    async def call(self, *words: str, code: int = 0) -> Outcome:
        """A command on a thread of its own, as a process would do it and sooner."""
        found = await asyncio.to_thread(run_command, [*words])
        told = self._capture.readouterr()
        return self._note(Outcome(found, told.out, told.err), code)

    async def run(self, seconds: int, *, code: int = 0) -> Outcome:
        """`userstream run`, which hears signals and so needs a process."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "userstream", "run", "--seconds", str(seconds)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
        )
        out, err = await asyncio.wait_for(process.communicate(), 50)
        return self._note(Outcome(process.returncode, out.decode(), err.decode()), code)

    def _note(self, outcome: Outcome, code: int) -> Outcome:
        assert "Traceback" not in outcome.err, outcome.err
        assert outcome.code == code, (outcome.out, outcome.err)
        self.told += outcome.out + outcome.err
        return outcome

    async def add(self, name: str, *words: str, key: str = "", code: int = 0) -> Outcome:
        place = ("--rest-url", self._url, "--ws-url", self._url.replace("http", "ws"))
        return await self.call("accounts", "add", name, "--venue", "binance-usdm", *self.files(key or name), *place, *words, code=code)

    def place(self) -> dict[str, str]:
        """The exchange, as a request names it."""
        return {"rest_url": self._url, "ws_url": self._url.replace("http", "ws")}

    def audit(self) -> list[str]:
        with closing(sqlite3.connect(self.folder / "desk.db")) as connection:
            return ["|".join(row) for row in connection.execute("SELECT action, subject, result FROM audit_log ORDER BY sequence")]

    def files(self, key: str) -> tuple[str, ...]:
        return ("--api-key-file", f"{key}.key", "--api-secret-file", f"{key}.secret")

    async def listed(self) -> dict[str, dict[str, object]]:
        found = json.loads((await self.call("accounts", "list", "--json")).out)
        return {account["account"]: account for account in found}

    def dump(self) -> str:
        with closing(sqlite3.connect(self.folder / "desk.db")) as connection:
            return "\n".join(connection.iterdump())


@pytest.fixture
async def desk(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.chdir(tmp_path)
    async with open_place(tmp_path, capsys) as opened:
        yield opened


@asynccontextmanager
async def open_place(folder: Path, capture: Capture) -> AsyncIterator[Desk]:
    specs = tuple(
        AccountSpec(account=name, api_key=key, api_secret=secret, can_withdraw=name == "carol", ip_restricted=name != "bob")
        for name, (key, secret) in KEYS.items()
    )
    (folder / "userstream.toml").write_text(CONFIGURATION)
    for name, texts in {**KEYS, **NEW_KEYS}.items():
        for ending, text in zip(("key", "secret"), texts, strict=True):
            (folder / f"{name}.{ending}").touch(0o600)
            (folder / f"{name}.{ending}").write_text(f"{text}\n")
    async with PaperExchangeServer(SimulatorSettings(accounts=specs)) as server:
        for name, (key, secret) in NEW_KEYS.items():
            owner = name.partition("-")[0]
            server.house.halls["binance-usdm"].room.keys.add(ApiKey(account=owner, venue="binance-usdm", api_key=key, api_secret=secret))
        desk = Desk(folder, server.listing.venues["binance-usdm"].rest_url, capture)
        await desk.call("keys", "generate", "--file", "vault.keys")
        yield desk


async def test_an_account_from_its_first_day_to_its_last(desk: Desk, tmp_path: Path) -> None:
    assert (await desk.add("alice", "--label", "first", "--json")).out.startswith('{"account":"alice","done":"added"')
    assert "not restricted to IP addresses" in (await desk.add("bob")).err
    table = (await desk.call("accounts", "list")).out
    assert "alice" in table
    assert "read, trade, ip_restricted" in table
    shown = json.loads((await desk.call("accounts", "show", "alice", "--json")).out)
    assert (shown["label"], shown["active"], shown["secrets"]) == ("first", True, ["api_key", "api_secret"])
    await desk.call("accounts", "disable", "alice")
    assert (await desk.listed())["alice"]["active"] is False
    await desk.call("accounts", "enable", "alice")
    found = json.loads((await desk.call("accounts", "check", "--json")).out)
    assert [line["verdict"] for line in found["accounts"]] == ["ok", "warning"]
    assert found["audit_log"] == "whole"
    for twin in (await desk.add("twin", key="bob", code=2), await desk.call("accounts", "rotate", "alice", *desk.files("bob"), code=2)):
        assert "accounts 'bob' and" in twin.err and "have the same api_key" in twin.err
    await desk.call("accounts", "remove", "bob")
    other = await desk.call("accounts", "rotate", "alice", *desk.files("bob"), code=1)
    assert "the key belongs to another account of the venue" in other.err and "alice keeps its key" in other.err
    assert "it is the same account" in (await desk.call("accounts", "rotate", "alice", *desk.files("alice-2"))).out
    assert {name: found["version"] for name, found in (await desk.listed()).items()} == {"alice": 2}
    # the canary: what was told, and what is kept
    for text in (desk.told, desk.dump()):
        assert not any(secret[:8] in text for pair in (*KEYS.values(), *NEW_KEYS.values()) for secret in pair)
        assert not any(line.split()[0] in text for line in (tmp_path / "vault.keys").read_text().splitlines())


async def test_the_key_of_another_account_of_the_venue_is_taken_by_an_audited_word_alone(desk: Desk) -> None:
    await desk.add("alice")
    before = (await desk.listed())["alice"]
    assert before["venue_account"]
    await desk.call("accounts", "rotate", "alice", *desk.files("carol"), "--allow-unsafe-key", code=1)
    assert (await desk.listed())["alice"] == before
    taken = await desk.call("accounts", "rotate", "alice", *desk.files("bob"), "--allow-other-account")
    assert "taken all the same: the key belongs to another account" in taken.err
    assert desk.audit()[1:] == ["account.rotate|alice|refused", "account.rotate|alice|overridden"]
    assert (await desk.listed())["alice"]["venue_account"] != before["venue_account"]


async def test_a_key_that_can_withdraw_is_refused_and_an_override_is_audited(desk: Desk, tmp_path: Path) -> None:
    refused = await desk.add("carol", code=1)
    assert "the key may withdraw; the key may transfer" in refused.err
    assert await desk.listed() == {}
    await desk.add("carol", "--allow-unsafe-key")
    assert (await desk.call("accounts", "check", "carol", code=1)).out.startswith("carol: the key may withdraw")
    with closing(sqlite3.connect(tmp_path / "desk.db")) as connection:
        log = connection.execute("SELECT action, subject, result FROM audit_log ORDER BY sequence").fetchall()
    assert log == [("account.add", "carol", "refused"), ("account.add", "carol", "overridden"), ("account.check", "carol", "refused")]


async def test_a_refused_key_is_refused_with_the_true_next_step(desk: Desk, tmp_path: Path) -> None:
    nowhere = ("--rest-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9")
    away = await desk.call("accounts", "add", "alice", "--venue", "binance-usdm", *desk.files("alice"), *nowhere, code=1)
    assert "check the network and the address (--rest-url)" in away.err and "--allow-unsafe-key" not in away.err
    (tmp_path / "alice.secret").write_text("another secret")
    wrong = await desk.add("alice", code=1)
    assert "check that api_secret belongs to this api_key" in wrong.err and "Nothing was kept" in wrong.err
    assert "--allow-unsafe-key" not in wrong.err
    assert await desk.listed() == {}


async def test_keys_of_the_vault_are_changed_while_accounts_stay_readable(desk: Desk, tmp_path: Path) -> None:
    await desk.add("alice")
    old = (await desk.listed())["alice"]["key"]
    await desk.call("keys", "generate", "--file", "vault.keys", "--append")
    await desk.call("accounts", "check", "alice")
    report = json.loads((await desk.call("keys", "rotate", "--json")).out)
    assert (report["rewrapped"], report["left"], report["unused"]) == (1, 0, [old])
    assert json.loads((await desk.call("keys", "rotate", "--json")).out)["rewrapped"] == 0
    ring = tmp_path / "vault.keys"
    ring.write_text(ring.read_text().splitlines()[1] + "\n")
    await desk.call("accounts", "check", "alice")
    await desk.call("keys", "generate", "--file", "other.keys")
    (tmp_path / "userstream.toml").write_text(CONFIGURATION.replace("vault.keys", "other.keys"))
    assert "is not in the ring" in (await desk.call("accounts", "check", "alice", code=1)).out
    assert (await desk.call("keys", "rotate", code=1)).out.strip().endswith("0 accounts moved, 1 left")
    await desk.call("accounts", "remove", "alice")


async def test_run_takes_up_the_accounts_of_the_registry(desk: Desk, tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        await desk.add(name)
    await desk.call("accounts", "disable", "bob")
    (tmp_path / "userstream.toml").write_text(f'{CONFIGURATION}[recovery]\nlag_s = 0.2\n[log]\nlevel = "debug"\n')
    for _ in range(2):
        outcome = await desk.run(3)
        started = [line for line in outcome.err.splitlines() if "account_started" in line]
        assert [json.loads(line)["account"] for line in started] == ["alice"]
        assert '"live"' in outcome.err
    found = await desk.listed()
    assert found["alice"]["listen_key_ends"] is not None
    assert found["bob"]["listen_key_ends"] is None
    canaries = [secret[:8] for pair in (*KEYS.values(), *NEW_KEYS.values()) for secret in pair]
    listen_key = await kept_listen_key(tmp_path)
    for text in (desk.told, desk.dump()):
        assert not any(canary in text for canary in (*canaries, listen_key))


async def test_a_running_service_takes_up_what_commands_and_http_change(desk: Desk, tmp_path: Path) -> None:
    await desk.add("alice")
    (tmp_path / "userstream.toml").write_text(f'{CONFIGURATION}[recovery]\nlag_s = 0.2\n[log]\nformat = "json"\n[http]\nport = 0\n')
    admin, operator = [(await desk.call("tokens", "add", role, "--role", role)).out.strip() for role in ("admin", "operator")]
    process = await start_service(tmp_path)
    assert process.stderr is not None
    log = Log(process.stderr)
    try:
        url = await log.find_url()
        await log.until("account_started", "alice")
        await desk.add("bob")
        await log.until("account_started", "bob")
        await desk.call("accounts", "disable", "bob")
        await log.until("account_stopped", "bob")
        async with aiohttp.ClientSession(headers={"X-Userstream-Request": "1"}) as client:
            body = {"account": "dora", "venue": "binance-usdm", "api_key": KEYS["carol"][0], "api_secret": KEYS["carol"][1], **desk.place()}
            assert await ask(client, "POST", f"{url}/api/accounts", operator, body) == (403, "role_too_small")
            assert await ask(client, "POST", f"{url}/api/accounts", admin, body) == (422, "key_refused")
            assert await ask(client, "POST", f"{url}/api/accounts", admin, body | {"allow_unsafe_key": True}) == (201, "")
            assert await ask(client, "POST", f"{url}/api/accounts", admin, body | {"account": "twin"}) == (400, "refused")
            assert await ask(client, "POST", f"{url}/api/accounts", admin, {"api_key": KEYS["carol"][0]}) == (400, "bad_body")
            await log.until("account_started", "dora")
            assert await ask(client, "POST", f"{url}/api/accounts/bob/enable", operator) == (200, "")
            await log.until("account_started", "bob", times=2)
            assert await ask(client, "DELETE", f"{url}/api/accounts/dora", operator) == (403, "role_too_small")
            assert await ask(client, "DELETE", f"{url}/api/accounts/dora", admin) == (200, "")
            assert await ask(client, "DELETE", f"{url}/api/accounts/dora", admin) == (404, "unknown_account")
        await desk.call("accounts", "rotate", "alice", *desk.files("alice-2"))
        await log.until("account_restarted", "alice")
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 20)
    told = await log.rest()
    assert code == 0 and "Traceback" not in told
    for text in (told, desk.told, desk.dump()):
        assert not any(secret[:8] in text for pair in (*KEYS.values(), *NEW_KEYS.values()) for secret in pair)
    assert "account.add|dora|overridden" in desk.audit() and "account.remove|dora|done" in desk.audit()


class Log:
    """The lines of a service, as they come."""

    def __init__(self, lines: asyncio.StreamReader) -> None:
        self._lines, self._told = lines, ""

    async def find_url(self) -> str:
        found = await self._find(lambda line: line["action"] == "http_started")
        return f"http://{found['host']}:{found['port']}"

    async def until(self, action: str, account: str, *, times: int = 1) -> None:
        """Until it was said so often since the beginning."""
        said = [line for line in self._parsed() if (line.get("action"), line.get("account")) == (action, account)]
        for _ in range(times - len(said)):
            await self._find(lambda line: (line.get("action"), line.get("account")) == (action, account))

    async def rest(self) -> str:
        self._told += (await self._lines.read()).decode()
        return self._told

    def _parsed(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._told.splitlines() if line.startswith("{")]

    async def _find(self, is_wanted: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        async with asyncio.timeout(20):
            while line := (await self._lines.readline()).decode():
                self._told += line
                if line.startswith("{") and is_wanted(found := json.loads(line)):
                    return dict(found)
        raise AssertionError(f"never said; {self._told}")


async def start_service(folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "userstream", "run"), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, cwd=folder
    )


async def ask(client: aiohttp.ClientSession, method: str, url: str, token: str, body: object = None) -> tuple[int, str]:
    """Status, and the code of a refusal; no answer holds anything of a key."""
    async with client.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
        text = await answer.text()
        assert not any(secret[:8] in text for pair in (*KEYS.values(), *NEW_KEYS.values()) for secret in pair)
        return answer.status, json.loads(text).get("error", {}).get("code", "")


async def kept_listen_key(folder: Path) -> str:
    """Opened as the service would open it."""
    async with open_desk(msgspec.structs.replace(read_registry_part(folder / "userstream.toml"), store=str(folder / "desk.db"))) as desk:
        account = await desk.require(AccountId("alice"))
        assert account.listen_key is not None
        return desk.vault.open(account.place, "listen_key", account.listen_key.record).reveal()


async def test_an_account_whose_key_does_not_open_is_left_out_and_the_others_run(desk: Desk, tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        await desk.add(name)
    await desk.add("carol", "--allow-unsafe-key")
    with closing(sqlite3.connect(tmp_path / "desk.db", isolation_level=None)) as connection:
        connection.execute("UPDATE exchange_accounts SET venue = 'binance-coinm' WHERE id = 'alice'")
        # not bound to its key: what it says of symbols and pairs
        connection.execute("UPDATE exchange_accounts SET options = json_set(options, '$.isolated_symbol', 'BTCUSDT') WHERE id = 'carol'")
    outcome = await desk.run(1)
    lines = [json.loads(line) for line in outcome.err.splitlines() if line.startswith("{")]
    assert [line["account"] for line in lines if line.get("action") == "account_started"] == ["bob"]
    assert [line["account"] for line in lines if line.get("action") == "key_refused"] == ["alice"]
    assert [line["account"] for line in lines if line.get("action") == "account_refused"] == ["carol"]
    same = '[[account]]\nname = "bob"\nvenue = "binance-usdm"\napi_key_file = "bob.key"\n'
    (tmp_path / "userstream.toml").write_text(CONFIGURATION + same)
    assert "in the configuration file and in the registry" in (await desk.run(1, code=2)).err
