"""Reading: get, list, selectors, pages, revisions, watches, tables and partial objects."""

from __future__ import annotations

from tests.differential.scenario import (
    PARTIAL,
    PARTIAL_LIST,
    TABLE,
    Scenario,
    Step,
    delete,
    edit,
    get,
    patch,
    post,
    quiet,
    scenario,
    watch,
    widget,
)

COLORS = ("red", "green", "blue")
CAUGHT_UP = quiet(get("${W}"))  # a plain list waits for the watch cache: what is read at revision 0 afterwards is not older
THREE = (
    *(
        quiet(post(widget(name, {"color": color, "size": place + 1}, metadata={"labels": {"app": name, "tier": "x" if place else "y"}})))
        for place, (name, color) in enumerate(zip("abc", COLORS, strict=True))
    ),
    CAUGHT_UP,
)
HEAD = quiet(get("${W}", save={"head": "metadata.resourceVersion"}))


def listed(name: str, query: str, *, watch: bool = False) -> Scenario:
    """Three widgets are listed with a query."""
    return scenario(f"list/{name}", *THREE, get(f"${{W}}?{query}", watch=watch))


def labels(name: str, selector: str) -> Scenario:
    """Three widgets are selected by their labels."""
    return listed(f"labels {name}", f"labelSelector={selector}")


def fields(name: str, selector: str) -> Scenario:
    """Three widgets are selected by their fields."""
    return listed(f"fields {name}", f"fieldSelector={selector}")


def seen(name: str, query: str, *steps: Step, before: tuple[Step, ...] = ()) -> Scenario:
    """What a watch from before these steps sees of them."""
    return scenario(f"watch/{name}", *before, HEAD, *(quiet(step) for step in steps), watch(f"&resourceVersion=${{head}}{query}"))


def relabel(value: str) -> Step:
    """Change the label by which some watches select."""
    return patch({"metadata": {"labels": {"app": value}}})


def accept(name: str, media: str, path: str = "${W}/a") -> Scenario:
    """Something is read in another form."""
    return scenario(f"accept/{name}", *THREE, get(path, headers={"accept": media}))


