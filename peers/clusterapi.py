"""Cluster API's four controllers on a real kube-apiserver, with machines that are simulated in memory.

    with Kubernetes(controllers=NAMESPACED) as peer, ClusterApi(peer) as capi:
        capi.install_class("fleet")          # the "in-memory" ClusterClass in a namespace
        capi.create_cluster("fleet", "shop", version="v1.35.0", control_plane=1, workers=2)

Core, kubeadm bootstrap, kubeadm control plane and the docker provider (for its in-memory
backend) run as plain processes beside the API server: no cert-manager, no containers. What
kustomize and cert-manager would do is done here:

* CRDs get the contract labels, and those with several versions convert by URL;
* each provider's webhooks are called by URL, with the run's own root as bundle, under a name of
  their own (all four providers ship the same name);
* one serving certificate for 127.0.0.1 is in every webhook folder.

Simulated machines take seconds by default; ``install_class`` makes them as quick as it is told.
The workload clusters' API servers are inside the provider, on 127.0.0.1 from port 20000 up.
``python -m peers.clusterapi`` runs one in the foreground and prints its kubeconfig.
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from peers.door import Json
from peers.kubernetes import NAMESPACED, Kubernetes, run_until_interrupted
from peers.processes import Processes, clean_environment, free_port
from peers.programs import home

CONTRACT_LABELS = {"cluster.x-k8s.io/v1beta1": "v1beta1", "cluster.x-k8s.io/v1beta2": "v1beta2"}
CLUSTERS = "/apis/cluster.x-k8s.io/v1beta2"
CLASS = "in-memory"


@dataclass(frozen=True, slots=True)
class Provider:
    """One controller: its program, where its manifests are, and the feature gates it knows."""

    name: str
    program: str
    gates: str


PROVIDERS = (
    Provider("core", "capi-core", "ClusterTopology=true,MachinePool=true"),
    Provider("bootstrap-kubeadm", "capi-bootstrap-kubeadm", "MachinePool=true"),
    Provider("controlplane-kubeadm", "capi-controlplane-kubeadm", "ClusterTopology=true"),
    Provider("infrastructure", "capi-infrastructure", "ClusterTopology=true,MachinePool=true"),
)


def _turn() -> int:
    """Wait for a lock that dies with its process; returns its file descriptor."""
    taken = os.open(Path(tempfile.gettempdir()) / f"skerry-clusterapi-{os.getuid()}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(taken, fcntl.LOCK_EX)
    return taken


class ClusterApi:
    """The controllers, ready to make clusters; a context manager on a running Kubernetes. Raises PeerMissing or PeerFailed.

    The in-memory provider opens two fixed ports, so there is one of these on a machine at a time; who comes second waits.
    """

    def __init__(self, kubernetes: Kubernetes) -> None:
        self.kubernetes = kubernetes
        self.admin = kubernetes.admin
        self._home = home("clusterapi")

    def __enter__(self) -> Self:
        self.folder = self.kubernetes.folder / "clusterapi"
        self.folder.mkdir()
        self._turn = _turn()
        self.processes = Processes(self.folder)
        self._webhooks = {provider.name: free_port() for provider in PROVIDERS}
        self._certificates = self._make_webhook_folder()
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        self.processes.stop()
        os.close(self._turn)

    def install_class(self, namespace: str, *, machine: str = "1s", step: str = "500ms", jitter: str = "0") -> None:
        """Install the ``in-memory`` ClusterClass in a namespace (made if missing) and wait until it can be used.

        ``machine`` is how long a simulated machine takes to start, ``step`` the same for node, API server and etcd on it;
        ``jitter`` is the largest fraction that is added at random.
        """
        if self.admin.call("GET", f"/api/v1/namespaces/{namespace}").status == 404:
            self.admin.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        for document in documents(self._home / "manifests" / "templates" / "clusterclass-in-memory.yaml"):
            if document["kind"] == "DevMachineTemplate":
                for part, settings in document["spec"]["template"]["spec"]["backend"]["inMemory"].items():
                    duration = machine if part == "vm" else step
                    settings["provisioning"] = {"startupDuration": duration, "startupJitter": jitter}
            self.admin.ask(
                "POST", f"/apis/{document['apiVersion']}/namespaces/{namespace}/{document['kind'].lower()}{_plural(document)}", document
            )
        path = f"{CLUSTERS}/namespaces/{namespace}/clusterclasses/{CLASS}"
        self.processes.wait_until("ClusterClass", lambda: condition(self.admin.ask("GET", path), "VariablesReady") == "True")

    def create_cluster(self, namespace: str, name: str, *, version: str, control_plane: int = 1, workers: int | None = 1) -> Json:
        """Create a cluster of the ``in-memory`` class with one pool ``md-0`` (none where ``workers`` is None); return it as stored."""
        topology: Json = {"classRef": {"name": CLASS, "namespace": namespace}, "version": version}
        topology["controlPlane"] = {"replicas": control_plane}
        if workers is not None:
            topology["workers"] = {"machineDeployments": [{"class": "default-worker", "name": "md-0", "replicas": workers}]}
        network = {
            "services": {"cidrBlocks": ["10.128.0.0/12"]},
            "pods": {"cidrBlocks": ["192.168.0.0/16"]},
            "serviceDomain": "cluster.local",
        }
        body = {
            "apiVersion": "cluster.x-k8s.io/v1beta2",
            "kind": "Cluster",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterNetwork": network, "topology": topology},
        }
        created: Json = self.admin.ask("POST", f"{CLUSTERS}/namespaces/{namespace}/clusters", body)
        return created

    def _start(self) -> None:
        manifests = self._home / "manifests"
        for provider in PROVIDERS:
            for path in sorted((manifests / provider.name / "crd" / "bases").glob("*.yaml")):
                for crd in documents(path):
                    self.admin.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", self._adapted(crd, provider))
        self.kubernetes.processes.wait_until("Cluster API's kinds", self._kinds_are_served)
        health = {provider.name: self._start_provider(provider) for provider in PROVIDERS}
        for provider in PROVIDERS:
            url = f"http://127.0.0.1:{health[provider.name]}/readyz"
            self.processes.wait_until(provider.program, lambda url=url: _answers(url), seconds=90)  # type: ignore[misc]  # mypy cannot type a lambda's default
        for provider in PROVIDERS:
            for hook in documents(manifests / provider.name / "webhook" / "manifests.yaml"):
                plural = f"{hook['kind'].lower()}s"
                self.admin.ask("POST", f"/apis/admissionregistration.k8s.io/v1/{plural}", self._called_by_url(hook, provider))

    def _kinds_are_served(self) -> bool:
        """Say whether every CRD is in discovery: a controller that starts before its kinds ends at once."""
        crds = self.admin.ask("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
        served: set[tuple[str, str]] = set()
        for group, version in {
            (crd["spec"]["group"], version["name"]) for crd in crds for version in crd["spec"]["versions"] if version["served"]
        }:
            listed = self.admin.call("GET", f"/apis/{group}/{version}")
            if listed.status != 200:
                return False
            served |= {(f"{group}/{version}", each["name"]) for each in listed.json()["resources"]}
        return all(
            (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["plural"]) in served
            for crd in crds
            for version in crd["spec"]["versions"]
            if version["served"]
        )

    def _start_provider(self, provider: Provider) -> int:
        """Start one controller and return the port of its health endpoint."""
        health = free_port()
        flags: dict[str, str | Path] = {
            "kubeconfig": self.kubernetes.kubeconfig,
            "leader-elect": "false",
            "webhook-port": str(self._webhooks[provider.name]),
            "webhook-cert-dir": self._certificates,
            "diagnostics-address": f"127.0.0.1:{free_port()}",
            "insecure-diagnostics": "true",
            "health-addr": f"127.0.0.1:{health}",
            "feature-gates": provider.gates,
            "kube-api-qps": "200",
            "kube-api-burst": "400",
        }
        if provider.name == "core":
            flags["skip-crd-migration-phases"] = "StorageVersionMigration,CleanupManagedFields"
        environment = clean_environment(self.folder, POD_IP="127.0.0.1", POD_NAMESPACE="default", POD_NAME=provider.program)
        command: list[str | Path] = [self._home / "bin" / provider.program, *(f"--{key}={value}" for key, value in flags.items())]
        self.processes.start(provider.program, command, environment)
        return health

    def _make_webhook_folder(self) -> Path:
        target = self.folder / "webhooks"
        target.mkdir()
        pair = self.kubernetes.authority.server("webhooks")
        shutil.copy(pair.certificate, target / "tls.crt")
        shutil.copy(pair.key, target / "tls.key")
        return target

    def _client_config(self, provider: Provider, path: str) -> Json:
        bundle = base64.b64encode(self.kubernetes.authority.pem).decode()
        return {"url": f"https://127.0.0.1:{self._webhooks[provider.name]}{path}", "caBundle": bundle}

    def _adapted(self, crd: Json, provider: Provider) -> Json:
        """Give a CRD the contract labels, and conversion by URL where there is something to convert."""
        crd["metadata"].setdefault("labels", {}).update(CONTRACT_LABELS)
        if len(crd["spec"]["versions"]) > 1:
            webhook = {"conversionReviewVersions": ["v1"], "clientConfig": self._client_config(provider, "/convert")}
            crd["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        return crd

    def _called_by_url(self, hook: Json, provider: Provider) -> Json:
        """Have a webhook configuration call the local process, under a name that no other provider uses."""
        hook["metadata"]["name"] = f"{provider.name}-{hook['metadata']['name']}"
        for webhook in hook["webhooks"]:
            webhook["clientConfig"] = self._client_config(provider, webhook["clientConfig"]["service"]["path"])
        return hook


def documents(path: Path) -> list[Json]:
    """Read the objects of a YAML file, with the C loader: the CRDs are 3 MB."""
    return [document for document in yaml.load_all(path.read_text(), yaml.CSafeLoader) if document]


def condition(obj: Json, kind: str) -> str:
    """Return the status of one of an object's conditions, empty if it has none."""
    found: list[dict[str, Any]] = (obj.get("status") or {}).get("conditions") or []
    return next((str(each["status"]) for each in found if each["type"] == kind), "")


def _plural(document: Json) -> str:
    return "es" if document["kind"].endswith("Class") else "s"


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - a health endpoint on 127.0.0.1 that we started
        return bool(response.status == 200)


def main() -> int:
    """Run one in the foreground, with the class installed in the namespace ``fleet``."""
    with Kubernetes(controllers=NAMESPACED) as kubernetes, ClusterApi(kubernetes) as capi:
        capi.install_class("fleet")
        print(f"export KUBECONFIG={kubernetes.kubeconfig}  # ClusterClass {CLASS} is in the namespace fleet", flush=True)
        run_until_interrupted()
    return 0


if __name__ == "__main__":
    sys.exit(main())
