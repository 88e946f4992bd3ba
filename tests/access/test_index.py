"""The index says what a scan of every binding would say, however roles, bindings and clusters came and went."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.access import index as index_module
from skerry.access.index import Asked, Binding, Change, Index
from skerry.access.rules import covered, matches
from skerry.access.scopes import CLUSTERS, KEYS, ORGANIZATION, Scope, chain, cluster_chain, key_of
from skerry.machinery.identity import Rule
from skerry.restapi.cache import Item, ShutItem

GROUP = "fleet.skerry.dev"
PLACES = [("sv-1", "p.a"), ("sv-1", "p.b"), ("sv-2", "p.a")]
SCOPES = [
    ORGANIZATION,
    *(Scope("ClusterGroup", "", name) for name in ("red", "blue")),
    *(Scope("Cluster", *place) for place in PLACES),
    *(Scope("ManagementCluster", "", name) for name in ("sv-1", "sv-2")),
]
SUBJECTS = [("User", "ann"), ("User", "bob"), ("Group", "team"), ("Group", "others")]
RULES = st.builds(
    Rule,
    st.sampled_from([("get",), ("list", "get"), ("*",), ("update",)]),
    st.sampled_from([(GROUP,), ("*",), ("",)]),
    st.sampled_from([("clusters",), ("*",), ("nodepools",), ("clusters/status",)]),
    st.sampled_from([(), ("p.a",)]),
)
STEPS = st.one_of(
    st.tuples(st.just("role"), st.sampled_from("rst"), st.none() | st.lists(RULES, max_size=2)),
    st.tuples(
        st.just("binding"),
        st.sampled_from("uvwxyz"),
        st.none()
        | st.builds(Binding, st.sampled_from("rst"), st.sampled_from(SCOPES), st.lists(st.sampled_from(SUBJECTS), max_size=2).map(tuple)),
    ),
    st.tuples(st.just("cluster"), st.sampled_from(PLACES), st.sampled_from([None, "red", "blue"])),
)
CALLERS = [(("User", "ann"), ("Group", "team")), (("User", "bob"),), (("Group", "others"), ("User", "ann"))]
QUESTIONS = [Asked(verb, GROUP, *what) for verb in ("get", "update") for what in (("clusters",), ("nodepools",), ("clusters", "status"))]


@settings(deadline=None, max_examples=200)
@given(st.lists(STEPS, max_size=25))
def test_the_index_agrees_with_a_scan_of_all_bindings(steps: list[tuple[str, object, object]]) -> None:
    index = Index()
    roles: dict[object, list[Rule]] = {}
    bindings: dict[object, Binding] = {}
    groups: dict[object, str] = {}
    for revision, (what, name, value) in enumerate(steps, 1):
        known: dict[object, object] = {"role": roles, "binding": bindings, "cluster": groups}[what]  # type: ignore[assignment]
        known.pop(name, None)
        if value is not None:
            known[name] = value
        getattr(index, f"set_{what}")(name, value, revision)
        for caller in CALLERS:
            for asked in QUESTIONS:
                grants = index.grants(caller, asked)
                for place in PLACES:
                    stands = cluster_chain(*place, groups.get(place, ""))
                    scanned = any(
                        binding.scope in stands
                        and not set(caller).isdisjoint(binding.subjects)
                        and matches(rule, *asked)
                        and (not rule.names or place[1] in rule.names)
                        for binding in bindings.values()
                        for rule in roles.get(binding.role, ())
                    )
                    assert grants.allow(cluster_chain(*place, index.groups.get(place, "")), place[1]) == scanned


def test_what_is_kept_of_questions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "MOST_KEPT", 1000)
    index = Index()
    index.set_role("r", (Rule(("*",), ("*",), ("*",)),), 1)
    for number in range(40):
        index.set_binding(f"b{number}", Binding("r", Scope("ClusterGroup", "", f"g{number}"), (SUBJECTS[0],)), 2)
    assert len(index.grants((SUBJECTS[0],), Asked("get", GROUP, "x" * 60_000)).scopes) == 40
    assert index._kept == {}
    for number in range(3000):
        subjects = (SUBJECTS[number % 2],)
        assert bool(index.grants(subjects, Asked("get", GROUP, f"made-up-{number}"))) == (number % 2 == 0)
        kept = [grants for each in index._kept.values() for grants in each.values()]
        assert sum(1 + len(grants.scopes) for grants in kept) == index._weight <= 1000 + 41
    index.set_binding("b0", None, 3)
    assert list(index._kept) == [(SUBJECTS[1],)]
    assert index._weight == len(index._kept[(SUBJECTS[1],)])


def test_a_change_is_told_to_those_whom_it_concerns_and_dated() -> None:
    index, told = Index(), list[Change]()
    index.listeners.add(told.append)
    index.set_role("r", [Rule(("get",), ("",), ("x",))], 1)
    index.set_binding("b", Binding("r", ORGANIZATION, (("User", "ann"),)), 2)
    index.set_role("r", [Rule(("list",), ("",), ("x",))], 3)
    index.set_cluster(("sv-1", "p.a"), "red", 4)
    index.set_cluster(("sv-1", "p.a"), "red", 5)
    index.set_binding("b", None, 6)
    ann = frozenset((("User", "ann"),))
    assert told == [Change(ann), Change(ann), Change(cluster=("sv-1", "p.a")), Change(ann)]
    assert (index.changed([("User", "ann")]), index.changed([("User", "bob")]), index.moved) == (6, 0, 4)


def test_objects_stand_where_their_cluster_stands() -> None:
    groups = {("sv-1", "p.a"): "red"}
    whole = cluster_chain("sv-1", "p.a", "red")
    seen = b'{"metadata":{"labels":{"fleet.skerry.dev/cluster":"a"}},"source":{"namespace":"p"}}'
    event = b'{"involvedObject":{"kind":"NodePool","namespace":"sv-1","name":"p.a.md"}}'
    assert chain(CLUSTERS, Item(("sv-1", "p.a"), 1, b'{"spec":{"clusterGroup":"red"}}'), {}) == whole
    assert chain(KEYS["nodepools"], Item(("sv-1", "p.a.md"), 1, b"{}"), groups) == whole
    assert chain(KEYS["manifestsets"], Item(("sv-1", "cluster.p.a"), 1, b"{}"), groups) == whole
    for kind, name in (
        ("clusternodes", "p.a.n1.example.com"),
        ("clusterworkloads", "p.a.deployment.ns.web"),
        ("clusternamespaces", "p.a.ns"),
    ):
        assert chain(KEYS[kind], Item(("sv-1", name), 1, b"{}"), groups) == whole
        assert chain(KEYS[kind], Item(("sv-1", name.replace("p.a.", "self.sv-1.")), 1, b"{}"), groups) == whole[:2]
    assert chain(KEYS["observedobjects"], Item(("sv-1", "x"), 1, seen), groups) == whole
    assert chain("events", Item(("sv-1", "x"), 1, event), groups) == whole
    for spec in (b'{"manifestSet":"shop","cluster":"p.a"}', b'{"manifestSet":"cluster.p.a"}'):
        assert chain(KEYS["enforcedobjects"], Item(("sv-1", "shop.x"), 1, b'{"spec":%s}' % spec), groups) == whole
    site = (ORGANIZATION, Scope("ManagementCluster", "", "sv-1"))
    assert chain(KEYS["enforcedobjects"], Item(("sv-1", "cluster.p.a.x"), 1, b'{"spec":{"manifestSet":"site"}}'), groups) == site
    assert (key_of("", "events"), key_of("events.k8s.io", "events"), key_of(GROUP, "clusters")) == ("events", "events", CLUSTERS)
    assert chain("secrets", Item(("sv-1", "x"), 1, b"{}"), groups) == (ORGANIZATION, Scope("ManagementCluster", "", "sv-1"))
    shut = (ShutItem(("sv-1", "x"), 1, "no key"), ShutItem(("sv-1", "cluster.p.a"), 1, "no key"))
    assert chain("secrets", shut[0], groups) == (ORGANIZATION, Scope("ManagementCluster", "", "sv-1"))
    assert chain(KEYS["manifestsets"], shut[1], groups) == whole, "where confidential objects stand is known without opening them"
    binding = b'{"spec":{"scope":{"kind":"Cluster","namespace":"sv-1","name":"p.a"}}}'
    assert chain(KEYS["rolebindings"], Item(("", "b"), 1, binding), groups) == whole


def test_a_rule_is_covered_only_if_each_verb_on_each_resource_is() -> None:
    held = [Rule(("get", "list"), (GROUP,), ("clusters",)), Rule(("update",), (GROUP,), ("clusters", "nodepools"))]
    assert covered(Rule(("get", "update"), (GROUP,), ("clusters",)), held)
    assert not covered(Rule(("get", "update"), (GROUP,), ("clusters", "nodepools")), held)
    assert not covered(Rule(("*",), (GROUP,), ("clusters",)), held)
    assert not covered(Rule(("get",), ("*",), ("clusters",)), held)
    assert not covered(Rule(("get",), (GROUP,), ("clusters/status",)), held)
    assert covered(Rule(("get",), (GROUP,), ("clusters/status",)), [Rule(("*",), ("*",), ("*",))])
    named = [Rule(("get",), (GROUP,), ("clusters",), ("a",))]
    assert covered(Rule(("get",), (GROUP,), ("clusters",), ("a",)), named)
    assert not covered(Rule(("get",), (GROUP,), ("clusters",)), named)
