"""What a plan may ask for: each action is data, and says what is to be done and not how."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from skerry.machinery.resource import Json


class Action(msgspec.Struct, frozen=True, tag_field="do"):
    """Base of the actions; ``name`` is the object's name in the management cluster's namespace."""

    name: str


class EnsureFinalizer(Action, frozen=True, tag=True):
    """Hold a Cluster or NodePool (``plural``) until the far end is empty."""

    plural: str


class RemoveFinalizer(Action, frozen=True, tag=True):
    """Let a Cluster or NodePool (``plural``) go."""

    plural: str


class LetBe(Action, frozen=True, tag=True):
    """Hold a Cluster or NodePool (``plural``) no longer: it is only observed, and stays."""

    plural: str


class ApplyManifestSet(Action, frozen=True, tag=True):
    """Send manifests to the far end; ``adopt`` are uids of objects there that become ours."""

    owner_epoch: int
    manifests: list[Json]
    adopt: list[str] = []


class DeleteManifestSet(Action, frozen=True, tag=True):
    """Have everything in the set removed from the far end."""


class LeaveManifestSet(Action, frozen=True, tag=True):
    """End the set, and have everything in it stay at the far end as it is."""

    owner_epoch: int


class ReleaseManifestSet(Action, frozen=True, tag=True):
    """Let a deleted set go although nobody has emptied the far end."""


class DeleteNodePool(Action, frozen=True, tag=True):
    """Delete a pool whose cluster is gone, or which is gone itself where its cluster is observed."""


class DiscoverCluster(Action, frozen=True, tag=True):
    """Make the object of a cluster that was found at the far end, under this uid."""

    uid: str
    spec: Json


class DiscoverNodePool(Action, frozen=True, tag=True):
    """Make the object of a node pool that was found at the far end."""

    spec: Json


class FollowCluster(Action, frozen=True, tag=True):
    """Write down what the far end asks for now."""

    spec: Json


class FollowNodePool(Action, frozen=True, tag=True):
    """Write down what the far end asks for now."""

    spec: Json


class ForgetCluster(Action, frozen=True, tag=True):
    """Delete the object of a cluster that is observed, and touch nothing else."""

    why: str


AnyAction: TypeAlias = (
    EnsureFinalizer
    | RemoveFinalizer
    | LetBe
    | ApplyManifestSet
    | DeleteManifestSet
    | LeaveManifestSet
    | ReleaseManifestSet
    | DeleteNodePool
    | DiscoverCluster
    | DiscoverNodePool
    | FollowCluster
    | FollowNodePool
    | ForgetCluster
)


def line(action: AnyAction) -> str:
    """An action in a line, for people."""
    match action:
        case ApplyManifestSet():
            objects = ", ".join(f"{each['kind']} {each['metadata']['name']}" for each in action.manifests)
            adopts = "; the Cluster that stands there is adopted" if action.adopt else ""
            return f"ApplyManifestSet {action.name}: {objects}{adopts}"
        case LeaveManifestSet():
            return f"LeaveManifestSet {action.name}: nothing is deleted at the far end"
        case ForgetCluster():
            return f"ForgetCluster {action.name}: {action.why}"
    kind = f"{action.plural}/" if isinstance(action, EnsureFinalizer | RemoveFinalizer | LetBe) else ""
    return f"{type(action).__name__} {kind}{action.name}"
