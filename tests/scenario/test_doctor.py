"""`userstream doctor` over a registry beside a paper exchange, as a person would read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenario.test_accounts import CONFIGURATION, KEYS, Desk, open_place

SHORT = ("--patience", "20")


async def examine(desk: Desk, *, code: int) -> dict[str, tuple[str, str]]:
    told = json.loads((await desk.call("doctor", "--json", *SHORT, code=code)).out)
    assert not any(secret[:8] in str(told) for pair in KEYS.values() for secret in pair)
    return {found["subject"]: (found["verdict"], found["words"]) for found in told}


async def test_the_doctor_goes_through_the_registry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_place(tmp_path, capsys) as desk:
        (tmp_path / "userstream.toml").write_text(f"{CONFIGURATION}[recovery]\nlag_s = 0.2\n")
        assert (await examine(desk, code=0))["registry"][1].startswith("no account yet")
        for name, *words in (("alice",), ("bob",), ("carol", "--allow-unsafe-key")):
            await desk.add(name, *words)
        await desk.call("accounts", "disable", "bob")
        found = await examine(desk, code=1)
        assert found["vault"][0] == found["audit log"][0] == "ok"
        assert found["account alice"] == ("ok", "the key works, the stream opens, the state is proven")
        assert found["account alice: clock"][0] == found["account alice: rights"][0] == found["account alice: listen key"][0] == "ok"
        assert found["account alice: last proven"] == (
            "warning",
            "never, as far as the registry knows: a service that runs it says so within a minute of its proof",
        )
        assert found["account bob"] == ("ok", "is disabled: userstream run does not take it up")
        assert found["account carol: rights"][0] == "problem" and "the key may withdraw" in found["account carol: rights"][1]
        await desk.call("accounts", "disable", "carol")
        lines = (await desk.call("doctor", *SHORT)).out.splitlines()
        assert lines[-1] == "0 problems, 1 warning" and all(line.split()[0] in ("ok", "warning") for line in lines[:-1])

        await desk.call("keys", "generate", "--file", "other.keys")
        (tmp_path / "userstream.toml").write_text(CONFIGURATION.replace("vault.keys", "other.keys"))
        found = await examine(desk, code=1)
        assert found["vault"][0] == "problem" and "put these keys back into the ring" in found["vault"][1]
        assert found["account alice: key"][0] == "problem" and "is not in the ring" in found["account alice: key"][1]
        (tmp_path / "userstream.toml").write_text(CONFIGURATION.replace("vault.keys", "absent.keys"))
        assert (await examine(desk, code=1))["vault"][0] == "problem"
