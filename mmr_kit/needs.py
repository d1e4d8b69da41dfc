"""What notebooks need and the kit does not bring: told before the first of them starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmr_kit.cache import cache_dir, usable
from mmr_kit.data.manifests import in_data_dir, load_manifest
from mmr_kit.errors import InputError, shown
from mmr_kit.profiles import Scalar

CHECKPOINT = ("a checkpoint in its published files, OSCAR's pytorch_model.bin, config.json and vocab.txt, or M3P's m3p_under_weights.pth and "
              "xlm-roberta-base/; notebooks/profiles/paper.yaml says where from")  # fmt: skip


def datasets_of(parameters: Mapping[str, Scalar]) -> list[str]:
    """The data sets that a notebook's parameters name: in those that end in dataset, datasets or distractors, and behind the checkpoint in `clip`."""
    named = [value for name, value in parameters.items() if isinstance(value, str) and name.endswith(("dataset", "datasets", "distractors"))]
    patches = str(parameters.get("clip", "")).split()[1:]
    return list(dict.fromkeys([word.partition(":")[0] for value in named for word in value.split()] + patches))


def check_needs(parameters: Iterable[Mapping[str, Scalar]]) -> None:
    """Print what is missing of the data sets and checkpoints that notebooks name in their parameters, and raise InputError if anything is.

    Of checkpoints those count that lie in the data folder, "data:<folder>". A cache that cannot be written to is told here, too.
    """
    parameters = list(parameters)
    if parameters:
        usable(cache_dir())
    datasets = dict.fromkeys(name for of_notebook in parameters for name in datasets_of(of_notebook))
    missing = {name: manifest for name in datasets if (manifest := load_manifest(name)).missing()}
    lines = [line for name, manifest in missing.items() for line in (*manifest.checklist(name), "")]
    absent = []
    words = [word for of_notebook in parameters for value in of_notebook.values() if isinstance(value, str) for word in value.split()]
    for start in dict.fromkeys(word for word in words if word.startswith("data:")):
        try:
            in_data_dir(start.removeprefix("data:"), start)
        except InputError as error:
            absent.append(start)
            lines.append(f"[missing] {error} ({CHECKPOINT})")
    if lines:
        print(shown("\n".join(lines)), flush=True)
        raise InputError(f"not here yet: {', '.join([*missing, *absent])}; do what is said above, then run this again")
