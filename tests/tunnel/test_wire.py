"""What the gateway shows in handshakes."""

from __future__ import annotations

from datetime import UTC, datetime

from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, make_root
from skerry.tunnel.wire import Shown

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_certificate_or_a_root_that_has_changed_is_used_at_once_and_one_that_has_not_makes_no_new_context() -> None:
    roots = [Authority(make_root("one", NOW)), Authority(make_root("two", NOW))]
    pairs = [roots[0].issue(policy.SERVER, "skerry", NOW, hosts=("localhost",)) for _ in range(2)]
    now = {"pair": pairs[0], "roots": roots[0].bundle}

    def pair() -> tuple[bytes, bytes]:
        found = now["pair"]
        assert isinstance(found, KeyPair)
        return found.certificate, found.key

    def trusted() -> bytes:
        found = now["roots"]
        assert isinstance(found, bytes)
        return found

    shown = Shown(pair, trusted)
    assert [shown.changed() for _ in range(3)] == [None, None, None]
    now["pair"] = pairs[1]
    assert shown.changed() is not None
    assert shown.changed() is None
    now["roots"] = roots[0].bundle + roots[1].bundle
    assert shown.changed() is not None
    assert shown.changed() is None
