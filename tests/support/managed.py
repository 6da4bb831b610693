"""A manager over a registry in memory and a venue that is none, on a clock that tests turn. Every account has sockets of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from tests.support.clock import ManualClock
from tests.support.transport import PipeSocket, PipeTransport, RecordingHttp, json_answer
from tests.support.vaults import make_vault
from userstream.adapters.memory import MemoryJournal
from userstream.adapters.memory_registry import MemoryRegistry
from userstream.domain.audit import AuditHead, AuditNote
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of
from userstream.entry.configuration import Configuration, ManagerSection, read_configuration
from userstream.entry.manager import AccountManager
from userstream.entry.registered import RegisteredAccounts
from userstream.entry.registry import AccountDesk, Caller, NewAccount
from userstream.kernel.errors import StoreError, UserStreamError
from userstream.kernel.ids import AccountId, VenueName
from userstream.runtime.live import LiveAccount
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.rights import KeyRights

SAFE: Final = KeyRights(read=True, trade=True, withdraw=False, transfer=False, ip_restricted=True)
CREATE: Final = "POST /fapi/v1/listenKey"
REFUSED: Final = json_answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401)
MODES: Final = {"canTrade": True, "dualSidePosition": False, "multiAssetsMargin": False}
CONFIGURATION: Final = "[registry]\n[recovery]\nlag_s = 1\n"
VENUE: Final = VenueName("binance-usdm")

ResultT = TypeVar("ResultT")


def key_of(name: str, version: int = 1) -> str:
    return f"KEY-{version}-OF-{name}"


def listen_key(api_key: str) -> str:
    return hashlib.sha256(api_key.encode()).hexdigest()


class FailingRegistry(MemoryRegistry):
    """Fails while it has a `trouble`; `note_troubles`: with what the next notes fail."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: StoreError | None = None
        self.note_troubles: list[StoreError] = []

    async def write_note(self, note: AuditNote) -> None:
        if self.note_troubles:
            raise self.note_troubles.pop()
        await super().write_note(note)

    async def audit_head(self) -> AuditHead:
        if self.trouble is not None:
            raise self.trouble
        return await super().audit_head()


class Managed:
    """The desk, the manager and what they see of the world. `bad`: API keys that the venue refuses; `says`: what it
    tells of a key's rights."""

    def __init__(self, configuration: Configuration, settings: ManagerSection, *, connects: bool = True) -> None:
        self.clock, self.transport = ManualClock(), PipeTransport()
        self.http = RecordingHttp()
        self.plan_answers()
        self.bad: set[str] = set()
        self.says: KeyRights | UserStreamError = SAFE
        self.registry = FailingRegistry()
        self.desk = AccountDesk(self.registry, make_vault(), self.clock, Caller("tess", "desk-1"), self._ask, {})
        self.registered = RegisteredAccounts(self.desk, self.clock)
        self.application = Application(self.clock, self.transport, self.http, MemoryJournal())
        self.started: list[str] = []
        self._configuration, self._settings, self._connects = configuration, settings, connects
        self.manager = self._make_manager()

    def _make_manager(self) -> AccountManager:
        return AccountManager(
            self.application, self.registered, self._configuration.accounts, self.start, self._settings, connects=self._connects
        )

    def plan_answers(self) -> None:
        """The venue answers every question with empty books."""
        self.http.default = json_answer([])
        self.http.plan(CREATE, self._give_listen_key)
        self.http.plan("GET /fapi/v1/time", lambda request: json_answer({"serverTime": self.clock.wall()}))
        self.http.plan("GET /fapi/v1/accountConfig", json_answer(MODES))

    async def _ask(self, settings: AccountSettings) -> KeyRights:
        if isinstance(self.says, UserStreamError):
            raise self.says
        return self.says

    def _give_listen_key(self, request: HttpRequest) -> HttpResponse:
        api_key = request.headers[0][1].reveal()
        return REFUSED if api_key in self.bad else json_answer({"listenKey": listen_key(api_key)})

    async def start(self, settings: AccountSettings) -> LiveAccount:
        self.started.append(settings.name)
        return await self.application.add(settings, through=self.registered.way_of(settings.name))

    async def add(self, *names: str, version: int = 1) -> None:
        """Somebody else adds accounts: the manager is not told."""
        for name in names:
            wish = NewAccount(account=AccountId(name), user="desk", venue=VENUE)
            await self.desk.add(wish, credentials_of(key_of(name, version), f"SECRET-OF-{name}"))

    async def rotate(self, name: str, version: int = 2) -> None:
        await self.desk.rotate(AccountId(name), credentials_of(key_of(name, version), f"NEW-SECRET-OF-{name}"))

    async def begin(self, stopped: asyncio.Event | None = None) -> None:
        """As `userstream run` does."""
        await self.registered.read(self._configuration)
        self.manager = self._make_manager()
        await self.drive(self.manager.begin(stopped))

    async def drive(self, work: Coroutine[object, object, ResultT]) -> ResultT:
        """Turns the clock as far as the work needs it."""
        task = asyncio.ensure_future(work)
        await self.clock.advance_until(task.done, limit_ms=30_000)
        return task.result()

    async def pass_s(self, seconds: float) -> None:
        await self.clock.advance(int(seconds * 1_000))

    @property
    def running(self) -> list[str]:
        return sorted(self.application.accounts)

    def sockets(self, name: str, version: int = 1) -> list[PipeSocket]:
        """All that were ever dialled with the account's key."""
        return [socket for socket in self.transport.sockets if listen_key(key_of(name, version)) in socket.url.reveal()]

    def dials(self, names: Sequence[str]) -> Counter[str]:
        return Counter({name: len(self.sockets(name)) for name in names})

    async def deeds(self) -> list[tuple[str, str]]:
        return [(entry.note.action, entry.note.subject) for entry in await self.registry.audit_entries()]


@asynccontextmanager
async def open_managed(
    folder: Path,
    *,
    settings: ManagerSection | None = None,
    text: str = CONFIGURATION,
    make: type[Managed] = Managed,
    **given: bool,
) -> AsyncIterator[Managed]:
    """Nothing is begun yet; all is ended afterwards, and nothing may be left."""
    path = folder / "userstream.toml"
    path.write_text(text)
    managed = make(read_configuration(path, {"KEY": key_of("carol"), "SECRET": "SECRET"}), settings or ManagerSection(), **given)
    try:
        yield managed
    finally:
        await managed.manager.close()
        await managed.drive(managed.application.stop())
        await managed.registered.close()
    assert managed.clock.failures == []
    assert managed.transport.open_sockets == []
