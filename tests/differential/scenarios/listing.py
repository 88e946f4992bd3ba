"""Lists and watches in depth: revisions and how they match, tokens that expire, initial events, metadata alone, rows."""

from __future__ import annotations

from tests.differential.scenario import PARTIAL, PARTIAL_LIST, TABLE, Scenario, Step, delete, edit, get, patch, post, quiet, scenario, watch
from tests.differential.scenarios.reading import HEAD, THREE, listed, relabel

GONE = quiet(delete("${W}/b"))
INITIAL = "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
PAGE = get("${W}?limit=1", save={"next": "metadata.continue"})


def matched(name: str, query: str) -> Scenario:
    """Three widgets are listed, one of them deleted, and they are listed again with a query that may name the first revision."""
    return scenario(f"list/{name}", *THREE, HEAD, GONE, get(f"${{W}}?{query}"))


def continued(name: str, query: str, path: str = "${W}") -> Scenario:
    """A list of pages goes on with a query."""
    return scenario(f"continue/{name}", *THREE, PAGE, get(f"{path}?continue=${{next}}{query}"))


def initial(name: str, query: str, *steps: Step) -> Scenario:
    """A watch begins with what is there; the steps come before it."""
    return scenario(f"initial/{name}", *THREE, *(quiet(step) for step in steps), watch(f"{INITIAL}{query}"))


def formed(name: str, accept: str, query: str, *steps: Step) -> Scenario:
    """A watch in another form sees some steps."""
    return scenario(
        f"watch/{name}",
        *THREE,
        HEAD,
        *(quiet(step) for step in steps),
        watch(f"&resourceVersion=${{head}}{query}", headers={"accept": accept}),
    )


REVISIONS = [
    matched("exact with a limit", "resourceVersion=${head}&resourceVersionMatch=Exact&limit=2"),
    matched("exact with a label selector", "resourceVersion=${head}&resourceVersionMatch=Exact&labelSelector=tier=x"),
    matched("exact with a field selector", "resourceVersion=${head}&resourceVersionMatch=Exact&fieldSelector=spec.color=green"),
    matched("a revision with a limit is exact", "resourceVersion=${head}&limit=5"),
    matched("a revision is not older than", "resourceVersion=${head}"),
    matched("not older than with a limit", "resourceVersion=${head}&resourceVersionMatch=NotOlderThan&limit=5"),
    matched("not older than with a selector", "resourceVersion=${head}&resourceVersionMatch=NotOlderThan&labelSelector=tier=x"),
    listed("not older than 0", "resourceVersion=0&resourceVersionMatch=NotOlderThan"),
    listed("not older than 0 with a limit", "resourceVersion=0&resourceVersionMatch=NotOlderThan&limit=2"),
    listed("0 with a limit", "resourceVersion=0&limit=2"),
    listed("not older than the future", "resourceVersion=999999999&resourceVersionMatch=NotOlderThan"),
    listed("exact in the future", "resourceVersion=999999999&resourceVersionMatch=Exact"),
    listed("match not older than without a revision", "resourceVersionMatch=NotOlderThan"),
    listed("bad match without a revision", "resourceVersionMatch=About"),
    listed("match in lower case", "resourceVersion=1&resourceVersionMatch=exact"),
    listed("zero limit", "limit=0"),
    listed("huge limit", "limit=9223372036854775807"),
    listed("limit beyond int64", "limit=9223372036854775808"),
    listed("parameters given twice", "limit=1&limit=2"),
    listed("empty parameters", "limit=&continue=&resourceVersion=&labelSelector=&fieldSelector=&resourceVersionMatch="),
    listed("allowWatchBookmarks without watch", "allowWatchBookmarks=true"),
    listed("watch is false", "watch=false"),
    listed("watch is 0", "watch=0"),
    listed("unknown parameters", "pretty=true&foo=bar&Limit=1"),
    listed("sendInitialEvents false without watch", "sendInitialEvents=false"),
    scenario(
        "get/parameters of lists are ignored", *THREE, get("${W}/a?limit=x"), get("${W}/a?labelSelector=a b"), get("${W}/a?continue=zz")
    ),
    scenario("get/unknown parameters", *THREE, get("${W}/a?foo=bar&dryRun=Some&fieldManager=x")),
]

