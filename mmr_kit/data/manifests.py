"""What a data set is, where it comes from and where its files lie: one YAML a data set, validated."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mmr_kit.data.pictograms import WorldSpec
from mmr_kit.errors import InputError

MANIFESTS = Path(__file__).parents[2] / "data_manifests"


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or parts[0].startswith(("/", "~")) or "\\" in path or ":" in path:
        raise ValueError(f"{path!r} leaves the data folder; give a path below it")
    return path


Relative = Annotated[str, AfterValidator(_inside)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaptionFile(_Strict):
    """One caption file below the data folder."""

    path: Relative
    format: Literal["karpathy", "jsonl"]
    language: str


class Files(_Strict):
    """Where the parts of a stored data set lie, below the data folder."""

    captions: tuple[CaptionFile, ...]
    regions: Relative
    pictures: Relative | None = None


class Manifest(_Strict):
    """A data set: either `files` (found under `$MMR_DATA_DIR`) or `generator` (made on the spot, kept in the cache)."""

    name: str
    title: str
    licence: str
    source: str
    paper_dataset: str | None = Field(None, description="the paper's data set beside whose numbers results stand")
    files: Files | None = None
    generator: WorldSpec | None = None

    def data_dir(self) -> Path:
        """The folder that `files` are relative to. Raises InputError where `$MMR_DATA_DIR` is not set."""
        value = os.environ.get("MMR_DATA_DIR")
        if not value:
            raise InputError(f"{self.name}: its files are not part of the kit; set MMR_DATA_DIR to the folder that holds {self._paths()[0]} "
                             f"(source: {self.source})")
        return Path(value)

    def missing(self) -> list[str]:
        """What has to be there and is not; empty for a generated data set."""
        if self.files is None:
            return []
        folder = os.environ.get("MMR_DATA_DIR")
        return [path for path in self._paths() if not folder or not (Path(folder) / path).exists()]

    def status(self) -> str:
        """One line for `mmr data status`: ready, generated, or what is missing and the next step."""
        if self.files is None:
            return "ready (generated when first used)"
        missing = self.missing()
        if not missing:
            return f"ready in {self.data_dir()}"
        step = f"put into {os.environ['MMR_DATA_DIR']}" if os.environ.get("MMR_DATA_DIR") else "set MMR_DATA_DIR to the folder that holds"
        return f"missing: {step} {', '.join(missing)}"

    def _paths(self) -> list[str]:
        return [file.path for file in self.files.captions] + [self.files.regions] if self.files else []


def load_manifest(name_or_path: str | Path) -> Manifest:
    """The manifest of a data set by name (`data_manifests/<name>.yaml`) or by path. Raises InputError that says what is wrong where."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = MANIFESTS / f"{name_or_path}.yaml"
        if path.parent != MANIFESTS or not path.is_file():
            known = ", ".join(sorted(p.stem for p in MANIFESTS.glob("*.yaml")))
            raise InputError(f"no data set {str(name_or_path)!r}; known: {known}; or give the path of a manifest (.yaml)")
    try:
        manifest = Manifest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path}: no such manifest") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'top level'}: {fault['msg']}" for fault in error.errors())
        raise InputError(f"{path}: {faults}") from None
    if (manifest.files is None) == (manifest.generator is None):
        raise InputError(f"{path}: give either files or generator")
    return manifest


def list_manifests() -> list[Manifest]:
    """Every manifest of the kit, by name."""
    return [load_manifest(path) for path in sorted(MANIFESTS.glob("*.yaml"))]
