"""A manifest for a cluster behind a proxy tells its agent of it."""

from __future__ import annotations

import base64

from skerry.gateway.manifest import Installation, documents


def test_the_root_of_an_inspecting_proxy_is_mounted_and_named_only_where_there_is_one() -> None:
    plain = documents(Installation("sv-1", "https://front:8443", b"root", "token", "image"))
    behind = documents(Installation("sv-1", "https://front:8443", b"root", "token", "image", proxy_ca="corporate"))
    for made, there in ((plain, False), (behind, True)):
        secret = next(each for each in made if each["kind"] == "Secret")
        pod = next(each for each in made if each["kind"] == "Deployment")["spec"]["template"]["spec"]
        assert ("proxy-ca.crt" in secret["data"]) is there
        assert any("--trust-proxy-ca" in each for each in pod["containers"][0]["args"]) is there
        assert {each["key"] for each in pod["volumes"][0]["secret"]["items"]} <= set(secret["data"])
    assert base64.b64decode(next(each for each in behind if each["kind"] == "Secret")["data"]["proxy-ca.crt"]) == b"corporate"
