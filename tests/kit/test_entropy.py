"""Random names do not repeat, and have the form that they should."""

from __future__ import annotations

import uuid

from skerry.kit.entropy import PIECE, new_id, new_uid


def test_names_do_not_repeat_across_the_pieces_that_they_are_cut_from() -> None:
    number = PIECE // 8 * 3
    assert len({new_id() for _ in range(number)}) == len({new_uid() for _ in range(number)}) == number


def test_a_uid_is_a_random_uuid() -> None:
    found = uuid.UUID(new_uid())
    assert (found.version, found.variant) == (4, uuid.RFC_4122)
    assert len(new_id()) == 16
