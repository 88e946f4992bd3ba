"""Exec plugins: programs that a kubeconfig names, and that print a token or a client certificate (``aws eks get-token``).

A command that somebody calls with his own kubeconfig runs one as kubectl does, with the terminal for questions.
Servers and agents run none: what a file names must not be run where nobody looks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skerry.client.kubeconfig import KubeconfigError

INFO = "KUBERNETES_EXEC_INFO"
OUT_OF = {"token": "token", "clientCertificateData": "certificate", "clientKeyData": "key"}


def login(plugin: Mapping[str, Any], cluster: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Run the plugin of a user of a kubeconfig; returns what there is of ``token``, ``certificate`` and ``key``.

    Raises KubeconfigError.
    """
    command = str(plugin.get("command") or "")
    if os.sep in command:
        command = str((path.parent / command).absolute())
    named = f"the exec plugin {plugin.get('command')} of {path}"
    try:
        called = [command, *map(str, plugin.get("args") or ())]
        given = {str(each.get("name")): str(each.get("value", "")) for each in plugin.get("env") or ()}
        info = _info(plugin, cluster)
    except (AttributeError, TypeError) as error:
        raise KubeconfigError(f"{named} is not written as a kubeconfig is: see its args, env and the cluster's extensions") from error
    try:
        environment = {**os.environ, **given, INFO: json.dumps(info)}
        asked = None if info["spec"]["interactive"] else subprocess.DEVNULL
        ran = subprocess.run(called, env=environment, stdin=asked, stdout=subprocess.PIPE, check=False)  # noqa: S603 as kubectl does
    except OSError as error:
        hint = f"; {plugin['installHint']}" if plugin.get("installHint") else ""
        raise KubeconfigError(f"{named} cannot be run: {error.strerror}{hint}") from error
    if ran.returncode != 0:
        raise KubeconfigError(f"{named} failed with code {ran.returncode}")
    try:
        status = json.loads(ran.stdout)["status"]
        found = {ours: str(status[theirs]) for theirs, ours in OUT_OF.items() if status.get(theirs)}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise KubeconfigError(f"{named} printed no ExecCredential") from error
    if not found:
        raise KubeconfigError(f"{named} printed an ExecCredential without a token or a certificate")
    return found


def _info(plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    """What a plugin is told."""
    spec: dict[str, Any] = {"interactive": plugin.get("interactiveMode") != "Never" and sys.stdin.isatty()}
    if plugin.get("provideClusterInfo"):
        kept = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
        spec["cluster"] = {name: cluster[name] for name in kept if cluster.get(name)}
        for each in cluster.get("extensions") or ():
            if each.get("name") == "client.authentication.k8s.io/exec":
                spec["cluster"]["config"] = each.get("extension")
    return {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
