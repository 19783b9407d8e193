"""What importing analysis must not do."""

import subprocess
import sys

CODE = """
import sys
import matplotlib
before = dict(matplotlib.rcParams)
import scaling.analysis.gallery, scaling.analysis.verdict
import scaling.analysis.render, scaling.analysis.records
assert dict(matplotlib.rcParams) == before, "rcParams changed"
assert "torch" not in sys.modules, "torch imported"
assert "scaling.runs" not in sys.modules
"""


def test_importing_analysis_needs_no_torch_and_changes_no_settings():
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
