"""Lets others learn what the watch caches take in, object by object, in the order of the log and without waiting.

A follower is a watcher that never falls behind: it is handed each change in the same turn of
the event loop in which the cache takes it, so whoever sees a revision in the cache may count
on it here. When a cache is read anew, so is the follower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from skerry.restapi.cache import Event, Place, Watcher
from skerry.restapi.feeds import Feeds
from skerry.store.contract import Verb


class Learner(Protocol):
    """Takes in the objects of one kind."""

    @property
    def apply(self) -> Callable[[Place, bytes | None, int], None]:
        """Takes an object's place, its bytes (None: it is gone) and the revision."""
        ...

    @property
    def known(self) -> Callable[[], Iterable[Place]]:
        """Which objects it knows."""
        ...

    @property
    def began(self) -> Callable[[int], None]:
        """Takes the revision behind which it will miss nothing."""
        ...


class _Follower(Watcher):
    """One learner behind one cache."""

    def __init__(self, feeds: Feeds, key: str, learner: Learner) -> None:
        super().__init__([])
        self._feeds = feeds
        self._key = key
        self._learner = learner
        self._join()

    def _join(self) -> None:
        cache = self._feeds.caches[self._key]
        for place in set(self._learner.known()) - set(cache.rows):
            self._learner.apply(place, None, cache.revision)
        for item in cache.rows.values():
            self._learner.apply(item.place, item.value, item.revision)
        self._learner.began(cache.revision)
        self._cache = cache
        cache.watchers.add(self)

    def offer(self, event: Event) -> None:
        """Take a change in at once."""
        value = None if event.verb is Verb.DELETE else event.item.value
        self._learner.apply(event.item.place, value, event.revision)

    def drop(self) -> None:
        """The cache ends: go on with its successor, if there is one."""
        if self._feeds.caches[self._key] is not self._cache:
            self._join()


def follow(feeds: Feeds, learners: Mapping[str, Learner]) -> None:
    """Let learners learn, from now on, what there is and what happens."""
    for key, learner in learners.items():
        _Follower(feeds, key, learner)
