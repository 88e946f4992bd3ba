"""``skerry backup`` and ``skerry restore``: a copy of the database in one file, and its way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skerry.cli.common import Database, Form, Keyring, Output, PasswordFile, fail, show

Data = Annotated[Path, typer.Option("--data", help="Data folder of the server.")]


def backup(
    file: Annotated[Path, typer.Argument(help="File to write; one that is there is replaced when the new one is whole.")],
    data: Data = Path(".skerry"),
    database: Database = "",
    database_password_file: PasswordFile = None,
    output: Form = Output.TABLE,
) -> None:
    """Copy the database into one file, as it is at one moment, whether servers run or not.

    Secrets are in it encrypted; the keyring and the certificates are not in it.
    """
    from dataclasses import asdict

    from skerry.compose.copies import CANNOT_COPY, back_up
    from skerry.compose.settings import ServerSettings

    try:
        facts = back_up(ServerSettings(data.resolve(), database_url=database, database_password=database_password_file), file)
    except CANNOT_COPY as error:
        fail(error)
    keys = f"encrypted with key {', '.join(facts.keys)}" if facts.keys else "nothing encrypted"
    show([f"{file}: {facts.objects} objects at revision {facts.revision}, {keys}"], {"file": str(file), **asdict(facts)}, output)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that skerry backup wrote.")],
    data: Data = Path(".skerry"),
    keyring: Keyring = None,
    database: Database = "",
    database_password_file: PasswordFile = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Restore although the keyring lacks a key: those Secrets stay shut.")
    ] = False,
    output: Form = Output.TABLE,
) -> None:
    """Put a backup, of either kind of database, in the place of what a database holds.

    The file is held against its checksum before anything is touched. A server that runs goes on with what was restored. What an
    embedded database held is kept in a file beside it. Revisions jump ahead, so that everybody who watches begins anew.
    """
    from dataclasses import asdict

    from skerry.compose.copies import CANNOT_COPY, put_back
    from skerry.compose.restoring import told
    from skerry.compose.settings import ServerSettings

    settings = ServerSettings(
        data.resolve(),
        keyring_file=keyring and keyring.resolve(),
        database_url=database,
        database_password=database_password_file,
    )
    try:
        facts, done = put_back(settings, file, without_keys=without_keys)
    except CANNOT_COPY as error:
        fail(error)
    lines = [f"restored {done.objects} objects of {facts.made}; revisions go on from {done.revision} (epoch {done.epoch})"]
    if done.kept:
        lines.append(f"the database that was there is kept as {done.kept}")
    value = {"backup": asdict(facts), **told(done)}
    show(lines, value, output)
