"""Real clients see no difference: two versions of kubectl and the official Python client, run against both servers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kubernetes import client as official
from kubernetes import watch as official_watch
from kubernetes.client.exceptions import ApiException

from peers.door import Door
from peers.kubectl import Kubectl, Ran
from peers.kubernetes import write_kubeconfig
from tests.differential.play import Names
from tests.differential.sides import real, skerry

pytestmark = pytest.mark.peer("kubernetes", "kubectl-older")

GROUP = ("diff.skerry.dev", "v1")
WIDGET = """
apiVersion: diff.skerry.dev/v1
kind: Widget
metadata: {name: w, labels: {app: x}}
spec: {color: blue, ports: [{name: http, port: 80}]}
"""
EVENT = """
apiVersion: v1
kind: Event
metadata: {name: a}
involvedObject: {apiVersion: diff.skerry.dev/v1, kind: Widget, name: w, namespace: NS}
reason: Broke
message: It is broken.
type: Warning
source: {component: tester}
firstTimestamp: 2001-02-03T04:05:06Z
lastTimestamp: 2001-02-03T04:05:06Z
count: 3
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: v}\n"
BROKEN = WIDGET.replace("blue", "pink")

COMMANDS: tuple[tuple[str, str], ...] = (
    ("create namespace NS", ""),
    ("apply -n NS -f -", WIDGET),
    ("apply -n NS -f -", WIDGET),
    ("apply -n NS -f -", WIDGET.replace("blue", "green")),
    ("get -n NS widgets", ""),
    ("get -n NS wd -o wide", ""),
    ("get -n NS widget w -o jsonpath={.spec.color}", ""),
    ("get -n NS widget w -o name", ""),
    ("get -n NS widgets -l app=x --no-headers", ""),
    ("get -n NS widgets --field-selector spec.color=red", ""),
    ("get -n NS widget nope", ""),
    ("get -n NS gadgets", ""),
    ("diff -n NS -f -", WIDGET.replace("blue", "green")),
    ("create -n NS -f -", WIDGET),
    ("apply -n NS -f -", BROKEN),
    ("apply -n NS --server-side -f -", WIDGET.replace("{name: w, labels: {app: x}}", "{name: s}")),
    (
        "apply -n NS --server-side --field-manager other -f -",
        WIDGET.replace("{name: w, labels: {app: x}}", "{name: s}").replace("blue", "red"),
    ),
    ('patch -n NS widget w --type merge -p {"spec":{"size":5}}', ""),
    ('patch -n NS widget w -p {"spec":{"size":5}}', ""),
    ("label -n NS widget w tier=front", ""),
    ("label -n NS widget w tier=back", ""),
    ("annotate -n NS widget w note=hello", ""),
    ("wait -n NS widget w --for jsonpath={.spec.size}=5 --timeout 5s", ""),
    ("apply -n NS -f -", CONFIG),
    ('patch -n NS configmap c -p {"data":{"l":"w"}}', ""),
    ("get -n NS configmap c -o jsonpath={.data}", ""),
    ("create secret generic -n NS s --from-literal=p=q", ""),
    ("auth can-i create widgets.diff.skerry.dev -n NS", ""),
    ("explain widgets.diff.skerry.dev.spec.color", ""),
    ("explain widgets.diff.skerry.dev.spec.ports", ""),
    ("api-resources --api-group diff.skerry.dev", ""),
    ("create -n NS -f -", EVENT),
    ("get -n NS events", ""),
    ("get -n NS ev -o wide", ""),
    ("get -n NS events.events.k8s.io a -o yaml", ""),
    ("events -n NS", ""),
    ("events -n NS --for widget/w --types Warning", ""),
    ("describe -n NS widget w", ""),
    ("describe -n NS secret s", ""),
    ("get -n NS secret s", ""),
    ("get -n NS configmap c -o wide", ""),
    ("explain widgets.diff.skerry.dev.spec.ports --output plaintext-openapiv2", ""),
    ("explain widgets.diff.skerry.dev --recursive --output plaintext-openapiv2", ""),
    ("explain events.v1.events.k8s.io.regarding", ""),
    ("create -n NS -f - --validate=true", WIDGET.replace("color", "colour")),
    ("delete -n NS widget w --dry-run=server", ""),
    ("delete -n NS widget w", ""),
    ("delete -n NS widget w", ""),
    ("delete -n NS widget w --ignore-not-found", ""),
    ("delete -n NS widgets --all", ""),
    ("delete namespace NS", ""),
    ("get namespace NS", ""),
)


class Both(NamedTuple):
    """The two doors and a folder for the clients' files."""

    ours: Door
    theirs: Door
    folder: Path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(stack.enter_context(skerry()), stack.enter_context(real()), tmp_path_factory.mktemp("clients"))


