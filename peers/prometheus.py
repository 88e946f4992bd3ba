"""A Prometheus of a test's own, and promtool, from Debian's package.

Its data live in the test's folder, its port is one that is free, and it reads the configuration that it is given.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from peers import debian
from peers.processes import PeerFailed, Processes, clean_environment, free_port

UP_SECONDS = 60.0


def program(name: str = "prometheus") -> Path | None:
    """Return ``prometheus`` or ``promtool``, None if it is not there."""
    found = shutil.which(name)
    return Path(found) if found else None


def bring() -> str:
    """Install Prometheus where that can be done; return what came of it, for people."""
    return debian.bring("prometheus", lambda: program("promtool") and program())


def promtool(*arguments: str | Path, folder: Path, stdin: bytes = b"") -> tuple[int, str]:
    """Run promtool in a folder; returns its exit code and what it said."""
    found = program("promtool")
    if found is None:
        raise PeerFailed("promtool is not on this machine")
    command = [str(each) for each in (found, *arguments)]
    done = subprocess.run(command, cwd=folder, env=clean_environment(folder), input=stdin, capture_output=True, timeout=120, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


class Prometheus:
    """One server. Use as a context manager."""

    def __init__(self, config: Path, folder: Path) -> None:
        """``config`` is its configuration, ``folder`` where its data and its log go."""
        self.port = free_port()
        self._config, self._folder = config, folder
        self._processes = Processes(folder)

    def __enter__(self) -> Self:
        found = program()
        if found is None:
            raise PeerFailed("Prometheus is not on this machine")
        options = [f"--storage.tsdb.path={self._folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{self.port}"]
        try:
            self._processes.start("prometheus", [found, f"--config.file={self._config}", *options])
            self._processes.wait_until("Prometheus is ready", self._ready, seconds=UP_SECONDS)
        except BaseException:
            self._processes.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._processes.stop()

    def _ready(self) -> bool:
        with self._open("/-/ready") as answer:
            return bool(answer.status == 200)

    def _open(self, path: str) -> Any:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return direct.open(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def api(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its HTTP API; ``path`` stands below ``/api/v1``."""
        text = f"?{urllib.parse.urlencode(query)}" if query else ""
        with self._open(f"/api/v1{path}{text}") as answer:
            found = json.load(answer)
        if found["status"] != "success":
            raise PeerFailed(f"{path}: {found}")
        return found["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the series of an instant query, each with its value of now."""
        return [(each["metric"], float(each["value"][1])) for each in self.api("/query", query=expression)["result"]]

    def wait_until(self, what: str, probe: Any, seconds: float = 60) -> None:
        """Return once ``probe`` is true; raises PeerFailed, with the log's tail, if that takes too long."""
        self._processes.wait_until(what, probe, seconds=seconds, pause=0.25)