LISTS = [
    scenario("get/missing", get()),
    scenario("get/forbidden", get(outsider=True)),
    scenario("get/bad name", get("${W}/Bad_Name")),
    scenario("get/unknown kind", get("/apis/diff.skerry.dev/v1/namespaces/${ns}/gadgets")),
    scenario("get/unknown group", get("/apis/nowhere.example.com/v1/things")),
    scenario("get/unknown version", get("/apis/diff.skerry.dev/v7/namespaces/${ns}/widgets")),
    scenario("get/unknown path", get("/nowhere"), get("/api/v7"), get("/apis/diff.skerry.dev/v7")),
    scenario("get/at a revision", *THREE, get("${W}/a?resourceVersion=0"), get("${W}/a?resourceVersion=abc")),
    scenario("get/in the future", *THREE, get("${W}/a?resourceVersion=999999999")),
    scenario("get/HEAD", *THREE, Step("HEAD", "${W}/a")),
    scenario("get/odd methods", Step("OPTIONS", "${W}/a"), Step("TRACE", "${W}/a"), Step("FOO", "${W}/a")),
    scenario("list/empty", get("${W}")),
    scenario("list/all", *THREE, get("${W}")),
    scenario("list/forbidden", get("${W}", outsider=True), get("/apis/diff.skerry.dev/v1/widgets", outsider=True)),
    scenario("list/missing namespace", get("/apis/diff.skerry.dev/v1/namespaces/d-nowhere/widgets")),
    scenario("list/all namespaces", *THREE, get("/apis/diff.skerry.dev/v1/widgets?fieldSelector=metadata.namespace=${ns}")),
    labels("equal", "app=a"),
    labels("double equal", "app==b"),
    labels("not equal", "app!=a"),
    labels("in", "app in (a,c)"),
    labels("not in", "app notin (a,c),tier"),
    labels("exists", "tier"),
    labels("does not exist", "!nope"),
    labels("and", "app=b,tier=x"),
    labels("greater", "app>3"),
    labels("empty", ""),
    labels("open parenthesis", "app in (a"),
    labels("bad operator", "app ~ a"),
    labels("bad key", "a b=c"),
    labels("bad value", "app=-x-"),
    labels("only a comma", ","),
    fields("name", "metadata.name=a"),
    fields("not the name", "metadata.name!=a"),
    fields("namespace", "metadata.namespace=${ns}"),
    fields("selectable string", "spec.color=green"),
    fields("selectable integer", "spec.size=3"),
    fields("two", "spec.color=green,metadata.name=b"),
    fields("unsupported", "spec.code=x"),
    fields("bad syntax", "spec.color"),
    fields("set syntax", "spec.color in (red)"),
    listed("bad limit", "limit=x"),
    listed("negative limit", "limit=-1"),
    listed("bad continue", "continue=abc"),
    listed("limit beyond the end", "limit=10"),
    listed("resourceVersion 0", "resourceVersion=0"),
    listed("bad resourceVersion", "resourceVersion=abc"),
    listed("negative resourceVersion", "resourceVersion=-1"),
    listed("future resourceVersion", "resourceVersion=999999999"),
    listed("match without a revision", "resourceVersionMatch=Exact"),
    listed("bad match", "resourceVersion=1&resourceVersionMatch=About"),
    listed("exact 0", "resourceVersion=0&resourceVersionMatch=Exact"),
    listed("sendInitialEvents without watch", "sendInitialEvents=true"),
    listed("bad timeout", "timeoutSeconds=x"),
    listed("bad watch", "watch=maybe&timeoutSeconds=1", watch=True),
    listed("unknown parameter", "color=red"),
    scenario("list/pages", *THREE, get("${W}?limit=2", save={"next": "metadata.continue"}), get("${W}?limit=2&continue=${next}")),
    scenario(
        "list/pages with a selector",
        *THREE,
        get("${W}?limit=1&labelSelector=tier=x", save={"next": "metadata.continue"}),
        get("${W}?limit=1&labelSelector=tier=x&continue=${next}"),
    ),
    scenario(
        "list/pages stay at one revision",
        *THREE,
        get("${W}?limit=1", save={"next": "metadata.continue"}),
        quiet(delete("${W}/b")),
        quiet(post(widget("aa"))),
        get("${W}?continue=${next}"),
    ),
    scenario(
        "list/continue with a revision",
        *THREE,
        get("${W}?limit=1", save={"next": "metadata.continue"}),
        get("${W}?continue=${next}&resourceVersion=5"),
    ),
    scenario("list/exact revision", *THREE, HEAD, quiet(delete("${W}/a")), get("${W}?resourceVersion=${head}&resourceVersionMatch=Exact")),
    scenario(
        "list/not older than", *THREE, HEAD, quiet(delete("${W}/a")), get("${W}?resourceVersion=${head}&resourceVersionMatch=NotOlderThan")
    ),
    scenario("list/exact revision of long ago", *THREE, get("${W}?resourceVersion=1&resourceVersionMatch=Exact&limit=1")),
]

