"""A PostgreSQL of the tests' own: a server for each process that runs tests, an empty ledger for each test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.harness.waiting import PATIENCE

PROGRAMS = "/usr/lib/postgresql/*/bin"
"""Where Debian has them, which puts none of them on PATH."""

_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=on")
_SMALL = ("shared_buffers=16MB", "max_connections=60", "unix_socket_directories=", "max_wal_size=256MB")
_HBA = """
host all guarded 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 trust
host all all 127.0.0.1/32 trust
"""
"""Every client of this machine is let in; the role `guarded` has to know its password."""


def programs() -> Path | None:
    """The folder of the newest server that is installed here."""
    found = [Path(path).parent for path in Path("/").glob(f"{PROGRAMS}/initdb".removeprefix("/"))]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return max(found, key=lambda path: int("".join(filter(str.isdigit, path.parent.name)) or 0), default=None)


class Server:
    """A server on a port of loopback."""

    def __init__(self, folder: Path, *settings: str) -> None:
        """Makes one in a folder of its own that is not there yet; `start` starts it."""
        self.folder = folder
        self._programs = programs()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._settings = (*_QUICK, *_SMALL, f"port={self.port}", "listen_addresses=127.0.0.1", *settings)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Makes the files of an empty one."""
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self._run("initdb", "--pgdata", str(self.folder), *options)
        (self.folder / "pg_hba.conf").write_text(_HBA)

    def copy_of(self, primary: Server) -> None:
        """Makes a standby of another one that runs."""
        source = ("--dbname", primary.url(), "--pgdata", str(self.folder))
        self._run("pg_basebackup", *source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")

    def waits_for_standbys(self) -> None:
        """From now on a commit ends when a standby has it too. Returns once one is there."""
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        ends = time.monotonic() + PATIENCE
        while self.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != (1,):
            if time.monotonic() >= ends:
                raise RuntimeError("no standby is synchronous")
            time.sleep(0.05)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "--pgdata", str(self.folder), "--wait")

    def start(self) -> None:
        """Starts it, and returns when it takes connections."""
        flags = [flag for one in self._settings for flag in ("-c", one)]
        command = [*self._as_user(), str(self._program("postgres")), "-D", str(self.folder), *flags]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._run("pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}", "--timeout=1", patiently=True)

    def stop(self, how: str = "fast") -> None:
        """Stops it: `immediate` is a crash."""
        if self._process:
            self._run("pg_ctl", "stop", "--pgdata", str(self.folder), f"--mode={how}", "--wait", "--silent")
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """Ends it as kill -9 does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Executes statements as superuser, each in a transaction of its own."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in filter(str.strip, statements):
                connection.execute(statement.encode())

    def ask(self, query: str, database: str = "postgres") -> tuple[Any, ...]:
        """The first row that a query gives to a superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchone() or ()

    def _program(self, name: str) -> Path:
        if self._programs is None:
            raise FileNotFoundError(f"{PROGRAMS}/{name}")
        return self._programs / name

    @staticmethod
    def _as_user() -> Sequence[str]:
        """The server refuses to run as root."""
        return ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()

    def _run(self, name: str, *arguments: str, patiently: bool = False) -> None:
        command = [*self._as_user(), str(self._program(name)), *arguments]
        ends = time.monotonic() + (PATIENCE if patiently else 0)
        while True:
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
            if done.returncode == 0:
                return
            if time.monotonic() >= ends or (self._process and self._process.poll() is not None):
                raise RuntimeError(f"{name}: {done.stderr}{done.stdout}")
            time.sleep(0.05)


@contextmanager
def servers() -> Iterator[Path]:
    """A folder for servers, which belongs to their user."""
    with tempfile.TemporaryDirectory(prefix="postgresql-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        yield folder


@contextmanager
def running(folder: Path, *settings: str) -> Iterator[Server]:
    """A new server for as long."""
    server = Server(folder, *settings)
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
