"""Whether a stored data set is whole: hashes of files and region store, how many images and captions, and whether each captioned image has regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mmr_kit.data import lock
from mmr_kit.data.captions import SPLITS, Caption
from mmr_kit.data.datasets import stored_captions
from mmr_kit.data.fingerprints import damaged, store_hashes
from mmr_kit.data.manifests import Expected, Manifest
from mmr_kit.data.regions import RegionStore
from mmr_kit.errors import InputError

Finding = tuple[bool, str]
"""Whether it is as it should be, and what was looked at."""


def verify(manifest: Manifest) -> Iterator[Finding]:
    """The findings of a data set, one by one. Raises InputError where a part is missing or damaged."""
    files = manifest.files
    if files is None:
        yield True, f"{manifest.name} is generated when first used; there is nothing to verify"
        return
    folder = manifest.data_dir()
    missing = [path for path in manifest.missing() if path != files.regions]
    if missing:
        raise InputError(f"{folder / missing[0]}: missing; `mmr data status {manifest.name}` says what to do")
    for part in manifest.parts():
        if part.present and part.path != files.regions:  # the store is made here
            same = lock.check(folder, part.path)
            told = {None: f"seen for the first time, now pinned in {lock.LOCK}", True: "as at first sight", False: f"NOT as at first sight ({lock.LOCK})"}[same]
            yield same is not False, f"{part.path}: {told}"
    captions = stored_captions(files, folder)
    yield from _counted(captions, manifest.expected or Expected(captions={}))
    if not (folder / files.regions).exists():
        yield False, f"{files.regions}: no region store yet; `mmr data status {manifest.name}` says what to do"
        return
    altered = damaged(folder / files.regions)
    store_hashes(folder / files.regions)  # remembered from now on
    yield not altered, f"{files.regions}: {f'{altered[0]} is NOT what it was; prepare the store again' if altered else 'its content is as remembered'}"
    store = RegionStore(folder / files.regions)
    without = sorted({caption.image_id for caption in captions} - {files.image_prefix + image_id for image_id in store})
    lacks = f"{len(without)} images have captions but no regions, {without[0]!r} for one" if without else "every image that has captions has regions"
    yield not without, f"{files.regions}: {len(store)} images, {store.width} values a region; {lacks}"


def _counted(captions: list[Caption], expected: Expected) -> Iterator[Finding]:
    """Images a split and captions an image, beside what is expected where that is known."""
    images = {split: {caption.image_id for caption in captions if caption.split == split} for split in SPLITS}
    wanted: dict[str, int] = dict(expected.images.items())
    for split in SPLITS:
        if images[split] or split in wanted:
            told = f"{split}: {len(images[split])} images"
            yield wanted.get(split) in (None, len(images[split])), told + (f", expected {wanted[split]}" if split in wanted else "")
    for language in sorted({caption.language for caption in captions} | set(expected.captions)):
        counts = Counter(caption.image_id for caption in captions if caption.language == language)
        fewest, most = min((counts[image_id] for split in images.values() for image_id in split), default=0), max(counts.values(), default=0)
        low, high = expected.captions.get(language, (0, most))
        told = f"{language}: {counts.total()} captions, {fewest} to {most} an image"
        yield low <= fewest and most <= high, told + (f", expected {low} to {high}" if language in expected.captions else "")
