"""Installing by hash: requirements/hashed/ covers every pin and nothing else, and pip refuses what is not the file that was locked."""

import importlib.metadata
import importlib.util
import re
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))
NOT_USED = {"aiohttp"}  # papermill names it for Python 3.12 and does not import it


def load_installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "requirements" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", FILES)
def test_every_pin_has_hashes_and_nothing_else_has(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    pins = {f"{canonicalize_name(line.split('==')[0])}=={line.split('==')[1]}" for line in lines if line and not line.startswith(("#", "-r"))}
    included = [line for line in lines if line.startswith("-r")]
    text = (ROOT / "requirements" / "hashed" / f"{name}.txt").read_text()
    package = r"[\w.-]+==[\w.]+(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    assert re.fullmatch(rf"# [^\n]*\n(?:-r [\w.]+\n)*(?:{package})+", text), "every package must have a SHA-256, and no line may be anything else"
    assert {line.removesuffix(" \\") for line in text.splitlines() if "==" in line} == {pin for pin in pins if pin != "torch==2.13.0"}
    assert [line for line in text.splitlines() if line.startswith("-r")] == included


def test_there_is_no_other_file_of_hashes() -> None:
    assert sorted(path.name for path in (ROOT / "requirements" / "hashed").iterdir()) == [f"{name}.txt" for name in FILES]


def test_what_the_pinned_packages_need_is_pinned() -> None:
    """Nothing but a pin is installed: one that is missing, on another system or Python too, would be missed when the package is used."""
    pins = dict(pin.split("==") for name in ("run", "test") for pin in load_installer().pinned(f"requirements/{name}.txt"))
    systems = [{"sys_platform": "linux", "platform_system": "Linux"}, {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}]
    places = [{**system, "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.5", "extra": ""} for system in systems for minor in (11, 12, 13)]
    todo: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in pins if name != "torch"]
    seen = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen or name in NOT_USED:
            continue
        seen.add((name, extras))
        assert name in pins, name
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # appnope, in an environment that was made before it was pinned
            continue
        for needed in map(Requirement, lines):
            if needed.marker is None or any(needed.marker.evaluate({**place, "extra": extra}) for place in places for extra in {"", *extras}):
                todo.append((canonicalize_name(needed.name), frozenset(needed.extras)))
                assert needed.name in NOT_USED or needed.specifier.contains(pins.get(canonicalize_name(needed.name), "")), f"{name} needs {needed}"
    assert len(seen) > 150


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """install.py over a folder with one package, tiny 1.0, pinned with its hash; pip has no index but that folder, and installs into `there`."""
    module = load_installer()
    (tmp_path / "requirements" / "hashed").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "ANSWER = 42\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\ntiny-1.0.dist-info/RECORD,,\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    sha256 = module.digest("tiny-1.0-py3-none-any.whl")
    (tmp_path / "requirements" / "tiny.txt").write_text("tiny==1.0\n")
    (tmp_path / "requirements" / "hashed" / "tiny.txt").write_text(f"tiny==1.0 \\\n    --hash=sha256:{sha256}\n")
    monkeypatch.setattr(module, "VENV", Path(sys.prefix))
    settings = {"CONFIG_FILE": "/dev/null", "NO_INDEX": "1", "FIND_LINKS": str(tmp_path), "TARGET": str(tmp_path / "there"), "EXTRA_INDEX_URL": ""}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return module


def test_the_file_that_was_locked_is_installed(installer: ModuleType, tmp_path: Path) -> None:
    installer.hashed("tiny")
    assert (tmp_path / "there" / "tiny.py").read_text() == "ANSWER = 42\n"


def test_a_file_that_was_altered_is_refused(installer: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    content = wheel.read_bytes()
    wheel.write_bytes(content.replace(b"42", b"43", 1))
    assert len(wheel.read_bytes()) == len(content)
    with pytest.raises(SystemExit):
        installer.hashed("tiny")
    told = capfd.readouterr().err
    assert "DO NOT MATCH THE HASHES" in told
    assert wheel.name in told
    assert told.splitlines()[-1].startswith("requirements/tiny.txt was not installed")
    assert not (tmp_path / "there").exists()


def test_a_package_without_a_hash_is_refused(installer: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "requirements" / "hashed" / "tiny.txt").write_text("tiny==1.0\n")
    with pytest.raises(SystemExit):
        installer.hashed("tiny")
    assert "Hashes are required" in capfd.readouterr().err
    assert not (tmp_path / "there").exists()


def test_a_pin_whose_hashes_are_of_another_version_is_refused(installer: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "requirements" / "tiny.txt").write_text("tiny==1.1\n")
    with pytest.raises(SystemExit, match="name different versions: `make lock`"):
        installer.hashed("tiny")
