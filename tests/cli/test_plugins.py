"""Exec plugins of kubeconfigs, run by real programs: what they are told, what is taken of what they print, how they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from skerry.cli.plugins import INFO, login
from skerry.client.kubeconfig import KubeconfigError, read
from tests.client.test_kubeconfig import ADMIN

API = "client.authentication.k8s.io/v1"
SERVER = "https://api.example"


def kubeconfig(folder: Path, script: str, **plugin: Any) -> Path:
    """A kubeconfig whose user logs in by a shell script beside it."""
    program = folder / "plugin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    extensions = [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "far"}}]
    document = {
        "clusters": [{"name": "c", "cluster": {"server": SERVER, "extensions": extensions}}],
        "users": [{"name": "u", "user": {"exec": {"apiVersion": API, "command": "./plugin", "interactiveMode": "Never", **plugin}}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return path


def printing(status: object) -> str:
    return f"printf %s '{json.dumps({'apiVersion': API, 'kind': 'ExecCredential', 'status': status})}'"


def test_the_token_that_a_program_prints_is_used(tmp_path: Path) -> None:
    script = "[ \"$1 $STAGE\" = 'get-token prod' ] || exit 9\n" + printing({"token": "t", "expirationTimestamp": "2030-01-01T00:00:00Z"})
    path = kubeconfig(tmp_path, script, args=["get-token"], env=[{"name": "STAGE", "value": "prod"}])
    assert read(path, login=login).token == "t"


def test_a_certificate_is_taken_as_well(tmp_path: Path) -> None:
    status = {"clientCertificateData": ADMIN.certificate.decode(), "clientKeyData": ADMIN.key.decode()}
    found = read(kubeconfig(tmp_path, printing(status)), login=login)
    assert (found.certificate, found.key) == (ADMIN.certificate, ADMIN.key)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_program_is_told_what_kubectl_tells_it(tmp_path: Path, wanted: bool) -> None:
    script = f'printf %s "${INFO}" > "$(dirname "$0")/told"\n' + printing({"token": "t"})
    read(kubeconfig(tmp_path, script, provideClusterInfo=wanted), login=login)
    spec: dict[str, Any] = {"interactive": False}
    if wanted:
        spec["cluster"] = {"server": SERVER, "config": {"audience": "far"}}
    assert json.loads((tmp_path / "told").read_text()) == {"apiVersion": API, "kind": "ExecCredential", "spec": spec}


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 3", "failed with code 3"),
        ("echo hello", "printed no ExecCredential"),
        ("echo 7", "printed no ExecCredential"),
        (printing({}), "without a token or a certificate"),
        (printing({"clientCertificateData": "x"}), "come together"),
    ],
)
def test_a_program_that_gives_nothing_is_named(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(KubeconfigError, match=says):
        read(kubeconfig(tmp_path, script), login=login)


def test_a_program_that_is_not_there_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "", command="no-such-program", installHint="see https://install.example")
    with pytest.raises(KubeconfigError, match=r"no-such-program of .*/config cannot be run: No such file.*; see https://install\.example"):
        read(path, login=login)


def test_nothing_is_run_unasked(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="exec plugin"):
        read(kubeconfig(tmp_path, 'touch "$(dirname "$0")/ran"'))
    assert not (tmp_path / "ran").exists()
