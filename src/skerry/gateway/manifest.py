"""What is applied to a cluster so that it belongs to the fleet: a namespace, an agent, and the rights of its account. Pure.

Only kinds that every cluster has, the namespace first; applying it again changes nothing. The
rights are the least that the agent's features need:

``WHY`` says for what, and ``docs/reference/agent-rights.md`` lists both.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skerry.gateway.subscription import COUNTED, EVERYWHERE, MANAGEMENT
from skerry.kinds.common import GROUP
from skerry.machinery.resource import Json
from skerry.pki.policy import ADMINISTRATORS
from skerry.tunnel.places import BINDINGS, DETACH, FEATURES, IDENTITY, NAMESPACE, REGISTRATION, ROLES, SPEAKS_FOR, Feature, role_of

RBAC = "rbac.authorization.k8s.io"
FOLDER = "/etc/skerry"
RENEWED_BY = f"{GROUP}/registration"
"""Annotation of the agent's pod."""
LABELS = {"app.kubernetes.io/name": NAMESPACE, "app.kubernetes.io/part-of": "skerry"}

ALWAYS: Mapping[str, str] = {
    NAMESPACE: f"""\
In its own namespace the agent keeps what it has applied for each manifest set (ConfigMaps `manifest-set-*`) and its key and certificate
(Secret `{IDENTITY}`); of Secrets it reads and changes that one alone. To leave the fleet it deletes the namespace, itself included.""",
    DETACH: """\
What stands outside the namespace is made to go with it when the cluster is detached: the agent patches an owner into these objects, by
name, and Kubernetes' garbage collector does the rest. It cannot give itself more rights that way: Kubernetes lets nobody write rules
that he does not have.""",
}
"""Why the agent has the rights that no feature is needed for, by the name of the role."""

WHY: Mapping[Feature, str] = {
    "inventory": """\
To tell what is in the cluster and how well it is, the agent reads the kinds that it tells, and pods, which it counts. It reads no Secrets
and no ConfigMaps, and changes nothing.""",
    "proxy": """\
Calls through Skerry to the cluster's API (kubectl, shells) are made in the name of whoever makes them, and the cluster's own rules decide
what he may: so the agent may stand for users and groups. Who may stand for every group may stand for `system:masters`: this
feature trusts Skerry with the cluster.""",
    "manifests": """\
A manifest set may hold any object, so the agent may write any. Narrower rights are possible: leave the feature out and bind the
account to a role of your own; what it may not write is `Forbidden` in the status of the set, object by object.""",
    "administrators": f"""\
No right of the agent's: Skerry's administrators (group `{ADMINISTRATORS}`) administer the cluster through Skerry, too. Without it they are
bound in the cluster like everybody else.""",
}
"""Why a feature needs its rights, and what follows from giving them."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What stands in one cluster's manifest: the full name it gets, where its agent registers and by what, and what it may."""

    name: str
    server: str
    server_ca: bytes
    token: str = field(repr=False)
    image: str
    features: Sequence[Feature] = FEATURES
    proxy: str = field(default="", repr=False)
    proxy_ca: str = ""


def documents(made: Installation) -> list[Json]:
    """The objects, in the order in which they are applied."""
    return [
        _namespace(made),
        _object("v1", "ServiceAccount", namespace=NAMESPACE),
        *_own_room(),
        *(each for feature in made.features for each in _rights(feature, management="." not in made.name)),
        *_going(),
        _registration(made),
        _deployment(made),
    ]


def _object(api_version: str, kind: str, name: str = NAMESPACE, namespace: str = "", **more: object) -> Json:
    metadata: Json = {"name": name, "labels": dict(LABELS)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def _namespace(made: Installation) -> Json:
    """It says whose agent is in it: the same cluster is not attached under two names."""
    found = _object("v1", "Namespace")
    found["metadata"]["annotations"] = {SPEAKS_FOR: made.name}
    return found


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str], names: Sequence[str] = ()) -> Json:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs), **({"resourceNames": list(names)} if names else {})}


def _bound(kind: str, name: str, rules: Sequence[Json], namespace: str = "") -> list[Json]:
    """A role with rules, bound to the agent's account."""
    reference = {"apiGroup": RBAC, "kind": kind, "name": name}
    subjects = [{"kind": "ServiceAccount", "name": NAMESPACE, "namespace": NAMESPACE}]
    return [
        _object(f"{RBAC}/v1", kind, name, namespace, rules=list(rules)),
        _object(f"{RBAC}/v1", f"{kind}Binding", name, namespace, roleRef=reference, subjects=subjects),
    ]


