"""``skerry keys``: the keys that encrypt Secrets in the database, and a new one in their place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from skerry.cli.common import KUBECONFIG, Form, Kubeconfig, Output, ask, fail, show

if TYPE_CHECKING:
    from skerry.client.contract import Client

LOOK_SECONDS = 0.2
TELL_SECONDS = 2.0

app = typer.Typer(help="The keys that encrypt Secrets in the database.", no_args_is_help=True)


@app.command("list")
def list_keys(kubeconfig: Kubeconfig = KUBECONFIG, output: Form = Output.TABLE) -> None:
    """Print the keys and how many stored values each of them encrypts."""
    from skerry.compose.encryption import PATH

    found = ask(kubeconfig, lambda client: client.raw("GET", PATH))
    show(list(_lines(found)), found, output)


@app.command("rotate")
def rotate(kubeconfig: Kubeconfig = KUBECONFIG, output: Form = Output.TABLE) -> None:
    """Make a new key, encrypt with it all that is stored, and retire the old one, while the server runs.

    It may be interrupted: the server goes on by itself, also after a restart.
    """
    from skerry.compose.encryption import PATH, ROTATE_PATH

    async def question(client: Client) -> Any:
        found = await client.raw("POST", ROTATE_PATH)
        told = time.monotonic()
        while found["rewriting"]["running"] and not found["rewriting"]["error"]:
            await asyncio.sleep(LOOK_SECONDS)
            found = await client.raw("GET", PATH)
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                typer.echo(f"{found['rewriting']['rewritten']} values encrypted anew", err=True)
        return found

    found = ask(kubeconfig, question)
    work = found["rewriting"]
    if work["error"]:
        fail(f"{work['error']}; the server goes on with it by itself")
    done = f"{work['rewritten']} values encrypted anew; retired: {', '.join(work['retired']) or 'no key'}"
    show([done, *_lines(found)], found, output)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{'KEY':<12}{'CREATED':<24}{'VALUES':>8}  "
    for each in found["keys"]:
        yield f"{each['id']:<12}{each['created']:<24}{each['values']:>8}  {'primary' if each['primary'] else 'opens only'}"
    for each in found["missing"]:
        yield f"{each['id']:<12}{'-':<24}{each['values']:>8}  missing"
    if found["inTheClear"]:
        yield f"{'-':<12}{'-':<24}{found['inTheClear']:>8}  in the clear"
    if found["refusal"]:
        yield found["refusal"]
