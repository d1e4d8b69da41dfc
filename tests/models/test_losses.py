"""The losses against naive loops, and the schedule of N."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmr_kit.models.losses import NegativeSchedule, _hardest, contrastive_loss, match_loss, triplet_loss


def embeddings(pairs: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, captions (pairs, 6) and which captions are no negatives of which images: the own one and some others."""
    generator = torch.Generator().manual_seed(seed)
    images, captions = torch.randn(2, pairs, 6, generator=generator)
    return images, captions, torch.eye(pairs, dtype=torch.bool) | (torch.rand(pairs, pairs, generator=generator) < 0.15)


def naive_triplet(images: torch.Tensor, captions: torch.Tensor, no_negative: torch.Tensor, margin: float) -> tuple[float, float]:
    """Equation 2 of the paper with the hardest of all negatives, one pair after the other; and the share of anchors that beat it."""
    total, wins = 0.0, 0
    for pair in range(len(images)):
        cosine = lambda c, i: float(F.cosine_similarity(captions[c], images[i], dim=0))  # noqa: E731
        for negatives in ([cosine(pair, other) for other in range(len(images)) if not no_negative[pair, other]],
                          [cosine(other, pair) for other in range(len(images)) if not no_negative[other, pair]]):  # fmt: skip
            hardest = max(negatives, default=-np.inf)
            total += max(0.0, hardest - cosine(pair, pair) + margin)
            wins += cosine(pair, pair) > hardest
    return total / len(images), wins / (2 * len(images))


@pytest.mark.parametrize("margin", [0.1, 0.5])
@pytest.mark.parametrize("pairs", [2, 9])
def test_triplet_loss_of_all_negatives(pairs: int, margin: float) -> None:
    images, captions, no_negative = embeddings(pairs)
    loss, share = triplet_loss(images, captions, no_negative, pairs - 1, margin, torch.Generator())
    expected_loss, expected_share = naive_triplet(images, captions, no_negative, margin)
    assert float(loss) == pytest.approx(expected_loss, abs=1e-6)
    assert share == pytest.approx(expected_share)


def test_triplet_loss_has_two_directions() -> None:
    """The same two sets with their roles exchanged give the same loss, and one direction alone does not."""
    images, captions, no_negative = embeddings(7)
    loss, _ = triplet_loss(images, captions, no_negative, 6, 0.2, torch.Generator())
    turned, _ = triplet_loss(captions, images, no_negative.T, 6, 0.2, torch.Generator())
    assert float(loss) == pytest.approx(float(turned), abs=1e-6)
    lonely = torch.ones_like(no_negative)
    lonely[0, 1] = False  # one negative: image 1 for caption 0, and caption 0 for image 1
    cosine = F.normalize(captions, dim=1) @ F.normalize(images, dim=1).T
    expected = (F.relu(cosine[0, 1] - cosine[0, 0] + 2) + F.relu(cosine[0, 1] - cosine[1, 1] + 2)) / 7
    assert float(triplet_loss(images, captions, lonely, 6, 2.0, torch.Generator())[0]) == pytest.approx(float(expected), abs=1e-6)


def test_a_batch_without_negatives_costs_nothing() -> None:
    images, captions, _ = embeddings(4)
    images.requires_grad_()
    loss, share = triplet_loss(images, captions, torch.ones(4, 4, dtype=torch.bool), 3, 0.1, torch.Generator())
    loss.backward()
    assert (float(loss.detach()), share) == (0.0, 1.0)
    assert torch.isfinite(images.grad).all()


