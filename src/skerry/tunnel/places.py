"""What the gateway's manifest puts into a cluster, and the agent there relies on: names that both ends must agree on. Pure."""

from __future__ import annotations

from typing import Literal, get_args

Feature = Literal["inventory", "proxy", "manifests", "administrators"]
FEATURES: tuple[Feature, ...] = get_args(Feature)
"""What an agent may be given rights for; see ``gateway/manifest.py``."""

NAMESPACE = "skerry-agent"
"""Also the name of the agent's account and of its Deployment."""
SPEAKS_FOR = "fleet.skerry.dev/agent-of"
"""Annotation of that namespace: the full name that the agent in it was sent to speak for."""
REGISTRATION = "skerry-agent-registration"
"""Secret with the one-time token."""
IDENTITY = "skerry-agent-identity"
"""Secret with the agent's key and certificate."""

DETACH = "skerry-agent-detach"
"""ClusterRole and binding that let the agent end itself."""


def role_of(feature: Feature) -> str:
    """The name of the binding of a feature, and of its ClusterRole where it has one of its own."""
    return f"{NAMESPACE}-{feature}"


ROLES = (*(role_of(feature) for feature in FEATURES if feature != "administrators"), DETACH)
BINDINGS = (*(role_of(feature) for feature in FEATURES), DETACH)
"""Every ClusterRole and ClusterRoleBinding that may stand there: nothing else of ours is outside the namespace."""

IDENTIFIES = "identifies"
"""What an agent says in its Hello that begins anew once it knows in which cluster it is, where it could not say so at first."""
