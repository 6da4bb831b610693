"""The library's doors: `connect` for one account, `Fleet` for many."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from userstream.entry.background import Blocking
from userstream.entry.bootstrap import AccountSettings, Application, check_account, credentials_of, start_application, symbols_of
from userstream.kernel.errors import ConnectionError, UserStreamError
from userstream.kernel.settings import RecoverySettings, StreamSettings, check
from userstream.runtime.live import LiveAccount
from userstream.runtime.sync_account import SyncAccount


class Fleet:
    """Many accounts in one process, with one store and one request budget for each venue.

    `async with Fleet(store="desk.db") as fleet: await fleet.add("alice", "binance-usdm", api_key=..., api_secret=...)`.
    `fleet["alice"]` is the same object that `add` returned. Leaving the block stops everything in order. `weight_limit`: the request
    weight a minute that this process may count on at each venue, where others share its address (None: the venue's whole limit).
    """

    def __init__(self, *, store: str | Path | None = None, keep_days: int = 14, weight_limit: int | None = None) -> None:
        self._store, self._keep_days, self._weight_limit = store, keep_days, weight_limit
        self._application: Application | None = None

    @property
    def application(self) -> Application:
        """What the fleet is made of. Raises UserStreamError outside its block."""
        if self._application is None:
            raise UserStreamError("the fleet is not running: use it as `async with Fleet(...) as fleet`")
        return self._application

    async def add(
        self,
        name: str,
        venue: str,
        *,
        api_key: str,
        api_secret: str | None = None,
        passphrase: str | None = None,
        rest_url: str | None = None,
        ws_url: str | None = None,
        ws_api_url: str | None = None,
        recovery: RecoverySettings | None = None,
        stream: StreamSettings | None = None,
        symbols: Iterable[str] = (),
        isolated_symbol: str = "",
        shared_socket: bool = True,
        microseconds: bool = False,
    ) -> LiveAccount:
        """Starts an account and returns at once; `await account.wait_proven()` waits for its state. `symbols`, `isolated_symbol`,
        `microseconds`: as in `connect`. `shared_socket`: whether the account may share its sockets with others of this process, where the
        venue lets them (Binance Spot, margin). Raises SettingsError for what cannot be run, and for a name or a key that another account
        has already."""
        return await self.application.add(
            AccountSettings(
                name=name,
                venue=venue,
                credentials=credentials_of(api_key, api_secret, passphrase),
                rest_url=rest_url,
                ws_url=ws_url,
                ws_api_url=ws_api_url,
                recovery=recovery or RecoverySettings(),
                stream=stream or StreamSettings(),
                symbols=symbols_of(symbols),
                isolated_symbol=isolated_symbol,
                shared_socket=shared_socket,
                microseconds=microseconds,
            )
        )

    async def remove(self, name: str) -> None:
        """Stops an account without touching the others. Raises SettingsError when it is not running."""
        await self.application.remove(name)

    def metrics(self) -> str:
        """The numbers of all accounts, of the store and of the request budgets as they are now, in the text form that Prometheus reads.
        Call it on the event loop, as often as they are collected."""
        return self.application.metrics()

    def __getitem__(self, name: str) -> LiveAccount:
        """The running account of that name. Raises KeyError when there is none."""
        return self.application.accounts[name]

    def __contains__(self, name: object) -> bool:
        """Whether an account of that name is running."""
        return name in self.application.accounts

    def __len__(self) -> int:
        """How many accounts are running."""
        return len(self.application.accounts)

    async def __aenter__(self) -> Self:
        self._application = await start_application(self._store, keep_days=self._keep_days, weight_limit=self._weight_limit)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._application is not None:
            await self._application.stop()


class connect(Blocking[SyncAccount]):  # noqa: N801 - reads as a verb where it is used: `async with userstream.connect(...)`
    """Runs one account: `async with userstream.connect("binance-usdm", api_key=..., api_secret=...) as account:` enters the block when
    the account's state is proven (about `recovery.lag_s` after the socket opened), and stops the account at its end.

    Without `api_secret` the stream is read and nothing can be proven. `store`: a database file for the journal, so that a restart goes
    on where this run ended; None keeps the journal in memory. `symbols`: where a venue tells its past by symbol (Binance Spot), those
    whose orders and fills are always read; others are found when they moved a wallet. `isolated_symbol`: the pair of an isolated margin
    account (empty: the cross account). `shared_socket`: False gives the account sockets of its own where others of the process would
    share them (Binance Spot, margin). `microseconds`: ask for the stream's times in that unit, where the venue has it (the same); all
    times are told in milliseconds as ever. `timeout_s`: how long the beginning may take (None: for ever). In a program without an event
    loop, `with userstream.connect(...) as account:` gives a `SyncAccount`, whose loop runs in a thread of its own until the end of the
    block.
    Raises SettingsError, StoreError, AuthenticationError, or ConnectionError when the time is over.
    """

    def __init__(
        self,
        venue: str,
        *,
        api_key: str,
        api_secret: str | None = None,
        passphrase: str | None = None,
        account: str = "main",
        store: str | Path | None = None,
        rest_url: str | None = None,
        ws_url: str | None = None,
        ws_api_url: str | None = None,
        recovery: RecoverySettings | None = None,
        stream: StreamSettings | None = None,
        symbols: Iterable[str] = (),
        isolated_symbol: str = "",
        shared_socket: bool = True,
        microseconds: bool = False,
        timeout_s: float | None = 60.0,
    ) -> None:
        check(_is_duration(timeout_s), "timeout_s", timeout_s, "must be a number of seconds, or None")
        self._fleet = Fleet(store=store)
        self._settings = AccountSettings(
            name=account,
            venue=venue,
            credentials=credentials_of(api_key, api_secret, passphrase),
            rest_url=rest_url,
            ws_url=ws_url,
            ws_api_url=ws_api_url,
            recovery=recovery or RecoverySettings(),
            stream=stream or StreamSettings(),
            symbols=symbols_of(symbols),
            isolated_symbol=isolated_symbol,
            shared_socket=shared_socket,
            microseconds=microseconds,
        )
        self._timeout_s = timeout_s

    async def _enter(self) -> SyncAccount:
        return (await self.__aenter__()).sync()

    async def __aenter__(self) -> LiveAccount:
        check_account(self._settings, os.environ)
        await self._fleet.__aenter__()
        try:
            account = await self._fleet.application.add(self._settings)
            await account.wait_proven(self._timeout_s)
        except TimeoutError as error:
            await self._fleet.application.stop()
            raise ConnectionError(str(error)) from None
        except BaseException:
            await self._fleet.application.stop()
            raise
        return account

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._fleet.__aexit__(kind, error, trace)


def _is_duration(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0)
