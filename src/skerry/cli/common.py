"""What the verbs share: options, forms of output, how the server is asked, and how a failure is told."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from skerry.client.connection import Connection
    from skerry.client.contract import Client
    from skerry.client.http import HttpClient

KUBECONFIG = Path(".skerry/admin.kubeconfig")
PATIENCE_SECONDS = 0.5
SAME_SECONDS = 1.0
LONG_SECONDS = 20.0
"""After so long a process that was told to stop should have: the longest grace in it is ten seconds."""
STOPPING = (signal.SIGTERM, signal.SIGINT)


class Output(StrEnum):
    """Forms of output: ``table`` for people, the others for programs."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Kubeconfig = Annotated[Path, typer.Option("--kubeconfig", envvar="KUBECONFIG", help="Kubeconfig of Skerry's Kubernetes door.")]
Form = Annotated[Output, typer.Option("--output", "-o", help="Form of the output.")]
LogLevel = Annotated[Level, typer.Option("--log-level", help="How much is logged.")]

Keyring = Annotated[Path | None, typer.Option("--keyring", help="File of the keys that encrypt Secrets; by default in the data folder.")]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="SKERRY_DATABASE",
        show_envvar=False,
        help="A PostgreSQL database (postgresql://user@host/name), which several servers may share; without it, one in the data folder.",
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--database-password-file", help="File that holds the password of the database, which may also come as for psql."),
]


def fail(why: object) -> NoReturn:
    """End with exit code 1 and say why: a text, or the error that keeps the program from its work."""
    if isinstance(why, OSError) and why.strerror:  # its own text begins with a number
        why = f"{why.filename}: {why.strerror}" if why.filename else why.strerror
    typer.echo(f"skerry: {getattr(why, 'message', why)}", err=True)
    raise typer.Exit(1)


def on_stop(tell: Callable[[], object]) -> None:
    """Call ``tell`` at the first SIGTERM or Ctrl-C; a second one ends the process at once. If the end takes long, what keeps it is logged.

    What comes within a second is the first one again: a terminal tells every process of a group, and a launcher
    among them passes on what it was told.
    """
    loop = asyncio.get_running_loop()
    told_at = 0.0

    def again(number: int, _: object) -> None:
        if time.monotonic() - told_at > SAME_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def first() -> None:
        nonlocal told_at
        told_at = time.monotonic()
        for number in STOPPING:
            loop.remove_signal_handler(number)
            signal.signal(number, again)
        loop.call_later(LONG_SECONDS, tell_what_runs)
        faulthandler.dump_traceback_later(LONG_SECONDS + SAME_SECONDS)  # where no task runs, a thread does
        tell()

    for number in STOPPING:
        loop.add_signal_handler(number, first)


def tell_what_runs() -> None:
    """Log every task of this event loop with the place where it waits: for a process that should have stopped by now."""
    from skerry.kit.log import get

    places = {}
    for task in asyncio.all_tasks():
        places[task.get_name()] = f"{_place(task.get_coro())}{', cancelled' if task.cancelling() else ''}"
    get("cli").warning("has not stopped yet", tasks=places)


def _place(waiting: Any) -> str:
    """Where a coroutine waits: the innermost line of Python."""
    where = "nowhere"
    while frame := getattr(waiting, "cr_frame", None):
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        waiting = waiting.cr_await
    return where


def ask(kubeconfig: Path, question: Callable[[Client], Awaitable[Any]]) -> Any:
    """Return what a question to the Kubernetes door is answered with; a refusal or a broken connection ends the program."""
    from skerry.client.connection import BadConnection
    from skerry.client.kubeconfig import KubeconfigError
    from skerry.machinery.errors import ApiError

    async def run() -> Any:
        async with at_door(kubeconfig) as (connection, client):
            with progress(f"asking {connection.server}"):
                return await question(client)

    try:
        return asyncio.run(run())
    except (KubeconfigError, BadConnection, ApiError) as error:
        fail(error)


def door(kubeconfig: Path) -> Connection:
    """Skerry's door as a kubeconfig names it; a context of a cluster that is reached through Skerry names it, too.

    Raises KubeconfigError.
    """
    from skerry.client.kubeconfig import read
    from skerry.kinds.fullname import parsed
    from skerry.kinds.managementcluster import PROXY_PREFIX

    connection = read(kubeconfig)
    server, _, name = connection.server.rpartition(PROXY_PREFIX)
    return replace(connection, server=server, namespace="default") if server and parsed(name) else connection


@contextlib.asynccontextmanager
async def at_door(kubeconfig: Path) -> AsyncIterator[tuple[Connection, HttpClient]]:
    """A client of Skerry's door until the block is left; raises BadConnection also where it is somebody else's, or knows not who asks."""
    from skerry.client.connection import BadConnection
    from skerry.client.http import HttpClient
    from skerry.kinds.common import GROUP
    from skerry.machinery.errors import ApiError, Forbidden, MethodNotAllowed, NotFound, Unauthorized

    connection = door(kubeconfig)
    async with HttpClient(connection, user_agent="skerry-cli") as client:
        try:
            yield connection, client
        except Unauthorized as error:
            why = f"{connection.server} does not know who asks: the credentials in {kubeconfig} are wrong, or have ended"
            raise BadConnection(why) from error
        except (NotFound, Forbidden, MethodNotAllowed):
            try:
                await client.raw("GET", f"/apis/{GROUP}")
            except NotFound as error:
                raise BadConnection(f"{connection.server} is not Skerry: {kubeconfig} is the kubeconfig of something else") from error
            except ApiError:
                pass
            raise


@contextlib.contextmanager
def progress(doing: str) -> Iterator[None]:
    """Show on a terminal what is being waited for, if it takes longer than half a second; needs a running event loop."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    status = Console(stderr=True).status(f"{doing} …")
    later = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, status.start)
    try:
        yield
    finally:
        later.cancel()
        status.stop()


def show(lines: Sequence[str], value: Any, output: Output) -> None:
    """Print the lines, or the value that they were made from."""
    match output:
        case Output.JSON:
            typer.echo(json.dumps(value, indent=2))
        case Output.YAML:
            from skerry.kit import yamls

            typer.echo(yamls.dump(value), nl=False)
        case Output.TABLE:
            typer.echo("\n".join(lines))
