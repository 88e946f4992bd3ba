"""Write docs/reference/ from the code: the command line (``cli.md``), the kinds (``kinds.md``), the metrics (``metrics.md``)
and the rights of agents (``agent-rights.md``).

Without arguments it writes the pages; ``--check`` fails where what is committed is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from skerry.agent import metrics as agent_metrics
from skerry.cli.main import EXIT_CODES, app
from skerry.compose import metrics as server_metrics
from skerry.gateway import manifest
from skerry.kinds import catalogue
from skerry.kit.metrics import Kind, Metric
from skerry.machinery.resource import Resource
from skerry.tunnel.places import FEATURES, NAMESPACE, Feature, role_of

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference"
NAMED = """\
An object that another one names is not deleted: the answer is 409 (Conflict), says how many objects name it, and how to list them.
What must be there to be named is looked at inside the transaction of the write (422 otherwise), other references may come first.
Of a deletion and a write that arrives in the same instant both may succeed; the name then leads nowhere until it is changed.
Management clusters and provisioners also have a finalizer, and wait for clusters that slipped in. A namespace that is deleted takes
everything in it along, its clusters and their machines too.
"""
RIGHTS = f"""\
What the manifest by which a cluster is attached lets the agent do there, and why. `skerry attach --feature` chooses features; all of them
if it is left out. The account is `{NAMESPACE}` in namespace `{NAMESPACE}`; `kubectl auth can-i --list
--as=system:serviceaccount:{NAMESPACE}:{NAMESPACE}` asks the cluster itself.
[Attach a cluster](../howto/attach-a-cluster.md) says how they are given and taken away.
"""
HEAD = "<!-- Written by tools/reference.py: change the code, not this page. -->\n"

Json = dict[str, Any]


def command_line() -> Iterator[str]:
    """The lines of cli.md."""
    yield from ("# The command line", "", HEAD)
    yield from (
        "`skerry --install-completion` installs completion for the shell that it is called from (bash, zsh, fish or PowerShell).",
        "",
    )
    yield from ("`--output json` and `--output yaml` print what programs can read; progress and messages go to standard error.", "")
    yield from (EXIT_CODES, "")
    root = typer.main.get_command(app)
    for path, command in _commands(root, "skerry"):
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
        yield from (f"## `{' '.join([path, *(each.name.upper() for each in arguments)])}`", "", command.help or "", "")
        if arguments or options:
            yield from ("| | default | |", "|---|---|---|")
            yield from (f"| `{each.name.upper()}` | | {each.help} |" for each in arguments)
            yield from (f"| `{', '.join(each.opts)}` | {_default(each)} | {_explained(each)} |" for each in options)
            yield ""


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{path} {name}", command
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _default(option: Any) -> str:
    if option.is_flag:
        return "off"
    value = getattr(option.default, "value", option.default)
    return "required" if option.required else f"`{value}`" if value not in {None, ""} else ""


def _explained(option: Any) -> str:
    choices = getattr(option.type, "choices", ())
    text = [option.help, f"One of {', '.join(f'`{each}`' for each in choices)}." if choices else ""]
    text.append(f"Also taken from `{option.envvar}`." if option.envvar else "")
    return " ".join(each for each in text if each)


def kinds() -> Iterator[str]:
    """The lines of kinds.md."""
    yield from ("# Kinds", "", HEAD, f"API version `{catalogue.FLEET[0].api_version}`. `kubectl explain KIND.spec` shows the same.", "")
    yield NAMED
    for resource in sorted(catalogue.FLEET, key=lambda each: each.kind):
        yield from _kind(resource)


def _kind(resource: Resource) -> Iterator[str]:
    document = resource.schema.document
    where = "in a namespace (its management cluster)" if resource.namespaced else "cluster-scoped"
    known = f"`{resource.plural}`" + "".join(f", `{each}`" for each in resource.short_names)
    yield from (f"## {resource.kind}", "", document.get("description", ""), "", f"{known}; {where}.", "")
    if resource.key in catalogue.MIRRORED:
        yield from ("Only Skerry's own components write it.", "")
    if resource.selectable:
        yield from (f"Field selectors: {', '.join(f'`{each}`' for each in ('metadata.name', *resource.selectable))}.", "")
    if resource.scale is not None:
        yield from (f"`kubectl scale` sets `{resource.scale.spec}` (rules name `{resource.plural}/scale`).", "")
    if resource.built_in:
        yield from (f"Built in, always there, and never deleted: {', '.join(f'`{each}`' for each in sorted(resource.built_in))}.", "")
    if resource.inseparable:
        yield from ("Not deleted with `--cascade=orphan`: what was made for it elsewhere goes with it.", "")
    if resource.references:
        yield from (f"Names, and keeps from being deleted: {', '.join(_named(resource))}.", "")
    yield from ("| field | type | |", "|---|---|---|")
    for name, schema in document.get("properties", {}).items():
        if name not in {"apiVersion", "kind", "metadata"}:
            yield from _fields(name, schema, required=name in document.get("required", ()))
    yield ""


def _named(resource: Resource) -> Iterator[str]:
    kinds = {each.key: each.kind for each in (*catalogue.CORE, *catalogue.FLEET)}
    for each in resource.references:
        only = f", where `{each.where[0]}` is `{each.where[1]}`" if each.where else ""
        yield f"its {kinds[each.to]} (`{each.path}`{', which must be there' if each.demanded else ''}{only})"


def _fields(path: str, schema: Json, *, required: bool) -> Iterator[str]:
    below, suffix = schema, ""
    while below.get("type") == "array" or isinstance(below.get("additionalProperties"), dict):
        is_list = below.get("type") == "array"
        below, suffix = (below["items"], suffix + "[]") if is_list else (below["additionalProperties"], suffix + ".*")
    notes = [schema.get("description", ""), *_rules(schema, required=required)]
    yield f"| `{path}{suffix}` | {below.get('type', 'any')} | {' '.join(each for each in notes if each)} |"
    for name, inner in below.get("properties", {}).items():
        yield from _fields(f"{path}{suffix}.{name}", inner, required=name in below.get("required", ()))


def _rules(schema: Json, *, required: bool) -> Iterator[str]:
    if required:
        yield "Required."
    if "default" in schema:
        yield f"Default `{schema['default']}`."
    if "enum" in schema:
        yield f"One of {', '.join(f'`{each}`' for each in schema['enum'])}."
    if "minimum" in schema or "maximum" in schema:
        yield f"From {schema.get('minimum', '-∞')} to {schema.get('maximum', '∞')}."
    if "pattern" in schema:
        yield f"Must match `{schema['pattern'].replace('|', '&#124;')}`."


PROCESS = """\
Both also show what `prometheus_client` tells of the process: `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_start_time_seconds`, `process_open_fds`, `process_max_fds` (on Linux), `python_info`,
`python_gc_collections_total`, `python_gc_objects_collected_total`, `python_gc_objects_uncollectable_total`.