def _own_room() -> list[Json]:
    rules = [
        _rule("", ["configmaps"], ["create", "delete", "get", "patch"]),
        _rule("", ["secrets"], ["create"]),
        _rule("", ["secrets"], ["get", "patch"], [IDENTITY]),
        _rule("", ["namespaces"], ["delete", "get"], [NAMESPACE]),
    ]
    return _bound("Role", NAMESPACE, rules, NAMESPACE)


def _read(kinds: Mapping[str, Sequence[str]]) -> list[Json]:
    return [_rule(group, plurals, ["get", "list", "watch"]) for group, plurals in kinds.items()]


def _rights(feature: Feature, *, management: bool) -> list[Json]:
    name = role_of(feature)
    match feature:
        case "inventory":
            return _bound("ClusterRole", name, [*_read(EVERYWHERE), *_read(COUNTED), *(_read(MANAGEMENT) if management else [])])
        case "proxy":
            return _bound("ClusterRole", name, [_rule("", ["groups", "users"], ["impersonate"])])
        case "manifests":
            return _bound("ClusterRole", name, [_rule("*", ["*"], ["*"])])
        case "administrators":
            reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
            subjects = [{"apiGroup": RBAC, "kind": "Group", "name": ADMINISTRATORS}]
            return [_object(f"{RBAC}/v1", "ClusterRoleBinding", name, roleRef=reference, subjects=subjects)]


def _going() -> list[Json]:
    """The right to let what stands in no namespace go with the namespace, and to tell one cluster from another."""
    rules = [
        _rule("", ["namespaces"], ["get"], ["kube-system"]),
        _rule(RBAC, ["clusterroles"], ["get", "patch"], ROLES),
        _rule(RBAC, ["clusterrolebindings"], ["get", "patch"], BINDINGS),
    ]
    return _bound("ClusterRole", DETACH, rules)


def _registration(made: Installation) -> Json:
    values = {"token": made.token.encode(), "server-ca.crt": made.server_ca, **({"proxy": made.proxy.encode()} if made.proxy else {})}
    values |= {"proxy-ca.crt": made.proxy_ca.encode()} if made.proxy_ca else {}
    data = {name: base64.b64encode(value).decode() for name, value in values.items()}
    return _object("v1", "Secret", REGISTRATION, NAMESPACE, type="Opaque", data=data)


def _secret_variable(name: str, key: str) -> Json:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": REGISTRATION, "key": key, "optional": True}}}


def _digest(made: Installation) -> str:
    """Differs from one manifest to the next: an agent that runs already is to read its registration again."""
    said = b"\0".join((made.token.encode(), made.proxy.encode(), made.server_ca))
    return hashlib.sha256(said).hexdigest()[:32]


def _deployment(made: Installation) -> Json:
    inspected = [f"--trust-proxy-ca={FOLDER}/proxy-ca.crt"] if made.proxy_ca else []
    container = {
        "name": "agent",
        "image": made.image,
        "args": ["agent", "--in-cluster", f"--server={made.server}", f"--server-ca={FOLDER}/server-ca.crt", *inspected],
        "env": [_secret_variable("SKERRY_REGISTRATION_TOKEN", "token"), _secret_variable("SKERRY_PROXY", "proxy")],
        "resources": {"requests": {"cpu": "20m", "memory": "80Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "registration", "mountPath": FOLDER, "readOnly": True}],
    }
    items = [{"key": name, "path": name} for name in ("server-ca.crt", *(("proxy-ca.crt",) if made.proxy_ca else ()))]
    pod = {
        "serviceAccountName": NAMESPACE,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "registration", "secret": {"secretName": REGISTRATION, "items": items}}],
    }
    annotations = {RENEWED_BY: _digest(made)}
    template = {"metadata": {"labels": dict(LABELS), "annotations": annotations}, "spec": pod}
    # one at a time: two would push each other's sessions aside
    spec = {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": dict(LABELS)}, "template": template}
    return _object("apps/v1", "Deployment", namespace=NAMESPACE, spec=spec)
