"""What the documents show is true: commands run, links lead somewhere, settings are named."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from peers import prometheus
from peers.kubernetes import NAMESPACED, Kubernetes
from peers.postgresql import PostgreSql, programs
from tests.e2e.server import SKERRY, Server, eventually, running
from tests.store.databases import why_not

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text())
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (page.parent / target).exists(), target


def test_the_files_that_the_two_traces_name_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    traces = text[text.index("## Two traces") : text.index("## Rules that hold")]
    named = re.findall(r"`([a-z]+/[a-z_/]+\.py)`", traces)
    assert len(named) >= 10
    assert [name for name in named if not (ROOT / "src" / "skerry" / name).exists()] == []


def commands_of(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


@pytest.mark.peer("kubernetes")
@pytest.mark.parametrize(("page", "least"), [("tutorial/first-cluster.md", 10), ("howto/rehearse-failures.md", 10)])
def test_every_command_of_a_page_works_in_its_order(page: str, least: int, tmp_path: Path) -> None:
    commands = commands_of(page)
    assert len(commands) >= least
    with running(tmp_path, "--sim") as server:
        for command in commands:
            run(server, command)


@pytest.mark.peer("kubernetes")
@pytest.mark.parametrize("page", ["howto/rotate-the-encryption-key.md", "howto/back-up-and-restore.md", "howto/find-what-is-wrong.md"])
def test_every_command_of_a_page_for_operators_works_in_its_order(page: str, tmp_path: Path) -> None:
    (tmp_path / ".skerry").symlink_to(tmp_path / "data")
    with running(tmp_path) as server:
        for command in commands_of(page):
            run(server, command)


def run(server: Server, command: str) -> None:
    """Run a command of a page in the server's folder."""
    program, *arguments = shlex.split(command)
    if program == "kubectl":
        server.kubectl(*(str(ROOT / each) if each.startswith("examples/") else each for each in arguments))
    elif program == "skerry":
        done = subprocess.run([str(SKERRY), *arguments], cwd=server.folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.mark.peer("kubernetes")
def test_two_servers_are_set_up_on_postgresql_as_the_page_says(tmp_path: Path) -> None:
    if why := why_not("wheel"):
        pytest.skip(why)
    (tmp_path / "password").write_text("correct-horse\n")
    servers: dict[str, Server] = {}
    with PostgreSql("wheel") as database:
        rules = database.data / "pg_hba.conf"
        rules.write_text("local all fleet scram-sha-256\n" + rules.read_text())
        database.stop()
        database.start()
        try:
            for command in commands_of("howto/use-postgresql.md"):
                _follow(command, tmp_path, database, servers)
        finally:
            for server in servers.values():
                server.stop()
    assert len(servers) == 2


COPIES = {"backup", "restore"}


def _follow(command: str, folder: Path, database: PostgreSql, servers: dict[str, Server]) -> None:
    """Do what a line of the page says, with this test's folder, ports and socket."""
    program, *words = shlex.split(command)
    if program == "skerry":
        verb, *files = words[: words.index("--database") if words[0] in COPIES else 1]
        options = dict(zip(words[1 + len(files) :: 2], words[2 + len(files) :: 2], strict=True))
        address = options["--database"].replace("@db/fleet", "@/fleet") + f"?host={database.folder}"
        password = str(folder / options["--database-password-file"])
        more = ["--database", address, "--database-password-file", password]
        more += ["--keyring", str(folder / options["--keyring"])] if "--keyring" in options else []
        if verb in COPIES:
            subprocess.run([str(SKERRY), verb, *files, *more], cwd=folder, check=True, timeout=120)
            return
        server = servers[options["--data"]] = Server(folder, *more, verb=verb)
        server.data = folder / options["--data"]
        server.start()
    elif program == "kubectl":
        server = servers[words[1].partition("/")[0]]
        server.kubectl(*(str(ROOT / each) if each.startswith("examples/") else each for each in words[2:]))
    else:
        if program == "psql":
            program, words = str(programs("wheel") / "psql"), ["-h", str(database.folder), "-U", "skerry", "postgres", *words]  # type: ignore[operator]
        subprocess.run([program, *words], cwd=folder, check=True, timeout=60)


@pytest.mark.peer("kubernetes")
def test_the_page_about_access_works_as_a_script(tmp_path: Path) -> None:
    """Its commands hand a token from one to the next, so a shell runs them; what they refuse is told apart by words."""
    commands = commands_of("howto/give-people-access.md")
    said = [line.partition(' || echo "')[2].rstrip('"') for line in commands if "|| echo" in line]
    with running(tmp_path, "--sim") as server:
        found = server.shell("set -euo pipefail\n" + "\n".join(commands), ROOT)
    assert len(said) >= 6
    assert [words for words in said if words not in found] == [], found
    assert "whole: " in found


@pytest.mark.peer("kubernetes")
def test_the_pages_about_attaching_work_as_scripts(tmp_path: Path) -> None:
    """No node of the cluster runs a container, so the agent runs beside it, as the pages say for such clusters."""
    (tmp_path / ".skerry").symlink_to(tmp_path / "data")
    with running(tmp_path) as server, Kubernetes(controllers=(*NAMESPACED, "clusterrole-aggregation-controller")) as cluster:
        for name in ("shop", "bank", "sv-1"):
            (tmp_path / f"{name}.kubeconfig").symlink_to(cluster.kubeconfig)
        for page, least in (("howto/attach-a-cluster.md", 13), ("howto/attach-a-management-cluster.md", 4)):
            commands = commands_of(page)
            assert len(commands) >= least
            said = server.shell("set -euo pipefail\n" + "\n".join(map(_beside, commands)) + "\nwait", tmp_path)
            assert "detached" in said

        def left() -> list[str]:
            found = cluster.admin.ask("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles")["items"]
            return [each["metadata"]["name"] for each in found if "skerry" in each["metadata"]["name"]]

        eventually(lambda: left() == [], 60)


def _beside(command: str) -> str:
    if not command.startswith("skerry attach") or "--kubeconfig" not in command:
        return command
    return f"{command} --local > said.txt 2>&1 & timeout 60 sh -c 'until grep -q Ctrl-C said.txt; do sleep 0.1; done' || cat said.txt"


@pytest.mark.peer("kubernetes")
def test_the_page_about_prometheus_works_as_a_script(tmp_path: Path) -> None:
    if prometheus.program("promtool") is None:
        pytest.skip("peer Prometheus is missing: run `make peers` as root on Debian")
    commands = commands_of("howto/watch-skerry-with-prometheus.md")
    said = [line.partition(' || echo "')[2].rstrip('"') for line in commands if "|| echo" in line]
    for name in ("deploy", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    with running(tmp_path) as server:
        found = server.shell("set -euo pipefail\n" + "\n".join(commands), tmp_path)
    assert len(said) >= 2
    assert [words for words in (*said, "skerry_build_info{", "SUCCESS") if words not in found] == [], found
    assert oct((tmp_path / "monitoring" / "prometheus.token").stat().st_mode & 0o777) == "0o600"


@pytest.mark.peer("kubernetes")
def test_the_page_about_existing_clusters_works_as_a_script(tmp_path: Path) -> None:
    commands = commands_of("howto/manage-existing-clusters.md")
    said = [line.partition(' || echo "')[2].rstrip('"') for line in commands if "|| echo" in line]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with running(tmp_path, "--sim") as server:
        found = server.shell("set -euo pipefail\n" + "\n".join(commands), tmp_path)
    assert len(said) == 2
    for words in (*said, "it follows the management cluster", "Warning: the cluster is only observed", "kubectl-client-side-apply"):
        assert words in found, found


@pytest.mark.peer("kubernetes")
def test_the_page_about_manifests_works_as_a_script_on_a_cluster_that_is_attached(tmp_path: Path) -> None:
    commands = commands_of("howto/enforce-manifests.md")
    said = [line.partition(' || echo "')[2].rstrip('"') for line in commands if "|| echo" in line]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with Kubernetes(controllers=NAMESPACED) as cluster, running(tmp_path) as server:
        (tmp_path / "shop.kubeconfig").symlink_to(cluster.kubeconfig)
        command = [str(SKERRY), "attach", "shop", "--kubeconfig", str(cluster.kubeconfig), "--local"]
        with (tmp_path / "agent.log").open("wb") as log:
            agent = subprocess.Popen([*command, "--skerry-kubeconfig", str(server.kubeconfig)], cwd=tmp_path, stdout=log, stderr=log)
        try:
            eventually(lambda: "attached.shop" in server.kubectl("get", "clusters", "-n", "attached", ok=False), 60, server.log)
            found = server.shell("set -euo pipefail\n" + "\n".join(commands), tmp_path)
        finally:
            agent.terminate()
            agent.wait(60)
    assert len(said) >= 2
    told = ("shop-base   Theme", "Conflict", '"kubectl-patch"', "(.data.level)", "info", *said)
    assert [words for words in told if words not in found] == [], found
