from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from skerry.client import kubeconfig
from skerry.client.connection import BadConnection, Connection, in_cluster
from skerry.client.kubeconfig import KubeconfigError
from skerry.kit import yamls
from skerry.pki import policy
from skerry.pki.authority import Authority, make_root

NOW = datetime.now(UTC)
ROOT = Authority(make_root("test", NOW))
ADMIN = ROOT.issue(policy.ADMIN, "admin", NOW)
FULL = Connection(
    "https://api.example:6443", ca=ROOT.bundle, certificate=ADMIN.certificate, key=ADMIN.key, token="t", proxy="http://proxy:3128"
)


def written(tmp_path: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Path:
    path = tmp_path / "config"
    document = {
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [
            {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
            {"name": "y", "context": {"cluster": "gone"}},
        ],
        "current-context": "x",
    }
    path.write_text(yamls.dump(document))
    return path


def test_what_is_written_is_read_back_and_private(tmp_path: Path) -> None:
    path = tmp_path / "admin.kubeconfig"
    kubeconfig.write(path, FULL)
    assert kubeconfig.read(path) == FULL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_are_found_beside_the_kubeconfig_and_inline_data_wins(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(ROOT.bundle)
    (tmp_path / "me.key").write_bytes(ADMIN.key)
    (tmp_path / "me.crt").write_bytes(ADMIN.certificate)
    user = {"client-certificate": "me.crt", "client-key": "me.key", "tokenFile": "token"}
    found = kubeconfig.read(written(tmp_path, {"certificate-authority": "ca.crt", "tls-server-name": "other"}, user))
    assert (found.ca, found.key, found.server_name, found.namespace) == (ROOT.bundle, ADMIN.key, "other", "n")
    assert found.token_file == tmp_path / "token"
    assert isinstance(found.tls(), ssl.SSLContext)


def test_several_files_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (two / "ca.crt").write_bytes(ROOT.bundle)
    first = written(one, user={"token": "first"})
    document = yamls.load(written(two, {"certificate-authority": "ca.crt"}).read_bytes())
    document["clusters"].append({"name": "d", "cluster": {"server": "https://other.example", "certificate-authority": "ca.crt"}})
    document["contexts"].append({"name": "z", "context": {"cluster": "d", "user": "u"}})
    (two / "config").write_text(yamls.dump({**document, "current-context": "z"}))
    together = Path(f"{tmp_path}/missing:{first}:{two}/config")
    found = kubeconfig.read(together)
    assert (found.server, found.token, found.ca) == ("https://api.example", "first", None)
    found = kubeconfig.read(together, "z")
    assert (found.server, found.token, found.ca) == ("https://other.example", "first", ROOT.bundle)
    assert kubeconfig.contexts(together) == (["x", "y", "z"], "x")
    assert kubeconfig.read(Path(f"{first}:")).token == "first"
    with pytest.raises(KubeconfigError, match=f"{tmp_path}/a cannot be read"):
        kubeconfig.read(Path(f"{tmp_path}/a:{tmp_path}/b"))


def test_a_token_wins_over_a_file_of_one(tmp_path: Path) -> None:
    found = kubeconfig.read(written(tmp_path, user={"token": "t", "tokenFile": "f"}))
    assert (found.token, found.token_file) == ("t", None)


def test_a_context_can_be_chosen_and_the_contexts_listed(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert kubeconfig.contexts(path) == (["x", "y"], "x")
    with pytest.raises(KubeconfigError, match=r"no cluster 'gone' \(it has: c\)"):
        kubeconfig.read(path, "y")
    with pytest.raises(KubeconfigError, match="no context 'z'"):
        kubeconfig.read(path, "z")


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ({"exec": {"command": "aws"}}, "exec plugin"),
        ({"auth-provider": {"name": "gcp"}}, "auth provider"),
        ({"username": "a", "password": "b"}, "user name and password"),
        ({"as": "root"}, "impersonation"),
        ({"client-certificate-data": "eA=="}, "come together"),
        ({"client-key-data": "not base64!"}, "not base64"),
        ({"client-certificate": "gone.crt"}, r"gone\.crt.*cannot be read"),
    ],
)
def test_a_login_that_cannot_be_honoured_is_refused_by_name(tmp_path: Path, user: dict[str, Any], why: str) -> None:
    with pytest.raises(KubeconfigError, match=why):
        kubeconfig.read(written(tmp_path, user=user))


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        ({"server": ""}, "not the address"),
        ({"server": "api.example:6443"}, "not the address"),
        ({"proxy-url": "socks5://p"}, "socks5"),
        ({"insecure-skip-tls-verify": True, "certificate-authority-data": "eA=="}, "contradict"),
    ],
)
def test_a_server_that_cannot_be_reached_so_is_refused_with_the_file_named(tmp_path: Path, cluster: dict[str, Any], why: str) -> None:
    with pytest.raises(KubeconfigError, match=f"config: .*{why}"):
        kubeconfig.read(written(tmp_path, cluster))


