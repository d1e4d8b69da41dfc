"""The generated world as a data set: pictures, captions in four languages, region features, and the facts that decide which caption fits which picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from mmr_kit.cache import atomic_write, identity_hash
from mmr_kit.data.pictograms import drawing, matcher
from mmr_kit.data.pictograms.captions import CAPTION_ARRAYS, CaptionFacts
from mmr_kit.data.pictograms.galleries import Artist, Split, draw_split, make_unique
from mmr_kit.data.pictograms.lexicon import LANGUAGES, OBJECTS
from mmr_kit.data.pictograms.scenes import CANVAS, SCENE_ARRAYS, Scene, SceneFacts
from mmr_kit.data.regions import Regions, write_region_store
from mmr_kit.errors import InputError

SplitName = Literal["train", "dev", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "dev", "test")
GALLERIES = ("dev", "test")  # splits in which every caption is unique
FACTS = "facts"


class WorldSpec(BaseModel):
    """All that determines a generated world.

    domain: "a" and "b" differ in half of their objects, in wording, backgrounds and frequencies; "pool" mixes them.
    sizes: images a split; a split does not depend on the sizes of the others, and the first images of "train" not on how many follow.
    captions: number an image, by language.
    gists: how many global impressions the scenes share; 0: none, every scene is on its own.
    features: "detector" (128 values a region) or "crops" (the 768 pixel values of the 16 x 16 crop, in [0, 1]).
    unlike: worlds whose dev and test captions fit no dev or test image of this one, and the other way round.
    distractors: that captions may fit several images of a gallery here: a pool that is merged into other galleries and never queried.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    domain: Literal["a", "b", "pool"]
    seed: int = 0
    sizes: dict[SplitName, NonNegativeInt]
    captions: dict[Literal["en", "de", "fr", "cs"], NonNegativeInt] = {"en": 5, "de": 1, "fr": 1, "cs": 1}
    gists: NonNegativeInt = 60
    features: Literal["detector", "crops"] = "detector"
    unlike: tuple[WorldSpec, ...] = Field(default=())
    distractors: bool = False


def source_identity() -> str:
    """Hash of everything in this package that a world is computed from (code and lexicon), for the identity of a cached world."""
    here = Path(__file__).parent
    return identity_hash({path.name: path.read_text(encoding="utf-8") for path in sorted(here.iterdir()) if path.suffix in (".py", ".yaml")})


def draw_world(spec: WorldSpec, splits: Sequence[SplitName] = SPLITS) -> dict[SplitName, Split]:
    """Scenes and captions of a world, without pictures."""
    unlike = [split for other in spec.unlike for split in draw_world(other, ("dev", "test")).values()]
    world: dict[SplitName, Split] = {}
    captions: dict[str, int] = {language: count for language in LANGUAGES for name, count in spec.captions.items() if name == language}
    for name in splits:
        artist = Artist(spec.domain, spec.seed, spec.gists, name)
        world[name] = draw_split(artist, spec.sizes.get(name, 0), captions)
        if name in GALLERIES:
            make_unique(world[name], artist, unlike, within=not spec.distractors)
    return world


