"""Real server processes and a real kubectl, for tests that stand where a user stands."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from peers.processes import free_port
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from tests.peers import program

SKERRY = Path(sys.executable).parent / "skerry"


class Server:
    """One `skerry up` (or another verb) in a folder; it can be killed and started again."""

    def __init__(self, folder: Path, *options: str, verb: str = "up", skerry: Sequence[str] = (str(SKERRY),)) -> None:
        """``skerry`` is the program, with what comes before its own arguments."""
        self.folder = folder
        self.skerry = skerry
        self.data = folder / "data"
        self.port = free_port(2)  # the front door and, beside it, the gateway
        self.options = options if verb == "up" else (*options, "--gateway-port", str(self.port + 1))
        self.verb = verb
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def kubeconfig(self) -> Path:
        return self.data / "admin.kubeconfig"

    def start(self) -> None:
        """Start the server and wait until it can be used."""
        before = self._announced()
        self.launch()
        eventually(lambda: self._ended() or self._announced() > before, 120, self.log)
        assert not self._ended(), self.log.read_text()[-3000:]

    def _announced(self) -> int:
        """When the server last said that it can be used; the file goes when a server starts."""
        try:
            return self.kubeconfig.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def launch(self) -> None:
        with self.log.open("ab") as log:
            command = [*self.skerry, self.verb, "--data", str(self.data), "--port", str(self.port), *self.options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.signal(number)
        return self.gone()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def gone(self) -> int:
        """Wait for the end; returns the exit code."""
        assert self.process is not None
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise AssertionError(f"it did not stop: {self.log.read_text()[-6000:]}") from error

    def kubectl(self, *arguments: str, peer: str = "kubernetes", ok: bool = True, stdin: str | None = None) -> str:
        command = [str(program(peer, "kubectl")), *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=400, input=stdin, check=False)
        assert not ok or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}\n{self.log.read_text()[-3000:]}"
        return done.stdout + done.stderr

    def shell(self, script: str, folder: Path) -> str:
        """Run a script in a folder, with kubectl, skerry and this server's data folder in reach; returns what it printed."""
        environment = self._environment()
        path = os.pathsep.join((str(program("kubernetes", "kubectl").parent), str(SKERRY.parent), environment["PATH"]))
        environment = {**environment, "PATH": path, "DATA": str(self.data)}
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.log.read_text()[-3000:]}"
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def watching(self, *arguments: str) -> Iterator[Callable[[], list[str]]]:
        """Run `kubectl get -w`; gives a function that returns the lines so far, once the watch is under way."""
        output = self.folder / "watch.txt"
        with output.open("wb") as file:
            command = [str(program("kubernetes", "kubectl")), "get", *arguments, "-w"]
            process = subprocess.Popen(command, env=self._environment(), stdout=file, stderr=file)
        try:
            eventually(lambda: output.stat().st_size > 0, 60, self.log)
            yield lambda: output.read_text().splitlines()
        finally:
            process.terminate()
            process.wait(60)

    def _environment(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder), "PATH": os.environ["PATH"]}


def eventually(state: object, seconds: float, log: Path | None = None) -> None:
    assert callable(state)
    ends = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < ends, f"not within {seconds} s; {log.read_text()[-3000:] if log and log.exists() else ''}"
        time.sleep(0.05)


@contextlib.contextmanager
def running(folder: Path, *options: str, verb: str = "up") -> Iterator[Server]:
    server = Server(folder, *options, verb=verb)
    server.start()
    try:
        yield server
    finally:
        if not server._ended():
            server.stop()


@contextlib.contextmanager
def over_one_database(
    folder: Path, dsn: str, count: int, *, simulated: bool = False, more: Callable[[Server], Sequence[str]] = lambda _: ()
) -> Iterator[list[Server]]:
    """Servers with one database, one keyring and one set of roots; the first also runs the simulated site if asked to.

    ``more`` gives the further options of each, before it is started for the first time.
    """
    made: list[Server] = []
    try:
        for number in range(count):
            (folder / str(number)).mkdir()
            first = simulated and not made
            options = ["--database", dsn, "--keyring", str(folder / "keyring.json"), *["--sim"] * first]
            server = Server(folder / str(number), *options, verb="up" if first else "server")
            if made:
                shutil.copytree(made[0].data / "pki", server.data / "pki")
            server.options = (*server.options, *more(server))
            made.append(server)
            server.start()
        yield made
    finally:
        for server in made:
            if not server._ended():
                server.signal(signal.SIGCONT)
                server.stop(signal.SIGKILL)


@contextlib.asynccontextmanager
async def clients(servers: Sequence[Server]) -> AsyncIterator[list[HttpClient]]:
    """The administrator's client of each server."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(HttpClient(read(server.kubeconfig))) for server in servers]
