"""One notebook, executed by papermill in a kernel of this interpreter."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmr_kit.errors import InputError

_kernels: weakref.WeakSet[Any] = weakref.WeakSet()  # managers of the kernels that were started
_interrupted: weakref.WeakSet[Any] = weakref.WeakSet()


class NotebookError(RuntimeError):
    """A notebook stopped: the message names cell, line and error, and where the executed notebook lies."""


def execute(notebook: Path, parameters: Mapping[str, object], executed: Path) -> None:
    """Run a notebook's cells with these parameters; `executed` is written as far as it came.

    Raises InputError where the notebook does, NotebookError where it fails or its process dies, KeyboardInterrupt after `interrupt`.
    """
    import papermill
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    started: list[Any] = []

    class ThisPython(AsyncKernelManager):
        """Starts this interpreter as the kernel, whatever kernels are registered on the machine."""

        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            started.append(self)
            _kernels.add(self)

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(**get_kernel_dict())

    with tempfile.TemporaryDirectory(prefix="mmr-") as sockets:  # IPC sockets: TCP ports can be taken by another kernel that starts at the same time
        try:
            papermill.execute_notebook(
                str(notebook), str(executed), parameters, kernel_name="python3", language="python", progress_bar=False,
                stdout_file=sys.stdout, stderr_file=sys.stderr, kernel_manager_class=ThisPython, shutdown_kernel="immediate",
                config=Config(KernelManager={"transport": "ipc", "connection_file": f"{sockets}/kernel.json"}),
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            if error.ename == "InputError":
                raise InputError(error.evalue) from None
            raise NotebookError(_where(notebook.stem, error)) from None
        except DeadKernelError:
            if _interrupted.intersection(started):
                raise KeyboardInterrupt from None
            raise NotebookError(f"{notebook.stem}: its Python process died, perhaps for want of memory") from None


def interrupt() -> None:
    """End the notebooks that other threads execute, at once."""
    for kernel in list(_kernels):
        _interrupted.add(kernel)
        with contextlib.suppress(AttributeError):  # not started, or ended
            kernel.provisioner.process.kill()


def _where(name: str, error: Any) -> str:
    """'table1: cell [3], line 2 failed: `x = 1 / 0`\\n  ZeroDivisionError: ...' from papermill's error."""
    trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    found = re.search(r"Cell In\[\d+\], line (\d+)", trace)
    lines = error.source.splitlines()
    number = int(found[1]) if found and int(found[1]) <= len(lines) else 0
    line = f", line {number} failed: {lines[number - 1].strip()}" if number else " failed"
    return f"{name}: cell [{error.exec_count}]{line}\n  {error.ename}: {error.evalue}"
