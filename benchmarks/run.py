"""Speed of the kit against the published way of doing the same, side by side in one run: `make bench`. Writes `results/bench/<device>.json`
and, as a table of what was asked and what was reached, `<device>.md`."""

from __future__ import annotations

import cooperating
import cross_encoding
import evaluating
import exploring
import recording
import searching
import torch
import training_step

PARTS = (searching, cross_encoding, evaluating, training_step, cooperating, exploring)


def main() -> None:
    device, name = ("cuda", "the GPU") if torch.cuda.is_available() else ("cpu", "the CPU")
    results = [result for part in PARTS for result in part.cases()]
    print(f"written to {recording.write(results, device, f'Speed on {name}', '`make bench`')}")


if __name__ == "__main__":
    main()
