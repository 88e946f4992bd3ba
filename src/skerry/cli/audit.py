"""``skerry audit verify``: whether an audit log is whole."""

from __future__ import annotations

import fileinput
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from skerry.cli.common import Form, Output, fail, show

HEADLESS = (
    "has no .head beside it: whether records were cut off its end cannot be told; compare the last hash with one that you noted (--noted)"
)

audit_app = typer.Typer(help="Look at the audit log.", no_args_is_help=True)


@audit_app.callback()
def audit() -> None:
    """Look at the audit log."""


@audit_app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="The log, such as .skerry/audit.jsonl; after its older parts, if it was rotated.")],
    noted: Annotated[str, typer.Option("--noted", help="A hash that an earlier verify printed: its record must still be there.")] = "",
    after: Annotated[str, typer.Option("--after", help="The hash of the last record before the first file, if older parts are gone.")] = "",
    output: Form = Output.TABLE,
) -> None:
    """Check that no record of an audit log was changed, removed, added or moved, and that its end is there.

    The end is known from the last file's .head, which the server keeps beside the log, and from a hash that you noted elsewhere.
    """
    from skerry.access.audit import head_beside
    from skerry.access.chain import Finding
    from skerry.access.chain import verify as check

    places: dict[str, int] = {}
    try:
        with fileinput.input(files, mode="rb") as lines:
            head = head_beside(files[-1])
            verdict = check(_noting_where(lines, places), head, noted, after)
    except OSError as error:
        fail(error)
    if head is None:
        verdict = verdict._replace(findings=(*verdict.findings, Finding(0, HEADLESS, bad=False)))
    found = [f"{_shown(places, each.line)} {each.text}" if each.line else f"the log {each.text}" for each in verdict.findings]
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


def _noting_where(lines: fileinput.FileInput[bytes], places: dict[str, int]) -> Iterator[bytes]:
    """The lines of all files; notes in ``places`` before which line each file begins."""
    for line in lines:
        places.setdefault(lines.filename(), lines.lineno() - 1)
        yield line.rstrip(b"\n")


def _shown(places: Mapping[str, int], line: int) -> str:
    """Where a line of all is: in which file, if there are several, and at which line of it."""
    name, begins = [each for each in places.items() if each[1] < line][-1]
    return f"{name}: line {line - begins}" if len(places) > 1 else f"line {line}"