Names of objects and of users are never labels. `verb` is `GET`, `LIST`, `WATCH`, `POST`, `PUT`, `PATCH`, `APPLY`, `DELETE` or
`DELETECOLLECTION`; `scope` is `resource` (one object), `namespace` or `cluster`. Resources that are not served are `other`, and so
are methods that are not known. For what is about no resource `subresource` is the path, where that is one of a few.
"""


def metrics() -> Iterator[str]:
    """The lines of metrics.md."""
    yield from ("# Metrics", "", HEAD, PROCESS)
    yield from ("[Watch Skerry with Prometheus](../howto/watch-skerry-with-prometheus.md) says how they are scraped.", "")
    yield from ("## A server", "", "At `/metrics` of the front door.", "", *_metrics(server_metrics.METRICS), "")
    yield from ("## An agent", "", "At `/metrics` of its `--metrics-address`.", "", *_metrics(agent_metrics.METRICS), "")


def _metrics(found: Sequence[Metric]) -> Iterator[str]:
    yield from ("| metric | type | labels | |", "|---|---|---|---|")
    for each in sorted(found, key=lambda metric: metric.name):
        bounds = "" if each.kind is not Kind.HISTOGRAM else " Shown as `_bucket`, `_sum` and `_count`."
        yield f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.help}{bounds} |"


def rights() -> Iterator[str]:
    """The lines of agent-rights.md."""
    yield from ("# The rights of an agent", "", HEAD, RIGHTS)
    yield from ("## Always", "")
    plain = _installed("attached.attached.shop")
    for name, why in manifest.ALWAYS.items():
        yield from _role(plain, name, why)
    for feature in FEATURES:
        yield from (f"## Feature `{feature}`", "")
        cluster, management = (_installed(name, feature) for name in ("attached.attached.shop", "sv-1"))
        yield from _role(cluster, role_of(feature), manifest.WHY[feature])
        more = [rule for rule in _rules_of(management, role_of(feature)) if rule not in _rules_of(cluster, role_of(feature))]
        if more:
            yield from ("In a management cluster also what makes other clusters:", "", *_rights(more), "")


def _installed(name: str, *features: Feature) -> list[Json]:
    return manifest.documents(manifest.Installation(name, "", b"", "", "", features))


def _role(found: Sequence[Json], name: str, why: str) -> Iterator[str]:
    [bound] = [each for each in found if each["kind"].endswith("RoleBinding") and each["metadata"]["name"] == name]
    kind = bound["kind"].removesuffix("Binding")
    where = f" in namespace `{NAMESPACE}`" if kind == "Role" else ""
    if bound["roleRef"]["name"] == name:
        yield from (f"{kind} `{name}`{where}, bound to the agent's account.", "")
    else:
        yield from (f"{bound['kind']} `{name}`: {kind} `{bound['roleRef']['name']}` for group `{bound['subjects'][0]['name']}`.", "")
    yield from (why, "")
    if rules := _rules_of(found, name):
        yield from (*_rights(rules), "")


def _rules_of(found: Sequence[Json], name: str) -> list[Json]:
    return [rule for each in found if "rules" in each and each["metadata"]["name"] == name for rule in each["rules"]]


def _rights(rules: Sequence[Json]) -> Iterator[str]:
    yield from ("| API group | resources | verbs | names |", "|---|---|---|---|")
    for rule in rules:
        groups = ", ".join(f"`{each}`" if each else "core" for each in rule["apiGroups"])
        named = ", ".join(f"`{each}`" for each in rule.get("resourceNames", ()))
        yield f"| {groups} | {', '.join(f'`{each}`' for each in rule['resources'])} | {', '.join(rule['verbs'])} | {named} |"


PAGES = {"agent-rights.md": rights, "cli.md": command_line, "kinds.md": kinds, "metrics.md": metrics}


def main() -> None:
    """Write the pages, or check them."""
    stale = []
    for name, lines in PAGES.items():
        text = "\n".join(lines()).rstrip() + "\n"
        if "--check" not in sys.argv:
            TARGET.mkdir(parents=True, exist_ok=True)
            (TARGET / name).write_text(text)
        elif not (TARGET / name).exists() or (TARGET / name).read_text() != text:
            stale.append(name)
    if stale:
        raise SystemExit(f"docs/reference: {', '.join(stale)} stale; run `python tools/reference.py`")


if __name__ == "__main__":
    main()
