"""The command line as people and scripts meet it: exit codes, forms of output, completion, messages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.server import SKERRY, Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("cli"), "--sim") as server:
        yield server


def skerry(*arguments: str, folder: Path, code: int = 0, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, without the user's own settings."""
    done = subprocess.run(
        [str(SKERRY), *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "200", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def completing(words: str, place: int) -> dict[str, str]:
    """The environment in which bash asks for completions of the word at a place."""
    return {"_SKERRY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("up", "--port", "99999"), "65535"),
        (("server", "--log-level", "loud"), "'debug', 'info', 'warning', 'error'"),
        (("nonsense",), "No such command"),
        (("explain", "cluster", "a.b"), "--namespace"),
        (("agent",), "--kubeconfig"),
        (("version", "-o", "xml"), "'table', 'json', 'yaml'"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_right(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in skerry(*arguments, folder=tmp_path, code=2).stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--database", "postgresql://me:secret@127.0.0.1:1/fleet"), "the database postgresql://me@127.0.0.1:1/fleet cannot be reached"),
        (("--database", "mysql://me:secret@db/fleet"), "begins with postgresql://"),
        (("--database", "postgresql://db/fleet", "--database-password-file", "nowhere"), "nowhere: No such file"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    done = skerry("server", "--data", "data", *options, folder=tmp_path, code=1)
    assert says in done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_ends_with_1_and_says_why_on_standard_error(tmp_path: Path) -> None:
    for arguments in (("token", "sv-1"), ("kubeconfig",), ("tree", "cluster", "a.b", "-n", "demo")):
        done = skerry(*arguments, folder=tmp_path, code=1)
        assert done.stdout == ""
        assert done.stderr.startswith("skerry: ")
        assert "admin.kubeconfig" in done.stderr


def test_an_agent_that_has_not_registered_is_told_what_it_needs(server: Server, tmp_path: Path) -> None:
    done = skerry("agent", "--kubeconfig", str(server.kubeconfig), folder=tmp_path, code=2)
    assert "skerry token" in done.stderr


def test_every_form_of_output_says_the_same(server: Server, tmp_path: Path) -> None:
    data = ("kubeconfig", "--data", str(server.data))
    text = skerry(*data, folder=tmp_path).stdout
    assert text == server.kubeconfig.read_text()
    assert json.loads(skerry(*data, "-o", "json", folder=tmp_path).stdout) == yaml.safe_load(text)
    assert f":{server.port}" in skerry(*data, "-o", "table", folder=tmp_path).stdout
    version = skerry("version", folder=tmp_path).stdout.strip()
    assert skerry("--version", folder=tmp_path).stdout.strip() == version
    assert json.loads(skerry("version", "--output", "json", folder=tmp_path).stdout) == {"version": version}
    assert yaml.safe_load(skerry("version", "--output", "yaml", folder=tmp_path).stdout) == {"version": version}


def test_a_token_is_made_for_a_management_cluster_that_exists(server: Server, tmp_path: Path) -> None:
    known = {"KUBECONFIG": str(server.kubeconfig)}
    token = skerry("token", "demo", folder=tmp_path, environment=known).stdout.strip()
    assert token.startswith("demo.")
    assert "\n" not in token
    made = json.loads(skerry("token", "demo", "-o", "json", folder=tmp_path, environment=known).stdout)
    assert made["name"] == "demo"
    assert made["token"] != token
    assert made["expires"].endswith("Z")
    assert '"nowhere" not found' in skerry("token", "nowhere", folder=tmp_path, code=1, environment=known).stderr


def test_an_attached_cluster_is_named_by_one_word_and_the_place_of_them_all_is_no_cluster(server: Server, tmp_path: Path) -> None:
    known = {"KUBECONFIG": str(server.kubeconfig)}
    skerry("attach", "shop", "--link", "--skerry-kubeconfig", str(server.kubeconfig), folder=tmp_path)
    made = json.loads(skerry("token", "shop", "-o", "json", folder=tmp_path, environment=known).stdout)
    assert made["name"] == "attached.attached.shop"
    assert "attached is no cluster" in skerry("kubeconfig", "get", "attached", folder=tmp_path, code=1, environment=known).stderr


def test_a_cluster_that_does_not_exist_is_said_not_to(server: Server, tmp_path: Path) -> None:
    known = {"KUBECONFIG": str(server.kubeconfig)}
    assert '"a.b" not found' in skerry("explain", "cluster", "a.b", "-n", "demo", folder=tmp_path, code=1, environment=known).stderr
    assert "PROVISIONER.NAME" in skerry("explain", "cluster", "plain", "-n", "demo", folder=tmp_path, code=1, environment=known).stderr


def test_a_context_of_a_cluster_that_is_reached_through_skerry_leads_to_skerry(server: Server, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(server.kubeconfig.read_bytes())
    known = {"KUBECONFIG": f"{tmp_path}/missing:{mine}"}
    skerry("kubeconfig", "get", "demo", "--into", str(mine), "--use", folder=tmp_path, environment=known)
    assert yaml.safe_load(mine.read_text())["current-context"] == "skerry/demo"
    [cluster] = yaml.safe_load(skerry("kubeconfig", "get", "demo", folder=tmp_path, environment=known).stdout)["clusters"]
    assert cluster["cluster"]["server"] == f"https://127.0.0.1:{server.port}/k8s/demo"


def test_who_asks_somebody_else_is_told_that_it_is_not_skerry(server: Server, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(server.kubeconfig.read_text().replace(f":{server.port}", f":{server.port}/k8s/demo/api"))
    for verb in (("kubeconfig", "get", "demo"), ("token", "demo"), ("tree", "cluster", "team-a.web", "-n", "demo")):
        said = skerry(*verb, "--kubeconfig", str(elsewhere), folder=tmp_path, code=1).stderr
        assert "/k8s/demo/api is not Skerry" in said
    said = skerry("attach", "x", "--link", "--skerry-kubeconfig", str(elsewhere), folder=tmp_path, code=1).stderr
    assert "/k8s/demo/api is not Skerry" in said


def test_credentials_that_are_none_are_said_to_be(server: Server, tmp_path: Path) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "nonsense"}
    wrong = tmp_path / "wrong"
    wrong.write_text(yaml.safe_dump(config))
    for verb in (("token", "demo", "--kubeconfig"), ("detach", "demo", "--skerry-kubeconfig")):
        said = skerry(*verb, str(wrong), folder=tmp_path, code=1).stderr
        assert f"127.0.0.1:{server.port} does not know who asks: the credentials in {wrong} are wrong" in said


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--server", "skerry.example:8443"),
        ("--server", "https://skerry.example:port"),
        ("--proxy", "ftp://proxy.example"),
        ("--proxy", "http://"),
        ("--image", "two words"),
    ],
)
def test_what_no_agent_could_use_is_refused_before_anything_is_made(server: Server, tmp_path: Path, option: str, value: str) -> None:
    at = ("--skerry-kubeconfig", str(server.kubeconfig))
    assert option in skerry("attach", "wished", "--link", option, value, *at, folder=tmp_path, code=1).stderr
    assert "there is no cluster wished" in skerry("detach", "wished", *at, folder=tmp_path, code=1).stderr


def test_who_detaches_a_cluster_that_no_agent_left_is_told_what_stays(server: Server, tmp_path: Path) -> None:
    at = ("--skerry-kubeconfig", str(server.kubeconfig))
    skerry("attach", "brief", "--link", *at, folder=tmp_path)
    done = skerry("detach", "brief", *at, folder=tmp_path)
    assert done.stdout.splitlines() == ["cluster attached/attached.brief detached"]
    assert "`skerry detach brief --kubeconfig F`" in done.stderr


def test_a_server_that_does_not_answer_is_named(server: Server, tmp_path: Path) -> None:
    away = tmp_path / "away.kubeconfig"
    away.write_text(server.kubeconfig.read_text().replace(f":{server.port}", ":1"))
    assert "127.0.0.1:1" in skerry("token", "demo", "--kubeconfig", str(away), folder=tmp_path, code=1).stderr


def test_the_shell_completes_verbs_and_options(tmp_path: Path) -> None:
    verbs = skerry(folder=tmp_path, environment=completing("skerry to", 1)).stdout.split()
    assert verbs == ["token"]
    options = skerry(folder=tmp_path, environment=completing("skerry up --l", 2)).stdout.split()
    assert options == ["--log-level"]
    assert "_SKERRY_COMPLETE" in skerry("--show-completion", "zsh", folder=tmp_path).stdout
