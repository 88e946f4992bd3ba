"""Write this release into tests/fixtures/releases/<version>/: later ones have to open its database, and to talk to it.

Run it once per release, before the version is counted up; what stands there already is never written
again. It starts a server in a folder of its own, makes objects of several kinds and histories, stops
it, and keeps the database and the keyring that its Secret needs. The key encrypts nothing else. The
program itself is kept as a wheel; with it the tests make the release's PostgreSQL database anew.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from skerry.client.contract import PatchKind, Ref
from skerry.compose.embedded import embedded
from skerry.compose.settings import ServerSettings
from skerry.store.files import schema_of

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "fixtures" / "releases"
FLEET = "fleet.skerry.dev"

Json = dict[str, Any]


def _objects() -> list[tuple[Ref, Json]]:
    def fleet(kind: str, plural: str, name: str, spec: Json, namespace: str = "") -> tuple[Ref, Json]:
        metadata = {"name": name, "labels": {"fixture": "yes"}, **({"namespace": namespace} if namespace else {})}
        body = {"apiVersion": f"{FLEET}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        return Ref(FLEET, "v1alpha1", plural, namespaced=bool(namespace)), body

    def core(kind: str, plural: str, name: str, **parts: Any) -> tuple[Ref, Json]:
        return Ref("", "v1", plural), {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, **parts}

    return [
        core("ConfigMap", "configmaps", "plain", data={"umlaut": "ü", "text": "line\nline\n"}),
        core("ConfigMap", "configmaps", "gone", data={"k": "v"}),
        core("Secret", "secrets", "sealed", stringData={"password": "a fixture's"}),
        fleet("ClusterGroup", "clustergroups", "prod", {"description": "made by tools/release_fixture.py"}),
        fleet("ManagementCluster", "managementclusters", "sv-1", {"provider": "ClusterAPI"}),
        fleet("Credential", "credentials", "site", {"secretRef": {"name": "site"}, "type": "VSphere"}),
        fleet("ManifestSet", "manifestsets", "set", {"ownerEpoch": 1, "manifests": []}, "default"),
    ]


async def _fill(data: Path) -> Json:
    """Run a server on a folder; returns the objects by what they are called."""
    settings = ServerSettings(data, port=0, gateway_port=0)
    async with embedded(settings) as running:
        client = running.client
        refs = _objects()
        for ref, body in refs:
            await client.create(ref, body, body["metadata"].get("namespace", ""), manager="fixture")
        maps = refs[0][0]
        await client.delete(maps, "gone", "default")
        for value in ("2", "3"):
            await client.patch(maps, "plain", "default", PatchKind.MERGE, {"data": {"turn": value}}, manager="fixture")
        found = [
            await client.get(ref, body["metadata"]["name"], body["metadata"].get("namespace", ""))
            for ref, body in refs
            if body["metadata"]["name"] != "gone"
        ]
    return {"objects": found}


def main() -> None:
    """Write the files."""
    folder = TARGET / version("skerry")
    if not list(folder.glob("*.whl")):
        subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", str(folder)], check=True, cwd=ROOT)
        (folder / ".gitignore").unlink(missing_ok=True)
    if (folder / "skerry.db").exists():
        sys.exit(f"{folder} is there already, and a release's database never changes")
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        expected = asyncio.run(_fill(data))
        with closing(sqlite3.connect(data / "skerry.db")) as connection:
            expected["schema"] = schema_of(connection)
            connection.execute("VACUUM INTO ?", (str(folder / "skerry.db"),))
        (folder / "keyring.json").write_bytes((data / "keyring.json").read_bytes())
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    print(f"{folder}: schema {expected['schema']}, {len(expected['objects'])} objects")


if __name__ == "__main__":
    main()
