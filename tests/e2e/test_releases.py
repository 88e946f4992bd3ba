"""The databases of all releases so far: this one opens them, and nothing in them is lost."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.compose.embedded import embedded
from skerry.compose.settings import ServerSettings
from skerry.kinds import catalogue
from skerry.kinds.common import SYSTEM_NAMESPACE
from skerry.store.files import MIGRATIONS, schema_of

RELEASES = Path(__file__).resolve().parents[1] / "fixtures" / "releases"

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
    assert (RELEASES / version("skerry") / "skerry.db").exists(), "run tools/release_fixture.py"
