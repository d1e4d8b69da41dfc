"""Result rows: one number a row, with its interval, its seed, the paper's number and the run it can be recomputed from.

Every seed has its own row (its interval: bootstrap over queries). Where there are several seeds, one more row with seed "mean" holds their mean (its
interval: bootstrap over queries and seeds) and no run. `headline` picks the one row a reader wants of each number: the mean, or the only seed.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mmr_kit.cache import atomic_write
from mmr_kit.errors import InputError
from mmr_kit.reporting.bootstrap import bootstrap_interval, stratified_interval
from mmr_kit.reporting.claims import Claims
from mmr_kit.reporting.measured import Measured, by_language, mean_recall_of_query, same_seeds
from mmr_kit.reporting.paper import paper_table, paper_value
from mmr_kit.reporting.tables import Picture, SideBySide, document, plain_table
from mmr_kit.reporting.trec import write_qrels, write_run
from mmr_kit.retrieval.metrics import AT, success
from mmr_kit.retrieval.ranking import Ranking

COLUMNS = (
    "table", "profile", "dataset", "collection", "trained_on", "backbone", "method", "direction", "language", "k", "combination", "lambda",
    "metric", "value", "ci_low", "ci_high", "n_queries", "n_items", "seed", "paper_value", "erratum", "run",
)  # fmt: skip
WHOLE = ("k", "n_queries", "n_items")
REAL = ("lambda", "value", "ci_low", "ci_high", "paper_value")
FINDINGS = ("value", "ci_low", "ci_high", "n_queries", "n_items", "paper_value", "erratum", "run")  # all other columns say what was measured: the key
OF_MACHINE = ("_ms", "_s", "_between_ways")  # endings of metrics that measure the machine: times, speeds, how far two ways of computing agree
FORMULA = ("=", "+", "-", "@", "\t")  # how a text begins that a spreadsheet takes for a formula
MEAN = "mean"  # the seed column of a mean over seeds


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
        row = _checked({"table": self.table, "profile": self.profile} | columns, "a result")
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
        beside = (dataset.paper_dataset or "") if paper_dataset is None else paper_dataset
        what = {"dataset": dataset.name, "method": method, "direction": direction, "language": "en", "n_queries": len(queries),
                "n_items": len(dataset.item_ids(direction))} | columns  # fmt: skip
        gallery = _file_word(dataset.name) + (f"-{_file_word(str(what['language']))}" if what["language"] != "en" else "")
        self._keep_qrels(f"{gallery}.{direction}.qrels.gz", {query: relevance[query] for query in queries})
        tag = "-".join(part for part in (_file_word(method), _file_word(variant)) if part)
        series = [(str(seed), hits[i : i + 1], self._keep_run(f"{gallery}.{tag}.{direction}.seed{seed}.run.gz", ranking, tag)
                   if runs_of is None or seed in runs_of else "") for i, (seed, ranking) in enumerate(rankings.items())]  # fmt: skip
        if len(rankings) > 1:
            series.append((MEAN, hits, ""))
        for column, m in enumerate(AT):
            printed = self._printed(method, direction, f"R@{m}", beside, paper_cell)
            for seed, values, run in series:
                mean, low, high = bootstrap_interval(values[:, :, column])
                self.add(**what, metric=f"R@{m}", value=100 * mean, ci_low=100 * low, ci_high=100 * high, seed=seed, run=run, **printed)
        if beside or what["dataset"] not in self.paper_datasets:
            self.paper_datasets[str(what["dataset"])] = beside
        self.measured.append(Measured(what, hits, tuple(str(seed) for seed in rankings)))
        return hits

    def add_mean_recall(self, mean: str = "mean", without: Collection[str] = (), paper_cell: Mapping[str, object] | None = None) -> None:
        """Add mR of all that was ranked in both directions so far: a row a language, and one of language `mean` with the mean over the languages.

        mR is the mean of R@1, R@5 and R@10 over both directions (section 5); its interval resamples the queries of each direction and language on their
        own. without: languages that the mean row leaves out (Table 7: add_mean_recall("avg_non_english", without=["en"])). paper_cell: see `add_rankings`.
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
                    value, low, high = (100 * number for number in stratified_interval(strata))
                    self.add(**columns, language=language, metric="mR", value=value, ci_low=low, ci_high=high, n_queries=queries, seed=seed, **printed)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows, with the columns COLUMNS in the order they were added."""
        return _frame(list(self._rows.values()))

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
        texts = {f"{name}.csv": _csv_text(list(self._rows.values()))}
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


def headline(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each number: the mean over seeds where there is one, else the only seed."""
    key = [name for name in COLUMNS if name not in FINDINGS and name != "seed"]
    is_mean = rows["seed"] == MEAN
    has_mean = is_mean.groupby([rows[name] for name in key], dropna=False, sort=False).transform("any") if len(rows) else is_mean
    chosen = rows[is_mean | ~has_mean]
    if chosen.duplicated(key).any():
        raise InputError(f"several seeds without a row of seed {MEAN!r}: {chosen[chosen.duplicated(key)].iloc[0][key].to_dict()}")
    return chosen.reset_index(drop=True)


