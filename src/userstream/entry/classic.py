"""The classic surface: `UserDataStreamAPI` and `BinanceClient`. The handler gets the venue's own dictionaries; beneath runs the same care
as everywhere else.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import msgspec
import structlog

from userstream.domain.events import Filled
from userstream.domain.words import Source, StreamState
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of, start_application
from userstream.kernel.errors import AuthenticationError, ConnectionError, SettingsError, StoreError, UserStreamError
from userstream.kernel.ids import AccountId
from userstream.kernel.settings import CLASSIC_DEFAULTS, ClassicConfig, RecoverySettings, StreamSettings, read_classic_config
from userstream.ports import Record
from userstream.runtime.keeper import CatchUp
from userstream.runtime.live import LiveAccount
from userstream.venues import find_venue
from userstream.wire.venue import VenueSpec

Message: TypeAlias = dict[str, object]
MessageHandler: TypeAlias = Callable[..., Awaitable[None] | None]

DEFAULT_USER_STREAM_CONFIG: Final[dict[str, float]] = dict(CLASSIC_DEFAULTS)
STOP_LIMIT_S: Final = 1.9
LAST_WORDS_S: Final = 1.0
REMEMBERED_FRAMES: Final = 4_096
ACCOUNT: Final = AccountId("main")

_log = structlog.get_logger("userstream.classic")


class UserDataStreamAPI:
    """One account's stream of raw messages. The handler, sync or async, gets one message at a time, in order, each once (with
    `batch_size` above 1: a list of up to so many). A fill recovered by REST comes in the stream's shape with `"_source": "recovery"`.
    """

    def __init__(self, api_key: str, message_handler: MessageHandler, config: Mapping[str, object] | None = None) -> None:
        """Raises SettingsError for a key or a config that cannot be right; nothing is opened yet."""
        if not callable(message_handler):
            raise SettingsError(f"message_handler is {type(message_handler).__name__}: it must be a function of one message")
        self._config = read_classic_config(config or {})
        self._credentials = credentials_of(api_key, self._config.api_secret)
        self._handler = message_handler
        self._application: Application | None = None
        self._account: LiveAccount | None = None
        self._delivery: asyncio.Task[None] | None = None
        self._mailbox: Mailbox | None = None
        self._starting = asyncio.Lock()
        self.handler_errors = self.lost_messages = 0

    @property
    def is_connected(self) -> bool:
        """Whether a socket delivers right now."""
        return self._account is not None and self._account.health.connections > 0

    @property
    def listen_key(self) -> str | None:
        """The venue's key of the running stream; None before the start, after the stop, and for venues without one. A secret."""
        return None if self._account is None else self._account.listen_key_in_use

    @property
    def account(self) -> LiveAccount | None:
        """The same account as typed events and state; None before the start."""
        return self._account

    @property
    def can_recover(self) -> bool:
        """Whether the venue's books can be read by REST: an `api_secret` was given."""
        return self._credentials.api_secret is not None

    async def start(self) -> None:
        """Returns when the stream is open. A running stream reconnects by itself: starting it again only waits until it delivers, and
        begins anew after the venue refused the key. Raises ConnectionError when the venue is not reached within `connection_timeout`
        (a stream that ran before goes on trying), AuthenticationError when it refuses the key, UserStreamError for anything else."""
        async with self._starting:
            if self._account is not None and self._account.state is StreamState.FAILED:
                await self.stop()
            if self._application is None:
                await self._start_anew()
            elif self._account is not None:
                await self._wait_ready(self._account)

    async def _start_anew(self) -> None:
        self._application = await start_application(None)
        try:
            await self._begin(self._application)
        except UserStreamError:
            await self.stop()
            raise
        except Exception as error:
            await self.stop()
            raise UserStreamError(f"the stream could not start: {error}") from error
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def _wait_ready(self, account: LiveAccount) -> None:
        try:
            await account.wait_ready(self._config.connection_timeout)
        except TimeoutError as error:
            raise ConnectionError(str(error)) from None

    async def _begin(self, application: Application) -> None:
        config, spec = self._config, find_venue(self._config.venue)
        mailbox = self._mailbox = Mailbox(spec, config.max_queue, lambda newest: self._catch_up(application, newest))
        account = await application.add(self._settings(config), on_record=mailbox.put)
        self._account = account
        self._delivery = application.clock.spawn(self._deliver(self._mailbox), "classic delivery")
        await self._wait_ready(account)

    @staticmethod
    def _catch_up(application: Application, newest: Callable[[], int]) -> CatchUp:
        return CatchUp(application.runner(ACCOUNT).keeper, application.clock, newest)

    def _settings(self, config: ClassicConfig) -> AccountSettings:
        return AccountSettings(
            name=ACCOUNT,
            venue=config.venue,
            credentials=self._credentials,
            rest_url=config.rest_url,
            ws_url=config.ws_url,
            events=config.events,
            recovery=RecoverySettings(
                audit_s=max(1.0, config.health_check_interval),
                history_s=max(1800.0, config.health_check_interval),
                poll_s=max(1.0, min(30.0, config.health_check_interval)),
            ),
            stream=StreamSettings(
                keep_alive_s=min(config.ping_interval, 3300),
                first_delay_s=config.reconnect_delay,
                max_delay_s=config.max_reconnect_delay,
                polling_after_failures=config.max_reconnect_attempts,
                close_listen_key_on_stop=config.close_listen_key_on_stop,
                dial_limit_s=config.connection_timeout,
                call_limit_s=config.request_timeout,
            ),
        )

    async def stop(self) -> None:
        """Closes everything within two seconds, whatever the network does; of these the handler has one for what came before. Idempotent;
        the handler may call it as well, and then gets nothing more."""
        application, self._application = self._application, None
        if application is None:
            return
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._end_delivery(application)
                await application.stop()
        except TimeoutError:
            _log.warning("stopping took too long", action="stop_cut_short")
        finally:
            self._account = None

    async def _end_delivery(self, application: Application) -> None:
        delivery, mailbox, self._delivery, self._mailbox = self._delivery, self._mailbox, None, None
        if delivery is None or mailbox is None:
            return
        application.runner(ACCOUNT).begin_stop()
        if delivery is asyncio.current_task():
            mailbox.is_abandoned = True
            return
        mailbox.close()
        await asyncio.wait({delivery}, timeout=LAST_WORDS_S)
        delivery.cancel()

    # --- delivery ---

    async def _deliver(self, mailbox: Mailbox) -> None:
        size, age_s = self._config.batch_size, self._config.batch_age
        try:
            while not mailbox.is_abandoned:
                try:
                    await self._hand_over(await (mailbox.take() if size == 1 else mailbox.take_batch(size, age_s)))
                except StoreError as error:
                    self._lose(mailbox, error)
        except MailboxEmptied:
            return

    def _lose(self, mailbox: Mailbox, error: StoreError) -> None:
        """The stream goes on with what comes next: what the handler did not get must be said."""
        self.lost_messages += mailbox.skip()
        _log.error("messages were lost for the handler, which was too slow for the journal", action="messages_lost", reason=str(error))

    async def _hand_over(self, message: Message | list[Message]) -> None:
        try:
            waiting = self._handler(message)
            if waiting is not None and inspect.isawaitable(waiting):
                await waiting
        except Exception:
            self.handler_errors += 1
            # not `exception`: the standard logging would print the traceback a second time, and hide no secret in it
            _log.exception("the message handler raised", action="handler_raised")

    def __repr__(self) -> str:
        state = self._account.state if self._account is not None else StreamState.STOPPED
        return f"<UserDataStreamAPI {self._config.venue}: {state}>"


