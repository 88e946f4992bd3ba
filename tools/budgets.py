"""Hold the code against the size budgets of STYLE: `make check` runs this.

Files: median ≤ 150 lines, 95th percentile ≤ 450, none over 600. Functions: 95th percentile of
the body ≤ 40 lines. Classes ≤ 250 lines. In-project inheritance at most two deep (errors
excepted). Async functions: at most 35 % of all, and none in the pure rooms. Generated
files do not count.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "src" / "skerry"
GENERATED = {"link_pb2.py", "link_pb2_grpc.py"}
PURE = ("machinery", "kinds", "capi")
PURE_FILES = ("pki/policy.py", "tunnel/rules.py", "tunnel/session.py", "tunnel/telling.py")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Tally:
    """What was measured over the whole tree."""

    files: dict[str, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)
    asynchronous: list[str] = field(default_factory=list)


def measure(root: Path) -> Tally:
    """Read every module under ``root``."""
    tally = Tally()
    for path in sorted(root.rglob("*.py")):
        if path.name in GENERATED:
            continue
        name = path.relative_to(root).as_posix()
        text = path.read_text()
        if path.name != "__init__.py":
            tally.files[name] = text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                where = f"{name}:{node.lineno} {node.name}"
                tally.functions[where] = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
                if isinstance(node, ast.AsyncFunctionDef):
                    tally.asynchronous.append(where)
            elif isinstance(node, ast.ClassDef):
                tally.classes[f"{name}:{node.lineno} {node.name}"] = (node.end_lineno or node.lineno) - node.lineno + 1
                tally.bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return tally


def percentile(values: Sequence[int], share: int) -> float:
    """The value below which ``share`` percent of the values lie."""
    return statistics.quantiles(values, n=100)[share - 1] if len(values) > 1 else (values or [0])[0]


def depth(name: str, bases: dict[str, list[str]]) -> int:
    """How many in-project ancestors a class has above it, at the longest."""
    return max((1 + depth(base, bases) for base in bases.get(name, ()) if base in bases and base != name), default=0)


def is_pure(name: str) -> bool:
    """Tell whether a module belongs to a room that does no I/O."""
    return name.split("/", maxsplit=1)[0] in PURE or name in PURE_FILES or name.endswith("/plan.py")


def findings(tally: Tally) -> Iterator[str]:
    """Yield what is over budget, one sentence each."""
    lines = list(tally.files.values())
    if (median := statistics.median(lines)) > 150:
        yield f"the median module has {median:.0f} lines; the budget is 150"
    if (tail := percentile(lines, 95)) > 450:
        yield f"the 95th percentile of modules is {tail:.0f} lines; the budget is 450"
    yield from (f"{name} has {size} lines; no module may have more than 600" for name, size in tally.files.items() if size > 600)
    bodies = list(tally.functions.values())
    if (tail := percentile(bodies, 95)) > 40:
        yield f"the 95th percentile of functions is {tail:.0f} lines; the budget is 40"
    yield from (f"{where} has {size} lines; a class may have 250" for where, size in tally.classes.items() if size > 250)
    for name in tally.bases:
        if depth(name, tally.bases) > 2 and not is_error(name, tally.bases):
            yield f"class {name} has more than two ancestors of ours"
    if (share := len(tally.asynchronous) / max(len(tally.functions), 1)) > 0.35:
        yield f"{share:.0%} of the functions are async; the budget is 35 %"
    yield from (f"{where} is async in a pure room" for where in tally.asynchronous if is_pure(where.split(":")[0]))


def is_error(name: str, bases: dict[str, list[str]]) -> bool:
    """Errors may be a tree."""
    return name.endswith(("Error", "Exception")) or any(is_error(base, bases) for base in bases.get(name, ()) if base != name)


def main() -> int:
    """Print the figures and what is over budget; exit 1 if anything is."""
    tally = measure(ROOT)
    lines = sorted(tally.files.values())
    over = list(findings(tally))
    print(
        f"budgets: {len(lines)} modules, median {statistics.median(lines):.0f} lines, largest {lines[-1]}; "
        f"{len(tally.functions)} functions, {len(tally.asynchronous) / max(len(tally.functions), 1):.0%} async"
    )
    for finding in over:
        print(f"budgets: {finding}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
