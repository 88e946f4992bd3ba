"""Confidential values in the store: nothing in the clear on the disk, and nothing opens in another place."""

from __future__ import annotations

import asyncio
import base64
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skerry.kit.aio import TaskOwner
from skerry.kit.clock import SystemClock
from skerry.pki.keyring import KeyringFile
from skerry.store.contract import Check, Key, Row, Shut, Store, Value, Verb, Write
from skerry.store.memory import MemoryStore
from skerry.store.rewriting import Rewriting, why_not
from skerry.store.sealed import SealedStore
from skerry.store.sealing import CannotOpen, is_sealed, key_of, opened, resealed, seal
from skerry.store.sqlite import SqliteStore

VALUE = "the-very-secret-value"


class Ring:
    """Keys in memory."""

    def __init__(self, *ids: str) -> None:
        self.keys = {each: os.urandom(32) for each in ids}

    def primary(self) -> tuple[str, bytes] | None:
        return next(reversed(self.keys.items()), None)

    def find(self, key_id: str) -> bytes | None:
        return self.keys.get(key_id)


def key(name: str = "a", resource: str = "secrets", organization: str = "org") -> Key:
    return Key(organization, resource, "ns", name)


def value(uid: str = "u1", text: str = VALUE) -> Value:
    return Value(b'{"metadata":{"name":"a","uid":"%s","resourceVersion":"' % uid.encode(), b'"},"data":"%s"}' % text.encode())


def at(found: Value, revision: int) -> bytes:
    return found.head + str(revision).encode() + found.tail


def test_what_was_sealed_opens_in_its_place_with_the_revision_that_it_got() -> None:
    ring = Ring("k1")
    sealed = seal(value(), key(), ring)
    stored = at(sealed, 4711)
    assert VALUE.encode() not in stored
    assert is_sealed(stored)
    assert key_of(stored) == "k1"
    assert opened(stored, key(), ring) == at(value(), 4711)


