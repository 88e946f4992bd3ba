"""What a management cluster offers, as read from reports."""

from __future__ import annotations

from typing import Any

from skerry.controllers.mirror.plan import MARK, offered, steps

Json = dict[str, Any]


def report(api_version: str, kind: str, name: str, obj: Json, namespace: str = "team-a") -> Json:
    return {"source": {"apiVersion": api_version, "kind": kind, "name": name, "namespace": namespace}, "object": obj}


VARIABLE = {"name": "size", "definitions": [{"required": True, "from": "inline", "schema": {"openAPIV3Schema": {"type": "string"}}}]}
CLASS = report(
    "cluster.x-k8s.io/v1beta2",
    "ClusterClass",
    "std",
    {
        "spec": {
            "workers": {"machineDeployments": [{"class": "node-pool"}]},
            "kubernetesVersions": ["v1.34.2"],
            "variables": [{"name": "stale"}],
        },
        "status": {"variables": [VARIABLE]},
    },
)


def release(version: str, **labels: str) -> Json:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "Compatible", "status": "True"}]
    body = {"metadata": {"labels": labels}, "spec": {"version": version}, "status": {"conditions": conditions}}
    return report("run.tanzu.vmware.com/v1alpha3", "TanzuKubernetesRelease", version.replace("+", "---"), body, "")


def test_a_class_is_mirrored_with_the_variables_that_its_status_reports() -> None:
    found = offered("sv-1", [CLASS])
    assert found[("clusterclasses", "team-a.std")]["spec"] == {
        "provisioner": "team-a",
        "apiVersion": "cluster.x-k8s.io/v1beta2",
        "workerClasses": ["node-pool"],
        "kubernetesVersions": ["v1.34.2"],
        "variables": [{"name": "size", "required": True, "schema": {"type": "string"}}],
    }


def test_versions_of_a_class_become_releases_and_its_namespace_a_provisioner() -> None:
    assert set(offered("sv-1", [CLASS])) == {
        ("clusterclasses", "team-a.std"),
        ("kubernetesreleases", "v1.34.2"),
        ("provisioners", "team-a"),
    }


def test_a_release_is_named_without_a_plus_and_is_not_compatible_when_it_is_deactivated() -> None:
    found = offered("sv-1", [release("v1.26.5+vmware.2-tkg.1"), release("v1.25.7+vmware.3-tkg.1", deactivated="")])
    assert found[("kubernetesreleases", "v1.26.5---vmware.2-tkg.1")]["spec"]["compatible"] is True
    assert found[("kubernetesreleases", "v1.25.7---vmware.3-tkg.1")]["spec"]["compatible"] is False


def test_what_is_seen_no_longer_is_removed_but_never_what_somebody_made_here_or_still_uses() -> None:
    present = offered("sv-1", [CLASS])
    mine = {"kind": "Provisioner", "metadata": {"name": "mine"}, "spec": {}}
    gone = steps({}, {**present, ("provisioners", "mine"): mine}, {"team-a"})
    assert [(step.do, step.plural) for step in gone] == [("delete", "clusterclasses"), ("delete", "kubernetesreleases")]


def test_nothing_is_written_where_nothing_changed() -> None:
    present = offered("sv-1", [CLASS])
    assert all(each["metadata"]["labels"] == {MARK: "true"} for each in present.values())
    assert steps(offered("sv-1", [CLASS]), present, set()) == []
