"""`/metrics` on a port of its own, for a Prometheus on this machine: no token, nothing else to be had, nobody else may ask."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from userstream.kernel.errors import SettingsError
from userstream.kernel.settings import check
from userstream.runtime.stages import ServiceStages

if TYPE_CHECKING:
    from aiohttp import web

    from userstream.entry.bootstrap import Application

_PLACE: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})", re.ASCII)
_log = structlog.stdlib.get_logger("userstream.metrics")


class MetricsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where Prometheus reads the numbers of the process, beside `/metrics` of the HTTP API. listen: address and port, of this machine
    alone; port 0 is any free one."""

    listen: str = "127.0.0.1:9464"

    def __post_init__(self) -> None:
        found = _PLACE.fullmatch(self.listen)
        check(found is not None and int(found[2]) <= 65_535, "listen", self.listen, "must be an address and a port: 127.0.0.1:9464")
        if not self.is_local:
            raise SettingsError(
                f"listen = {self.listen!r} is not this machine alone, and whoever reaches this port needs no token: for others there is"
                " /metrics of [http]"
            )

    @property
    def place(self) -> tuple[str, int]:
        """Address and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine can reach it."""
        host = self.place[0]
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


class MetricsPort:
    """Owns its socket from `start` to `stop`."""

    def __init__(self, section: MetricsSection, render: Callable[[], Awaitable[str]], content_type: str) -> None:
        """`render`: makes each answer."""
        self._section, self._render, self._content_type = section, render, content_type
        self._runner: web.AppRunner | None = None
        self.address = ("", 0)

    async def start(self) -> None:
        """Begins to listen. Raises SettingsError when the place is taken or is none."""
        from aiohttp import web

        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        host, port = self._section.place
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.stop()
            why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else "it is no place of this machine"
            raise SettingsError(
                f"[metrics] listen = {self._section.listen!r}: {why}; choose another port, or stop what listens there"
            ) from None
        self.address = self._runner.addresses[0][:2]

    async def stop(self) -> None:
        """Listens no more. May be called twice."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        from aiohttp import web

        if not is_own_name(request.host):
            # a page whose name leads to this machine could read the numbers in its visitor's browser
            return web.Response(status=403, text="ask for this machine by its own name\n")
        headers = {"Content-Type": self._content_type, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=(await self._render()).encode(), headers=headers)


def is_own_name(host: str) -> bool:
    """Whether a Host header names this machine itself."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def open_metrics(section: MetricsSection | None, application: Application) -> AsyncIterator[MetricsPort | None]:
    """What only a service measures, and the port where it is configured, while the block lasts. Raises SettingsError."""
    from userstream.adapters.metrics import CONTENT_TYPE

    stages = ServiceStages(application.numbers, application.clock)
    stages.start()
    application.on_started.append(stages.watch)
    port = None if section is None else MetricsPort(section, application.read_metrics, CONTENT_TYPE)
    try:
        if port is not None:
            await port.start()
            _log.info("the metrics can be read", action="metrics_started", host=port.address[0], port=port.address[1])
        yield port
    finally:
        if port is not None:
            await port.stop()
        application.on_started.remove(stages.watch)
        await stages.stop()
