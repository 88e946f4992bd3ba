"""From a body to an object that may be looked at: media type, JSON or YAML, kind, unknown fields.

``fieldValidation`` decides what becomes of unknown and duplicate fields: Strict refuses them
all at once, Warn tells in Warning headers, Ignore says nothing. They are never stored.
"""

from __future__ import annotations

from typing import Any

from skerry.kit import yamls
from skerry.machinery import causes, meta, protobuf
from skerry.machinery.errors import BadRequest, UnsupportedMediaType, invalid
from skerry.machinery.reading import as_json, parse
from skerry.machinery.resource import Resource
from skerry.restapi.context import Call
from skerry.restapi.negotiate import body_type

Json = dict[str, Any]

JSON, YAML, PROTOBUF = "application/json", "application/yaml", protobuf.MEDIA
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"


def is_built_in(resource: Resource) -> bool:
    """Whether a kind is Kubernetes' own: those may be sent as protobuf."""
    return resource.strategic or resource.create_only


async def body_object(call: Call) -> Json:
    """Read the object of a create or an update; raises BadRequest, UnsupportedMediaType or RequestEntityTooLarge."""
    media = body_type(call.request.header(b"content-type"), JSON, YAML, *([PROTOBUF] if is_built_in(call.resource) else []))
    data = await call.body()
    return await call.work(lambda: checked(call, *decode(data, media)))


def decode(data: bytes, media: str) -> tuple[Any, list[str]]:
    """Decode JSON or YAML; returns the value and, in words, which keys stand twice."""
    if media == PROTOBUF:
        return protobuf.decode(data), []
    if media in {YAML, APPLY} and not data.lstrip().startswith(b"{"):
        try:
            value, doubled = yamls.read(data)
        except yamls.YamlError as error:
            raise BadRequest(f"error decoding YAML: {error}") from error
        return as_json(value), doubled
    value, paths = parse(data)
    if paths and media == APPLY:
        return value, yamls.doubled(data)
    return value, [f'duplicate field "{path}"' for path in paths]


def checked(call: Call, value: Any, doubled: list[str]) -> Json:
    """Check that a value is an object of the kind that is served here, and drop what the kind does not know."""
    resource = call.resource
    if not isinstance(value, dict):
        raise BadRequest(f"the body of the request must be a {resource.kind}, not a JSON {meta.go_type(value)}")
    if is_built_in(resource):
        # typed clients leave these out of Kubernetes' own kinds: the URL says what they are
        value["apiVersion"] = value.get("apiVersion") or resource.api_version
        value["kind"] = value.get("kind") or resource.kind
    api_version, kind = value.get("apiVersion", ""), value.get("kind", "")
    if not kind or not isinstance(kind, str):
        raise BadRequest(f"Object 'Kind' is missing in the body; expected {resource.api_version}, Kind={resource.kind}")
    if api_version != resource.api_version:
        raise BadRequest(f"the API version in the data ({api_version}) does not match the expected API version ({resource.api_version})")
    if kind != resource.kind:
        metadata = value.get("metadata")
        name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
        raise invalid(kind, resource.group, name, [causes.invalid("kind", kind, f"must be {resource.kind}")])
    settle(call, value, doubled)
    return value


def settle(call: Call, value: Json, doubled: list[str]) -> None:
    """Drop unknown fields, and say so in the way that was asked for."""
    if value.get("metadata") is None:
        value["metadata"] = {}
    try:
        unknown = meta.decode(value["metadata"]) + call.resource.schema.prune(value)
    except BadRequest as error:
        resource = call.resource
        raise BadRequest(f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {error}') from error
    policy = call.options.validation
    if policy == "Ignore" or not (unknown or doubled):
        return
    problems = [*doubled, *(f'unknown field "{path}"' for path in sorted(unknown))]
    if policy == "Strict":
        resource = call.resource
        raise BadRequest(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
            f" strict decoding error: {', '.join(told(problems))}"
        )
    call.warnings += problems


MOST_TOLD = 100
"""So many unknown or doubled fields are named in an error."""


def told(problems: list[str]) -> list[str]:
    """As many problems as one message can tell."""
    left = len(problems) - MOST_TOLD
    return problems if left <= 0 else [*problems[:MOST_TOLD], f"and {left} more"]


def patch_type(call: Call) -> str:
    """The media type of a patch; raises UnsupportedMediaType with the list of what this kind takes."""
    header = call.request.header(b"content-type").split(";", 1)[0].strip().lower()
    allowed = [JSON_PATCH, MERGE, *([STRATEGIC] if call.resource.strategic else []), APPLY]
    if header not in allowed:
        raise UnsupportedMediaType(f"the body of the request was in an unknown format - accepted media types include: {', '.join(allowed)}")
    return header
