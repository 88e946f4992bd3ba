"""``skerry doctor`` and ``skerry support bundle``: what is wrong here, and a file for whoever helps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skerry.cli.common import Database, Form, Output, PasswordFile, fail, show

if TYPE_CHECKING:
    from skerry.compose.doctor import Finding

Data = Annotated[Path, typer.Option("--data", help="Data folder of the server.")]
Keyring = Annotated[Path | None, typer.Option("--keyring", help="File of the keys that encrypt Secrets; by default in the data folder.")]

support_app = typer.Typer(help="Help for whoever helps.", no_args_is_help=True)


def doctor(
    data: Data = Path(".skerry"),
    database: Database = "",
    database_password_file: PasswordFile = None,
    keyring: Keyring = None,
    output: Form = Output.TABLE,
) -> None:
    """Check clock, disk, permissions, certificates, database, encryption, server and agents, and say what to do.

    The exit code is 1 if a check fails; a warning leaves it 0.
    """
    from datetime import UTC, datetime

    from skerry.compose.doctor import Verdict, diagnose
    from skerry.compose.settings import ServerSettings

    settings = ServerSettings(
        data.resolve(),
        database_url=database,
        database_password=database_password_file,
        keyring_file=keyring and keyring.resolve(),
    )
    findings = asyncio.run(diagnose(settings, datetime.now(UTC)))
    show(list(_lines(findings)), [each._asdict() for each in findings], output)
    if any(each.verdict is Verdict.FAIL for each in findings):
        raise typer.Exit(1)


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    for each in findings:
        yield f"{each.verdict:<5}{each.check:<13}{each.what}"
        if each.todo:
            yield f"{'':<18}→ {each.todo}"


@support_app.command("bundle")
def bundle(
    file: Annotated[Path, typer.Argument(help="File to write, as .tar.gz.")],
    data: Data = Path(".skerry"),
    keyring: Keyring = None,
    output: Form = Output.TABLE,
) -> None:
    """Gather what helps to find a fault into one file: no Secret, no key, no token, and of other objects only their conditions.

    It works, with less in it, where the server does not run.
    """
    from datetime import UTC, datetime

    from skerry.compose.settings import ServerSettings
    from skerry.compose.support import write

    settings = ServerSettings(data.resolve(), keyring_file=keyring and keyring.resolve())
    try:
        names = asyncio.run(write(settings, file, datetime.now(UTC)))
    except OSError as error:
        fail(error)
    show([f"{file}: {', '.join(names)}"], {"file": str(file), "members": names}, output)
