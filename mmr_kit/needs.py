"""What notebooks need and the kit does not bring: told before the first of them starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmr_kit.data.manifests import in_data_dir, load_manifest
from mmr_kit.errors import InputError
from mmr_kit.profiles import Scalar

CHECKPOINT = ("a checkpoint in its published files, OSCAR's pytorch_model.bin, config.json and vocab.txt, or M3P's m3p_under_weights.pth and "
              "xlm-roberta-base/; notebooks/profiles/paper.yaml says where from")  # fmt: skip


def check_needs(parameters: Iterable[Mapping[str, Scalar]]) -> None:
    """Print what is missing of the data sets and checkpoints that notebooks name in their parameters, and raise InputError if anything is.

    Data sets stand in parameters that end in dataset, datasets or distractors; of checkpoints those count that lie in the data folder, "data:<folder>".
    """
    named = [(name, value) for of_notebook in parameters for name, value in of_notebook.items() if isinstance(value, str)]
    datasets = [word.partition(":")[0] for name, value in named if name.endswith(("dataset", "datasets", "distractors")) for word in value.split()]
    missing = {name: manifest for name in dict.fromkeys(datasets) if (manifest := load_manifest(name)).missing()}
    lines = [line for name, manifest in missing.items() for line in (*manifest.checklist(name), "")]
    absent = []
    for start in dict.fromkeys(word for _, value in named for word in value.split() if word.startswith("data:")):
        try:
            in_data_dir(start.removeprefix("data:"), start)
        except InputError as error:
            absent.append(start)
            lines.append(f"[missing] {error} ({CHECKPOINT})")
    if lines:
        print("\n".join(lines), flush=True)
        raise InputError(f"not here yet: {', '.join([*missing, *absent])}; do what is said above, then run this again")
