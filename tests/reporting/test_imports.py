"""Reading results must not wait for torch, nor for a plotting library; a notebook whose rankings are there must not wait for a model's library."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys, types
package = types.ModuleType("mmr_kit")  # without what mmr_kit/__init__.py brings
package.__path__ = [sys.argv[1]]
sys.modules["mmr_kit"] = package
import mmr_kit.reporting
print([name for name in ("torch", "transformers", "matplotlib") if name in sys.modules])
import mmr_kit.reporting.figures
print([name for name in ("torch", "transformers") if name in sys.modules])
"""


def test_reporting_imports_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(ROOT / "mmr_kit")], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_a_study_imports_no_model_of_transformers() -> None:
    program = "import sys, mmr_kit.study; print('torch' in sys.modules, 'transformers.modeling_utils' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
