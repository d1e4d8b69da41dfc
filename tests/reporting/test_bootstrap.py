"""The bootstrap against what is known of it."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.reporting.bootstrap import bootstrap_interval, bootstrap_means, by_image, paired_bootstrap, stratified_interval


@given(st.integers(1, 3), st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30), st.integers(0, 10_000))
def test_queries_of_an_image_are_taken_together(seeds: int, images: list[str], seed: int) -> None:
    values = np.random.default_rng(seed).random((seeds, len(images), 2))
    together = by_image(values, images)
    assert together.shape == (seeds, len(set(images)), 2)
    assert together.mean(axis=1) == pytest.approx(values.mean(axis=1)), "however many queries each image has"
    twice = by_image(np.concatenate([values, 1 - values], axis=1), images * 2)
    for row, image in enumerate(sorted(set(images))):
        own = values[:, [i for i, other in enumerate(images) if other == image]]
        assert twice[:, row] == pytest.approx(np.full((seeds, 2), 0.5)), "where half of each image's queries are answered"
        if len(set(map(images.count, images))) == 1:
            assert together[:, row] == pytest.approx(own.mean(axis=1))


def test_how_many_queries_an_image_has_is_no_chance() -> None:
    """Half of the images have one query, half have nine: all answered is all answered, and the interval of what is answered at random is that of theory."""
    images = [str(i) for i in range(200) for _ in range(1 if i % 2 else 9)]
    assert bootstrap_interval(np.ones((1, len(images))), images) == pytest.approx((1, 1, 1))
    values = np.random.default_rng(9).random((1, len(images))) < 0.9
    mean, low, high = bootstrap_interval(values, images)
    assert (low, high) == pytest.approx((mean - 1.96 * 0.3 / np.sqrt(1000), mean + 1.96 * 0.3 / np.sqrt(1000)), abs=0.006)


def test_images_that_are_not_those_of_the_queries() -> None:
    with pytest.raises(InputError, match="2 images were given for 3 queries"):
        by_image(np.zeros((1, 3)), ["a", "b"])


def test_intervals_over_captions_are_too_narrow_and_those_over_images_are_not() -> None:
    """200 images of five captions: some images are easy (0.9 of their captions are answered), as many are hard (0.3)."""
    generator, truth, images = np.random.default_rng(8), 0.6, [str(i // 5) for i in range(1000)]
    covered = {"captions": 0, "images": 0}
    for _ in range(300):
        ease = np.repeat(generator.choice([0.9, 0.3], 200), 5)
        values = (generator.random(1000) < ease)[None]
        for what, each in (("captions", values), ("images", by_image(values, images))):
            interval = bootstrap_interval(each)
            covered[what] += interval.low <= truth <= interval.high
    assert covered["captions"] / 300 < 0.85
    assert 0.91 <= covered["images"] / 300 <= 0.985


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    truth, covered = 0.7, 0
    for _ in range(300):
        interval = bootstrap_interval(generator.random(200) < truth)
        covered += interval.low <= truth <= interval.high
    assert 0.91 <= covered / 300 <= 0.985


def test_the_interval_is_about_that_of_theory() -> None:
    values = np.arange(1000) < 300
    interval = bootstrap_interval(values)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert interval.mean == 0.3
    assert interval.low == pytest.approx(0.3 - half, abs=0.003)
    assert interval.high == pytest.approx(0.3 + half, abs=0.003)


def test_the_same_images_under_several_seeds_are_not_more_images() -> None:
    """Three seeds that agree on every image say no more than one."""
    values = np.random.default_rng(2).random(500) < 0.5
    once, thrice = bootstrap_interval(values), bootstrap_interval(np.stack([values] * 3))
    assert thrice == pytest.approx(once)


def test_a_spread_between_seeds_widens_the_interval() -> None:
    generator = np.random.default_rng(3)
    alike = generator.random((3, 2000)) < 0.5
    apart = generator.random((3, 2000)) < np.array([[0.3], [0.5], [0.7]])
    assert np.ptp(bootstrap_interval(apart)[1:]) > 2 * np.ptp(bootstrap_interval(alike)[1:])


@given(st.integers(1, 4), st.integers(1, 40), st.integers(0, 10_000))
def test_bootstrap_bounds_and_repeats(seeds: int, queries: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((seeds, queries)) < 0.5
    interval = bootstrap_interval(values)
    assert values.min() <= interval.low <= interval.high <= values.max()
    assert interval == bootstrap_interval(values)
    assert paired_bootstrap(values, values) == (0, 0, 0)


@given(st.integers(1, 3), st.integers(2, 40), st.integers(0, 10_000))
def test_paired_differences_turn_their_sign(seeds: int, queries: int, seed: int) -> None:
    a, b = np.random.default_rng(seed).random((2, seeds, queries)) < 0.5
    there, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert there.mean == pytest.approx(a.mean() - b.mean())
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_pairing_removes_what_the_images_share() -> None:
    """Methods that agree on most images differ by little, however hard the images are."""
    b = np.random.default_rng(4).random(2000) < 0.5
    a = b.copy()
    a[:40] = True
    paired = paired_bootstrap(a, b)
    assert paired.low > 0
    assert np.ptp(paired[1:]) < np.ptp(bootstrap_interval(a)[1:]) / 3


def test_strata_of_other_sizes_weigh_the_same() -> None:
    """100 and 5000 images: the mean of the two means, with the interval of the sum of two independent halves."""
    generator = np.random.default_rng(6)
    few, many = generator.random((1, 100)) < 0.3, generator.random((1, 5000)) < 0.9
    mean, low, high = stratified_interval([few, many])
    half = 1.96 * np.sqrt(few.var() / 100 + many.var() / 5000) / 2
    assert mean == pytest.approx((few.mean() + many.mean()) / 2)
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.006)


def test_strata_of_the_same_images_are_drawn_alike() -> None:
    """An image that is hard to find is hard in both directions: two strata that agree say no more than one, and two opposite ones cancel in every draw."""
    values = np.random.default_rng(7).random((1, 400)) < 0.5
    assert stratified_interval([values, values]) == pytest.approx(bootstrap_interval(values))
    assert stratified_interval([values, ~values]) == pytest.approx((0.5, 0.5, 0.5))
    assert bootstrap_means([values]) == pytest.approx(1 - bootstrap_means([~values])), "and two calls are paired"


def test_one_draw_of_seeds_serves_all_strata() -> None:
    """A good training is good in both directions: the spread between seeds does not average out."""
    good_and_bad = np.broadcast_to(np.array([[0.2], [0.8]]), (2, 50))
    assert stratified_interval([good_and_bad] * 4) == pytest.approx(bootstrap_interval(good_and_bad))


def test_strata_need_the_same_seeds() -> None:
    with pytest.raises(InputError, match=r"all strata need the same seeds, not \[1, 2\]"):
        stratified_interval([np.zeros((1, 5)), np.zeros((2, 5))])
    with pytest.raises(InputError, match="at least one stratum"):
        stratified_interval([])


def test_wrong_shapes() -> None:
    with pytest.raises(InputError, match="same seeds and images"):
        paired_bootstrap(np.zeros((1, 5)), np.zeros((3, 5)))
    with pytest.raises(InputError, match="shape"):
        bootstrap_interval(np.zeros((1, 2, 3)))
    with pytest.raises(InputError, match="shape"):
        bootstrap_interval(np.zeros((2, 0)))


def test_fast_enough_for_a_table() -> None:
    values = np.random.default_rng(5).random((5, 5000)) < 0.7
    bootstrap_interval(values)  # the draws of 5000 images are made once
    started = time.perf_counter()
    for _ in range(5):
        bootstrap_interval(values)
    assert time.perf_counter() - started < 2.5
