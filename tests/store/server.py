"""A PostgreSQL server in a temporary folder, on a Unix socket and a free local port, from the system's packages."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

PACKAGED = Path("/usr/lib/postgresql")
START_S = 60
PASSWORD = "s3cr3t/p:w?"
CONFIGURATION = """
fsync = off
listen_addresses = '127.0.0.1'
"""
ACCESS = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
_numbers = count()


class UnavailableError(Exception):
    """No server can be started here; the message says why."""


@dataclass(frozen=True)
class Server:
    """A running server. A context manager: leaving it stops the server and removes its folder.

    ``programs`` is the folder of ``pg_ctl``; ``account`` the user that it runs as, empty for the tests' own: a server
    refuses to run as root.
    """

    folder: Path
    port: int
    programs: Path
    account: str

    @classmethod
    def start(cls) -> Server:
        """Raises UnavailableError without PostgreSQL, psycopg, or a user to run it as."""
        if find_spec("psycopg") is None:
            raise UnavailableError("psycopg is not installed")
        programs, account = _programs(), _account()
        folder = Path(tempfile.mkdtemp(prefix="lw-pg-", dir="/tmp"))  # a socket's path has 107 characters at most
        server = cls(folder, _free_port(), programs, account)
        try:
            server._make()
            server.restart()
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            said = getattr(error, "stderr", None) or str(error)
            raise UnavailableError(str(said).strip().splitlines()[-1]) from error
        return server

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self) -> None:
        """Starts the server, which is not running."""
        log = self.folder / "log"
        self._run("pg_ctl", "-D", self.data, "-l", log, "-o", f"-k {self.folder} -p {self.port}", "-w", "start")

    def stop(self) -> None:
        """Ends the server as a crash would."""
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    @property
    def data(self) -> Path:
        """Where the databases are."""
        return self.folder / "data"

    def new_database(self) -> str:
        """The address, on the Unix socket, of a database that nobody has used."""
        name = f"store{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://owner@/{name}?host={self.folder}&port={self.port}"

    def over_network(self, address: str, password: str = PASSWORD, user: str = "owner") -> str:
        """The same database through the port, where a password is asked for."""
        name = address.partition("?")[0].rpartition("/")[2]
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, address: str = "") -> None:
        """Runs a statement as the owner, in the database of that address."""
        name = address.partition("?")[0].rpartition("/")[2] or "postgres"
        connect = ("-h", self.folder, "-p", str(self.port), "-U", "owner", "-d", name)
        self._run("psql", *connect, "-v", "ON_ERROR_STOP=1", "-qc", statement)

    def _make(self) -> None:
        if self.account:
            shutil.chown(self.folder, self.account)
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        access = ("--auth=trust", "--username=owner", f"--pwfile={secret}")
        self._run("initdb", "-D", self.data, "-N", "-E", "UTF8", "--locale=C", *access)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(CONFIGURATION)
        (self.data / "pg_hba.conf").write_text(ACCESS)

    def _run(self, program: str, *arguments: str | Path) -> None:
        identity: dict[str, Any] = {}
        if self.account:
            entry = pwd.getpwnam(self.account)
            identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        subprocess.run(
            [str(self.programs / program), *map(str, arguments)],
            check=True,
            timeout=START_S,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,  # a server keeps the pipe open
            text=True,
            **identity,
        )


def _programs() -> Path:
    found = sorted(PACKAGED.glob("*/bin/pg_ctl"), key=lambda path: int(path.parent.parent.name))
    on_path = shutil.which("pg_ctl")
    if not found and on_path is None:
        raise UnavailableError("PostgreSQL is not installed; apt-get install postgresql")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def _account() -> str:
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise UnavailableError("root may not run it, and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
