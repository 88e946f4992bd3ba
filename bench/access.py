"""What a decision costs: ten thousand clusters in 100 groups, five thousand bindings, CPU time per question.

`python -m bench.access`. The index is built as a server builds it, object by object; a caller
is in three groups and holds ten bindings.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

import msgspec

from skerry.access import builtin
from skerry.access.authorization import Authorization
from skerry.access.index import Binding
from skerry.access.scopes import Scope
from skerry.kinds.common import GROUP, VERSION
from skerry.machinery.identity import AUTHENTICATED, Attributes, User
from skerry.restapi.cache import Item

CLUSTERS, BINDINGS, GROUPS = 10_000, 5_000, 100
CALLER = User("user-1", groups=("team-1", "team-2", AUTHENTICATED))


def built() -> tuple[Authorization, list[Item]]:
    door = Authorization(frozenset())
    index = door.index
    for name, rules in builtin.ROLES.items():
        index.set_role(name, rules, 1)
    items = []
    for number in range(CLUSTERS):
        place, group = (f"sv-{number % 10}", f"p.c{number}"), f"g{number % GROUPS}"
        index.set_cluster(place, group, number)
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Cluster", "metadata": {"name": place[1]}, "spec": {"clusterGroup": group}}
        items.append(Item(place, number, msgspec.json.encode({**body, "status": {"filler": "x" * 1500}})))
    for number in range(BINDINGS):
        scope = Scope("ClusterGroup", "", f"g{number % GROUPS}")
        subject = ("User", f"user-{number // 10}")
        index.set_binding(f"b{number}", Binding(random.choice(("clustergroup.view", "cluster.edit")), scope, (subject,)), number)
    return door, items


def cost(what: str, times: int, run: Callable[[], object]) -> None:
    run()
    begun = time.process_time()
    for _ in range(times):
        run()
    sys.stdout.write(f"{what:<58}{(time.process_time() - begun) / times * 1e6:>12,.1f} µs\n")


def main() -> None:
    begun = time.process_time()
    door, items = built()
    sys.stdout.write(f"{'building the index, once':<58}{(time.process_time() - begun) * 1e6:>12,.1f} µs\n")
    named = Attributes(CALLER, "get", GROUP, VERSION, "clusters", "", *items[0].place)

    def one() -> None:
        sight = door.authorize(named).sight
        assert sight is not None
        sight.allows(items[0])

    def first() -> None:
        door.index.set_binding("b10", door.index.bindings["b10"], 1)
        one()

    def every() -> None:
        sight = door.authorize(named._replace(verb="list", name="")).sight
        assert sight is not None
        assert sum(map(sight.allows, items)) == CLUSTERS // 10

    cost("one object, decided", 20_000, one)
    cost("one object, after a binding of the caller changed", 2_000, first)
    cost("a list of 10,000, filtered", 5, every)
    admin = named._replace(user=User("admin", groups=("skerry:administrators", AUTHENTICATED)))
    cost("the administrator, by table", 20_000, lambda: door.authorize(admin))


if __name__ == "__main__":
    main()