TOKENS = [
    continued("to the end", ""),
    continued("with another limit", "&limit=10"),
    continued("with another selector", "&labelSelector=app=c"),
    continued("with a match", "&resourceVersionMatch=Exact"),
    continued("with revision 0", "&resourceVersion=0"),
    continued("cut off", "x"),
    continued("in another namespace", "", "/apis/diff.skerry.dev/v1/namespaces/default/widgets"),
    continued("as a watch", "&watch=1&timeoutSeconds=1"),
    scenario("continue/as a table", *THREE, PAGE, get("${W}?continue=${next}", headers={"accept": TABLE})),
    scenario("continue/as partial objects", *THREE, PAGE, get("${W}?continue=${next}&limit=1", headers={"accept": PARTIAL_LIST})),
    scenario("continue/after everything is gone", *THREE, PAGE, quiet(delete("${W}")), get("${W}?continue=${next}")),
    scenario(
        "continue/page by page",
        *THREE,
        PAGE,
        get("${W}?limit=1&continue=${next}", save={"next": "metadata.continue"}),
        get("${W}?limit=1&continue=${next}"),
    ),
    scenario("continue/not base64", get("${W}?continue=%25%25")),
    scenario("continue/of a token without a start", get("${W}?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0")),
    scenario("continue/of a token of another version", get("${W}?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjIiLCJydiI6MSwic3RhcnQiOiJhIn0")),
]

WATCHES = [
    initial("with a field selector", "&fieldSelector=spec.color=green"),
    initial("with a name", "&fieldSelector=metadata.name=c"),
    initial("with both selectors", "&fieldSelector=spec.size=2&labelSelector=tier=x"),
    initial("nothing matches", "&labelSelector=app=nobody"),
    initial("at revision 0", "&resourceVersion=0"),
    initial("at a revision", "&resourceVersion=${head}", HEAD, GONE),
    initial("after a deletion", "", GONE),
    scenario(
        "initial/as partial objects",
        *THREE,
        watch(INITIAL, headers={"accept": PARTIAL}),
    ),
    scenario("initial/as a table", *THREE, watch(INITIAL, headers={"accept": TABLE})),
    scenario("initial/exact is refused", *THREE, watch("&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=0")),
    scenario("initial/false without a match", *THREE, HEAD, watch("&sendInitialEvents=false&resourceVersion=${head}")),
    scenario("initial/neither true nor false", *THREE, watch("&sendInitialEvents=maybe&resourceVersionMatch=NotOlderThan")),
    scenario("initial/in the future", *THREE, watch(f"{INITIAL}&resourceVersion=999999999")),
    scenario(
        "initial/of everything", watch(f"{INITIAL}&fieldSelector=metadata.namespace=${{ns}}", path="/apis/diff.skerry.dev/v1/widgets")
    ),
    formed(
        "table of changes",
        TABLE,
        "",
        patch({"spec": {"size": 9}}),
        delete("${W}/b"),
    ),
    formed("table without objects", TABLE, "&includeObject=None", patch({"spec": {"size": 9}})),
    formed("table with whole objects", TABLE, "&includeObject=Object", patch({"spec": {"size": 9}})),
    formed("table with bad includeObject", TABLE, "&includeObject=Some", patch({"spec": {"size": 9}})),
    formed("partial objects of changes", PARTIAL, "", patch({"spec": {"size": 9}}), delete("${W}/b")),
    formed("partial objects with a selector", PARTIAL, "&labelSelector=app=in", relabel("in"), relabel("out")),
    formed("partial list of changes", PARTIAL_LIST, "", patch({"spec": {"size": 9}})),
    formed(
        "moves between field values",
        "application/json",
        "&fieldSelector=spec.color!=red",
        edit(lambda o: o["spec"].update(color="blue")),
        edit(lambda o: o["spec"].update(size=7)),
        edit(lambda o: o["spec"].update(color="red")),
        edit(lambda o: o["spec"].update(size=8)),
        delete("${W}/b"),
    ),
    formed(
        "moves between numbers",
        "application/json",
        "&fieldSelector=spec.size=5",
        patch({"spec": {"size": 5}}),
        patch({"spec": {"color": "blue"}}),
        patch({"spec": {"size": 6}}),
    ),
    formed(
        "label and field together",
        "application/json",
        "&fieldSelector=spec.color=blue&labelSelector=app=in",
        patch({"spec": {"color": "blue"}}),
        relabel("in"),
        patch({"spec": {"color": "green"}}),
        patch({"spec": {"color": "blue"}}),
        relabel("out"),
        delete(),
    ),
    formed("recreated between", "application/json", "&fieldSelector=metadata.name=a", delete(), post()),
    formed("of all namespaces", "application/json", "&fieldSelector=metadata.namespace=${ns}", patch({"spec": {"size": 9}})),
    scenario("watch/bad timeout", watch("&timeoutSeconds=soon")),
    scenario("watch/unknown parameter", *THREE, HEAD, watch("&resourceVersion=${head}&foo=bar&limit=1")),
    scenario("watch/selectable field that is none", watch("&fieldSelector=spec.code=x")),
    scenario("watch/bad revision that is negative", watch("&resourceVersion=-1")),
    scenario("watch/one object", *THREE, HEAD, GONE, watch("&resourceVersion=${head}&fieldSelector=metadata.name=b", path="${W}")),
]

