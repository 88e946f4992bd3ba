from __future__ import annotations

import pytest

from skerry.access.authorization import COMPONENT_RULES, Authorization
from skerry.access.rules import allows
from skerry.kinds import catalogue
from skerry.kinds.common import GROUP as FLEET
from skerry.machinery.identity import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, Attributes, Rule, User
from skerry.pki import policy

DOOR = Authorization(catalogue.MIRRORED)
ADMIN = User("admin", groups=(policy.ADMINISTRATORS, AUTHENTICATED))
GATEWAY = User(policy.component("gateway"), groups=(policy.COMPONENTS, AUTHENTICATED))
CONTROLLERS = User(policy.component("controllers"), groups=(policy.COMPONENTS, AUTHENTICATED))
AGENT = User(policy.agent("sv-1"), groups=(policy.AGENTS, AUTHENTICATED))
KNOWN = User("bob", groups=(AUTHENTICATED,))
NOBODY = User(ANONYMOUS, groups=(UNAUTHENTICATED,))
PUBLIC = ("/healthz", "/livez", "/readyz", "/version")


def may(user: User, verb: str, resource: str = "", group: str = FLEET, *, sub: str = "", path: str = "") -> bool:
    return DOOR.authorize(Attributes(user, verb, "" if path else group, "v1", resource, sub, path=path)).allowed


@pytest.mark.parametrize("path", PUBLIC)
def test_everybody_may_ask_for_health_and_version_and_only_ask(path: str) -> None:
    for user in (ADMIN, GATEWAY, AGENT, KNOWN, NOBODY):
        assert may(user, "get", path=path)
    for user in (AGENT, KNOWN, NOBODY):
        assert not may(user, "post", path=path)


@pytest.mark.parametrize("user", [NOBODY, AGENT])
def test_nobody_and_agents_may_do_nothing_else(user: User) -> None:
    assert not any(may(user, "get", path=path) for path in ("/", "/api", "/apis", "/apis/apps/v1", "/openapi/v2", "/healthzz", "/metrics"))
    for resource in catalogue.ALL:
        for verb in (*resource.verbs, "*"):
            assert not may(user, verb, resource.plural, resource.group)
    assert not may(user, "create", "selfsubjectreviews", "authentication.k8s.io")


def test_whoever_is_known_may_look_around_and_ask_about_himself() -> None:
    assert all(may(KNOWN, "get", path=path) for path in ("/api", "/apis", "/apis/fleet.skerry.dev/v1alpha1", "/openapi/v3"))
    assert may(KNOWN, "create", "selfsubjectaccessreviews", "authorization.k8s.io")
    assert not may(KNOWN, "get", "clusters")
    assert not may(KNOWN, "create", "subjectaccessreviews", "authorization.k8s.io")


def test_an_administrator_may_do_everything_but_write_what_is_mirrored() -> None:
    for resource in catalogue.ALL:
        for verb in resource.verbs:
            wanted = resource.key not in catalogue.MIRRORED or verb in {"get", "list", "watch"}
            assert may(ADMIN, verb, resource.plural, resource.group) == wanted, (verb, resource.plural)
    assert may(ADMIN, "get", path="/anything")
    assert "can only be read" in DOOR.authorize(Attributes(ADMIN, "delete", FLEET, "v1", "clusterclasses")).reason


def test_the_name_of_a_component_is_worth_nothing_without_its_group() -> None:
    assert not DOOR.authorize(Attributes(User(GATEWAY.name, groups=(AUTHENTICATED,)), "list", FLEET, "v1", "manifestsets")).allowed
    assert not DOOR.authorize(Attributes(User("skerry:component:new", groups=GATEWAY.groups), "list", FLEET, "v1", "clusters")).allowed


def test_the_gateway_reports_and_does_not_decide() -> None:
    assert may(GATEWAY, "watch", "manifestsets")
    assert may(GATEWAY, "patch", "manifestsets", sub="status")
    assert may(GATEWAY, "delete", "secrets", "")
    assert not may(GATEWAY, "create", "manifestsets")
    assert not may(GATEWAY, "list", "secrets", "")
    assert not may(GATEWAY, "patch", "clusters", sub="status")


def test_the_controllers_may_write_what_is_mirrored() -> None:
    assert may(CONTROLLERS, "create", "clusterclasses")
    assert may(CONTROLLERS, "update", "namespaces", "", sub="finalize")
    assert may(CONTROLLERS, "get", path="/apis")


def test_the_listed_rules_are_the_ones_that_decide() -> None:
    for user in (ADMIN, GATEWAY, CONTROLLERS, AGENT, KNOWN, NOBODY):
        for resource in (each for each in catalogue.ALL if each.plural != "apitokens"):  # whoever is known has some of these
            asked = Attributes(user, "get", resource.group, resource.version, resource.plural)
            assert DOOR.authorize(asked).allowed == any(allows(rule, asked) for rule in DOOR.rules(user, ""))


@pytest.mark.parametrize(
    ("rule", "resource", "sub", "name", "allowed"),
    [
        (Rule(("get",), ("",), ("pods",)), "pods", "", "a", True),
        (Rule(("get",), ("",), ("pods",)), "pods", "log", "a", False),
        (Rule(("get",), ("",), ("pods/log",)), "pods", "log", "a", True),
        (Rule(("get",), ("",), ("pods/log",)), "pods", "", "a", False),
        (Rule(("get",), ("",), ("*/log",)), "pods", "log", "a", True),
        (Rule(("get",), ("",), ("*",)), "pods", "log", "a", True),
        (Rule(("get",), ("",), ("pods",), ("a",)), "pods", "", "a", True),
        (Rule(("get",), ("",), ("pods",), ("a",)), "pods", "", "", False),
        (Rule(("get",), ("apps",), ("pods",)), "pods", "", "a", False),
        (Rule(("*",), paths=("*",)), "pods", "", "a", False),
    ],
)
def test_a_rule_covers_what_kubernetes_says_it_covers(rule: Rule, resource: str, sub: str, name: str, allowed: bool) -> None:
    assert allows(rule, Attributes(KNOWN, "get", "", "v1", resource, sub, name=name)) == allowed


def test_every_rule_of_a_component_names_kinds_that_are_served() -> None:
    served = {(resource.group, resource.plural) for resource in catalogue.ALL} | {("events.k8s.io", "events")}
    for rules in COMPONENT_RULES.values():
        for rule in rules:
            named = {(group, each.split("/")[0]) for group in rule.groups for each in rule.resources} - {("*", "*")}
            assert named <= served
