"""Agreement of two rankings: what counts as a difference, and what a near-tie excuses."""

import numpy as np
import pytest

from mmr_kit.retrieval.agreement import NEAR, agreement

SCORES = np.array([[0.9, 0.8, 0.8 - NEAR / 2, 0.7]])
ROWS = np.array([[4, 2, 7, 1]])


def test_the_same_rankings_agree() -> None:
    found = agreement(ROWS, SCORES, ROWS, SCORES)
    assert (found.overlap, found.same_order, found.excused, found.apart) == (1, 1, 1, 0)
    assert (found.tied, found.near_tied) == (0, 1 / 3)
    equal = np.array([[0.9, 0.8, 0.8, 0.7]])
    assert agreement(ROWS, equal, ROWS, equal).tied == 1 / 3


@pytest.mark.parametrize(
    ("rows", "scores", "overlap", "excused"),
    [
        ([4, 7, 2, 1], [0.9, 0.8, 0.8, 0.7], 1, 1),  # near-ties swapped
        ([2, 4, 7, 1], [0.9, 0.8, 0.8, 0.7], 1, 0),  # clearly different scores swapped
        ([4, 2, 7, 9], [0.9, 0.8, 0.8, 0.7 + NEAR / 2], 0.75, 1),  # another item of nearly the same score at the end
        ([4, 2, 7, 9], [0.9, 0.8, 0.8, 0.75], 0.75, 0),  # another item that the second way scores differently
        ([9, 4, 2, 7], [0.95, 0.9, 0.8, 0.8], 0.75, 0),  # an item that the first way missed
    ],
)
def test_near_ties_are_excused_and_nothing_else(rows: list[int], scores: list[float], overlap: float, excused: float) -> None:
    found = agreement(ROWS, SCORES, np.array([rows]), np.array([scores]))
    assert found.overlap == overlap
    assert found.same_order == 0
    assert found.excused == excused
    assert found.apart == pytest.approx(np.abs(SCORES - scores).max())


def test_one_candidate_has_no_neighbours() -> None:
    found = agreement(ROWS[:, :1], SCORES[:, :1], ROWS[:, :1], SCORES[:, :1])
    assert (found.tied, found.near_tied) == (0, 0)
