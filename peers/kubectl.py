"""kubectl as a user runs it, the current one and an older one, without this machine's settings.

    kubectl = Kubectl(kubeconfig, home)                # built from the same version as the API server
    older = Kubectl(kubeconfig, home, group="kubectl-older")
    ran = kubectl("get", "widgets", "-o", "yaml")
    ran.code, ran.out, ran.err

Each has a HOME of its own: its discovery cache, which would otherwise carry one server's kinds
over to the next, starts empty. Colours, pagers and proxies are off because the environment is
empty but for PATH.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.processes import clean_environment
from peers.programs import program


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


class Kubectl:
    """A kubectl bound to one kubeconfig; call it with arguments. Raises PeerMissing where it is not built."""

    def __init__(self, kubeconfig: Path, home: Path, *, group: str = "kubernetes", **settings: str) -> None:
        """``home`` is made if missing and belongs to this kubectl; ``group`` is ``kubernetes`` or ``kubectl-older``.

        ``settings`` are variables of its environment.
        """
        self._program = program(group, "kubectl")
        self._environment = clean_environment(home, KUBECONFIG=str(kubeconfig), **settings)
        self._home = home
        home.mkdir(parents=True, exist_ok=True)

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 60) -> Ran:
        """Run one command to its end; raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        ran = subprocess.run(
            [self._program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self._environment,
            cwd=self._home,
            timeout=timeout,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run one command until the block is left, with pipes to and from it; what it says of trouble is among its output."""
        command = [str(self._program), *arguments]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, text=True, env=self._environment, cwd=self._home, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()
