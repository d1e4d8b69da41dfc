"""The numbers of one table: collected by a notebook from rankings, and written as rows, runs, documents and claims at its end."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mmr_kit.cache import atomic_write
from mmr_kit.errors import InputError
from mmr_kit.reporting.bootstrap import stratified_interval
from mmr_kit.reporting.claims import Claims
from mmr_kit.reporting.measured import Measured, by_language, mean_recall_of_query, same_seeds
from mmr_kit.reporting.paper import paper_table, paper_value
from mmr_kit.reporting.rows import COLUMNS, FINDINGS, MEAN, checked, csv_text, frame, headline
from mmr_kit.reporting.tables import Picture, SideBySide, document, plain_table
from mmr_kit.reporting.trec import write_qrels, write_run
from mmr_kit.retrieval.metrics import AT, success
from mmr_kit.retrieval.ranking import Ranking


class Judged(Protocol):
    """What `add_rankings` needs of a data set."""

    @property
    def name(self) -> str: ...

    @property
    def paper_dataset(self) -> str | None: ...

    def relevance(self, direction: str) -> Mapping[str, Collection[str]]: ...

    def item_ids(self, direction: str) -> Collection[str]: ...


class Results:
    """The numbers of one table, collected by a notebook and written at its end.

    table: "table1", ...: names the paper's table where there is one, and the folder of the runs. run_depth: items a query in the run files.
    paper_datasets: {our data set: the paper's data set beside which it stands, "" for none}, and measured: what was ranked, query by query, for claims and mean
    recalls; both filled by `add_rankings`. incidents: what went wrong while it was computed, in words.
    """

    def __init__(self, table: str, profile: str = "", run_depth: int = 20) -> None:
        self.table, self.profile, self.run_depth = table, profile, run_depth
        self.paper_datasets: dict[str, str] = {}
        self.incidents: list[str] = []
        self._rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.measured: list[Measured] = []
        self._runs: dict[str, tuple[Ranking, str]] = {}
        self._qrels: dict[str, dict[str, Collection[str]]] = {}

    def add(self, **columns: Any) -> None:
        """Add one number: any of COLUMNS (`lambda` by `**{"lambda": 0.1}`), at least metric and value; the same number twice is refused."""
        row = checked({"table": self.table, "profile": self.profile} | columns, "a result")
        key = tuple(row[name] for name in COLUMNS if name not in FINDINGS)
        if key in self._rows:
            told = {name: row[name] for name in COLUMNS if name not in FINDINGS and row[name] not in ("", None)}
            raise InputError(f"this result is already there: {told}")
        self._rows[key] = row

    def add_rankings(
        self,
        rankings: Mapping[int, Ranking],
        dataset: Judged,
        /,
        *,
        method: str,
        paper_dataset: str | None = None,
        paper_cell: Mapping[str, object] | None = None,
        variant: str = "",
        runs_of: Collection[int] | None = None,
        **columns: Any,
    ) -> np.ndarray:
        """Add R@1, R@5 and R@10 of one method on one data set in one direction, from {seed: ranking}; returns the successes, bool (seeds, queries, 3).

        paper_dataset: the paper's data set whose number stands beside ours, by default the data set's own ("" for none); paper_cell: further columns that
        select the paper's cell ({"k": 20}, ...). variant: a word for the names of the run files, where method, data set and direction do not tell two runs
        of one table apart. runs_of: seeds whose runs are written (None: all). columns: further result columns (backbone=, trained_on=, k=, ...).
        """
        if not rankings:
            raise InputError(f"no ranking of {method} on {dataset.name}: give at least one seed")
        first = next(iter(rankings.values()))
        direction, queries = first.direction, first.query_ids
        if any(ranking.direction != direction or ranking.query_ids != queries for ranking in rankings.values()):
            raise InputError(f"the seeds of {method} on {dataset.name} do not answer the same queries in one direction")
        relevance = dataset.relevance(direction)
        hits = np.stack([success(ranking, relevance) for ranking in rankings.values()])
        images = queries if direction == "text_retrieval" else [min(relevance[query]) for query in queries]
        beside = (dataset.paper_dataset or "") if paper_dataset is None else paper_dataset
        what = {"dataset": dataset.name, "method": method, "direction": direction, "language": "en", "n_queries": len(queries),
                "n_items": len(dataset.item_ids(direction))} | columns  # fmt: skip
        gallery = _file_word(dataset.name) + (f"-{_file_word(str(what['language']))}" if what["language"] != "en" else "")
        self._keep_qrels(f"{gallery}.{direction}.qrels.gz", {query: relevance[query] for query in queries})
        tag = "-".join(part for part in (_file_word(method), _file_word(variant)) if part)
        measured = Measured(what, hits, tuple(str(seed) for seed in rankings), images)
        series = [(str(seed), hits[i : i + 1], self._keep_run(f"{gallery}.{tag}.{direction}.seed{seed}.run.gz", ranking, tag)
                   if runs_of is None or seed in runs_of else "") for i, (seed, ranking) in enumerate(rankings.items())]  # fmt: skip
        if len(rankings) > 1:
            series.append((MEAN, hits, ""))
        for column, m in enumerate(AT):
            printed = self._printed(method, direction, f"R@{m}", beside, paper_cell)
            for seed, values, run in series:
                self.add(**what, metric=f"R@{m}", **_in_percent([values[:, :, column]], [measured]), seed=seed, run=run, **printed)
        if beside or what["dataset"] not in self.paper_datasets:
            self.paper_datasets[str(what["dataset"])] = beside
        self.measured.append(measured)
        return hits

    def add_mean_recall(self, mean: str = "mean", without: Collection[str] = (), paper_cell: Mapping[str, object] | None = None) -> None:
        """Add mR of all that was ranked in both directions so far: a row a language, and one of language `mean` with the mean over the languages.

        mR is the mean of R@1, R@5 and R@10 over both directions (section 5); its interval draws images, each with its queries of all directions
        and languages. without: languages that the mean row leaves out (Table 7: add_mean_recall("avg_non_english", without=["en"])). paper_cell: as in
        `add_rankings`.
        """
        for columns, languages in by_language(self.measured):
            over = [cell for language, cells in languages.items() if language not in without for cell in cells]
            for language, cells in [*languages.items(), *([(mean, over)] if over else [])]:
                series = list(enumerate(same_seeds(cells)))
                beside = self.paper_datasets.get(columns["dataset"], "")
                printed = self._printed(columns["method"], "", "mR", beside, {"language": language, **(paper_cell or {})})
                shares = [mean_recall_of_query(cell.hits) for cell in cells]
                queries = sum(cell.hits.shape[1] for cell in cells)
                parts = [(seed, [values[i : i + 1] for values in shares]) for i, seed in series] + ([(MEAN, shares)] if len(series) > 1 else [])
                for seed, strata in parts:
                    self.add(**columns, language=language, metric="mR", **_in_percent(strata, cells), n_queries=queries, seed=seed, **printed)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows, with the columns COLUMNS in the order they were added."""
        return frame(list(self._rows.values()))

    def write(
        self,
        folder: Path,
        name: str,
        provenance: Mapping[str, Any],
        *,
        title: str = "",
        table: SideBySide | None = None,
        claims: Claims | None = None,
        pictures: Sequence[Picture] = (),
    ) -> list[Path]:
        """Write <name>.csv, .html, .md, .tex, .claims.csv (with claims), the runs and qrels, and last <name>.provenance.json; returns the paths.

        folder: results/<profile>/. Each file is written whole or not at all; the provenance is the mark of a finished set.
        Runs of an earlier call that this one does not have are removed, so that csv and runs always belong together.
        """
        folder, runs = Path(folder), Path(folder) / "runs" / self.table
        if not self._rows:
            raise InputError(f"{name}: there is no result to write")
        (folder / f"{name}.provenance.json").unlink(missing_ok=True)
        for file, (ranking, tag) in self._runs.items():
            write_run(runs / file, ranking, tag, self.run_depth)
        for file, relevance in self._qrels.items():
            write_qrels(runs / file, relevance)
        for path in runs.glob("*.gz"):
            if path.name not in self._runs and path.name not in self._qrels:
                path.unlink()
        parts = [part for part in (table or plain_table(headline(self.frame)), *pictures, claims) if part is not None]
        texts = {f"{name}.csv": csv_text(list(self._rows.values()))}
        texts |= {f"{name}.{kind}": text for kind, text in document(title or name, parts).items()}
        if claims is not None:
            texts[f"{name}.claims.csv"] = claims.to_csv()
        texts[f"{name}.provenance.json"] = json.dumps(provenance, indent=1, sort_keys=True, default=str) + "\n"
        for file, text in texts.items():
            atomic_write(folder / file, text)
        return [*(folder / file for file in texts), *(runs / file for file in (*self._runs, *self._qrels))]

    def _printed(self, method: str, direction: str, metric: str, dataset: str, cell: Mapping[str, object] | None) -> dict[str, Any]:
        number = re.fullmatch(r"table([1-9])", self.table)
        if not dataset or number is None:
            return {}
        if direction and "direction" not in paper_table(int(number[1])):
            return {}  # Tables 2 and 7 print mR only
        found = paper_value(int(number[1]), **{"method": method, "dataset": dataset, "direction": direction, "metric": metric, **(cell or {})})
        return {} if found is None else {"paper_value": found.value, "erratum": found.erratum}

    def _keep_run(self, file: str, ranking: Ranking, tag: str) -> str:
        if file in self._runs:
            raise InputError(f"two runs of {self.table} would be written to {file}: tell them apart with variant=")
        self._runs[file] = (ranking, tag)
        return f"runs/{self.table}/{file}"

    def _keep_qrels(self, file: str, relevance: dict[str, Collection[str]]) -> None:
        if self._qrels.setdefault(file, relevance) != relevance:
            raise InputError(f"two runs of {self.table} do not answer the same queries, yet share {file}")


def _file_word(text: str) -> str:
    """The text without what does not belong into a file's name or a word of a run file; "." separates the parts of such a name."""
    return re.sub(r"[^\w+-]", "", text)


def _in_percent(strata: Sequence[np.ndarray], cells: Sequence[Measured]) -> dict[str, float]:
    """The columns value, ci_low and ci_high of values (seeds, queries) of these cells: the mean as public tools compute it, to the last digit."""
    mean = float(np.mean([np.mean(values) for values in strata]))
    _, low, high = stratified_interval([cell.by_image(values) for cell, values in zip(cells, strata, strict=True)])
    return {"value": 100 * mean, "ci_low": 100 * min(low, mean), "ci_high": 100 * max(high, mean)}
