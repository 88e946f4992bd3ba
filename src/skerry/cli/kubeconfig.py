"""``skerry kubeconfig`` and ``skerry version``: small things that print."""

from __future__ import annotations

from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated

import typer

from skerry.cli.common import Form, Output, fail, show


def kubeconfig(
    data: Annotated[Path, typer.Option("--data", help="Data folder of the server.")] = Path(".skerry"), output: Form = Output.YAML
) -> None:
    """Print the administrator's kubeconfig of a server that runs with the same --data."""
    from skerry.kit import yamls

    path = data / "admin.kubeconfig"
    try:
        text = path.read_text()
    except OSError as error:
        fail(f"{path} cannot be read ({error.strerror}); start the server with --data {data} first")
    value = yamls.load(text)
    show([f"{each['name']}\t{each['cluster']['server']}" for each in value["clusters"]], value, output)


def version(output: Form = Output.TABLE) -> None:
    """Print the version."""
    found = installed("skerry")
    show([found], {"version": found}, output)
