"""All releases so far: this one opens their databases, and nothing in them is lost; and it talks with their agents and servers."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from peers.postgresql import PostgreSql
from skerry.client import kubeconfig
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.compose.embedded import embedded
from skerry.compose.settings import ServerSettings
from skerry.kinds import catalogue
from skerry.kinds.common import API_VERSION, GROUP, SYSTEM_NAMESPACE, VERSION
from skerry.store.files import MIGRATIONS, schema_of
from skerry.store.postgres import schema as postgres
from skerry.store.schema import Level
from tests.agent.targets import CLUSTERS, cluster, definition, ours
from tests.e2e.agents import Agent
from tests.e2e.nextrelease import next_version, program_of_the_next
from tests.e2e.server import SKERRY, Server
from tests.gateway.fleet import eventually
from tests.store.databases import why_not

NEXT = Path(next_version())
RELEASES = Path(__file__).resolve().parents[1] / "fixtures" / "releases"
SITES, SETS, OBSERVED = (
    Ref(GROUP, VERSION, plural, namespaced=plural != "managementclusters")
    for plural in ("managementclusters", "manifestsets", "observedobjects")
)

Json = dict[str, Any]


def ref_of(obj: Json) -> Ref:
    resource = next(each for each in catalogue.ALL if (each.api_version, each.kind) == (obj["apiVersion"], obj["kind"]))
    return Ref(resource.group, resource.version, resource.plural, namespaced=resource.namespaced)


def asked_for(obj: Json) -> Json:
    """What people wrote: neither the server's own marks nor what controllers report."""
    metadata = {name: obj["metadata"].get(name) for name in ("name", "namespace", "uid", "labels", "creationTimestamp")}
    return {"metadata": metadata, **{name: value for name, value in obj.items() if name not in {"metadata", "status"}}}


def _data_of(release: Path, folder: Path) -> Path:
    data = folder / "data"
    data.mkdir(mode=0o700)
    for name in ("skerry.db", "keyring.json"):
        (data / name).write_bytes((release / name).read_bytes())
        (data / name).chmod(0o600)
    return data


@pytest.mark.parametrize("release", sorted(RELEASES.iterdir()), ids=lambda release: release.name)
async def test_the_database_of_a_release_is_served_with_all_that_is_in_it(release: Path, tmp_path: Path) -> None:
    expected = json.loads((release / "expected.json").read_text())
    data = _data_of(release, tmp_path)
    async with embedded(ServerSettings(data, port=0, gateway_port=0)) as running, HttpClient(running.admin) as client:
        for was in expected["objects"]:
            metadata = was["metadata"]
            now = await client.get(ref_of(was), metadata["name"], metadata.get("namespace", ""))
            assert asked_for(now) == asked_for(was)
            assert int(now["metadata"]["resourceVersion"]) >= int(metadata["resourceVersion"])
        keys = await client.raw("GET", "/skerry/v1/keys")
        assert (keys["refusal"], keys["missing"], keys["inTheClear"]) == ("", [], 0)
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}}
        await client.create(Ref("", "v1", "configmaps"), made, SYSTEM_NAMESPACE)
    with closing(sqlite3.connect(data / "skerry.db")) as connection:
        assert schema_of(connection) == len(MIGRATIONS)
    assert (data / f"skerry.db.schema-{expected['schema']}").exists() == (expected["schema"] < len(MIGRATIONS))


def test_this_release_has_its_fixture() -> None:
    folder = RELEASES / version("skerry")
    assert (folder / "skerry.db").exists(), "run tools/release_fixture.py"
    assert list(folder.glob("*.whl")), "run tools/release_fixture.py"


def program_of(release: Path, folder: Path) -> tuple[str, ...]:
    """The program of a release, with the libraries of this one."""
    [wheel] = release.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "release")
    python = ("env", f"PYTHONPATH={folder / 'release'}", sys.executable, "-c")
    shown = subprocess.run([*python, "import skerry; print(skerry.__file__)"], capture_output=True, text=True, check=True).stdout
    assert Path(shown.strip()).is_relative_to(folder)
    return (*python, "from skerry.cli.main import run; run()")


