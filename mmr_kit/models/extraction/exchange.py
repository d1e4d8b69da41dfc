"""What came of the pictures of a batch, and the same as bytes, in which one process gives it to another (see `models.distributed`)."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mmr_kit.data.pictures import Skipped
from mmr_kit.data.regions import Regions


class Extracted(NamedTuple):
    """A picture's (height, width) and regions."""

    image_hw: tuple[int, int]
    regions: Regions


def packed(results: Sequence[Extracted | Skipped]) -> bytes:
    """An .npz: `about` holds JSON, [name, reason] or [height, width] for each picture; features and boxes of picture n lie under "f<n>" and "b<n>"."""
    arrays: dict[str, Any] = {}
    for number, result in enumerate(results):
        if isinstance(result, Extracted):
            arrays |= {f"f{number}": result.regions.features, f"b{number}": result.regions.boxes}
    about = [list(result.image_hw if isinstance(result, Extracted) else result) for result in results]
    content = io.BytesIO()
    np.savez(content, about=np.array(json.dumps(about)), **arrays)
    return content.getvalue()


def unpacked(content: bytes) -> list[Extracted | Skipped]:
    """What `packed` was given."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        return [Extracted((first, second), Regions(arrays[f"f{number}"], arrays[f"b{number}"])) if f"f{number}" in arrays else Skipped(first, second)
                for number, (first, second) in enumerate(about)]
