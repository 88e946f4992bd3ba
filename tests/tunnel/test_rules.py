"""What must hold of the small rules whatever arrives, in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import DeltaOrder, Fence, Listings, Liveness, Verdict, refuse_hello

KIND = pb.ResourceKind(group="cluster.x-k8s.io", plural="clusters")
NAME = ("cluster.x-k8s.io", "clusters")


@given(some.lists(some.integers(1, 6), max_size=40))
def test_what_is_taken_is_numbered_without_a_gap_and_each_gap_asks_once(sequences: list[int]) -> None:
    order, run, asked = DeltaOrder(), 0, False
    for sequence in sequences:
        match order.judge(sequence):
            case Verdict.TAKE:
                assert sequence in {1, run + 1}
                run, asked = sequence, False
            case Verdict.RESYNC:
                assert not asked, "one is under way"
                assert sequence not in {1, run + 1}
                asked = True
            case Verdict.IGNORE:
                assert asked
                assert sequence != 1


class Sender:
    """Sends listings of a world that changes meanwhile, a few names in each delta."""

    def __init__(self) -> None:
        self.world: set[str] = set()
        self.changed: list[str] = []
        self.listing: list[str] | None = None
        self.sequence = 0

    def begin(self) -> None:
        self.sequence, self.listing, self.changed = 0, sorted(self.world), []

    def toggle(self, name: str) -> None:
        self.world ^= {name}
        self.changed.append(name)

    def next(self) -> pb.InventoryDelta:
        self.sequence += 1
        delta = pb.InventoryDelta(sequence=self.sequence)
        if self.listing is not None:
            if self.sequence == 1:
                delta.begins.append(KIND)
            names, self.listing = self.listing[:2], self.listing[2:]
            if not self.listing:
                delta.complete.append(KIND)
                self.listing = None
        else:
            names, self.changed = self.changed, []
        delta.items.extend(pb.InventoryItem(kind=KIND, name=name, object=b"{}" if name in self.world else b"") for name in names)
        return delta


class Receiver:
    """What a gateway knows, and when it asks for everything again."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.order, self.listings = DeltaOrder(), Listings()

    def take(self, delta: pb.InventoryDelta) -> bool:
        """Take a delta; True: everything again, please."""
        match self.order.judge(delta.sequence):
            case Verdict.RESYNC:
                return True
            case Verdict.TAKE:
                complete = self.listings.take(delta)
                for item in delta.items:
                    (self.known.add if item.object else self.known.discard)(item.name)
                if NAME in complete:
                    self.known &= {name for _, name in complete[NAME]}
        return False


@given(some.lists(some.tuples(some.sampled_from("abcdefg"), some.booleans(), some.booleans()), max_size=60))
def test_a_receiver_knows_the_world_in_the_end_whatever_was_lost_on_the_way(steps: list[tuple[str, bool, bool]]) -> None:
    """All may be lost but the first delta of an answer to a resync: it is sent once, on a stream that loses nothing by itself."""
    sender, receiver = Sender(), Receiver()
    sender.begin()
    for name, changes, lost in steps:
        if changes:
            sender.toggle(name)
        delta = sender.next()
        asked = receiver.order.waiting and delta.sequence == 1
        if (asked or not lost) and receiver.take(delta):
            sender.begin()
    for _ in range(20):
        if receiver.take(sender.next()):
            sender.begin()
    assert receiver.known == sender.world


@given(some.lists(some.tuples(some.sampled_from("ab"), some.integers(0, 3), some.integers(0, 3)), max_size=30))
def test_what_a_fence_admits_of_a_set_never_goes_back(commands: list[tuple[str, int, int]]) -> None:
    fence, highest = Fence(), {"a": (0, 0), "b": (0, 0)}
    for name, epoch, generation in commands:
        refused = fence.admit(name, epoch, generation)
        assert bool(refused) == ((epoch, generation) < highest[name])
        if not refused:
            highest[name] = (epoch, generation)


def test_a_fence_that_forgot_a_set_admits_it_from_the_beginning() -> None:
    fence = Fence()
    fence.admit("shop", 5, 5)
    fence.forget("shop")
    fence.forget("never seen")
    assert not fence.admit("shop", 1, 1)


@given(some.lists(some.floats(0.01, 20), min_size=1, max_size=20))
def test_whoever_is_heard_within_patience_lives_and_who_is_not_does_not(gaps: list[float]) -> None:
    liveness, now = Liveness(10.0, 0.0), 0.0
    for gap in gaps:
        now += gap
        assert liveness.dead(now) == (liveness.wait(now) == 0)
        if gap < 9.99:
            assert not liveness.dead(now)
        elif gap > 10.01:
            assert liveness.dead(now)
        liveness.heard(now)


def test_an_agent_is_who_its_certificate_says() -> None:
    assert refuse_hello("sv-1", "sv-1") == ""
    assert "sv-1, not sv-2" in refuse_hello("sv-2", "sv-1")
    assert "not one of an agent" in refuse_hello("sv-1", None)
    assert refuse_hello("", "sv-1")
