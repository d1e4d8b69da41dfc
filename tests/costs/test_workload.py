"""What costs are measured on: inputs of exactly the asked lengths, collections that are prefixes of one another, nothing left behind."""

from pathlib import Path

import numpy as np
import pytest

from mmr_kit.cache import cache_dir
from mmr_kit.costs import workload
from mmr_kit.costs.progress import teller
from mmr_kit.costs.workload import Sizes, build_collection, captions, chunks, images, random_model, temporary_folder
from mmr_kit.errors import InputError

SIZES = Sizes(layers=1, width=32, region_width=8, regions=3, tokens=7)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))


def test_inputs_have_the_asked_lengths() -> None:
    model = random_model(SIZES)
    asked, pictures = captions(5, SIZES), images(70, SIZES)
    assert {len(ids) for ids in model.backbone.token_ids(asked)} == {7}
    assert len(set(asked)) == 5
    assert model.backbone.lengths(asked, pictures[:5]).tolist() == [10] * 5
    assert len({id(image) for image in pictures}) == 70, "an engine may embed an image that it meets twice only once"
    assert model.score_pairs(asked, pictures[:5]).shape == (5,)
    boxes = pictures[0].boxes
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


def test_the_default_is_bert_base() -> None:
    sizes = Sizes()
    assert (sizes.layers, sizes.width, sizes.heads) == (12, 768, 12)
    with pytest.raises(InputError, match="captions at 3 tokens"):
        Sizes(tokens=2)


def test_a_smaller_collection_is_the_beginning_of_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "ROWS_AT_ONCE", 10)
    small, large = (np.concatenate(list(chunks(count, 16))) for count in (13, 27))
    assert len(small) == 13
    assert (large[:13] == small).all()
    assert np.linalg.norm(large, axis=1) == pytest.approx(np.ones(27), abs=1e-5)


def test_a_collection_is_gone_afterwards_whatever_happens() -> None:
    lines: list[str] = []

    def fail() -> None:
        with temporary_folder() as folder:
            assert build_collection(folder, 100, 16, lines.append).vectors.shape == (100, 16)
            assert list(cache_dir().iterdir())
            raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        fail()
    assert lines == ["100 of 100 embeddings written"]
    assert list(cache_dir().iterdir()) == []


def test_a_disk_without_room_is_told_before_it_is_filled() -> None:
    with temporary_folder() as folder:
        with pytest.raises(InputError, match=r"GB are needed for 1,000,000,000,000 embeddings.*set MMR_CACHE_DIR"):
            build_collection(folder, 10**12, 16, print)
        assert list(folder.iterdir()) == []


def test_progress_is_told_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    tell = teller("search", 3.0, lambda: now)
    for second in range(8):
        now = float(second)
        tell(f"at {second}")
    assert capsys.readouterr().out == "search: at 0\nsearch: at 3\nsearch: at 6\n"