class MailboxEmptied(Exception):
    """The mailbox is closed, and everything was taken from it."""


class Mailbox:
    """Raw messages on their way to a handler: a bounded queue; a handler that falls behind is served from the journal."""

    def __init__(self, spec: VenueSpec, limit: int, make_catch_up: Callable[[Callable[[], int]], CatchUp]) -> None:
        self._spec, self._limit, self._make_catch_up = spec, limit, make_catch_up
        self._catch_up: CatchUp | None = None
        self._queue: deque[Record] = deque()
        self._behind = False
        self._after = 0
        self._newest = 0
        self._wake = asyncio.Event()
        self._seen: dict[bytes, None] = {}
        self._ready: deque[Message] = deque()
        self._closed = False
        self.is_abandoned = False

    def close(self) -> None:
        """Nothing more comes; what is here can still be taken."""
        self._closed = True
        self._wake.set()

    def put(self, record: Record) -> None:
        self._newest = record.last_sequence
        if not self._behind:
            self._queue.append(record)
            self._behind = len(self._queue) > self._limit
        self._wake.set()

    async def take(self) -> Message:
        """The next message. Raises MailboxEmptied; StoreError when the journal cannot give what comes next: `skip` goes past it."""
        while not self._ready:
            await self._fill()
        return self._ready.popleft()

    async def take_batch(self, size: int, age_s: float) -> list[Message]:
        """The next messages: so many, or as many as came within `age_s` of the first. Raises as `take`."""
        batch = [await self.take()]
        try:
            async with asyncio.timeout(age_s):
                while len(batch) < size:
                    batch.append(await self.take())
        except (TimeoutError, MailboxEmptied, StoreError):
            pass  # the batch is old enough, or the last before an end or a hole: it goes out as it is
        return batch

    def skip(self) -> int:
        """Gives up what lies between what was taken and what comes from now on. Returns how many places that are."""
        lost, self._after, self._behind = self._newest - self._after, self._newest, False
        return lost

    async def _fill(self) -> None:
        if self._queue:
            while self._queue:
                self._read(self._queue.popleft())
        elif self._behind:
            await self._read_on()
        elif self._closed:
            raise MailboxEmptied
        else:
            self._wake.clear()
            await self._wake.wait()

    async def _read_on(self) -> None:
        self._catch_up = self._catch_up or self._make_catch_up(lambda: self._newest)
        for record in await self._catch_up.read(self._after, is_over=lambda: self._closed):
            if record.last_sequence > self._after:
                self._read(record)
        self._behind = not self._catch_up.is_level

    def _read(self, record: Record) -> None:
        self._after = max(self._after, record.last_sequence)
        if record.connection and record.frame:
            if not self._is_copy(record):
                self._ready += self._messages_of(record.frame)
            return
        make = self._spec.raw_message_of
        if make is not None:
            self._ready += [make(fact) for fact in record.events if isinstance(fact, Filled) and fact.source is not Source.STREAM]

    def _messages_of(self, frame: bytes) -> list[Message]:
        try:
            message = msgspec.json.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []
        is_reply = self._spec.is_reply
        return [message] if isinstance(message, dict) and not (is_reply is not None and is_reply(message)) else []

    def _is_copy(self, record: Record) -> bool:
        """During an overlap of two sockets each frame comes twice."""
        if record.frame in self._seen and not record.events:
            return True
        self._seen[record.frame] = None
        if len(self._seen) > REMEMBERED_FRAMES:
            del self._seen[next(iter(self._seen))]
        return False


class BinanceClient:
    """The door of the classic surface. Holds nothing; may be made as often as you like."""

    async def user_stream(
        self, api_key: str, message_handler: MessageHandler, config: Mapping[str, object] | None = None
    ) -> UserDataStreamAPI:
        """Starts a stream and returns it. Raises as `UserDataStreamAPI.start`."""
        stream = UserDataStreamAPI(api_key, message_handler, config)
        await stream.start()
        return stream

    def __repr__(self) -> str:
        return "<BinanceClient>"


__all__ = ["DEFAULT_USER_STREAM_CONFIG", "AuthenticationError", "BinanceClient", "ConnectionError", "UserDataStreamAPI", "UserStreamError"]
