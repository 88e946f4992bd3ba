"""``skerry backup`` and ``skerry restore``: a copy of the database in one file, and its way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skerry.cli.common import Form, Output, fail, show

Data = Annotated[Path, typer.Option("--data", help="Data folder of the server.")]
Keyring = Annotated[Path | None, typer.Option("--keyring", help="File of the keys that encrypt Secrets; by default in the data folder.")]


def backup(
    file: Annotated[Path, typer.Argument(help="File to write; one that is there is replaced when the new one is whole.")],
    data: Data = Path(".skerry"),
    output: Form = Output.TABLE,
) -> None:
    """Copy the database into one file, as it is at one moment, whether the server runs or not.

    Secrets are in it encrypted; the keyring and the certificates are not in it.
    """
    from dataclasses import asdict

    from skerry.compose.copies import CANNOT_COPY, back_up
    from skerry.compose.settings import ServerSettings

    try:
        facts = back_up(ServerSettings(data.resolve()), file)
    except CANNOT_COPY as error:
        fail(error)
    keys = f"encrypted with key {', '.join(facts.keys)}" if facts.keys else "nothing encrypted"
    show([f"{file}: {facts.objects} objects at revision {facts.revision}, {keys}"], {"file": str(file), **asdict(facts)}, output)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that skerry backup wrote.")],
    data: Data = Path(".skerry"),
    keyring: Keyring = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Restore although the keyring lacks a key: those Secrets stay shut.")
    ] = False,
    output: Form = Output.TABLE,
) -> None:
    """Put a backup in the place of the database of a server that does not run.

    The file is held against its checksum before anything is touched, and the database that is replaced is kept beside it.
    Revisions jump ahead, so that everybody who watches begins anew.
    """
    from dataclasses import asdict

    from skerry.compose.copies import CANNOT_COPY, put_back
    from skerry.compose.settings import ServerSettings

    settings = ServerSettings(data.resolve(), keyring_file=keyring and keyring.resolve())
    try:
        facts, done = put_back(settings, file, without_keys=without_keys)
    except CANNOT_COPY as error:
        fail(error)
    lines = [f"restored {done.objects} objects of {facts.made}; revisions go on from {done.revision} (epoch {done.epoch})"]
    if done.kept:
        lines.append(f"the database that was there is kept as {done.kept}")
    value = {"backup": asdict(facts), **asdict(done), "kept": done.kept and str(done.kept)}
    show(lines, value, output)
