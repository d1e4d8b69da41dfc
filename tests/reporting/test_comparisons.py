"""Which cells are compared with which: selection, places, the largest gallery, strata."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mmr_kit.errors import InputError
from mmr_kit.reporting.comparisons import at_r1, compare, mean_recalls, methods
from mmr_kit.reporting.evidence import Finding, Verdict, greater
from mmr_kit.reporting.measured import Measured, base_name, by_language, mean_recall_of_query, recall_at, select, values_of

IMAGE, TEXT = "image_retrieval", "text_retrieval"


def told(*values: Any) -> Finding:
    """What a test was given: the mean of each side, or of each stratum of each side."""
    sides = [[float(np.mean(each)) for each in value] if isinstance(value, Sequence) else round(float(np.mean(value)), 3) for value in values]
    return Finding(Verdict.SUPPORTED, str(sides))


def test_selection(measure: Any) -> None:
    cells = [measure(0.5, 10, method="ADD", **{"lambda": value}) for value in (0.1, None)] + [measure(0.5, 10, method="ADD", k=20)]
    assert select(cells, method="ADD", **{"lambda": 0.1}) == cells[:1]
    assert select(cells, **{"lambda": None}) == select(cells, **{"lambda": ""}) == cells[1:]
    assert select(cells, method="ADD", k=20) == cells[2:]
    assert select(cells, k=10) == []
    assert values_of(cells, "lambda") == [0.1]


@pytest.mark.parametrize(("name", "base"), [("pictograms_b_200", "pictograms_b"), ("pictograms_b", "pictograms_b"), ("flickr8k", "flickr8k"), ("a_1k", "a_1k")])
def test_a_name_without_its_size(name: str, base: str) -> None:
    assert base_name(name) == base


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InputError, match=r"the hits of \{'method': 'CE'\} have shape \(4, 3\), not \(seeds, queries, 3\)"):
        Measured({"method": "CE"}, np.zeros((4, 3)))


def test_what_is_compared_of_a_query() -> None:
    hits = np.array([[[False, False, True], [True, True, True]]])
    assert recall_at(1)(hits).tolist() == [[0, 1]]
    assert recall_at(10)(hits).tolist() == [[1, 1]]
    assert mean_recall_of_query(hits).tolist() == [[pytest.approx(1 / 3), 1]]


def test_a_part_for_each_training_data_set_and_direction(measure: Any) -> None:
    places = [("a", "a", IMAGE), ("a", "a", TEXT), ("b", "a", IMAGE), ("b", "b_200", IMAGE)]
    cells = [measure(share, trained_on=t, dataset=d, direction=r, method=m) for t, d, r in places for m, share in (("CE", 0.6), ("BE", 0.5))]
    parts = compare(cells, methods("CE", "BE"), told, label="CE and BE")
    assert [name for name, _ in parts] == [
        f"{place}, CE and BE" for place in ("a image retrieval", "a text retrieval", "b to a image retrieval", "b_200 image retrieval")
    ]
    assert {finding.text for _, finding in parts} == {"[0.6, 0.5]"}


def test_the_largest_gallery_that_has_all_methods(measure: Any) -> None:
    sizes = {"a_50": 0.1, "a_200": 0.2, "a": 0.3}
    cells = [measure(share, 10, dataset=name, direction=IMAGE, method="BE", n_items=n) for (name, share), n in zip(sizes.items(), (50, 200, 1000), strict=True)]
    assert compare(cells, methods("BE"), told)[0] == ("a image retrieval", told(np.array(0.3)))
    cells += [measure(0.9, 10, dataset=name, direction=IMAGE, method="CE", n_items=n) for name, n in (("a_50", 50), ("a_200", 200))]
    assert [(place, finding.text) for place, finding in compare(cells, methods("BE", "CE"), told)] == [("a_200 image retrieval", "[0.2, 0.9]")]
    assert [finding.text for _, finding in compare(cells, methods("BE", "CE", "CLIP"), told)] == ["not measured (no CE, CLIP)"]


def test_the_gallery_is_chosen_for_each_training(measure: Any) -> None:
    cells = [measure(0.5, 10, dataset="a", trained_on=t, direction=IMAGE, method=m, n_items=1000) for t, m in (("a", "BE"), ("b", "BE"), ("b", "CE"))]
    cells += [measure(0.6, 10, dataset="a_200", trained_on=t, direction=IMAGE, method=m, n_items=200) for t in "ab" for m in ("BE", "CE")]
    assert [place for place, _ in at_r1("CE", told, "BE")(cells)] == ["a_200 image retrieval", "b to a image retrieval"]


def test_nothing_was_measured() -> None:
    variants = [{"method": "BE", "k": 10}, {"method": "CE", "collection": ""}]
    assert compare([], variants, told, label="x") == [("x", Finding(Verdict.NOT_MEASURED, "not measured (no BE k 10, CE)"))]


def test_a_question_that_is_not_precise(measure: Any) -> None:
    cells = [measure(0.5, 10, dataset="a", direction=IMAGE, method="BE", k=k) for k in (10, 20)]
    with pytest.raises(InputError, match="BE was measured more than once on a"):
        compare(cells, methods("BE"), told)
    assert compare(cells, [{"method": "BE", "k": 20}, {"method": "BE", "k": 10}], greater)[0][1].verdict == Verdict.INCONCLUSIVE


def test_strata_are_matched(measure: Any) -> None:
    shares = {("en", IMAGE): 0.1, ("en", TEXT): 0.2, ("de", IMAGE): 0.3, ("de", TEXT): 0.4}
    cells = [measure(share, 10, dataset="a", language=language, direction=direction, method="BE") for (language, direction), share in shares.items()]
    cells += [
        measure(share + 0.5, 10, dataset="a", language=language, direction=direction, method="CE") for (language, direction), share in reversed(shares.items())
    ]
    (part,) = mean_recalls(cells, methods("CE", "BE"), told)
    assert part == ("a", told([np.array(share) for share in (0.8, 0.9, 0.6, 0.7)], [np.array(share) for share in (0.3, 0.4, 0.1, 0.2)]))
    (part,) = mean_recalls(cells[:-1], methods("CE", "BE"), told)
    assert part[1].text == "not measured (no CE)", "in English image retrieval"


def test_languages_need_both_directions(measure: Any) -> None:
    cells = [measure(0.5, 10, dataset="a", language="en", direction=direction, method="BE", n_items=n) for direction, n in ((IMAGE, 5), (TEXT, 10))]
    assert by_language(cells) == [({"dataset": "a", "method": "BE"}, {"en": cells})]
    with pytest.raises(InputError, match=r"mR needs each direction once: .*'BE'.* in language 'en' has \['image_retrieval'\]"):
        by_language(cells[:1])