FORMS = [
    scenario("accept/text for a watch", watch("", headers={"accept": "text/plain"})),
    scenario("partial/labels", *THREE, get("${W}?labelSelector=tier=x", headers={"accept": PARTIAL_LIST})),
    scenario("partial/page", *THREE, get("${W}?limit=2", headers={"accept": PARTIAL_LIST})),
    scenario(
        "partial/exact revision",
        *THREE,
        HEAD,
        GONE,
        get("${W}?resourceVersion=${head}&resourceVersionMatch=Exact", headers={"accept": PARTIAL_LIST}),
    ),
    scenario("partial/created", post(headers={"accept": PARTIAL})),
    scenario("partial/patched", *THREE, patch({"spec": {"size": 9}}, headers={"accept": PARTIAL})),
    scenario("partial/deleted", *THREE, delete(headers={"accept": PARTIAL})),
    scenario("partial/deleted collection", *THREE, delete("${W}", headers={"accept": PARTIAL_LIST})),
    scenario("partial/v1beta1", *THREE, get(headers={"accept": PARTIAL.replace("v=v1;", "v=v1beta1;")})),
    scenario("partial/or table", *THREE, get("${W}", headers={"accept": f"{PARTIAL_LIST},{TABLE}"})),
    scenario("partial/of an error", get(headers={"accept": PARTIAL})),
    scenario("partial/status", *THREE, get("${W}/a/status", headers={"accept": PARTIAL})),
    scenario("table/empty list", get("${W}", headers={"accept": TABLE})),
    scenario("table/with a selector", *THREE, get("${W}?labelSelector=tier=x", headers={"accept": TABLE})),
    scenario("table/patched", *THREE, patch({"spec": {"size": 9}}, headers={"accept": TABLE})),
    scenario("table/deleted", *THREE, delete(headers={"accept": TABLE})),
    scenario("table/deleted collection", *THREE, delete("${W}", headers={"accept": TABLE})),
    scenario("table/status", *THREE, get("${W}/a/status", headers={"accept": TABLE})),
]

SCENARIOS = REVISIONS + TOKENS + WATCHES + FORMS
