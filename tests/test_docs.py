"""What the documents show is true: commands run, links lead somewhere, settings are named."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.e2e.server import running

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text())
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (page.parent / target).exists(), target


def test_the_files_that_the_two_traces_name_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    traces = text[text.index("## Two traces") : text.index("## Rules that hold")]
    named = re.findall(r"`([a-z]+/[a-z_/]+\.py)`", traces)
    assert len(named) >= 10
    assert [name for name in named if not (ROOT / "src" / "skerry" / name).exists()] == []


@pytest.mark.peer("kubernetes")
@pytest.mark.parametrize("page", ["tutorial/first-cluster.md", "howto/rehearse-failures.md"])
def test_every_command_of_a_page_works_in_its_order(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / page).read_text()
    commands = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) >= 10
    with running(tmp_path, "--sim") as server:
        for command in commands:
            program, *arguments = shlex.split(command)
            if program == "kubectl":
                server.kubectl(*(str(ROOT / each) if each.startswith("examples/") else each for each in arguments))
