"""The doors of the paper exchange: HTTP and WebSocket on the loopback address, a loop that lets time pass, and the control interface."""

import asyncio
import contextlib
import errno
import logging
from decimal import Decimal

from aiohttp import web

from userstream.sim.actions import Answer, BadAction
from userstream.sim.books import Millis, Refused
from userstream.sim.clock import ExchangeClock, SystemClock, pause, spawn
from userstream.sim.connection import GOING_AWAY, Connection, LifeSettings
from userstream.sim.control import PREFIX, Control
from userstream.sim.house import Hall, House, UnknownAccount
from userstream.sim.lanes import Lane
from userstream.sim.performing import explain_refusal, perform
from userstream.sim.script_checks import check_script
from userstream.sim.settings import AccountSpec, Listing, SimulatorSettings, VenueListing
from userstream.sim.venue import Call, Reply, SocketSession, Venue

__all__ = ["AccountSpec", "Listing", "PaperExchangeServer", "PortInUse", "SimulatorSettings"]

HOST = "127.0.0.1"
BUSY_RATE = 200.0
BUSY_TICK_MS = 10
STOP_WITHIN_S = 1.0
GOODBYE_WITHIN_S = 0.25
GOODBYE_LOOKS = 25
LARGEST_BODY = 1024 * 1024
log = logging.getLogger(__name__)


