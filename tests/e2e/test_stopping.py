"""How a server ends, and what keeps it from starting: both at once, in words, with nothing lost."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from skerry.cli.common import SAME_SECONDS
from skerry.client.kubeconfig import read
from tests.e2e.server import SKERRY, Server, eventually, running

TWICE = """
import asyncio
from skerry.cli.common import on_stop

async def main():
    on_stop(lambda: print("told", flush=True))
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def connection(server: Server) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", server.port, context=read(server.kubeconfig).tls(), timeout=60)


def test_open_watches_end_whole_and_nobody_who_is_connected_holds_it_up(tmp_path: Path) -> None:
    with running(tmp_path, "--sim") as server:
        eventually(lambda: "an agent connected" in server.log.read_text(), 60, server.log)
        idle, silent, watching, far = (connection(server) for _ in range(4))
        idle.request("GET", "/version")
        idle.getresponse().read()
        silent.connect()
        watching.request("GET", "/api/v1/namespaces?watch=true")
        far.request("GET", "/k8s/demo/api/v1/namespaces?watch=true")
        watch, through = watching.getresponse(), far.getresponse()
        first = json.loads(watch.readline())
        assert first["type"] == "ADDED"
        assert json.loads(through.readline())["type"] == "ADDED"
        assert server.stop(signal.SIGTERM) == 0
        assert {json.loads(line)["type"] for line in watch.read().splitlines()} == {"ADDED"}  # raises if the stream was cut
    log = server.log.read_text()
    assert "requests were cut" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", TWICE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "told\n"
        time.sleep(SAME_SECONDS + 0.2)
        process.send_signal(number)
        assert process.wait(60) == -number


def test_a_signal_that_a_launcher_passes_on_is_no_second_one(tmp_path: Path) -> None:
    with running(tmp_path, "--sim") as server:
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        assert server.stop(signal.SIGINT) == 0
    assert '"stopping"' in server.log.read_text()


@pytest.mark.parametrize("sign", ["skerry.lock", "demo/root.pem"])
def test_told_to_stop_while_it_starts_it_does_and_starts_again(tmp_path: Path, sign: str) -> None:
    server = Server(tmp_path, "--sim")
    server.launch()
    eventually((server.data / sign).exists, 60, server.log)
    assert server.stop(signal.SIGTERM) == 0
    assert "Traceback" not in server.log.read_text()
    server.start()
    assert server.stop(signal.SIGTERM) == 0


def test_the_lock_of_a_killed_server_hinders_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        dead = server.process
        assert dead is not None
        server.stop(signal.SIGKILL)
        assert int((server.data / "skerry.lock").read_text()) == dead.pid
        server.start()
        assert server.stop(signal.SIGTERM) == 0


def _a_file(data: Path) -> None:
    data.write_text("")


def _of_a_newer_release(data: Path) -> None:
    data.mkdir()
    with closing(sqlite3.connect(data / "skerry.db")) as connection:
        connection.execute("PRAGMA user_version=99")


def _no_database(data: Path) -> None:
    data.mkdir()
    (data / "skerry.db").write_bytes(b"x" * 50_000)


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (_a_file, "cannot use the data folder"),
        (_of_a_newer_release, "was written by a newer Skerry (schema 99"),
        (_no_database, "is damaged"),
    ],
)
def test_a_data_folder_that_cannot_be_used_is_refused_in_words(tmp_path: Path, prepare: Callable[[Path], None], says: str) -> None:
    prepare(tmp_path / "data")
    assert says in refusal([str(SKERRY), "up", "--data", str(tmp_path / "data"), "--port", "0"])


def test_a_disk_that_takes_nothing_more_is_told_by_the_file_that_it_holds(tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -f 16; exec "$0" "$@"', str(SKERRY)]  # no file grows beyond 8 KiB, as if the disk ended there
    assert "skerry.db fails" in refusal([*limited, "up", "--data", str(tmp_path / "data"), "--port", "0"])


@contextmanager
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    for option, other in (("--port", "--gateway-port"), ("--gateway-port", "--port")):
        with taken() as port:
            told = refusal([str(SKERRY), "server", "--data", str(tmp_path), option, str(port), other, "0"])
        assert "cannot listen on 127.0.0.1" in told
        assert str(port) in told
        assert "Address already in use" in told


def refusal(command: list[str]) -> str:
    """What a server that cannot start says, in one line and with exit code 1."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, done.stderr
    return said[0]
