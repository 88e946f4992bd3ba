"""The keyring: one file, read by its owner only, replaced as a whole."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skerry.pki.keyring import KeyringError, KeyringFile

NOW = "2026-01-01T00:00:00Z"


def test_a_new_keyring_has_one_key_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "keyring.json"
    ring = KeyringFile.create(path, NOW)
    (facts,) = ring.facts()
    assert (facts.primary, facts.created) == (True, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    primary = ring.primary()
    assert primary is not None
    assert len(primary[1]) == 32
    assert KeyringFile.create(path, NOW).primary() == primary, "a keyring that is there is kept"


def test_a_new_primary_key_leaves_the_old_one_to_open_with_until_it_is_retired(tmp_path: Path) -> None:
    ring = KeyringFile.create(tmp_path / "keyring.json", NOW)
    (old,) = ring.facts()
    new = ring.rotate(NOW)
    assert [(each.id, each.primary) for each in ring.facts()] == [(old.id, False), (new, True)]
    assert ring.find(old.id) != ring.find(new)
    with pytest.raises(ValueError, match="primary"):
        ring.retire(new)
    ring.retire(old.id)
    assert KeyringFile(ring.path).find(old.id) is None
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600


def test_another_process_that_shares_the_file_sees_the_new_key(tmp_path: Path) -> None:
    ring = KeyringFile.create(tmp_path / "keyring.json", NOW)
    other = KeyringFile(ring.path)
    new = ring.rotate(NOW)
    assert other.find(new) == ring.find(new)
    assert other.primary() == ring.primary()


def test_processes_that_change_one_file_at_once_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    KeyringFile.create(path, NOW)
    rings = [KeyringFile(path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda ring: [ring.rotate(NOW) for _ in range(5)], rings))
    found = {key.id for key in KeyringFile(path).facts()}
    assert {key_id for each in made for key_id in each} <= found
    assert len(found) == 41


def test_a_file_that_is_away_holds_no_key_and_one_that_goes_takes_none_away(tmp_path: Path) -> None:
    assert KeyringFile(tmp_path / "none.json").primary() is None
    ring = KeyringFile.create(tmp_path / "keyring.json", NOW)
    primary = ring.primary()
    ring.path.unlink()
    assert ring.primary() == primary


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"primary":"a","keys":[]}',
        b'{"primary":"a","keys":[{"id":"a","created":"","key":"c2hvcnQ="}]}',
        b"\xff",
        b"[" * 10_000,
    ],
)
def test_a_damaged_keyring_is_refused_without_a_word_of_what_is_in_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keyring.json"
    path.write_bytes(content)
    with pytest.raises(KeyringError, match="put the right file back") as caught:
        KeyringFile(path)
    assert "c2hvcnQ=" not in str(caught.value)
    assert "c2hvcnQ=" not in str(caught.value.__cause__)


def test_a_keyring_that_is_damaged_while_it_is_in_use_stays_in_use(tmp_path: Path) -> None:
    ring = KeyringFile.create(tmp_path / "keyring.json", NOW)
    primary = ring.primary()
    ring.path.write_bytes(b"damage")
    assert ring.primary() == primary
