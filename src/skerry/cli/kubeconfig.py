"""``skerry kubeconfig`` and ``skerry version``: small things that print."""

from __future__ import annotations

from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated

import typer


def kubeconfig(data: Annotated[Path, typer.Option("--data", help="Data folder of the server.")] = Path(".skerry")) -> None:
    """Print the administrator's kubeconfig of a server that was started with the same --data."""
    path = data / "admin.kubeconfig"
    try:
        typer.echo(path.read_text(), nl=False)
    except OSError as error:
        typer.echo(f"skerry: {path} cannot be read ({error.strerror}); start the server with --data {data} first", err=True)
        raise typer.Exit(1) from error


def version() -> None:
    """Print the version."""
    typer.echo(installed("skerry"))
