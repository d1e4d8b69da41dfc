"""Profiles and parameters: one line chooses a profile, a profile sets parameters, and a parameter that no notebook knows is an error."""

from __future__ import annotations

import ast
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from mmr_kit.data.reading import read_yaml
from mmr_kit.errors import InputError

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"

Scalar = bool | int | float | str
KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
RUNNER: dict[str, Scalar] = {"leave_out": "", "alone": "", "jobs": 1, "workers": -1}  # what a profile tells the runner, with defaults; see `runner_settings`
SUPPLIED = ("profile", "results_dir")  # parameters that the runner sets itself, in notebooks that declare them


def find_profiles(folder: Path = NOTEBOOKS) -> list[str]:
    """The names of the profiles, sorted."""
    return sorted(path.stem for path in (folder / "profiles").glob("*.yaml"))


def load_profile(name: str, folder: Path = NOTEBOOKS) -> dict[str, Scalar]:
    """The parameters that a profile sets. Raises InputError for an unknown name and for anything but flat scalars."""
    path = folder / "profiles" / f"{name}.yaml"
    if name not in (known := find_profiles(folder)):
        raise InputError(f"unknown profile {name!r}{near(name, known)}; profiles: {', '.join(known) or 'none'}")
    values = read_yaml(path) or {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be lines of `name: value`")
    for key, value in values.items():
        if type(value) not in KINDS or not isinstance(key, str):
            raise InputError(f"{path}: {key}: {value!r} is no plain value (text, number, true or false); quote it to make it text")
    return values


def runner_settings(values: dict[str, Scalar], place: str) -> dict[str, Scalar]:
    """Take what is for the runner out of a profile's values: {"leave_out": notebooks that run only when named, "alone": notebooks that measure times, so that
    nothing else may run beside them, "jobs": notebooks at once, "workers": processes that train and rank for each (0: the notebook itself does, -1: as many
    as there are cores)}."""
    return {name: _agreeing(values.pop(name, default), default, f"{place}: {name}") for name, default in RUNNER.items()}


def declared_parameters(notebook: Path) -> dict[str, Scalar]:
    """Name -> default of a notebook's parameters: the assignments in its one cell tagged `parameters`."""
    cells = [cell for cell in read_notebook(notebook).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) > 1:
        raise InputError(f"{notebook}: {len(cells)} cells are tagged `parameters`; tag one")
    found: dict[str, Scalar] = {}
    try:
        lines = ast.parse(cells[0].source).body if cells else []
    except Exception as error:  # SyntaxError, and what else is raised at source that is no program
        raise InputError(f"{notebook}: the parameters cell is no Python ({error})") from None
    for line in lines:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        try:
            value = ast.literal_eval(line.value)
        except (AttributeError, ValueError):
            value = None
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or type(value) not in KINDS:
            raise InputError(f"{notebook}: parameters cell, line {line.lineno}: must be `name = value` with text, a number, True or False")
        found[targets[0].id] = value
    return found


def effective_parameters(
    declared: Mapping[str, Mapping[str, Scalar]], profile: Mapping[str, Scalar], overrides: Mapping[str, str], only: Iterable[str], place: str
) -> dict[str, dict[str, Scalar]]:
    """Notebook name -> its parameters: the defaults, then the profile's values, then the overrides (texts as typed on the command line).

    declared: the declared parameters of every notebook; only: the notebooks asked for; place: what to call the profile in an error.
    A profile value must be declared by some notebook, an override by one asked for, and each must be of its default's type.
    """
    only = list(only)
    _known(profile, {key for values in declared.values() for key in values}, place)
    _known(overrides, {key for name in only for key in declared[name]}, f"-p ({', '.join(only)})")
    result: dict[str, dict[str, Scalar]] = {}
    for name in only:
        result[name] = dict(declared[name])
        for key, default in declared[name].items():
            if key in profile:
                result[name][key] = _agreeing(profile[key], default, f"{place}: {key}")
            if key in overrides:
                result[name][key] = _typed(overrides[key], default, f"-p {key}")
    return result


def read_notebook(path: Path) -> Any:
    """A notebook as an nbformat node (version 4)."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # whatever nbformat and its validator raise
        raise InputError(f"{path}: not readable as a notebook: {' '.join(str(error).split())[:200]}") from None


def _known(names: Iterable[str], known: Iterable[str], place: str) -> None:
    """Refuse a parameter name that is not known, or that is the runner's own."""
    settable = set(known) - set(SUPPLIED)
    for name in names:
        if name not in settable:
            raise InputError(f"{place}: unknown parameter {name!r}{near(name, settable)}; parameters: {', '.join(sorted(settable)) or 'none'}")


def _agreeing(value: Scalar, default: Scalar, place: str) -> Scalar:
    """A profile's value, if it is of the default's type (a whole number is a number too)."""
    if type(default) is float and type(value) is int:
        return float(value)
    if type(value) is not type(default) or (isinstance(value, str) and re.search("[\ud800-\udfff]", value)):
        hint = " (YAML reads 1e-3 as text; write 0.001 or 1.0e-3)" if type(default) is float and type(value) is str else ""
        raise InputError(f"{place}: must be {KINDS[type(default)]}, not {value!r}{hint}")
    return value


def _typed(text: str, default: Scalar, place: str) -> Scalar:
    """A command line's text as a value of the default's type."""
    try:
        text.encode()  # bytes of a command line that are no UTF-8 fit into no notebook
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        value = type(default)(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return value
    except (ValueError, KeyError):
        raise InputError(f"{place}: must be {KINDS[type(default)]}, not {text!r}") from None


def near(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' where something similar is known."""
    known = list(known)
    near = [other for other in known if name and other.startswith(name)] or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
