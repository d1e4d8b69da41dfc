"""Vision checkpoints of the transformers library, for the extraction of features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoImageProcessor
from transformers.utils import logging

from mmr_kit.errors import InputError
from mmr_kit.models.starts import resolve


def load_checkpoint(name: str, kind: Any, device: torch.device, what: str) -> tuple[torch.nn.Module, Any]:
    """Model (float32, for inference) and image processor of a checkpoint. kind: a transformers Auto class. Raises InputError that names the checkpoint."""
    try:
        folder = resolve(name)
        with _quiet():
            return (kind.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False).eval().to(device),
                    AutoImageProcessor.from_pretrained(folder, trust_remote_code=False))
    except InputError:
        raise
    except Exception as error:  # whatever transformers raises
        told = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: cannot be loaded as {what} with its image processor ({told}); give the folder of a complete checkpoint, "
                         "or a hub id and a network") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars, and its advice to install torchvision, which nothing here needs."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