@pytest.mark.parametrize("role", ["server", "agent"])
@pytest.mark.parametrize("release", [*sorted(RELEASES.iterdir()), NEXT], ids=lambda release: release.name)
async def test_another_release_and_this_one_talk_with_each_other(release: Path, role: str, tmp_path: Path) -> None:
    """Every release before, and one that is a minor newer; the other release in each role."""
    (tmp_path / "other").mkdir()
    program = program_of_the_next(tmp_path / "other") if release is NEXT else program_of(release, tmp_path)
    server = Server(tmp_path, verb="server", **({"skerry": program} if role == "server" else {}))
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(server.start)
        stack.callback(server.stop)
        target = await stack.enter_async_context(ours())
        await target.install(definition("Cluster", "clusters", "cluster.x-k8s.io"))
        client = await stack.enter_async_context(HttpClient(kubeconfig.read(server.kubeconfig)))
        await client.create(SITES, {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": "sv-1"}})
        (tmp_path / "target").write_bytes(kubeconfig.render(target.connection))
        agent = await asyncio.to_thread(
            lambda: Agent(server, "sv-1", tmp_path / "target", tmp_path, program if role == "agent" else (str(SKERRY),))
        )
        agent.start()
        stack.callback(agent.stop)
        agent_log = agent.log
        space = await target.namespace()
        await target.client.create(CLUSTERS, cluster("shop", space))
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made", "namespace": space}, "data": {"a": "b"}}
        body = {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": {"name": "set", "namespace": "sv-1"}}

        async def asked() -> bool:
            return bool(await client.create(SETS, {**body, "spec": {"ownerEpoch": 1, "manifests": [made]}}))

        speaks = release.name if role == "agent" else version("skerry")

        async def works() -> bool:
            status = (await client.get(SETS, "set", "sv-1"))["status"]
            there = (await client.get(SITES, "sv-1"))["status"]["agent"]["version"]
            seen = await client.list(OBSERVED, "sv-1", labels="fleet.skerry.dev/source-plural=clusters")
            answered = await client.raw("GET", f"/k8s/sv-1/api/v1/namespaces/{space}/configmaps/made")
            assert (status["applied"], there, [each["source"]["name"] for each in seen["items"]]) == (1, speaks, ["shop"])
            return bool(answered["data"] == made["data"])

        async def stands() -> bool:
            """What only the other release knows goes by, and the session that it goes by in stays the same."""
            said = agent_log.read_text() + server.log.read_text()
            return '"event": "connected"' in said and not any(word in said for word in ("Traceback", "session is over", "unexpectedly"))

        await eventually(asked)
        await eventually(works)
        await eventually(stands)
        if release is NEXT and role == "agent":
            await eventually(lambda: unheard(client))
        if release is NEXT and role == "server":
            assert (await client.raw("GET", "/register/v1/link"))["mood"] == "content"


async def unheard(client: HttpClient) -> bool:
    """A finding whose severity is not known yet counts as a grave one, and is shown."""
    healthy = next(each for each in (await client.get(SITES, "sv-1"))["status"]["conditions"] if each["type"] == "Healthy")
    return (healthy["status"], healthy["reason"], healthy["message"]) == ("False", "Unheard", "of the next release")


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()


async def found(server: Server, objects: list[Json]) -> list[Json]:
    async with HttpClient(kubeconfig.read(server.kubeconfig)) as client:
        return [await client.get(ref_of(each), each["metadata"]["name"], each["metadata"].get("namespace", "")) for each in objects]


async def write(server: Server, obj: Json) -> None:
    metadata = {name: obj["metadata"][name] for name in ("name", "namespace", "labels") if name in obj["metadata"]}
    async with HttpClient(kubeconfig.read(server.kubeconfig)) as client:
        written = {**{name: value for name, value in obj.items() if name != "status"}, "metadata": metadata}
        await client.create(ref_of(obj), written, metadata.get("namespace", ""))


@pytest.mark.parametrize("release", sorted(RELEASES.iterdir()), ids=lambda release: release.name)
async def test_what_a_release_wrote_to_postgresql_is_served_beside_it_and_after_it(release: Path, tmp_path: Path) -> None:
    if why := why_not("wheel"):
        pytest.skip(why)
    objects = json.loads((release / "expected.json").read_text())["objects"]
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    with PostgreSql("wheel") as database:
        options = ("--database", database.dsn(), "--keyring", str(tmp_path / "keyring.json"))
        new = Server(tmp_path / "new", *options, verb="server")
        with serving(Server(tmp_path / "old", *options, verb="server", skerry=program_of(release, tmp_path))) as old:
            for each in objects:
                await write(old, each)
            was = [asked_for(each) for each in await found(old, objects)]
            shutil.copytree(old.data / "pki", new.data / "pki")
            with serving(new):
                assert [asked_for(each) for each in await found(new, objects)] == was
                beside = [
                    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
                    for name in ("by-old", "by-new")
                ]
                for server, made in zip((old, new), beside, strict=True):
                    await write(server, made)
                both = [[asked_for(each) for each in await found(server, beside)] for server in (old, new)]
                assert both[0] == both[1]
        with serving(new):  # nobody of the old release is left: what only it needed may go
            assert [asked_for(each) for each in await found(new, [*objects, *beside])] == was + both[0]
            connection = await asyncpg.connect(database.dsn(), timeout=60)
            level = Level(*await connection.fetchrow("SELECT pre, post FROM skerry.schema_level"))
            await connection.close()
            assert level == (len(postgres.MIGRATIONS), len(postgres.MIGRATIONS))
