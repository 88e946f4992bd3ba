"""The comparison by hand: print where Skerry and Kubernetes differ, group by group.

``python -m tests.differential.run [TEXT]`` plays the scenarios whose name holds TEXT. With
``--self`` the real server is compared with itself, which shows what the normal form of an
answer fails to even out; ``--show`` prints the real server's answers; ``--all`` prints
differences that are excused, too; ``--write`` brings the list of excuses up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from tests.differential.catalogue import chosen
from tests.differential.compare import FILE, Difference, Excuses, answers_differ, written
from tests.differential.play import Player
from tests.differential.scenario import Scenario
from tests.differential.sides import real, skerry


def play_both(ours: Player, theirs: Player, scenario: Scenario) -> tuple[list[Any], list[Any]]:
    """Play a scenario on both sides at once."""
    with ThreadPoolExecutor(2) as pool:
        mine, other = pool.submit(ours.play, scenario), pool.submit(theirs.play, scenario)
        return mine.result(), other.result()


def report(scenarios: Sequence[Scenario], ours: Player, theirs: Player, *, show: bool, excuses: Excuses) -> dict[str, list[Difference]]:
    """Print the differences of each scenario and a sum per group; return the differences by scenario."""
    unexcused: dict[str, list[Difference]] = {}
    bad: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for scenario in scenarios:
        group = scenario.name.split("/")[0]
        total[group] += 1
        mine, other = play_both(ours, theirs, scenario)
        if show:
            print(f"{scenario.name}\n{json.dumps(other, indent=1)}")
        found = excuses.unexcused(scenario.name, answers_differ(mine, other))
        if found:
            bad[group] += 1
            unexcused[scenario.name] = found
            print(f"{scenario.name}")
            for difference in found:
                print(f"   {difference}")
    print("\n".join(f"{group:20} {total[group] - bad[group]:4} of {total[group]:4} equal, or excused" for group in total))
    return unexcused


def main() -> int:
    """Start both sides and compare them."""
    parser = argparse.ArgumentParser(description="Compare Skerry with a real kube-apiserver.")
    parser.add_argument("text", nargs="?", default="", help="only scenarios whose name holds this")
    parser.add_argument("--self", action="store_true", dest="alone", help="compare the real one with itself")
    parser.add_argument("--show", action="store_true", help="print the real one's answers")
    parser.add_argument("--all", action="store_true", help="print excused differences, too")
    parser.add_argument("--write", action="store_true", help="bring differences.toml up to date")
    arguments = parser.parse_args()
    if arguments.write and (arguments.text or arguments.all or arguments.alone):
        parser.error("--write needs a whole comparison")
    began = time.monotonic()
    with ExitStack() as stack:
        theirs = Player(stack.enter_context(real()))
        ours = Player(stack.enter_context(real() if arguments.alone else skerry()))
        print(f"both sides are up after {time.monotonic() - began:.1f} s", flush=True)
        excuses = Excuses() if arguments.all or arguments.alone else Excuses.read()
        found = report(chosen(arguments.text), ours, theirs, show=arguments.show, excuses=excuses)
        if arguments.write:
            FILE.write_text(written(excuses.entries, found))
        return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
