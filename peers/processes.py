"""Start real programs, wait until they answer, and leave nothing behind.

A peer is a handful of processes that belong together. They are started in order, each in a
session of its own with its output in a log file, and stopped in reverse order. Three things
end them, so that no run leaves an etcd behind: leaving the ``with`` block, the parent's death
(``PR_SET_PDEATHSIG`` on Linux, which is tied to the *thread* that started them: start peers
from a thread that lives as long as they do), and the kill of the whole process group where a
polite signal is not heard in time.

Where a peer does not come up, the error shows the tail of every log: a test report must be
enough to see why. Waiting is always for a state, bounded, and ends at once when a program dies.

Ports are taken from 10000-18999: below the ephemeral range, and below 19000 and 20000, where
Cluster API's in-memory provider always opens its debug server and its workload clusters.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PORTS = range(10000, 19000)
PR_SET_PDEATHSIG = 1
TAIL_LINES = 25
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_taken: set[int] = set()


class PeerFailed(RuntimeError):
    """A real program did not come up, or died; the message ends with the tail of the logs."""


@dataclass(frozen=True, slots=True)
class Program:
    """One running process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def free_port(count: int = 1) -> int:
    """Return the first of ``count`` neighbouring TCP ports of 127.0.0.1 that are free and that this process has not given out before."""
    for _ in range(200):
        first = random.choice(PORTS)
        ports = range(first, first + count)
        if not any(port in _taken for port in ports) and all(_is_free(port) for port in ports):
            _taken.update(ports)
            return first
    raise PeerFailed(f"no free port found in {PORTS.start}-{PORTS.stop - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """Return an environment in which a program sees none of the user's settings: PATH, a HOME of its own, and ``extra``."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC", **extra}


def _die_with_parent() -> None:
    """Run in the child before exec: ask the kernel to kill it when its parent dies."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """The processes of one peer, in the order in which they were started. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Program:
        """Start one program; its output goes to ``<folder>/<name>.log``. The default environment is a clean one."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else clean_environment(self.folder),
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of a C function loaded beforehand: safe with threads
            )
        program = Program(name, process, log)
        self.programs.append(program)
        return program

    def wait_until(self, what: str, probe: Callable[[], bool], *, seconds: float = 60, pause: float = 0.1) -> None:
        """Return once ``probe`` is true; raise PeerFailed after ``seconds`` or as soon as a program has died.

        A probe that raises OSError (nobody listens yet) counts as not yet true.
        """
        deadline = time.monotonic() + seconds
        last: object = "never asked"
        while time.monotonic() < deadline:
            self.check()
            try:
                last = probe()
            except OSError as error:
                last = error
            if last is True:
                return
            time.sleep(pause)
        raise PeerFailed(f"{what}: not within {seconds:.0f} s (last answer: {last})\n{self.tails()}")

    def check(self) -> None:
        """Raise PeerFailed if one of the programs has ended."""
        for program in self.programs:
            if program.process.poll() is not None:
                raise PeerFailed(f"{program.name} ended with {program.process.returncode}\n{self.tails()}")

    def tails(self) -> str:
        """Return the last lines of every log, for people."""
        parts = []
        for program in self.programs:
            lines = program.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            parts.append("\n".join([f"--- {program.name} ({program.log})", *lines]))
        return "\n".join(parts)

    def stop(self, grace: float = 1.5) -> None:
        """End the programs in reverse order: ask them, wait ``grace`` seconds in all, then kill their process groups."""
        for program in reversed(self.programs):
            _signal(program, signal.SIGTERM)
        deadline = time.monotonic() + grace
        for program in reversed(self.programs):
            try:
                program.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass  # it is killed next, as are the children of those that ended
            _signal(program, signal.SIGKILL)
            program.process.wait()
        self.programs.clear()


def _signal(program: Program, number: signal.Signals) -> None:
    """Send a signal to the whole group of a program, some or all of which may have ended already."""
    try:
        os.killpg(program.process.pid, number)
    except ProcessLookupError:
        pass  # nobody is left