WATCHES = [
    seen("create update delete", "", post(), patch({"spec": {"size": 9}}), delete()),
    seen("status changes", "", patch({"status": {"count": 1}}, "${W}/a/status"), before=(quiet(post()),)),
    seen("no event for no change", "", patch({"spec": {}}), before=(quiet(post()),)),
    seen(
        "moves in and out of a label selector",
        "&labelSelector=app=in",
        relabel("in"),
        relabel("out"),
        relabel("in"),
        delete(),
        before=(quiet(post()),),
    ),
    seen(
        "moves in and out of a field selector",
        "&fieldSelector=spec.color=blue",
        edit(lambda o: o["spec"].update(color="blue")),
        edit(lambda o: o["spec"].update(color="red")),
        before=(quiet(post()),),
    ),
    seen("one name", "&fieldSelector=metadata.name=b", post(), post(widget("b")), delete("${W}/b")),
    seen(
        "finalizer",
        "",
        patch({"metadata": {"finalizers": ["x.io/y"]}}),
        delete(),
        patch({"metadata": {"finalizers": None}}),
        before=(quiet(post()),),
    ),
    scenario("watch/from now without a revision", *THREE, watch("")),
    scenario("watch/from 0", *THREE, watch("&resourceVersion=0")),
    scenario("watch/bad revision", watch("&resourceVersion=abc")),
    scenario("watch/future revision", watch("&resourceVersion=999999999")),
    scenario("watch/compacted revision", watch("&resourceVersion=1")),
    scenario(
        "watch/one object the old way",
        *THREE,
        HEAD,
        quiet(delete("${W}/b")),
        Step("GET", "${W}/b?watch=1&timeoutSeconds=1&resourceVersion=${head}", watch=True),
    ),
    scenario("watch/initial events", *THREE, watch("&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")),
    scenario(
        "watch/initial events with a selector",
        *THREE,
        watch("&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&labelSelector=app=b"),
    ),
    scenario("watch/initial events without a match", *THREE, watch("&sendInitialEvents=true&allowWatchBookmarks=true")),
    scenario("watch/initial events without bookmarks", *THREE, watch("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")),
    scenario(
        "watch/no initial events", *THREE, HEAD, watch("&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=${head}")
    ),
    scenario("watch/match without initial events", *THREE, HEAD, watch("&resourceVersionMatch=NotOlderThan&resourceVersion=${head}")),
    scenario("watch/bad selector", watch("&labelSelector=a b c")),
    scenario("watch/forbidden", watch("", outsider=True)),
    scenario(
        "watch/as a table", *THREE, Step("GET", "${W}?watch=1&timeoutSeconds=1&resourceVersion=0", headers={"accept": TABLE}, watch=True)
    ),
    scenario(
        "watch/as partial objects",
        *THREE,
        Step("GET", "${W}?watch=1&timeoutSeconds=1&resourceVersion=0", headers={"accept": PARTIAL}, watch=True),
    ),
    scenario(
        "watch/legacy path",
        *THREE,
        Step("GET", "/apis/diff.skerry.dev/v1/watch/namespaces/${ns}/widgets?timeoutSeconds=1&resourceVersion=0", watch=True),
    ),
]

FORMS = [
    accept("table of one", TABLE),
    accept("table of a list", TABLE, "${W}"),
    accept("table without objects", TABLE, "${W}?includeObject=None"),
    accept("table with whole objects", TABLE, "${W}?includeObject=Object"),
    accept("table with bad includeObject", TABLE, "${W}?includeObject=Some"),
    accept("table of pages", TABLE, "${W}?limit=1"),
    accept("table v1beta1", TABLE.replace("v=v1;", "v=v1beta1;"), "${W}"),
    accept("table v7", TABLE.replace("v=v1;", "v=v7;"), "${W}"),
    accept("table of an error", TABLE, "${W}/nope"),
    accept("table or json", f"{TABLE},application/json", "${W}"),
    accept("partial of one", PARTIAL),
    accept("partial of a list", PARTIAL_LIST, "${W}"),
    accept("partial list of one", PARTIAL_LIST),
    accept("partial object of a list", PARTIAL, "${W}"),
    accept("yaml", "application/yaml"),
    accept("anything", "*/*"),
    accept("application anything", "application/*"),
    accept("nothing", ""),
    accept("text", "text/plain"),
    accept("text or json", "text/html, application/json;q=0.5"),
    accept("protobuf or json", "application/vnd.kubernetes.protobuf,application/json"),
    accept("malformed", "///"),
    accept("unknown as", "application/json;as=Poem;v=v1;g=meta.k8s.io"),
    scenario("accept/created as a table", post(headers={"accept": TABLE})),
    scenario(
        "accept/table with ready condition",
        quiet(post(widget(spec={"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}))),
        quiet(patch({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "${W}/a/status")),
        get(headers={"accept": TABLE}),
    ),
]

SCENARIOS = LISTS + WATCHES + FORMS
