"""The project's own files: pins, environment.yml, import walls, module sizes, exports."""

import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = sorted((ROOT / "mmr_kit").rglob("*.py"))
ON_CONDA_FORGE = {"torch": "pytorch"}  # the packages that are called otherwise there


def pins(name: str) -> dict[str, str]:
    """Package -> version of a requirements file (without the files it includes)."""
    lines = [line for line in (ROOT / "requirements" / name).read_text().splitlines() if line and not line.startswith(("#", "-r"))]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "every line must be an exact, public version"
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}


def test_pins_fulfil_pyproject() -> None:
    names = ("run", "test", "docs", "minilm", "int8", "fuzz", "audit", "milvus", "cluster")
    run, test, docs, minilm, int8, fuzz, audit, milvus, cluster = (pins(f"{name}.txt") for name in names)
    extras = PROJECT["project"]["optional-dependencies"]
    for needed, locked in ((PROJECT["project"]["dependencies"], run), (extras["test"], run | test), (extras["minilm"], minilm), (extras["fast"], run),
                           (extras["int8"], int8), (extras["docs"], run | docs), (extras["milvus"], milvus), (extras["cluster"], cluster)):  # fmt: skip
        for requirement in map(Requirement, needed):
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    assert not set(run) & (set(test) | set(docs) | set(fuzz) | set(audit) | set(milvus) | set(cluster))


def test_pins_hold_no_gpu_libraries() -> None:
    """They would be installed on machines that have no use for them; torch's CUDA build pins its own."""
    assert not [name for name in pins("run.txt") | pins("test.txt") if re.search(r"nvidia|cuda|cudnn|triton|rocm", name)]


def test_conda_environment_agrees_with_the_pins() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"][0] == "conda-forge"
    *packages, last = environment["dependencies"]
    assert last == {"pip": ["-e .[test]"]}
    versions = dict(package.split("=") for package in packages if package != "pip")
    assert versions.pop("python") in PROJECT["project"]["requires-python"]
    run = pins("run.txt")
    direct = [canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]]
    assert versions == {ON_CONDA_FORGE.get(name, name): run[name] for name in direct}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import walls of the package in `folder`."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(folder)})


def test_imports_keep_to_the_walls() -> None:
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("data/datasets.py", "import mmr_kit.retrieval.search"),
        ("retrieval/search.py", "import mmr_kit.data.regions"),
        ("retrieval/search.py", "import transformers"),
        ("reporting/tables.py", "import mmr_kit.retrieval.search"),
        ("reporting/tables.py", "import mmr_kit.models.losses"),
        ("models/oscar.py", "import mmr_kit.data.pictograms.world"),
        ("experiments.py", "import mmr_kit.cli"),
        ("cache.py", "import mmr_kit.data.regions"),
        ("models/oscar.py", "import ipywidgets"),
        ("elsewhere.py", ""),
    ],
)
def test_a_breach_of_a_wall_is_seen(module: str, line: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mmr_kit", tmp_path / "mmr_kit", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with open(tmp_path / "mmr_kit" / module, "a") as file:
        file.write(f"\n{line}\n")
    assert lint_imports(tmp_path).returncode == 1


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_are_short(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 320, "about 300 lines; where does the second concept begin?"


def test_the_package_exports_what_notebooks_use_and_no_more() -> None:
    kit = importlib.import_module("mmr_kit")
    used = {name for path in (ROOT / "notebooks").rglob("*.ipynb") for name in re.findall(r"\bkit\.([A-Za-z]\w*)", path.read_text())}
    assert {"load_model", "load_dataset", "retrieve", "recall"} <= set(kit.__all__)
    assert used <= set(kit.__all__)
    assert len(kit.__all__) <= 16, "about a dozen names"
    for name in kit.__all__:
        assert getattr(kit, name).__doc__, f"kit.{name} has no docstring"


def test_nothing_is_unpickled() -> None:
    """A pickle can run any program."""
    for module in MODULES:
        source = module.read_text()
        assert not re.search(r"allow_pickle=True|\b(import|from) (pickle|joblib|dill)\b", source), module
        assert source.count("torch.load(") == source.count("weights_only=True"), module


@pytest.mark.parametrize("record", sorted((ROOT / "results").glob("*/*.provenance.json")), ids=lambda path: f"{path.parent.name}-{path.name.split('.')[0]}")
def test_committed_results_are_those_that_their_record_names(record: Path) -> None:
    """All but the executed notebooks, which are not committed."""
    outputs = {name: known for name, known in json.loads(record.read_text()).get("outputs", {}).items() if not name.startswith("notebooks/")}
    assert {name: hashlib.sha256((record.parent / name).read_bytes()).hexdigest() for name in outputs} == outputs