def printed(ran: Ran) -> str:
    """What a command printed and its exit code, without ages, times and ports."""
    text = f"exit {ran.code}\n{ran.out}\n{ran.err}"
    text = re.sub(r"/tmp/\S+", "<file>", re.sub(r"\b\d+m?s\b", "<age>", text))
    text = re.sub(r"(?i)(resource ?version): +\"?\d+\"?", r"\1: <revision>", text)
    text = re.sub(r"(?m)^(---|\+\+\+) <file>.*$", r"\1 <file>", text)
    return re.sub(r" +", " ", Names().text(text))


@pytest.mark.parametrize("group", ["kubernetes", "kubectl-older"])
def test_kubectl_prints_the_same(both: Both, group: str) -> None:
    namespace = f"k-{group}"
    kubectls = []
    for side, door in (("ours", both.ours), ("theirs", both.theirs)):
        kubeconfig = write_kubeconfig(both.folder / f"{group}-{side}.kubeconfig", door)
        kubectls.append(Kubectl(kubeconfig, both.folder / f"{group}-{side}", group=group))
    unlike = []
    for command, stdin in COMMANDS:
        arguments = command.replace("NS", namespace).split(" ")
        ours, theirs = (printed(kubectl(*arguments, stdin=stdin.replace("NS", namespace))) for kubectl in kubectls)
        if ours != theirs:
            unlike.append(f"$ kubectl {command}\n--- ours\n{ours}\n--- theirs\n{theirs}")
    assert not unlike, "\n".join(unlike)


def test_the_official_python_client_sees_the_same(both: Both) -> None:
    assert python_session(both.ours) == python_session(both.theirs)


def python_session(door: Door) -> list[Any]:
    """Do what programs do with the Python client; return what it saw, without what differs from run to run."""
    settings = official.Configuration()
    settings.host, settings.ssl_ca_cert = door.url, str(door.ca_file)
    settings.api_key = {"authorization": f"Bearer {door.token}"}
    api = official.ApiClient(settings)
    plain: Callable[[object], Any] = api.sanitize_for_serialization
    core = official.CoreV1Api(api)
    custom: Any = official.CustomObjectsApi(api)  # its results are bare objects: whatever the kind has
    stream: Any = official_watch.Watch  # not typed
    where: dict[str, Any] = {"group": GROUP[0], "version": GROUP[1], "namespace": "python", "plural": "widgets"}
    widget = {"apiVersion": "/".join(GROUP), "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 2}}

    core.create_namespace(official.V1Namespace(metadata=official.V1ObjectMeta(name="python")))
    made = custom.create_namespaced_custom_object(**where, body=widget)
    seen = [
        made["spec"],
        failed(lambda: custom.create_namespaced_custom_object(**where, body=widget)),
        failed(lambda: custom.get_namespaced_custom_object(**where, name="b")),
        failed(lambda: custom.patch_namespaced_custom_object(**where, name="a", body={"spec": {"size": 99}})),
        custom.patch_namespaced_custom_object(**where, name="a", body={"spec": {"size": 3}})["metadata"]["generation"],
        custom.patch_namespaced_custom_object_status(**where, name="a", body={"status": {"count": 1}})["status"],
        [each["metadata"]["name"] for each in custom.list_namespaced_custom_object(**where)["items"]],
    ]
    events = stream().stream(
        custom.list_namespaced_custom_object, **where, resource_version=made["metadata"]["resourceVersion"], timeout_seconds=1
    )
    seen.append([(event["type"], event["object"]["metadata"]["generation"]) for event in events])
    core.create_namespaced_config_map("python", official.V1ConfigMap(metadata=official.V1ObjectMeta(name="c"), data={"k": "v"}))
    listed = plain(core.list_namespaced_config_map("python", field_selector="metadata.name=c"))
    seen.append([(each["metadata"]["name"], each["data"]) for each in listed["items"]])
    secret = official.V1Secret(metadata=official.V1ObjectMeta(name="s"), string_data={"p": "q"})
    seen.append(core.create_namespaced_secret("python", secret).data)
    lease = official.V1Lease(metadata=official.V1ObjectMeta(name="l"), spec=official.V1LeaseSpec(holder_identity="me"))
    seen.append(plain(official.CoordinationV1Api(api).create_namespaced_lease("python", lease))["spec"])
    custom.delete_namespaced_custom_object(**where, name="a")
    seen.append(failed(lambda: custom.get_namespaced_custom_object(**where, name="a")))
    core.delete_namespace("python")
    return seen


def failed(call: Callable[[], object]) -> Any:
    """Make a call that must fail and return the server's Status."""
    with pytest.raises(ApiException) as error:
        call()
    return json.loads(error.value.body or "")
