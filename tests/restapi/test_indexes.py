"""Lists by a label or a field that is indexed answer what looking at every object would."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from skerry.kinds import observedobject
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import ServiceUnavailable
from skerry.restapi import indexes
from skerry.restapi.cache import Item, ResourceCache, ShutItem
from skerry.restapi.indexes import FEW, learn, narrowed
from skerry.restapi.request import Options
from skerry.restapi.selection import Selection, select
from skerry.store.contract import Verb

RESOURCE = observedobject.RESOURCE
LABEL = observedobject.CLUSTER_LABEL
FILL = 3 * FEW


def an_item(number: int, revision: int, cluster: str, name: str) -> Item:
    labels = {LABEL: cluster} if cluster else {}
    body = {"metadata": {"labels": labels}, "source": {"kind": "Machine", "name": name}}
    return Item((f"ns-{number % 2}", f"o{number:04}"), revision, json.dumps(body).encode())


def choice(labels: str = "", fields: str = "", namespace: str = "ns-0") -> Selection:
    return select(RESOURCE, namespace, Options(labels=labels, fields=fields))


CHOICES = [
    choice(f"{LABEL}=a"),
    choice(f"{LABEL} in (a, b)", namespace=""),
    choice(fields="source.name=x"),
    choice(f"{LABEL}=b", "source.kind=Machine,source.name=y"),
    choice(f"{LABEL}=nobody"),
]


def filled() -> ResourceCache:
    cache = ResourceCache(RESOURCE.key)
    cache.load((an_item(number, 1, "abc"[number % 3], "xyz"[number % 3]) for number in range(FILL)), 1)
    return cache


def plainly(cache: ResourceCache, selection: Selection) -> list[Item]:
    return [item for item in cache.rows.values() if selection.has(item)]


async def test_what_an_index_gives_is_what_looking_at_all_gives_whatever_changes() -> None:
    cache, chance = filled(), random.Random(7)
    assert [narrowed(cache, each) for each in CHOICES] == [None] * len(CHOICES), "there is no index before somebody asked"
    for each in CHOICES:
        await learn(cache, each)
    for revision in range(2, 1500):
        number = chance.randrange(FILL + 50)
        item = an_item(number, revision, chance.choice(["a", "b", "c", ""]), chance.choice("xyz"))
        gone = item.place in cache.rows and chance.random() < 0.3
        cache.apply(Verb.DELETE if gone else Verb.UPDATE, item)
        if revision % 50 == 0:
            for each in CHOICES:
                candidates = narrowed(cache, each)
                assert candidates is not None
                assert [item for item in candidates if each.has(item)] == plainly(cache, each)


async def test_what_changes_while_an_index_is_made_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, each = filled(), CHOICES[1]
    monkeypatch.setattr(indexes, "AT_A_TIME", 10)
    async with TaskOwner("test") as owner:
        making = owner.spawn(learn(cache, each), "making")
        await asyncio.sleep(0)
        for place, revision in ((0, 2), (FILL - 1, 3)):  # one that was put in already, and one that was not
            cache.apply(Verb.UPDATE, an_item(place, revision, "b", "x"))
        cache.apply(Verb.DELETE, an_item(FILL - 2, 4, "", ""))
        cache.apply(Verb.UPDATE, an_item(FILL + 1, 5, "a", "x"))
        await making
    candidates = narrowed(cache, each)
    assert candidates is not None
    assert [item for item in candidates if each.has(item)] == plainly(cache, each)


async def test_an_object_that_cannot_be_opened_is_in_every_choice() -> None:
    cache, each = filled(), CHOICES[0]
    cache.apply(Verb.UPDATE, ShutItem(("ns-0", "shut"), 2, "its key is missing"))
    await learn(cache, each)
    candidates = narrowed(cache, each)
    assert candidates is not None
    with pytest.raises(ServiceUnavailable, match="its key is missing"):
        [item for item in candidates if each.has(item)]


async def test_words_of_callers_make_no_index_nor_do_few_objects() -> None:
    cache = filled()
    await learn(cache, choice("app=x", "source.kind=Machine"))
    assert not cache.indexes
    cache.load((an_item(number, 1, "a", "x") for number in range(FEW)), 1)
    await learn(cache, CHOICES[1])
    assert not cache.indexes
