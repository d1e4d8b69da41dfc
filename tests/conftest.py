"""What every test runs under: one thread, no network, and a cache that outlives the session, so that a world or a model is made once."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before any test module imports torch; inherited by every process that a test starts.
os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", MMR_HEADLESS="1", MPLBACKEND="agg")
os.environ["MMR_CACHE_DIR"] = os.environ.get("MMR_TEST_CACHE_DIR") or str(ROOT / ".mmr_cache" / "tests")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    return _folder("MMR_DATA_DIR", "real data sets")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The folder of outputs of the published implementation; the test is skipped where there is none."""
    return _folder("MMR_GOLDEN_DIR", "outputs of the published implementation")


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} does not name a folder; set it to the folder of {what} to run this test")
    return Path(value).resolve()