@pytest.mark.parametrize("text", ["", "[]", "kind: Pod", "a: [", "\x00", "kind: Config\nclusters: 7\ncurrent-context: x"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(KubeconfigError):
        kubeconfig.read(tmp_path / "config")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="nowhere"):
        kubeconfig.read(tmp_path / "nowhere")


def test_an_encrypted_or_broken_key_is_refused_without_asking_the_terminal() -> None:
    encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGj\n-----END ENCRYPTED PRIVATE KEY-----\n"
    with pytest.raises(BadConnection, match="private key"):
        Connection("https://a", certificate=ADMIN.certificate, key=encrypted).tls()
    with pytest.raises(BadConnection, match="bundle"):
        Connection("https://a", ca=b"x").tls()


def test_secrets_are_not_shown_where_settings_are_printed() -> None:
    assert "PRIVATE" not in repr(FULL)
    assert "'t'" not in repr(FULL)


def test_trust_does_not_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "evil.pem").write_bytes(ROOT.bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "evil.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    context = Connection("https://a").tls()
    assert context is not None
    assert not any("test" in str(each["subject"]) for each in context.get_ca_certs())


def test_a_service_account_is_read_from_its_folder(tmp_path: Path) -> None:
    with pytest.raises(BadConnection, match="no service account"):
        in_cluster("10.0.0.1", "443", tmp_path)
    (tmp_path / "ca.crt").write_bytes(ROOT.bundle)
    (tmp_path / "namespace").write_text("skerry-agent\n")
    found = in_cluster("fd00::1", "443", tmp_path)
    assert (found.server, found.namespace, found.token_file) == ("https://[fd00::1]:443", "skerry-agent", tmp_path / "token")


def test_a_context_is_put_beside_others_and_in_the_place_of_its_older_self(tmp_path: Path) -> None:
    path = written(tmp_path, user={"token": "t0"})
    path.chmod(0o644)
    shop = Connection("https://door.example/k8s/attached.attached.shop", ca=ROOT.bundle, token="old")
    kubeconfig.merge(path, shop, name="skerry/shop", user="skerry/shop")
    assert kubeconfig.contexts(path) == (["x", "y", "skerry/shop"], "x")
    assert kubeconfig.read(path).token == "t0"
    newer = Connection(shop.server, ca=ROOT.bundle, token="new")
    kubeconfig.merge(path, newer, name="skerry/shop", user="skerry/shop", use=True)
    assert kubeconfig.contexts(path) == (["x", "y", "skerry/shop"], "skerry/shop")
    assert kubeconfig.read(path) == newer
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_context_is_put_into_a_file_that_is_not_there_and_never_into_one_that_is_none(tmp_path: Path) -> None:
    kubeconfig.merge(tmp_path / "new", FULL, name="a", user="a")
    assert kubeconfig.read(tmp_path / "new") == FULL
    (tmp_path / "other").write_text("kind: Pod\n")
    with pytest.raises(KubeconfigError):
        kubeconfig.merge(tmp_path / "other", FULL, name="a", user="a")
    assert (tmp_path / "other").read_text() == "kind: Pod\n"


def test_a_token_file_is_named_by_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    kubeconfig.write(tmp_path / "config", Connection("https://a", ca=ROOT.bundle, token_file=tmp_path / "token"))
    assert kubeconfig.read(tmp_path / "config").token_file == tmp_path / "token"
