"""A cluster behind a proxy that looks into TLS is attached by one command; its agent runs as what the command wrote says, and no other way.

Nothing runs containers here. The test does what a kubelet does with the pod: it lays the Secret's files where they are mounted, fills in
the variables, and starts the program with the arguments of the manifest.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from peers.kubernetes import NAMESPACED, Kubernetes
from peers.processes import free_port
from skerry.gateway.manifest import FOLDER
from skerry.tunnel.places import NAMESPACE
from tests.e2e.agents import front_root
from tests.e2e.server import SKERRY, Server, running
from tests.gateway.fleet import eventually
from tests.gateway.proxies import InspectingProxy

pytestmark = pytest.mark.peer("kubernetes")

Json = dict[str, Any]
NAME = "attached.attached.shop"


@dataclass
class Scene:
    """A server, a real cluster, and whoever has a kubeconfig of both."""

    server: Server
    peer: Kubernetes
    folder: Path

    async def skerry(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a verb; what it writes comes through a pipe."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "SKERRY_KUBECONFIG": str(self.server.kubeconfig)}
        return await asyncio.create_subprocess_exec(
            SKERRY, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )

    async def far(self, method: str, path: str, body: Json | None = None) -> Json:
        """Ask the cluster, as its administrator."""
        found: Json = await asyncio.to_thread(self.peer.admin.ask, method, path, body)
        return found

    async def pod(self) -> tuple[Sequence[str], dict[str, str]]:
        """The command and the environment of the agent's container."""
        place = f"namespaces/{NAMESPACE}"
        deployment = await self.far("GET", f"/apis/apps/v1/{place}/deployments/{NAMESPACE}")
        spec = deployment["spec"]["template"]["spec"]
        [container], [volume] = spec["containers"], spec["volumes"]
        secret = await self.far("GET", f"/api/v1/{place}/secrets/{volume['secret']['secretName']}")
        values = {name: base64.b64decode(text) for name, text in secret["data"].items()}
        assert [each["mountPath"] for each in container["volumeMounts"]] == [FOLDER]
        mounted = self.folder / "mounted"
        mounted.mkdir(exist_ok=True)
        for item in volume["secret"]["items"]:
            (mounted / item["path"]).write_bytes(values[item["key"]])
        keys = {each["name"]: each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"]}
        account = ("--kubeconfig", str(await self._account()), "--keep-in-cluster")  # for --in-cluster: there is no service network
        arguments = [word.replace(FOLDER, str(mounted)) for word in container["args"]]
        at = arguments.index("--in-cluster")
        command = [str(SKERRY), *arguments[:at], *account, *arguments[at + 1 :]]
        return command, {"PATH": os.environ["PATH"], **{name: values[key].decode() for name, key in keys.items() if key in values}}

    async def _account(self) -> Path:
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        made = await self.far("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAMESPACE}/token", asked)
        config = yaml.safe_load(self.peer.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": made["status"]["token"]}
        path = self.folder / "account"
        path.write_text(yaml.safe_dump(config))
        return path

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the pod's container, once there is a Deployment."""
        command, environment = await eventually(self.pod, 120)
        with (self.folder / "agent.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def reached(self) -> None:
        """Wait until the cluster's own API is reached through Skerry."""

        async def state() -> bool:
            path = f"/k8s/{NAME}/api/v1/namespaces/{NAMESPACE}"
            return '"name":"skerry-agent"' in await asyncio.to_thread(self.server.kubectl, "get", "--raw", path)

        await eventually(state, 120)


async def test_what_attach_writes_for_a_cluster_behind_a_proxy_that_inspects_tls_is_all_that_its_agent_needs(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, "--agent-token-port", str(port), verb="server") as server, Kubernetes(controllers=NAMESPACED) as peer:
        proxy = InspectingProxy(front_root(server) + (server.data / "pki" / "internal.pem").read_bytes(), "site", "s3cret")
        scene = Scene(server, peer, tmp_path)
        async with proxy.running():
            (tmp_path / "corporate.crt").write_bytes(proxy.authority.bundle)
            there = ("--kubeconfig", str(peer.kubeconfig))
            behind = ("--proxy", proxy.url("site", "s3cret"), "--trust-proxy-ca", str(tmp_path / "corporate.crt"))
            attaching = await scene.skerry("attach", "shop", *there, *behind)
            async with scene.agent():
                said, _ = await asyncio.wait_for(attaching.communicate(), 120)
                assert attaching.returncode == 0, said
                assert b"cluster attached/attached.shop is connected" in said
                await scene.reached()
            assert {f"127.0.0.1:{server.port}", f"127.0.0.1:{port}"} <= set(proxy.connected)
            assert NAME.encode() in proxy.read, "the proxy has read what the agent said"
            async with scene.agent() as again:
                await scene.reached()
                detaching = await scene.skerry("detach", "shop")
                said, _ = await asyncio.wait_for(detaching.communicate(), 120)
                assert detaching.returncode == 0, said
                assert await asyncio.wait_for(again.wait(), 60) == 0
        log = (tmp_path / "agent.log").read_text()
        assert [word for word in ("s3cret", "TLSIntercepted", "Traceback") if word in log] == []