class PortInUse(Exception):
    """Another program listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} on {HOST} is in use; choose another one, or 0 for a free one")
        self.port = port


class PaperExchangeServer:
    """A whole paper exchange in this process, reachable only from this machine.

    `start` opens the port and returns where everything is; `stop` ends all sockets within about a second. Owned by whoever starts it;
    `async with` does both. Raises PortInUse, and ValueError for settings or a script that cannot be.
    """

    def __init__(self, settings: SimulatorSettings | None = None, *, clock: ExchangeClock | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self._clock = clock or SystemClock()
        self.house = House(self.settings, self._clock, self)
        self.control = Control(self.house)
        if self.settings.script is not None:
            check_script(self.settings.script, self.house)
        self._connections: dict[Lane, Connection] = {}
        self._runner: web.AppRunner | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self._script_s = Decimal(-1)

    async def __aenter__(self) -> "PaperExchangeServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"PaperExchangeServer({', '.join(self.house.halls)}, {len(self.house.accounts)} accounts, {len(self._connections)} sockets)"

    async def start(self) -> Listing:
        """Open the port and let time run. Raises PortInUse."""
        if self._runner is not None:
            raise RuntimeError("the paper exchange is running already")
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=STOP_WITHIN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.settings.port).start()
        except OSError as wrong:
            await runner.cleanup()
            if wrong.errno == errno.EADDRINUSE:
                raise PortInUse(self.settings.port) from wrong
            raise
        self._runner = runner
        self._loop_task = spawn(self._run(), "paper exchange")
        return self.listing

    async def stop(self) -> None:
        """Close all sockets and the port. Stopping twice is no mistake."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
            self._loop_task = None
        for connection in list(self._connections.values()):
            connection.lane.resume()
            connection.close(GOING_AWAY, "the paper exchange stops")
        if self._runner is not None:
            await self._say_goodbye()
            for connection in list(self._connections.values()):
                connection.abort()
            await self._runner.cleanup()
            self._runner = None

    async def _say_goodbye(self) -> None:
        """Give the clients a moment to answer the close frame, then go without it."""
        for _ in range(GOODBYE_LOOKS):
            if not self._connections:
                return
            await pause(GOODBYE_WITHIN_S / GOODBYE_LOOKS)

    @property
    def port(self) -> int:
        """The port that was opened. Raises RuntimeError before `start`."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the paper exchange is not running")
        return int(self._runner.addresses[0][1])

    @property
    def listing(self) -> Listing:
        """Where everything is and how to log in."""
        http_url, ws_url = f"http://{HOST}:{self.port}", f"ws://{HOST}:{self.port}"
        places = {name: hall.dialect.locations(http_url, ws_url) for name, hall in self.house.halls.items()}
        return Listing(
            venues={
                name: VenueListing(rest_url=place.rest_url, ws_url=place.ws_url, ws_api_url=place.ws_api_url)
                for name, place in places.items()
            },
            accounts=list(self.house.listings),
            control_url=http_url + PREFIX,
        )

    # --- time ----------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let the time since the last tick pass: script, markets, trading, keys, pings. The running server does this by itself."""
        now = self._clock.now()
        self._follow_script(now)
        self.house.tick(now)
        for connection in list(self._connections.values()):
            connection.look(now)

    async def _run(self) -> None:
        while True:
            try:
                self.tick()
            except Exception:
                log.exception("a tick of the paper exchange failed")
            busy = self.house.pace.events_per_s >= BUSY_RATE
            await pause((min(self.settings.tick_ms, BUSY_TICK_MS) if busy else self.settings.tick_ms) / 1000)

    def _follow_script(self, now: Millis) -> None:
        if self.settings.script is None:
            return
        since_s = Decimal(now - self.house.started_at) / 1000
        due = self.settings.script.due_steps(self._script_s, since_s)
        self._script_s = since_s
        for number, action in due:
            try:
                perform(action, self.house, now)
            except (BadAction, Refused, UnknownAccount) as wrong:
                log.warning("script step %d: %s", number, explain_refusal(action, wrong))

    # --- doors ---------------------------------------------------------------------------------------------------------

    def wake(self, lane: Lane) -> None:
        if lane in self._connections:
            self._connections[lane].wake()

    def abort(self, lane: Lane) -> None:
        if lane in self._connections:
            self._connections[lane].abort()

    def close(self, lane: Lane, code: int, reason: str) -> None:
        if lane in self._connections:
            self._connections[lane].close(code, reason)

    # --- requests ------------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        call = Call(
            method=request.method,
            path=path,
            query=query,
            body=await request.read(),
            headers={name.lower(): value for name, value in request.headers.items()},
            address=request.remote or HOST,
        )
        if self.control.serves(path):
            return _response(self.control.answer(call))
        self.control.requests[f"{call.method} {_shown(path)}"] += 1
        hall = self.house.hall_at(path, call.headers, query)
        if hall is None:
            return _response(Reply(status=404, body=b"not found"))
        prepared = self.house.faults.answer_for(call.method, path)
        if prepared is not None and not prepared.apply:
            return self._give(prepared, request)
        if call.headers.get("upgrade", "").lower() == "websocket":
            return await self._serve_socket(hall, call, request)
        now = self._clock.now()
        reply = hall.dialect.answer(call, now)
        self.house.publish(hall, now)
        return _response(reply) if prepared is None else self._give(prepared, request)

    def _give(self, answer: Answer, request: web.Request) -> web.Response:
        """The prepared answer; an aborted connection gets none."""
        if answer.abort and request.transport is not None:
            request.transport.abort()
        headers = {"Content-Type": "application/json"} | answer.headers
        return _response(Reply(status=answer.status, body=answer.body.encode(), headers=headers))

    async def _serve_socket(self, hall: Hall, call: Call, request: web.Request) -> web.StreamResponse:
        now = self._clock.now()
        meter = hall.room.limits.address(call.address)
        if meter.is_banned(now):
            return web.Response(status=418)
        if not meter.may_connect(now):
            return web.Response(status=429)
        session = hall.dialect.open_socket(call.path, call.query, call.address, now)
        if session is None:
            return web.Response(status=404)
        response = web.WebSocketResponse(autoping=False, autoclose=False, compress=self.settings.compress)
        try:
            await response.prepare(request)
        except ConnectionResetError:  # the client is gone before it has its socket: nobody reads this
            return web.Response(status=400)
        await self._carry(hall, session, request, response)
        return response

    def _life_at(self, venue: Venue) -> LifeSettings:
        """The venue's own habits where the settings say nothing else."""
        settings = self.settings
        return LifeSettings(
            ping_interval_ms=int((settings.ping_interval_s or venue.ping_interval_s) * 1000),
            pong_deadline_ms=int((settings.pong_deadline_s or venue.pong_deadline_s) * 1000),
            life_ms=int(settings.socket_life_s * 1000),
        )

    async def _carry(self, hall: Hall, session: SocketSession, request: web.Request, response: web.WebSocketResponse) -> None:
        lane = hall.hub.open(session, self._clock.now())

        def on_text(lane: Lane, text: str) -> None:
            self.house.take_text(hall, lane, text)

        connection = Connection(lane, request, response, self._clock, self._life_at(hall.venue), on_text)
        self._connections[lane] = connection
        try:
            await connection.serve()
        finally:
            del self._connections[lane]
            hall.hub.close(lane)


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def _shown(path: str) -> str:
    """The path without the listen key that may end it."""
    front, slash, last = path.rpartition("/")
    return f"{front}/*" if slash and front.endswith("/ws") and last else path
