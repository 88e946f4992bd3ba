"""``skerry audit verify``: whether an audit log is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skerry.cli.common import Form, Output, fail, show

audit_app = typer.Typer(help="Look at the audit log.", no_args_is_help=True)


@audit_app.callback()
def audit() -> None:
    """Look at the audit log."""


@audit_app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The log, such as .skerry/audit.jsonl.")],
    noted: Annotated[str, typer.Option("--noted", help="A hash that an earlier verify printed: its record must still be there.")] = "",
    output: Form = Output.TABLE,
) -> None:
    """Check that no record of an audit log was changed, removed, added or moved, and that its end is there.

    The end is known from FILE.head, which the server keeps beside the log, and from a hash that you noted elsewhere.
    """
    from skerry.access.audit import head_beside
    from skerry.access.chain import verify as check

    try:
        with file.open("rb") as lines:
            verdict = check((each.rstrip(b"\n") for each in lines), head_beside(file), noted)
    except OSError as error:
        fail(error)
    found = [f"line {each.line} {each.text}" if each.line else f"the log {each.text}" for each in verdict.findings]
    state = "whole" if verdict.whole else "NOT WHOLE"
    value = {
        "whole": verdict.whole,
        "records": verdict.fitting,
        "last": verdict.head.number,
        "hash": verdict.head.hash,
        "findings": [{"line": each.line, "text": each.text, "bad": each.bad} for each in verdict.findings],
    }
    show([*found, f"{state}: {verdict.fitting} records, the last is {verdict.head.number} with hash {verdict.head.hash}"], value, output)
    if not verdict.whole:
        raise typer.Exit(1)
