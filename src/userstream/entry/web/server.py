"""The server: routes behind the gatekeeper on one listening socket, from `start` to `stop`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, cast

import structlog
import uvicorn
from litestar import Litestar, get
from litestar.di import Provide
from litestar.exceptions import ValidationException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, ControllerRouterHandler

from userstream.entry.web.account_routes import ACCOUNT_ROUTES, VIEWER
from userstream.entry.web.checks import MOST_BODY_BYTES, Checks
from userstream.entry.web.connections import HEAD_BYTES, Caps, Listener, ServerLimits, protocol_of
from userstream.entry.web.desk import WebDesk
from userstream.entry.web.document import complete_document
from userstream.entry.web.gatekeeper import Gatekeeper
from userstream.entry.web.guards import ROLE, QueryGuard, answer_error, plain_path, require_role
from userstream.entry.web.history_routes import HISTORY_ROUTES
from userstream.entry.web.limits import Crowd
from userstream.entry.web.place import check_certificate, listen_at
from userstream.entry.web.queries import read_parameters
from userstream.entry.web.settings import MOST_CONNECTIONS, HttpSection
from userstream.entry.web.sockets import OpenFeeds
from userstream.entry.web.system_routes import SYSTEM_ROUTES
from userstream.kernel.errors import SettingsError
from userstream.ports import Clock, Metrics

DEFAULT_LIMITS: Final = ServerLimits()
STOP_LIMIT_S: Final = 3
PARTING_MS: Final = 1_000
LOOK_MS: Final = 10
API_VERSION: Final = "1"
REFUSED: Final = "http_refused_total"
ROUTES: Final = (*SYSTEM_ROUTES, *ACCOUNT_ROUTES, *HISTORY_ROUTES)
_log = structlog.stdlib.get_logger("userstream.http")


def make_application(desk: WebDesk, feeds: OpenFeeds) -> Litestar:
    """The routes, without the gatekeeper."""
    document = make_document(desk, feeds)
    queries = QueryGuard(read_parameters(document))

    @get("/api/openapi.json", opt=VIEWER, include_in_schema=False, sync_to_thread=False)
    def show_document() -> dict[str, object]:
        return document

    return _litestar(desk, feeds, [*ROUTES, show_document], None, queries)


def make_document(desk: WebDesk, feeds: OpenFeeds) -> dict[str, object]:
    """The OpenAPI document of all routes. It is made by an application of its own, because one that serves a document itself answers to
    unknown paths beside it with a page of its own."""
    whole = _litestar(desk, feeds, ROUTES, _openapi(), QueryGuard({}))
    return complete_document(whole.openapi_schema.to_schema(), _roles(whole))


def _roles(application: Litestar) -> dict[tuple[str, str], object]:
    """The role that each route needs."""
    return {
        (method.lower(), plain_path(route.path)): handler.opt.get(ROLE)
        for route in application.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
    }


def _litestar(
    desk: WebDesk, feeds: OpenFeeds, routes: Sequence[ControllerRouterHandler], document: OpenAPIConfig | None, queries: QueryGuard
) -> Litestar:
    return Litestar(
        route_handlers=list(routes),
        dependencies={
            "desk": Provide(lambda: desk, sync_to_thread=False),
            "feeds": Provide(lambda: feeds, sync_to_thread=False),
        },
        guards=[require_role, queries.require_names],
        exception_handlers={Exception: answer_error, ValidationException: queries.answer},
        openapi_config=document,
        logging_config=None,
        request_max_body_size=MOST_BODY_BYTES,
        debug=False,
    )


def _openapi() -> OpenAPIConfig:
    scheme = SecurityScheme(type="http", scheme="bearer", description="A token of `userstream tokens add`.")
    return OpenAPIConfig(
        title="userstream",
        version=API_VERSION,
        description="Accounts as they are and were. Decimals are text, times are ms since 1970.",
        components=Components(security_schemes={"token": scheme}),
        security=[{"token": []}],
    )


class WebServer:
    """Owns its socket and its task."""

    def __init__(self, settings: HttpSection, desk: WebDesk, folder: Path, limits: ServerLimits = DEFAULT_LIMITS) -> None:
        """`folder`: where relative files of the settings begin."""
        self._settings, self._desk, self._folder, self._limits = settings, desk, folder, limits
        self._has_tls = settings.has_tls or settings.behind_proxy
        self._caps = _Caps(settings, desk.application.numbers)
        self.feeds = OpenFeeds(settings.sockets_per_token)
        self._task: asyncio.Task[None] | None = None
        self._server: _Server | None = None
        self.address = ("", 0)

    @property
    def url(self) -> str:
        """Where it is reached on this machine."""
        host, port = self.address
        return f"{'https' if self._settings.has_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def open_connections(self) -> int:
        """How many callers are connected, live feeds and TLS handshakes included."""
        return 0 if self._server is None else self._server.listener.count

    def make_gatekeeper(self) -> Gatekeeper:
        """All that stands behind the socket."""
        routes = make_application(self._desk, self.feeds)
        return Gatekeeper(
            routes,
            Checks(self._settings),
            self._desk.access,
            has_tls=self._has_tls,
            request_limit_s=self._limits.request_ms / 1_000,
            crowd=Crowd(self._settings.connections_per_address) if self._settings.behind_proxy else None,
            note_crowded=partial(self._caps.note_refused, "address"),
        )

    async def start(self) -> None:
        """Begins to listen. Raises SettingsError when the place is taken or is none, or a file of TLS cannot be used."""
        check_certificate(self._settings, self._folder)
        listening = listen_at(self._settings)
        try:
            config = self._config(self.make_gatekeeper())
            _load(config)
        except BaseException:
            listening.close()
            raise
        self.address = listening.getsockname()[:2]
        self._server = server = _Server(config, listening, self._limits, self._desk.clock, self._caps)
        self._task = self._desk.clock.spawn(server.serve(), "http")
        while not server.started and not self._task.done():
            await self._desk.clock.sleep(1)
        mode = "https" if self._settings.has_tls else "http"
        _log.info("the HTTP API listens", action="http_started", host=self.address[0], port=self.address[1], mode=mode)

    async def stop(self) -> None:
        """Takes nothing new, ends the live feeds, and lets answers that have begun go out for at most 3 s. Safe to call twice."""
        self._desk.is_ready = False
        self.feeds.stopping.set()
        if self._server is None or self._task is None:
            return
        await self._part_with_readers()
        self._server.should_exit = True
        await asyncio.gather(self._task, return_exceptions=True)

    async def _part_with_readers(self) -> None:
        """They are told why it ends; the server itself would cut them off."""
        for _ in range(PARTING_MS // LOOK_MS):
            if not self.feeds.count:
                return
            await self._desk.clock.sleep(LOOK_MS)

    def _config(self, application: ASGIApp) -> uvicorn.Config:
        certificate, key = self._settings.files(self._folder)
        return uvicorn.Config(
            application,
            lifespan="off",
            http=protocol_of(self._limits, self._desk.clock, has_tls=self._has_tls),
            ws="wsproto",
            ws_max_size=MOST_BODY_BYTES,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_graceful_shutdown=STOP_LIMIT_S,
            proxy_headers=self._settings.behind_proxy,
            forwarded_allow_ips=self._settings.proxy_networks,
            server_header=False,
            access_log=False,
            log_config=None,
            log_level="warning",
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )


class _Caps:
    """The `Caps` of the settings. The connections of a proxy are those of all its callers."""

    def __init__(self, settings: HttpSection, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        for limit in ("all", "address"):
            metrics.count(REFUSED, 0, {"limit": limit})

    def caller_of(self, address: str) -> str:
        return self._settings.caller_of(address)

    def most_of(self, address: str) -> int:
        return MOST_CONNECTIONS if self._settings.is_proxy(address) else self._settings.connections_per_address

    def note_refused(self, limit: str) -> None:
        self._metrics.count(REFUSED, labels={"limit": limit})


class _Server(uvicorn.Server):
    """Leaves the signals to the command, and takes its callers from a listener that counts them. `config` is loaded."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, limits: ServerLimits, clock: Clock, caps: Caps) -> None:
        super().__init__(config)
        self._listening = listening
        self.listener = Listener(listening, self._make_protocol, self.server_state.connections, limits, clock, config.ssl, caps)

    def _make_protocol(self) -> asyncio.Protocol:
        make = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self.listener.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.listener.close()
        await super().shutdown([self._listening])


def _load(config: uvicorn.Config) -> None:
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise SettingsError(f"[http] certificate_file, key_file: they cannot be used ({type(error).__name__})") from None
