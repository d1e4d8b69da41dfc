"""The command `mmr`: helps, statuses, and one line for bad input."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from mmr_kit import cli, notebooks
from mmr_kit.data.datasets import load_dataset
from mmr_kit.errors import InputError
from mmr_kit.reporting import Results

COMMANDS = ("regenerate", "report", "train", "search", *(f"data {name}" for name in ("list", "status", "fetch", "verify", "prepare", "miniature")))


class Mmr:
    """Calls `mmr` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Status, standard output, standard error."""
        self.monkeypatch.setattr(sys, "argv", ["mmr", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = self.capsys.readouterr()
        return int(end.value.code or 0), out, err

    def refused(self, *arguments: object) -> str:
        """The one line on standard error that bad input gets."""
        status, _, err = self(*arguments)
        assert status == 2
        assert err.startswith("mmr: ")
        assert err.count("\n") == 1
        return err


@pytest.fixture
def mmr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mmr:
    return Mmr(monkeypatch, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_how_to_call_it(mmr: Mmr, command: str) -> None:
    status, out, _ = mmr(*command.split(), "--help")
    assert status == 0
    assert f"Example: mmr {command}" in out
    assert f"Usage: mmr {command}" in out


def test_help_lists_all_commands_without_loading_torch() -> None:
    program = "import sys, mmr_kit.cli as c; sys.argv = ['mmr', '--help']\ntry: c.main()\nfinally: print({'torch', 'pandas', 'nbformat'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert all(command.split()[0] in done.stdout for command in COMMANDS)
    assert "set()" in done.stdout, "mmr --help must answer at once"


def test_train_options_default_to_the_recipe() -> None:
    from mmr_kit.recipes import Recipe

    recipe = {name: parameter.default for name, parameter in inspect.signature(Recipe).parameters.items()}
    options = {name: parameter.default for name, parameter in inspect.signature(cli.train).parameters.items()}
    assert recipe["languages"] == ("en",)
    assert options.pop("language") is None
    assert options.pop("output") is None
    assert options == {name: recipe[name] for name in options}


def test_bad_input_gets_one_line(mmr: Mmr, tmp_path: Path) -> None:
    assert "unknown profile 'dmo' (did you mean demo" in mmr.refused("regenerate", "--profile", "dmo", "--dry-run")
    assert "unknown notebook 'table1' (did you mean table1_main_results?)" in mmr.refused("regenerate", "--only", "table1", "--dry-run")
    assert "unknown parameter 'sed'" in mmr.refused("regenerate", "-p", "sed=1", "--dry-run")
    assert "write name=value" in mmr.refused("regenerate", "-p", "seeds", "--dry-run")
    assert "no data set 'flickr9k'" in mmr.refused("data", "status", "flickr9k")
    assert "no training method 'BI'" in mmr.refused("train", "BI", "--dataset", "smoke_a")
    assert "above 0" in mmr.refused("train", "BE", "--dataset", "smoke_a", "--steps", "0")
    assert "not empty" in mmr.refused("train", "BE", "--dataset", "smoke_a", "--output", Path(__file__).parent)
    assert str(tmp_path) in mmr.refused("search", "a star", "--model", tmp_path / "none", "--dataset", "smoke_a")
    assert "no results to report" in mmr.refused("report", "--results", tmp_path)


def test_wrong_usage_ends_with_2(mmr: Mmr) -> None:
    assert mmr("regenerat")[0] == 2
    assert mmr("train", "BE")[0] == 2
    assert mmr("train", "BE", "--dataset", "smoke_a", "--steps", "many")[0] == 2


def test_failures_and_interruptions_have_their_status(mmr: Mmr, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(error: BaseException) -> tuple[int, str, str]:
        def regenerate(*_: object, **__: object) -> int:
            raise error

        monkeypatch.setattr(notebooks, "regenerate", regenerate)
        return mmr("regenerate")

    assert stops(notebooks.NotebookError("table1: cell [3] failed")) == (1, "", "mmr: table1: cell [3] failed\n")
    assert stops(InputError("regions.npy: truncated")) == (2, "", "mmr: regions.npy: truncated\n")
    assert stops(KeyboardInterrupt()) == (130, "", "")


def test_data_list_and_status(mmr: Mmr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path))
    status, out, _ = mmr("data", "list")
    assert status == 0
    assert "Flickr8k" in out
    status, out, _ = mmr("data", "status")
    assert status == 0
    assert "missing" in out
    assert str(tmp_path) in out
    assert mmr("data", "status", "smoke_a")[0] == 0
    assert mmr("data", "status", "flickr8k")[0] == 1


def test_data_status_finds_what_is_there(mmr: Mmr, data_dir: Path) -> None:
    status, out, _ = mmr("data", "status", "flickr8k")
    assert status == 0
    assert str(data_dir) in out


@pytest.fixture
def profile_folder(tmp_path: Path) -> Path:
    """Results of a profile: a judged table with one number, and a page without a table."""
    folder = tmp_path / "results" / "demo"
    folder.mkdir(parents=True)
    results = Results("table1", "demo")
    results.add(dataset="a", method="BE", metric="R@1", value=50.0, seed="0")
    results.write(folder, "table1_small", {}, title="Table A")
    (folder / "other.md").write_text("# Table B\n")
    (folder / "table1_small.claims.csv").write_text(
        "id,claim,basis,verdict,part,part_verdict,evidence\nT1-1,BE is below CE,measured,supported,a,supported,1 - 0\n"
        "T1-1,BE is below CE,measured,supported,b,supported,1 - 0\nT1-2,on a par,measured,inconclusive,a,inconclusive,?\n"
    )
    return folder


def test_report_collects_pages_and_verdicts(mmr: Mmr, profile_folder: Path) -> None:
    for _ in range(2):  # the second time the report itself is there
        status, out, _ = mmr("report", "--results", profile_folder.parent)
        assert status == 0
        assert out.splitlines()[0].startswith("supported      T1-1 BE is slightly below CE"), "in the words of claims.csv"
        assert str(profile_folder / "index.html") in out
        text = (profile_folder / "REPORT.md").read_text()
        assert "1 supported, 0 not supported, 1 inconclusive" in text
        assert text.count("## Table A") == text.count("## Table B") == 1


def test_regenerate_ends_with_the_report(mmr: Mmr, profile_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "regenerate", lambda *_, **__: 1)
    status, out, _ = mmr("regenerate", "--results", profile_folder.parent)
    assert (status, out) == (0, f"report: {profile_folder / 'index.html'}\n")
    assert "Table A" in (profile_folder / "index.html").read_text()


def test_check_tells_what_differs(mmr: Mmr, profile_folder: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.mkdir()
    table = (profile_folder / "table1_small.csv").read_text()
    check = ("report", "--results", profile_folder.parent, "--check", "--reference", reference)
    (reference / "table1_small.csv").write_text(table)
    status, out, _ = mmr(*check)
    assert (status, out.splitlines()[0]) == (0, "[OK] table1_small: 1 the same, 0 within noise, 0 differ")
    (reference / "table1_small.csv").write_text(table.replace("50.0", "52.0"))
    status, out, _ = mmr(*check)
    assert status == 1
    assert out.splitlines()[:2] == [
        "[DIFFERS] table1_small: 0 the same, 0 within noise, 1 differ",
        "[DIFFERS] table1_small: a BE R@1: 50, reference 52 [no spread over seeds in the reference]",
    ]
    (reference / "table1_small.csv").write_text(table[:-20])
    assert "table1_small.csv, line 2" in mmr.refused(*check)
    assert "no result tables" in mmr.refused(*check[:-1], tmp_path / "none")
    assert not (profile_folder / "index.html").exists(), "a check writes nothing"


def test_train_then_search(mmr: Mmr, tmp_path: Path) -> None:
    model = tmp_path / "joint"
    status, out, err = mmr("train", "JOINT", "--dataset", "smoke_a", "--steps", 2, "--batch-size", 8, "--output", model)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == str(model)
    assert "entry.json" not in {path.name for path in model.iterdir()}
    status, out, _ = mmr("search", "a red star", "--model", model, "--dataset", "smoke_a", "-k", 3)
    assert status == 0
    header, *lines = out.splitlines()
    assert header.split()[:4] == ["rank", "match", "retrieved", "cosine"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert sorted(line.split()[2] for line in lines) == ["1", "2", "3"]
    matches = [float(line.split()[1]) for line in lines]
    assert matches == sorted(matches, reverse=True)
    assert all("a-test-" in line for line in lines)
    german = {caption.text for caption in load_dataset("smoke_a", "test", ["de"]).captions}
    status, out, _ = mmr("search", "ein roter Stern", "--model", model, "--dataset", "smoke_a", "-k", 3, "--language", "de")
    assert status == 0
    assert [line.partition("  (")[2].removesuffix(")") in german for line in out.splitlines()[1:]] == [True] * 3
    spanish = mmr.refused("search", "x", "--model", model, "--dataset", "smoke_a", "--language", "es")
    assert "no captions in es in its test split; there are cs, de, en, fr" in spanish
    assert "not empty" in mmr.refused("train", "JOINT", "--dataset", "smoke_a", "--output", model)
