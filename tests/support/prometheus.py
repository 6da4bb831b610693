"""A real Prometheus on a free port of this machine, with its state in a folder of the test; and the names that its queries use."""

from __future__ import annotations

import asyncio
import math
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "deploy" / "prometheus"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "userstream.json"
INSTALL: Final = "apt-get install --yes --no-install-recommends prometheus"
needs_prometheus: Final = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None, reason=f"needs prometheus and promtool: {INSTALL}"
)


class Query(msgspec.Struct, frozen=True):
    """One query of a dashboard, with the panel it belongs to."""

    panel: str
    text: str


class Target(msgspec.Struct):
    expr: str
    refId: str
    legendFormat: str = ""


class Panel(msgspec.Struct):
    id: int
    type: str
    title: str
    gridPos: dict[str, int]
    targets: list[Target] = []


class Dashboard(msgspec.Struct):
    uid: str
    title: str
    panels: list[Panel]


def read_dashboard() -> Dashboard:
    return msgspec.json.decode(DASHBOARD.read_bytes(), type=Dashboard)


def queries_of(dashboard: Dashboard, *, interval: str) -> list[Query]:
    """All queries as Grafana sends them with nothing chosen. `interval`: what it takes for the interval of rates."""
    filled = {"$__rate_interval": interval, "$instance": ".*", "$account": ".*"}
    found = []
    for panel in dashboard.panels:
        for target in panel.targets:
            text = target.expr
            for name, value in filled.items():
                text = text.replace(name, value)
            found.append(Query(f"{panel.title} {target.refId}", text))
    return found


def names_in(text: str) -> set[str]:
    """The numbers of ours that a query or a rule names, without the endings of histograms."""
    found = re.findall(r"(?<![:\w])userstream_\w+", text)
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


class Sample(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class Result(msgspec.Struct):
    result: list[Sample]


class Answer(msgspec.Struct):
    status: str
    data: Result | None = None
    error: str = ""


class Prometheus:
    """A running one."""

    def __init__(self, port: int, client: aiohttp.ClientSession) -> None:
        self._url, self._client = f"http://127.0.0.1:{port}", client

    async def ask(self, query: str) -> list[Sample]:
        """The samples with a value, as of now."""
        async with self._client.get(f"{self._url}/api/v1/query", params={"query": query}) as reply:
            answer = msgspec.json.decode(await reply.read(), type=Answer)
        assert answer.status == "success" and answer.data is not None, f"{query}: {answer.error}"
        return [sample for sample in answer.data.result if not math.isnan(float(sample.value[1]))]

    async def is_ready(self) -> bool:
        try:
            async with self._client.get(f"{self._url}/-/ready") as reply:
                return reply.status == 200
        except aiohttp.ClientConnectorError:
            return False


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port


@asynccontextmanager
async def run_prometheus(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """Scrapes a place ten times a second while the block lasts, with the rules of the repository."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(
        "global: {scrape_interval: 100ms, scrape_timeout: 100ms, evaluation_interval: 100ms}\n"
        f"rule_files: ['{RULES}/*.rules.yml']\n"
        f"scrape_configs: [{{job_name: userstream, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error", stderr=asyncio.subprocess.PIPE, cwd=folder,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as client:
            prometheus = Prometheus(port, client)
            while not await prometheus.is_ready():
                assert process.returncode is None, "it ended"
                await asyncio.sleep(0.005)
            yield prometheus
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
