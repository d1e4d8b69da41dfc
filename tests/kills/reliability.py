"""RELIABILITY.md from the records in results/reliability/: `python -m tests.kills.reliability`. What no record tells is not said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mmr_kit.cache import atomic_write
from tests.kills.scenarios import ROOT

RECORDS = ROOT / "results" / "reliability"
INTRODUCTION = """# Through every fault

*Written by code from the records in `results/reliability/`, which these commands make: `make faults` (kills, and what a machine may lack), `make fuzz`
(readers of untrusted files), `make cluster-test` (a real SLURM), `python benchmarks/scaling.py`. Of the first three `make test` has a short version.*
"""


def _table(head: list[str], rows: list[list[object]]) -> list[str]:
    """A Markdown table; the first column is text, the others are numbers."""
    line = "| " + " | ".join(head) + " |"
    return [line, "|---|" + "--:|" * (len(head) - 1), *("| " + " | ".join(map(str, row)) + " |" for row in rows)]


def _kills(record: dict[str, Any]) -> list[str]:
    programs = record["programs"]
    total = {name: sum(each[name] for each in programs) for name in ("kills", "children_killed", "ended_before", "runs_to_the_end", "files_compared")}
    rows: list[list[object]] = [[each["scenario"], f"{each['seconds_undisturbed']:.1f}", each["kills"], each["children_killed"], each["runs_to_the_end"],
                                 each["files_compared"]] for each in programs]  # fmt: skip
    return ["## Killed at random moments", "",
            f"SIGKILL came {total['kills']} times, at moments drawn evenly over the time that the program takes undisturbed; "
            f"{total['children_killed']} times it hit a child process, else the program itself. ({total['ended_before']} more came too late, "
            "when the program had ended; they do not count.) After one to four kills in a row the same command was run to its end, "
            f"{total['runs_to_the_end']} times in all. Of the {total['files_compared']:,} files left then (weights, tables, run files, stores) "
            "**none differed by a byte** from an undisturbed run's. No process outlived its parent by more than a minute, and no lock or half-written "
            "file had to be removed by hand. (Where one of these fails, no record is written.)", "",
            *_table(["program", "seconds undisturbed", "kills", "of a child", "runs to the end", "files compared"], rows)]  # fmt: skip


def _wants(record: dict[str, Any]) -> list[str]:
    rows: list[list[object]] = [[each["tests"], each["passed"], each["skipped"], each["failed"]] for each in record["files"]]
    return ["## What a machine may lack, and what strangers may send", "",
            "A full disk, a folder that may not be written to, few open files, little memory, a clock set back, two and eight runs at once on one cache, every "
            "file of an entry altered in some forty places, damaged and hostile files of every kind: each ends in one line that says the remedy, or in the "
            "right result.", "",
            *_table(["tests", "passed", "skipped", "failed"], rows)]  # fmt: skip


def _fuzz(record: dict[str, Any]) -> list[str]:
    harnesses = record["harnesses"]
    found = [each["harness"] for each in harnesses if each["found"]]
    return ["## Fuzzing", "",
            f"{len(harnesses)} readers of untrusted files, {record['seconds_each']} s each, guided by the coverage of their bytecode: "
            f"{sum(each['executions'] for each in harnesses):,} inputs tried; {'nothing found' if not found else 'found: ' + ', '.join(found)}. "
            "What earlier runs found is mended and stands among the tests.", ""]  # fmt: skip


def _slurm(record: dict[str, Any]) -> list[str]:
    rows: list[list[object]] = [[f"{each['job']}", each["node"], each["start"][11:], each["end"][11:], each["state"].lower()] for each in record["jobs"]]
    return ["## A cluster, and the death of its driver", "",
            f"{record['slurm']} with {record['nodes']} nodes on one machine's loopback, without accounting. The driver of the profile was killed when "
            f"{record['finished_before']} of {record['planned']} trainings had finished, and the same command was given again: {len(record['repeated'])} "
            f"finished trainings were done twice, and all tables came out, {record['seconds']} s in all.", "",
            *_table(["job", "node", "start", "end", "state"], rows)]  # fmt: skip


def _scaling(record: dict[str, Any]) -> list[str]:
    rows: list[list[object]] = [[each["method"], f"{1000 * each['seconds_a_step']['1']:.0f} ms", f"{1000 * each['seconds_a_step']['2']:.0f} ms",
                                 f"{each['speedup']:.2f}", f"{50 * each['speedup']:.0f}%"] for each in record["methods"]]  # fmt: skip
    return ["## Two processes against one", "",
            f"A training step of the generated world's model under `torchrun`, one thread a process, on {record['provenance']['cpu_count']} cores "
            f"({record['provenance']['cpu']}); the ideal is 2.", "",
            *_table(["method", "one process", "two", "times as fast", "of the ideal"], rows)]  # fmt: skip


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {"faults": _kills, "wants": _wants, "fuzz": _fuzz, "slurm": _slurm, "scaling": _scaling}


def write() -> None:
    """RELIABILITY.md, of the records that there are."""
    parts = [INTRODUCTION]
    for name, section in SECTIONS.items():
        path = RECORDS / f"{name}.json"
        if path.is_file():
            parts.append("\n".join(section(json.loads(path.read_text()))) + "\n")
    atomic_write(ROOT / "RELIABILITY.md", "\n".join(parts))


if __name__ == "__main__":
    write()