@pytest.mark.parametrize("negatives", [1, 3, 7])
def test_n_random_negatives(negatives: int) -> None:
    """Each anchor's negative is the hardest of N drawn: over many draws each of its allowed others is chosen as often as chance says, the excluded never.

    With cosines fixed, the chosen one of m allowed others, ranked by cosine, is the r-th hardest with probability C(m - 1 - r, N - 1) / C(m, N).
    """
    _, _, excluded = embeddings(10, seed=3)
    similarity = torch.randn(10, 10, generator=torch.Generator().manual_seed(1))
    draws, generator = 3000, torch.Generator().manual_seed(0)
    chosen = torch.stack([_hardest(similarity, excluded, negatives, generator) for _ in range(draws)])
    for anchor in range(10):
        allowed = sorted(similarity[anchor][~excluded[anchor]].tolist(), reverse=True)
        for rank, value in enumerate(allowed):
            expected = comb(len(allowed) - 1 - rank, negatives - 1) / comb(len(allowed), negatives) if negatives <= len(allowed) else float(rank == 0)
            assert float((chosen[:, anchor] == value).float().mean()) == pytest.approx(expected, abs=0.045)
        assert set(chosen[:, anchor].tolist()) <= set(allowed)


def test_the_same_generator_draws_the_same() -> None:
    images, captions, no_negative = embeddings(9)
    first, second, other = (float(triplet_loss(images, captions, no_negative, 2, 0.1, torch.Generator().manual_seed(seed))[0]) for seed in (5, 5, 6))
    assert first == second != other


def test_triplet_loss_pulls_pairs_together() -> None:
    images, captions, no_negative = embeddings(6)
    images.requires_grad_()
    before, _ = triplet_loss(images, captions, no_negative, 5, 0.1, torch.Generator())
    before.backward()
    after, _ = triplet_loss(images - 0.1 * images.grad, captions, no_negative, 5, 0.1, torch.Generator())
    assert after < before


def test_contrastive_loss_is_cross_entropy_over_the_batch() -> None:
    images, captions, no_negative = embeddings(6)
    cosine = (F.normalize(captions, dim=1) @ F.normalize(images, dim=1).T).double().numpy()
    total = 0.0
    for pair in range(6):
        for row, excluded in ((cosine[pair], no_negative[pair]), (cosine[:, pair], no_negative[:, pair])):
            kept = [value for other, value in enumerate(row) if other == pair or not excluded[other]]
            total += np.log(np.exp(np.array(kept) / 0.2).sum()) - row[pair] / 0.2
    assert float(contrastive_loss(images, captions, no_negative, 0.2)) == pytest.approx(total / 12, abs=1e-5)


def test_match_loss_is_the_log_loss_of_the_match_probability() -> None:
    logits, matches = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 1, 1, 1, 0, 0, 0, 0])
    probability = 1 / (1 + np.exp((logits[:, 0] - logits[:, 1]).double().numpy()))
    expected = -np.mean(np.where(matches.numpy() == 1, np.log(probability), np.log(1 - probability)))
    assert float(match_loss(logits, matches)) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=300), st.integers(2, 40))
def test_n_stays_between_1_and_the_batch(shares: list[float], batch_size: int) -> None:
    schedule = NegativeSchedule()
    assert schedule.count(batch_size) == 1
    for share in shares:
        schedule.update(share, batch_size)
        assert 1 <= schedule.count(batch_size) <= max(1, batch_size - 1)
    assert NegativeSchedule(adaptive=False).count(batch_size) == batch_size - 1


def test_n_grows_when_the_positives_win_and_falls_when_they_lose() -> None:
    schedule = NegativeSchedule()
    average = 0.5
    sizes = []
    for share in [1.0] * 150 + [0.0] * 100:
        schedule.update(share, 33)
        average = 0.9 * average + 0.1 * share
        assert schedule.share == pytest.approx(average)
        sizes.append(schedule.size)
    assert schedule.count(33) < 32 == max(round(size) for size in sizes)
    assert sizes[50] / sizes[49] == pytest.approx(1.03)
    assert sizes[-1] / sizes[-2] == pytest.approx(0.99)
    assert all(a >= b for a, b in pairwise(sizes[170:]))


def test_fixed_n_does_not_move() -> None:
    schedule = NegativeSchedule(adaptive=False)
    for share in (1.0, 0.0, 0.5):
        schedule.update(share, 8)
        assert schedule.count(8) == 7
