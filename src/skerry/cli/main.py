"""The command line: one module per verb, this one puts them together."""

from __future__ import annotations

from typing import Annotated

import typer

from skerry.cli import agent, attach, audit, copies, doctor, explain, keys, kubeconfig, serve

EXIT_CODES = (
    "Exit codes: 0 done, or a server that was told to stop; 1 it failed, and the message on standard error says why; "
    "2 the command line was wrong; 130 interrupted by Ctrl-C."
)

app = typer.Typer(
    name="skerry",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        kubeconfig.version()
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Self-managed mission control for Kubernetes fleets."""


app.command("up")(serve.up)
app.command("server")(serve.server)
app.command("agent")(agent.agent)
app.command("token")(agent.token)
app.command("attach")(attach.attach)
app.command("detach")(attach.detach)
app.add_typer(audit.audit_app, name="audit")
app.add_typer(explain.explain_app, name="explain")
app.add_typer(explain.tree_app, name="tree")
app.add_typer(keys.app, name="keys")
app.command("backup")(copies.backup)
app.command("restore")(copies.restore)
app.command("doctor")(doctor.doctor)
app.add_typer(doctor.support_app, name="support")
app.add_typer(kubeconfig.kubeconfig_app, name="kubeconfig")
app.command("version")(kubeconfig.version)


def run() -> None:
    """Run the command line."""
    app()