def read_results(path: Path) -> pd.DataFrame:
    """The rows of a result csv, as `Results.frame` has them; InputError names the line of what is wrong."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise InputError(f"{path}, line 1: not a result csv of this kit; its columns must be {', '.join(COLUMNS)}")
            rows = []
            for fields in reader:
                where = f"{path}, line {reader.line_num}"
                if len(fields) != len(COLUMNS):
                    raise InputError(f"{where}: {len(COLUMNS)} columns expected, {len(fields)} found; write the table again")
                rows.append(_checked(dict(zip(COLUMNS, fields, strict=True)), where))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable csv ({error}); write the table again") from None
    return _frame(rows)


def _checked(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The row with every column of COLUMNS, in its type; "" or None where it does not apply."""
    unknown = [name for name in row if name not in COLUMNS]
    if unknown:
        raise InputError(f"{where}: unknown column {unknown[0]!r}; the columns are {', '.join(COLUMNS)}")
    checked: dict[str, Any] = {}
    for name in COLUMNS:
        value = row.get(name)
        empty = value is None or value == ""
        try:
            if name in WHOLE:
                checked[name] = None if empty else _whole(value)
            elif name in REAL:
                checked[name] = None if empty else float(value)  # type: ignore[arg-type]
            else:
                checked[name] = "" if empty else str(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where}: {name} is {value!r:.60}, not a {'whole ' if name in WHOLE else ''}number") from None
        if name in REAL and checked[name] is not None and not math.isfinite(checked[name]):
            raise InputError(f"{where}: {name} is not finite")
        if isinstance(checked[name], str) and ("\n" in checked[name] or "\r" in checked[name]):
            raise InputError(f"{where}: {name} has a line break; a result is one line")
        if isinstance(checked[name], str) and checked[name].startswith(FORMULA):
            raise InputError(f"{where}: {name} is {checked[name][:40]!r}, which a spreadsheet takes for a formula; call it otherwise")
    missing = [name for name in ("table", "metric", "value") if checked[name] in ("", None)]
    if missing:
        raise InputError(f"{where}: {missing[0]} is missing")
    if (checked["ci_low"] is None) != (checked["ci_high"] is None) or (checked["ci_low"] or 0) > (checked["ci_high"] or 0):
        raise InputError(f"{where}: ci_low {checked['ci_low']} and ci_high {checked['ci_high']} are not an interval")
    return checked


def _whole(value: Any) -> int:
    if (not isinstance(value, str) and value != int(value)) or abs(int(value)) >= 2**63:
        raise ValueError
    return int(value)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    kinds = {name: "Int64" if name in WHOLE else "float64" if name in REAL else "str" for name in COLUMNS}
    return frame.astype(kinds)


def _csv_text(rows: list[dict[str, Any]]) -> str:
    """Floats as Python writes them: read back, they are the same to the last bit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([["" if row[name] is None else row[name] for name in COLUMNS] for row in rows])
    return text.getvalue()