def test_no_two_seals_of_one_value_are_alike() -> None:
    ring = Ring("k1")
    assert len({seal(value(), key(), ring).head for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "elsewhere",
    [key("b"), key(resource="configmaps"), key(organization="other"), Key("org", "secrets", "n", "sa"), Key("org", "secrets", "", "a")],
)
def test_a_sealed_value_that_was_moved_to_another_object_does_not_open(elsewhere: Key) -> None:
    ring = Ring("k1")
    stored = at(seal(value(), key(), ring), 1)
    with pytest.raises(CannotOpen, match="does not open"):
        opened(stored, elsewhere, ring)


def test_a_sealed_value_does_not_open_under_another_uid_or_key_id_or_with_any_byte_changed() -> None:
    ring = Ring("k1", "k2")
    stored = at(seal(value("uid-1"), key(), ring), 1)
    ring.keys["k1"] = ring.keys["k2"]
    for wrong in (stored.replace(b"uid-1", b"uid-2", 1), stored.replace(b"k2", b"k1", 1)):
        with pytest.raises(CannotOpen, match="does not open"):
            opened(wrong, key(), ring)
    begin = stored.index(b"uid-1")
    for place in range(begin, len(stored) - len(b":1")):
        changed = bytearray(stored)
        changed[place] ^= 1
        with pytest.raises(CannotOpen):
            opened(bytes(changed), key(), ring)
    for end in range(len(stored) - 2):
        if is_sealed(stored[:end]):
            with pytest.raises(CannotOpen):
                opened(stored[:end], key(), ring)


def test_the_message_of_what_does_not_open_names_object_and_key_and_nothing_else() -> None:
    ring = Ring("k1")
    stored = at(seal(value(), key(), ring), 1)
    with pytest.raises(CannotOpen) as caught:
        opened(stored, key(), Ring("k9"))
    assert "secrets ns/a is encrypted with key k1" in str(caught.value)
    with pytest.raises(CannotOpen, match="no key"):
        seal(value(), key(), Ring())


def test_a_value_in_the_clear_is_read_as_it_is_and_can_be_sealed() -> None:
    ring = Ring("k1")
    clear = at(value(), 12)
    assert opened(clear, key(), ring) == clear
    sealed = resealed(clear, key(), ring, 12)
    assert VALUE.encode() not in sealed
    assert opened(sealed, key(), ring) == clear
    ring.keys["k2"] = os.urandom(32)
    again = resealed(sealed, key(), ring, 12)
    assert key_of(again) == "k2"
    assert opened(again, key(), ring) == clear


# the store

STORES = ("memory", "sqlite")


@pytest.fixture(params=STORES)
async def inner(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "db" / "s.db")
    yield store
    await store.close()


@pytest.fixture
def keyring(tmp_path: Path) -> KeyringFile:
    return KeyringFile.create(tmp_path / "keyring.json", "2026-01-01T00:00:00Z")


@pytest.fixture
def sealed(inner: Store, keyring: KeyringFile) -> SealedStore:
    return SealedStore(inner, keyring, {"secrets"})


async def put(store: Store, name: str = "a", expect: int = 0, text: str = VALUE, *, delete: bool = False) -> int:
    return await store.write(Write(key(name), expect, value(text=text), delete=delete))


async def raw(store: Store) -> list[Row]:
    return list(await store.held({"secrets"}))


async def test_every_reading_gives_what_was_written_and_the_store_below_holds_none_of_it(sealed: SealedStore) -> None:
    first = await put(sealed)
    second = await put(sealed, expect=first, text="other")
    gone = await put(sealed, expect=second, text="last", delete=True)
    changes = await sealed.changes(0)
    assert [(change.verb, change.value) for change in changes] == [
        (Verb.CREATE, at(value(), first)),
        (Verb.UPDATE, at(value(text="other"), second)),
        (Verb.DELETE, at(value(text="last"), gone)),
    ]
    assert [change.previous for change in changes] == [None, at(value(), first), at(value(text="other"), second)]
    assert [row.value for row in (await sealed.page("org", "secrets", at=first)).rows] == [at(value(), first)]
    assert await sealed.get(key()) is None
    assert all(is_sealed(row.value) for row in await raw(sealed))
    assert len(await raw(sealed)) == 3


async def test_a_kind_that_is_not_confidential_is_stored_as_it_is(sealed: SealedStore) -> None:
    revision = await sealed.write(Write(key(resource="things"), 0, value()))
    row = await sealed.store.get(key(resource="things"))
    assert row is not None
    assert row.value == at(value(), revision)


async def test_a_check_on_a_confidential_object_sees_what_is_in_the_envelope(sealed: SealedStore) -> None:
    await put(sealed)
    seen: list[bytes] = []
    check = Check(key(), accept=seen.append)
    await sealed.write(Write(key(resource="things"), 0, value(), checks=(check,)))
    assert VALUE.encode() in seen[0]


async def test_what_does_not_open_is_shut_alone_and_its_neighbours_are_served(sealed: SealedStore) -> None:
    await put(sealed, "a")
    await put(sealed, "b")
    rows = await raw(sealed)
    await sealed.rewrite([(rows[0], rows[1].value)])  # the ciphertext of b in the place of a
    page = (await sealed.page("org", "secrets")).rows
    assert isinstance(page[0].value, Shut)
    assert "secrets ns/a does not open" in page[0].value.why
    assert VALUE.encode() in page[1].value
    assert await why_not(sealed) == ""


async def test_a_keyring_without_the_key_says_so_and_nothing_more_is_sealed(sealed: SealedStore, tmp_path: Path) -> None:
    await put(sealed)
    other = SealedStore(sealed.store, KeyringFile.create(tmp_path / "other.json", "2026-01-01T00:00:00Z"), {"secrets"})
    other.refusal = await why_not(other)
    assert "which the keyring does not hold" in other.refusal
    with pytest.raises(CannotOpen, match="put that keyring back"):
        await put(other, "b")
    assert await why_not(SealedStore(sealed.store, Ring(), {"secrets"})) != ""


async def test_a_key_of_the_same_name_that_is_another_one_is_told_apart(sealed: SealedStore, keyring: KeyringFile) -> None:
    await put(sealed)
    primary = keyring.primary()
    assert primary is not None
    assert "another key" in await why_not(SealedStore(sealed.store, Ring(primary[0]), {"secrets"}))


# rewriting


async def settled(rewriting: Rewriting) -> None:
    """Let the work run until nothing is left to do."""
    async with running(rewriting):
        await until(lambda: not rewriting.progress.running and rewriting.progress.position > 0)


async def test_values_in_the_clear_are_sealed_the_old_ones_too_and_nobody_is_told(sealed: SealedStore, keyring: KeyringFile) -> None:
    first = await put(sealed.store)
    second = await put(sealed.store, expect=first, text="other")
    before = await sealed.changes(0)
    rewriting = Rewriting(sealed, keyring, SystemClock())
    assert await rewriting.usage() == Counter({"": 2})
    await settled(rewriting)
    assert all(is_sealed(row.value) for row in await raw(sealed))
    assert await sealed.changes(0) == before
    assert await sealed.head() == second
    assert rewriting.progress.rewritten == 2


async def test_a_rotation_brings_everything_under_a_new_key_and_retires_the_old_one(sealed: SealedStore, keyring: KeyringFile) -> None:
    for number in range(250):
        first = await put(sealed, f"n{number}")
        await put(sealed, f"n{number}", first, "other")
    before = await sealed.changes(0)
    (old,) = keyring.facts()
    rewriting = Rewriting(sealed, keyring, SystemClock())
    assert rewriting.rotate()
    assert not rewriting.rotate(), "one at a time"
    writing = asyncio.gather(*(put(sealed, f"during{number}") for number in range(50)))
    await settled(rewriting)
    await writing
    (new,) = keyring.facts()
    assert new.id != old.id
    assert await rewriting.usage() == Counter({new.id: 550})
    assert rewriting.progress.retired == [old.id]
    assert rewriting.progress.rewritten == 500
    assert (await sealed.changes(0, 5000))[:500] == before


async def test_a_rotation_that_was_cut_off_goes_on_at_the_next_start(sealed: SealedStore, keyring: KeyringFile) -> None:
    for number in range(10):
        await put(sealed, f"n{number}")
    old = keyring.facts()[0].id
    keyring.rotate("2026-01-02T00:00:00Z")
    rows = await raw(sealed)
    await sealed.rewrite([(row, resealed(row.value, row.key, keyring, row.revision)) for row in rows[:4]])  # and then it died
    again = SealedStore(sealed.store, KeyringFile(keyring.path), {"secrets"})
    assert await why_not(again) == ""
    rewriting = Rewriting(again, KeyringFile(keyring.path), SystemClock())
    await settled(rewriting)
    assert rewriting.progress.rewritten == 6
    assert rewriting.progress.retired == [old]
    assert [key.id for key in keyring.facts()] == [key_of(row.value) for row in (await raw(sealed))[:1]]


async def test_a_value_that_does_not_open_is_left_alone_and_its_key_is_kept(sealed: SealedStore, keyring: KeyringFile) -> None:
    await put(sealed, "a")
    await put(sealed, "b")
    rows = await raw(sealed)
    await sealed.rewrite([(rows[0], rows[1].value)])
    rewriting = Rewriting(sealed, keyring, SystemClock())
    rewriting.rotate()
    await settled(rewriting)
    assert (rewriting.progress.rewritten, rewriting.progress.unreadable, rewriting.progress.retired) == (1, 1, [])
    assert len(keyring.facts()) == 2


async def test_nothing_that_was_stored_in_the_clear_is_left_in_the_files(tmp_path: Path, keyring: KeyringFile) -> None:
    store = await SqliteStore.open(tmp_path / "db" / "s.db")
    sealed = SealedStore(store, keyring, {"secrets"})
    first = await put(store, text="planted-old" * 300)
    await put(store, expect=first, text="planted-new" * 300)
    await settled(Rewriting(sealed, keyring, SystemClock()))
    content = b"".join(path.read_bytes() for path in (tmp_path / "db").iterdir())
    assert b"planted" not in content
    assert base64.b64encode(b"planted-new" * 3) not in content
    await store.close()


async def test_where_others_write_too_a_former_key_is_kept_for_their_sake_and_another_rotation_need_not_wait(
    sealed: SealedStore, keyring: KeyringFile
) -> None:
    other = SealedStore(sealed.store, KeyringFile(keyring.path), {"secrets"})
    await put(sealed, "a")
    (old,) = keyring.facts()
    rewriting = Rewriting(sealed, keyring, SystemClock(), patience=3600)
    assert rewriting.rotate()
    async with running(rewriting):
        await finished(rewriting, 1)
        assert keyring.facts()[0].id == old.id, "somebody may be writing with it"
        await put(other, "b")
        assert key_of((await raw(sealed))[1].value) == keyring.facts()[-1].id, "who writes later takes the new key"
        assert rewriting.rotate()
        await finished(rewriting, 2)
        assert len(keyring.facts()) == 3
        assert await rewriting.usage() == Counter({keyring.facts()[-1].id: 2})
    brief = Rewriting(sealed, keyring, SystemClock(), patience=0.001)
    async with running(brief):
        await until(lambda: len(keyring.facts()) == 1)
    assert VALUE.encode() in (await sealed.page("org", "secrets")).rows[0].value


@asynccontextmanager
async def running(rewriting: Rewriting) -> AsyncIterator[None]:
    async with TaskOwner("test") as owner:
        owner.spawn(rewriting.run(), "rewriting")
        yield


async def finished(rewriting: Rewriting, rewritten: int) -> None:
    await until(lambda: not rewriting.progress.running and rewriting.progress.rewritten == rewritten)


async def until(state: Callable[[], bool]) -> None:
    for _ in range(6000):
        if state():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within a minute")
