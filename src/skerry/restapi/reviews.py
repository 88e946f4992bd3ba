"""Reviews: questions that are answered and not stored: who am I, may I, what may I."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from skerry.machinery.causes import invalid as bad
from skerry.machinery.errors import BadRequest, invalid
from skerry.machinery.identity import Attributes, Decision, Shown, User
from skerry.machinery.meta import go_type
from skerry.machinery.resource import Resource
from skerry.machinery.schema import Schema
from skerry.restapi.contract import Authorizer

Json = dict[str, Any]

ABOUT = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
SOME = "some of this holds for some objects only; ask about one of them by its name"

OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _review(group: str, kind: str) -> Resource:
    properties = {"spec": OPEN, "status": OPEN}
    return Resource(
        group=group,
        version="v1",
        kind=kind,
        plural=f"{kind.lower()}s",
        namespaced=False,
        schema=Schema({"type": "object", "properties": properties}),
        verbs=("create",),
        create_only=True,
        generation=False,
    )


ACCESS = _review("authorization.k8s.io", "SelfSubjectAccessReview")
RULES = _review("authorization.k8s.io", "SelfSubjectRulesReview")
SELF = _review("authentication.k8s.io", "SelfSubjectReview")

REVIEWS = (ACCESS, RULES, SELF)


class Asker(NamedTuple):
    """Who asks, who decides, and where to look an object up that is asked about."""

    user: User
    authorizer: Authorizer
    stored: Callable[[Attributes], Shown | None]

    def decide(self, attributes: Attributes) -> Decision:
        """Decide as the server does for a request."""
        decision = self.authorizer.authorize(attributes)
        if decision.sight is None or not attributes.name or attributes.verb == "create":
            return decision
        item = self.stored(attributes)
        if decision.sight.allows(item) if item is not None else decision.sight.whole:
            return decision
        return Decision(allowed=False, reason="" if item is not None else "there is no such object")


def review(resource: Resource, obj: Json, asker: Asker, now: str) -> Json:
    """Answer a review; ``now`` is an RFC 3339 time."""
    obj.setdefault("metadata", {})
    if resource is SELF:
        obj["metadata"]["creationTimestamp"] = now
        obj["status"] = {"userInfo": _info(asker.user)}
        return obj
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        raise BadRequest(f"a {resource.kind} needs a spec")
    obj["status"] = _access(spec, asker) if resource is ACCESS else _rules(spec, asker)
    return obj


def _info(user: User) -> Json:
    info: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {name: list(values) for name, values in user.extra.items()}
    return info


def _access(spec: Json, asker: Asker) -> Json:
    user = asker.user
    about, path = _texts(ACCESS, spec, "resourceAttributes", ABOUT), _texts(ACCESS, spec, "nonResourceAttributes", ("verb", "path"))
    if bool(about) == bool(path):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise invalid("", ACCESS.group, "", [bad("spec", spec.get("resourceAttributes"), text)])
    attributes = Attributes(user, path["verb"], path=path["path"]) if path else Attributes(user, *(about[name] for name in ABOUT))
    decision = asker.decide(attributes)
    status: Json = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _texts(resource: Resource, spec: Json, name: str, fields: Sequence[str]) -> dict[str, str]:
    """Fields of a part of the question, all of them texts; empty if the part is. Raises BadRequest."""
    part = spec.get(name) or {}
    if not isinstance(part, dict):
        raise _unreadable(resource, name, part)
    for field in fields:
        if not isinstance(part.get(field) or "", str):
            raise _unreadable(resource, f"{name}.{field}", part[field])
    return {field: part.get(field) or "" for field in fields} if part else {}


def _unreadable(resource: Resource, path: str, value: Any) -> BadRequest:
    return BadRequest(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
        f" json: cannot unmarshal {go_type(value)} into Go struct field {resource.kind}Spec.spec.{path}"
    )


def _rules(spec: Json, asker: Asker) -> Json:
    namespace = spec.get("namespace") or ""
    if not isinstance(namespace, str):
        raise _unreadable(RULES, "namespace", namespace)
    rules = asker.authorizer.rules(asker.user, namespace)
    partial = any(rule.some for rule in rules)
    return {
        "incomplete": partial,
        **({"evaluationError": SOME} if partial else {}),
        "nonResourceRules": [{"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)} for rule in rules if rule.paths],
        "resourceRules": [
            {
                "verbs": list(rule.verbs),
                "apiGroups": list(rule.groups),
                "resources": list(rule.resources),
                **({"resourceNames": list(rule.names)} if rule.names else {}),
            }
            for rule in rules
            if not rule.paths
        ],
    }
