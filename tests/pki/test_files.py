from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skerry.pki import policy
from skerry.pki.authority import PkiError, facts
from skerry.pki.files import Safe, create_secret, front_door_names, read_secret, write_secret
from tests.disks import filled, small_disk

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_readable_by_its_owner_only_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_secret(tmp_path / "folder" / "secret", b"x")
        Safe(tmp_path / "pki").authority("internal", NOW)
    finally:
        os.umask(before)
    assert mode(tmp_path / "folder" / "secret") == 0o600
    assert mode(tmp_path / "pki" / "internal.pem") == 0o600
    assert mode(tmp_path / "pki") == 0o700


def test_a_secret_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"before")
    path.chmod(0o644)
    write_secret(path, b"after")
    assert (path.read_bytes(), mode(path)) == (b"after", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_that_was_copied_too_wide_is_narrowed_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0o644)
    assert read_secret(path) == b"x"
    assert mode(path) == 0o600


def test_what_cannot_be_replaced_stays_and_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_secret(tmp_path / "secret", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_the_first_to_create_a_secret_wins(tmp_path: Path) -> None:
    assert create_secret(tmp_path / "secret", b"one")
    assert not create_secret(tmp_path / "secret", b"two")
    assert (tmp_path / "secret").read_bytes() == b"one"
    assert len(list(tmp_path.iterdir())) == 1


def test_processes_that_start_together_agree_on_one_root(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        bundles = {authority.bundle for authority in pool.map(lambda _: Safe(tmp_path).authority("internal", NOW), range(8))}
    assert len(bundles) == 1


def test_a_root_and_its_leaves_are_the_same_after_a_restart(tmp_path: Path) -> None:
    def leaf() -> bytes:
        safe = Safe(tmp_path)
        return safe.pair(safe.authority("external", NOW), policy.SERVER, "front-door", "skerry", NOW, hosts=("localhost",)).pem

    assert leaf() == leaf()


def test_a_leaf_is_issued_anew_when_it_is_due_or_a_name_is_missing_or_the_file_is_damaged(tmp_path: Path) -> None:
    safe = Safe(tmp_path)
    root = safe.authority("external", NOW)

    def leaf(now: datetime, *hosts: str) -> bytes:
        return safe.pair(root, policy.SERVER, "front-door", "skerry", now, hosts=hosts).pem

    first = leaf(NOW, "localhost", "2001:DB8::0001")
    assert leaf(NOW + 59 * DAY, "2001:db8::1") == first
    due = leaf(NOW + 61 * DAY, "localhost")
    named = leaf(NOW + 62 * DAY, "localhost", "skerry.example")
    assert len({first, due, named}) == 3
    safe.path("front-door").write_bytes(named[:100])
    assert leaf(NOW + 62 * DAY, "localhost") != named


def test_a_leaf_that_somebody_else_renewed_beside_us_is_used_at_once(tmp_path: Path) -> None:
    safe, other = Safe(tmp_path), Safe(tmp_path)
    root = safe.authority("external", NOW)
    first = safe.pair(root, policy.SERVER, "x", "x", NOW)
    again = [safe.pair(root, policy.SERVER, "x", "x", NOW) for _ in range(2)]
    assert again == [first, first]
    assert again[0] is again[1], "what has not changed is not parsed again"
    renewed = other.pair(root, policy.SERVER, "x", "x", NOW + 61 * DAY)
    assert renewed != first
    assert safe.pair(root, policy.SERVER, "x", "x", NOW + 61 * DAY) == renewed


def test_a_leaf_that_is_due_is_used_until_it_ends_where_no_new_one_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    with small_disk(folder, "1m"):
        safe = Safe(folder)
        authority = safe.authority("internal", NOW)
        first = safe.pair(authority, policy.SERVER, "gateway", "skerry", NOW)
        ends = facts(first.load()[0]).not_after
        with filled(folder):
            assert safe.pair(authority, policy.SERVER, "gateway", "skerry", ends - timedelta(hours=1)) == first
            assert safe.pair(authority, policy.SERVER, "gateway", "skerry", NOW, hosts=("more.test",)) == first
            for hosts in ((), ("more.test",)):
                with pytest.raises(OSError, match=r"gateway\.pem"):
                    safe.pair(authority, policy.SERVER, "gateway", "skerry", ends, hosts=hosts)
        assert safe.pair(authority, policy.SERVER, "gateway", "skerry", ends) != first


def test_a_leaf_follows_its_root(tmp_path: Path) -> None:
    safe = Safe(tmp_path)
    one, other = safe.authority("internal", NOW), safe.authority("external", NOW)
    assert one.fingerprint != other.fingerprint
    safe.pair(one, policy.CLIENT, "x", "x", NOW)
    certificate, _ = safe.pair(other, policy.CLIENT, "x", "x", NOW).load()
    assert facts(certificate).issuer == other.fingerprint


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_a_damaged_root_is_refused_and_named_instead_of_made_again(tmp_path: Path, damage: bytes) -> None:
    safe = Safe(tmp_path)
    safe.authority("internal", NOW)
    safe.path("internal").write_bytes(damage)
    with pytest.raises(PkiError, match=r"internal\.pem.*restore"):
        safe.authority("internal", NOW)
    assert safe.path("internal").read_bytes() == damage


@pytest.mark.parametrize(("at", "why"), [(-2 * DAY, "clock"), (3651 * DAY, "ended")])
def test_a_root_outside_its_time_is_refused(tmp_path: Path, at: timedelta, why: str) -> None:
    safe = Safe(tmp_path)
    safe.authority("internal", NOW)
    with pytest.raises(PkiError, match=why):
        safe.authority("internal", NOW + at)


def test_the_front_door_answers_to_the_local_names_and_the_extra_ones_once() -> None:
    assert front_door_names(("Skerry.Example", "localhost", " "), "host-1") == (
        "localhost", "127.0.0.1", "::1", "host-1", "skerry.example",
    )  # fmt: skip
