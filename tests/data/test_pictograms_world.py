"""Worlds on disk: deterministic, unique galleries, stable prefixes, pictures that match their regions; the detector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from mmr_kit.data import pictograms
from mmr_kit.data.pictograms import WorldFacts, WorldSpec, build_world, drawing, galleries, vocabulary
from mmr_kit.data.pictograms.world import draw_world
from mmr_kit.data.regions import RegionStore
from mmr_kit.errors import InputError

SPEC = WorldSpec(domain="a", seed=5, sizes={"train": 40, "dev": 60, "test": 150}, features="crops")


def built(spec: WorldSpec, folder: Path) -> Path:
    folder.mkdir()
    build_world(spec, folder)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(SPEC, tmp_path_factory.mktemp("worlds") / "a")


def captions_of(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_layout(world: Path) -> None:
    captions = captions_of(world)
    assert list(captions[0]) == ["caption_id", "image_id", "language", "text", "split"]
    assert captions[0]["caption_id"] == "a-train-00000-en-0"
    assert captions[-1]["image_id"] == "a-test-00149"
    assert len({caption["caption_id"] for caption in captions}) == len(captions) == 250 * 8
    store, facts = RegionStore(world / "regions"), WorldFacts(world)
    assert store.image_ids == facts.image_ids
    assert facts.caption_ids == [caption["caption_id"] for caption in captions]
    assert store.width == 768
    known = set(vocabulary(["en", "de", "fr", "cs"]))
    assert all(word.lower() in known for caption in captions for word in caption["text"].split())


def test_captions_of_an_image_differ(world: Path) -> None:
    texts: dict[tuple[str, str], list[str]] = {}
    for caption in captions_of(world):
        texts.setdefault((caption["image_id"], caption["language"]), []).append(caption["text"])
    assert all(len(set(said)) == len(said) for said in texts.values())


@pytest.mark.parametrize("split", ["dev", "test"])
def test_gallery_captions_fit_their_own_image_only(world: Path, split: str) -> None:
    facts = WorldFacts(world)
    captions = [caption for caption in captions_of(world) if caption["split"] == split]
    images = [image_id for image_id in facts.image_ids if f"-{split}-" in image_id]
    fit = facts.fits([caption["caption_id"] for caption in captions], images)
    own = np.asarray([[caption["image_id"] == image_id for image_id in images] for caption in captions])
    assert (fit == own).all()


def test_training_captions_fit_their_own_image(world: Path) -> None:
    facts = WorldFacts(world)
    captions = [caption for caption in captions_of(world) if caption["split"] == "train"]
    assert all(facts.fits([caption["caption_id"]], [caption["image_id"]]).all() for caption in captions)


def test_regions_are_crops_of_the_picture(world: Path) -> None:
    facts, store = WorldFacts(world), RegionStore(world / "regions")
    for image_id in ("a-train-00003", "a-test-00042"):
        image, regions = facts.picture(image_id), store[image_id]
        assert image.size == (96, 96)
        assert image.mode == "RGB"
        for feature, box in zip(regions.features, regions.boxes * 96, strict=True):
            crop = image.resize((drawing.CROP, drawing.CROP), drawing.Image.Resampling.BILINEAR, box=tuple(box.tolist()))
            assert np.abs(np.asarray(crop, dtype=np.float32).ravel() / 255 - feature).max() < 0.01
        exact = np.asarray([drawing.box(thing) for thing in facts.scenes.scene(facts.image_ids.index(image_id)).things])
        distance = np.abs(exact[:, None] - regions.boxes[None] * 96).max(axis=2)
        assert (distance.min(axis=1) < 6 * drawing.JITTER).all()


def test_same_spec_same_bytes(world: Path, tmp_path: Path) -> None:
    again = built(SPEC, tmp_path / "again")
    names = sorted(str(path.relative_to(world)) for path in world.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(again)) for path in again.rglob("*") if path.is_file())
    assert all((world / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_seed_changes_the_world() -> None:
    one, other = (draw_world(SPEC.model_copy(update={"seed": seed}), ("train",))["train"] for seed in (5, 6))
    assert not set(one.scenes) & set(other.scenes)


def test_a_split_depends_on_no_other_and_training_not_on_its_size() -> None:
    full, part = draw_world(SPEC), draw_world(SPEC.model_copy(update={"sizes": {"train": 15, "test": 150}}))
    assert part["test"] == full["test"]
    assert part["train"].scenes == full["train"].scenes[:15]
    assert part["train"].captions.items() <= full["train"].captions.items()


def test_english_does_not_depend_on_other_languages_in_training() -> None:
    full, english = (draw_world(SPEC.model_copy(update={"captions": c}), ("train",))["train"] for c in (SPEC.captions, {"en": 3}))
    assert english.scenes == full.scenes
    assert english.captions.items() <= full.captions.items()


def test_unlike_worlds_do_not_fit_one_another() -> None:
    queries = WorldSpec(domain="b", seed=1, sizes={"dev": 40, "test": 120})
    alone = WorldSpec(domain="pool", seed=1, sizes={"test": 700}, captions={"en": 2}, gists=0)
    counts = []
    for distractors in (alone, alone.model_copy(update={"unlike": (queries,)})):
        found = 0
        for gallery in draw_world(queries, ("dev", "test")).values():
            pool = draw_world(distractors)["test"]
            for asked, shown in ((gallery, pool), (pool, gallery)):
                meanings = galleries.CaptionFacts.of([meaning for meaning, _ in asked.captions.values()])
                found += len(galleries.fitting_pairs(meanings, galleries.SceneFacts.of(shown.scenes))[0])
        counts.append(found)
    assert counts[0] > 0
    assert counts[1] == 0


def test_too_small_a_world_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "ROUNDS", 1)
    with pytest.raises(InputError, match="fewer images"):
        draw_world(SPEC)


def test_an_empty_split_and_an_absent_language(tmp_path: Path) -> None:
    folder = built(WorldSpec(domain="pool", sizes={"test": 3}, captions={"cs": 1}, features="crops", gists=0), tmp_path / "small")
    assert [caption["language"] for caption in captions_of(folder)] == ["cs"] * 3
    assert len(WorldFacts(folder).image_ids) == 3


@pytest.mark.parametrize(
    "fault", [{"domain": "c"}, {"colour": 1}, {"sizes": {"val": 3}}, {"sizes": {"test": -1}}, {"captions": {"it": 1}}, {"features": "vit"}]
)
def test_spec_refuses_faults(fault: dict) -> None:
    with pytest.raises(ValidationError):
        WorldSpec(**{"domain": "a", "sizes": {"test": 1}, **fault})


def test_damaged_facts_are_named(tmp_path: Path) -> None:
    folder = built(SPEC.model_copy(update={"sizes": {"test": 3}}), tmp_path / "world")
    colour = folder / "facts" / "scene_colour.npy"
    whole = colour.read_bytes()
    colour.write_bytes(whole[:-20])
    with pytest.raises(InputError, match="facts"):
        WorldFacts(folder)
    colour.write_bytes(whole)
    np.save(folder / "facts" / "caption_sizes.npy", np.zeros((1, 3), dtype=np.int8))
    with pytest.raises(InputError, match="facts"):
        WorldFacts(folder)
    (folder / "facts" / "ids.json").unlink()
    with pytest.raises(InputError, match="facts"):
        WorldFacts(folder)


def test_source_identity_is_stable() -> None:
    assert pictograms.source_identity() == pictograms.source_identity()


@pytest.mark.slow
def test_detector_names_what_it_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from mmr_kit.data.pictograms import detector

    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    before = torch.random.get_rng_state()
    model = detector.load_detector()
    assert (torch.random.get_rng_state() == before).all()
    crops, objects, colours = detector.training_crops(200, "held-out")
    with torch.inference_mode():
        features = model(crops)
        assert (model.name_object(features).argmax(1) == objects).float().mean() > 0.9
        assert (model.name_colour(features).argmax(1) == colours).float().mean() > 0.95
    assert features.square().mean().item() == pytest.approx(1.0, abs=0.1)
    assert detector.load_detector() is model
    folder = built(WorldSpec(domain="b", sizes={"train": 30}), tmp_path / "b")
    store = RegionStore(folder / "regions")
    assert store.width == detector.WIDTH
    assert all(np.isfinite(regions.features).all() for regions in store.values())
