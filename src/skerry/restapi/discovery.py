"""Which kinds there are: the documents that every client reads first.

Old clients walk ``/api``, ``/apis`` and one resource list per group and version; new ones ask
for all of it at once (aggregated discovery). Both are made from the registry and kept until it
changes.
"""

from __future__ import annotations

import hashlib
from typing import Any

from skerry.machinery import scale
from skerry.machinery.document import dumps
from skerry.machinery.resource import Resource
from skerry.restapi.negotiate import PLAIN, Form, form
from skerry.restapi.registry import Registry
from skerry.restapi.request import Request
from skerry.restapi.response import Response

Json = dict[str, Any]


class Discovery:
    """Discovery documents of a registry."""

    def __init__(self, registry: Registry) -> None:
        """Read the registry whenever it changes."""
        self._registry = registry
        self._generation = -1
        self._kept: dict[tuple[str, Form], tuple[bytes, str]] = {}

    def respond(self, request: Request, path: str) -> Response | None:
        """Answer with the document at a path, in the form that the client asks for; None if there is none."""
        accept = request.header(b"accept")
        accepted = form(accept, discovery=True) if path in {"/api", "/apis"} else PLAIN
        found = self._document(path, accepted)
        if found is None:
            return None
        media = b"application/json"
        if accepted.kind:
            media += f";g=apidiscovery.k8s.io;v={accepted.version};as={accepted.kind}".encode()
        if request.header(b"if-none-match") == found[1]:
            return Response(b"", code=304, media=media, headers=[(b"etag", found[1].encode())])
        return Response(found[0], media=media, headers=[(b"etag", found[1].encode()), (b"vary", b"Accept")])

    def _document(self, path: str, asked: Form) -> tuple[bytes, str] | None:
        """The document at a path and its ETag; None if there is none."""
        if self._generation != self._registry.generation:
            self._kept.clear()
            self._generation = self._registry.generation
        found = self._kept.get((path, asked))
        if found is None:
            made = self._make(path, asked)
            if made is None:
                return None
            body = dumps(made)
            found = self._kept[(path, asked)] = (body, f'"{hashlib.sha256(body).hexdigest().upper()}"')
        return found

    def _make(self, path: str, form: Form) -> Json | None:
        groups = self._registry.groups()
        match path.strip("/").split("/"):
            case ["api"]:
                if form.kind:
                    return self._aggregated(form, {"": groups[""]} if "" in groups else {})
                return {"kind": "APIVersions", "versions": groups.get("", []), "serverAddressByClientCIDRs": []}
            case ["apis"]:
                named = {group: versions for group, versions in groups.items() if group}
                if form.kind:
                    return self._aggregated(form, named)
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*each) for each in named.items()]}
            case ["api", version] if version in groups.get("", ()):
                return self._resources("", version)
            case ["apis", group] if group in groups:
                return {**_group(group, groups[group]), "kind": "APIGroup", "apiVersion": "v1"}
            case ["apis", group, version] if version in groups.get(group, ()):
                return self._resources(group, version)
        return None

    def _resources(self, group: str, version: str) -> Json:
        found: list[Json] = []
        for resource in self._registry.of(group, version):
            entry = {
                "name": resource.plural,
                "singularName": resource.singular_name,
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": sorted(resource.verbs),
            }
            for name, values in (("shortNames", resource.short_names), ("categories", resource.categories)):
                if values:
                    entry[name] = list(values)
            found.append(entry)
            found += [
                {
                    "name": f"{resource.plural}/{name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    **({"group": scale.GROUP, "version": scale.VERSION} if name == "scale" else {}),
                    "kind": scale.KIND if name == "scale" else resource.kind,
                    "verbs": verbs,
                }
                for name, verbs in subresources(resource).items()
            ]
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": found,
        }

    def _aggregated(self, form: Form, groups: dict[str, list[str]]) -> Json:
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{form.version}",
            "metadata": {},
            "items": [
                {
                    "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
                    "versions": [
                        {
                            "version": version,
                            "freshness": "Current",
                            "resources": [_aggregated_resource(each) for each in self._registry.of(group, version)],
                        }
                        for version in versions
                    ],
                }
                for group, versions in groups.items()
            ],
        }


def subresources(resource: Resource) -> dict[str, list[str]]:
    """The subresources of a kind and their verbs."""
    found = {}
    if resource.status:
        found["status"] = ["get", "patch", "update"]
    if resource.scale is not None:
        found["scale"] = ["get", "patch", "update"]
    if resource.key == "namespaces":
        found["finalize"] = ["update"]
    return found


def _group(group: str, versions: list[str]) -> Json:
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def _kind(resource: Resource, subresource: str = "") -> Json:
    if subresource == "scale":
        return {"group": scale.GROUP, "version": scale.VERSION, "kind": scale.KIND}
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _aggregated_resource(resource: Resource) -> Json:
    entry: Json = {
        "resource": resource.plural,
        "responseKind": _kind(resource),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular_name,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    below = [{"subresource": name, "responseKind": _kind(resource, name), "verbs": verbs} for name, verbs in subresources(resource).items()]
    if below:
        entry["subresources"] = below
    return entry