def build_world(spec: WorldSpec, folder: Path) -> None:
    """Write a world into an empty folder: `captions.jsonl`, the region store `regions/`, and the facts `facts/` (arrays and ids, see WorldFacts)."""
    folder = Path(folder)
    world = draw_world(spec)
    named: list[tuple[str, Scene]] = []
    lines, meanings = [], []
    for name, split in world.items():
        ids = [f"{spec.domain}-{name}-{index:05d}" for index in range(len(split.scenes))]
        named += zip(ids, split.scenes, strict=True)
        for (index, language, number), (meaning, text) in split.captions.items():
            caption_id = f"{ids[index]}-{language}-{number}"
            lines.append({"caption_id": caption_id, "image_id": ids[index], "language": language, "text": text, "split": name})
            meanings.append(meaning)
    atomic_write(folder / "captions.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    _write_facts(folder / FACTS, SceneFacts.of([scene for _, scene in named]), CaptionFacts.of(meanings))
    image_ids, caption_ids = [image_id for image_id, _ in named], [line["caption_id"] for line in lines]
    atomic_write(folder / FACTS / "ids.json", json.dumps({"objects": OBJECTS, "image_ids": image_ids, "caption_ids": caption_ids}))
    if named:
        detected: list[np.ndarray] = []
        write_region_store(folder / "regions", _regions(named, spec, detected))
        if detected:
            np.save(folder / "regions" / "object_class.npy", np.concatenate(detected), allow_pickle=False)
            atomic_write(folder / "regions" / "object_classes.txt", "".join(f"{name}\n" for name in OBJECTS))


def _regions(named: list[tuple[str, Scene]], spec: WorldSpec, detected: list[np.ndarray]) -> Iterator[tuple[str, tuple[int, int], Regions]]:
    """Region features and boxes, image by image; which objects the detector found is added to `detected`."""
    for start in range(0, len(named), 1000):
        part = named[start : start + 1000]
        seen = [drawing.regions(scene, Random(f"regions/{spec.seed}/{image_id}")) for image_id, scene in part]
        crops = np.concatenate([crops for crops, _, _ in seen])
        if spec.features == "detector":
            from mmr_kit.data.pictograms.detector import detected_objects, detector_features  # needs torch; raw crops do not

            features = detector_features(crops)
            detected.append(detected_objects(features))
        else:
            features = crops.reshape(len(crops), -1).astype(np.float32) / 255
        rows = np.split(features, np.cumsum([len(boxes) for _, boxes, _ in seen])[:-1])
        for (image_id, _), (_, boxes, _), values in zip(part, seen, rows, strict=True):
            yield image_id, (CANVAS, CANVAS), Regions(values, boxes)


def _write_facts(folder: Path, scenes: SceneFacts, captions: CaptionFacts) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, facts in (("scene", scenes), ("caption", captions)):
        for name, array in vars(facts).items():
            np.save(folder / f"{prefix}_{name}.npy", array, allow_pickle=False)


class WorldFacts:
    """What is true of a built world: which captions fit which images, and the pictures themselves.

    Reads `facts/` of a folder that build_world wrote; raises InputError where a file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        facts = Path(folder) / FACTS
        try:
            ids = json.loads((facts / "ids.json").read_text(encoding="utf-8"))
            self.scenes = SceneFacts(*(np.load(facts / f"scene_{name}.npy", allow_pickle=False) for name in SCENE_ARRAYS))
            self.captions = CaptionFacts(*(np.load(facts / f"caption_{name}.npy", allow_pickle=False) for name in CAPTION_ARRAYS))
            objects = tuple(ids["objects"])
            self.image_ids: list[str] = list(ids["image_ids"])
            self.caption_ids: list[str] = list(ids["caption_ids"])
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise InputError(f"{facts}: facts of a generated world missing or damaged ({error}); generate the world again") from None
        lengths = {len(array) for array in vars(self.scenes).values()} | {len(self.image_ids)}
        caption_lengths = {len(array) for array in vars(self.captions).values()} | {len(self.caption_ids)}
        if objects != OBJECTS or len(lengths) > 1 or len(caption_lengths) > 1:
            raise InputError(f"{facts}: facts do not belong to this lexicon or to one another; generate the world again")
        self._image = {image_id: row for row, image_id in enumerate(self.image_ids)}
        self._caption = {caption_id: row for row, caption_id in enumerate(self.caption_ids)}

    def fits(self, caption_ids: Sequence[str], image_ids: Sequence[str]) -> np.ndarray:
        """Whether each caption is true of each image, bool (captions, images): exact, by the facts. KeyError for an unknown id."""
        captions = np.asarray([self._caption[caption_id] for caption_id in caption_ids], dtype=np.int64)
        images = np.asarray([self._image[image_id] for image_id in image_ids], dtype=np.int64)
        return matcher.fits(self.captions[captions], self.scenes[images])

    def picture(self, image_id: str) -> Image.Image:
        """The picture of an image, RGB, drawn again exactly as it was when its regions were cut out. KeyError for an unknown id."""
        return drawing.picture(self.scenes.scene(self._image[image_id]))
