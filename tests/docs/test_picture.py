"""The picture of the flow is what the code says."""

import subprocess
import sys

from tests.docs.pages import ROOT


def test_the_picture_is_the_edges_and_flows_of_the_code() -> None:
    done = subprocess.run([sys.executable, "docs/picture.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "an edge, a flow or the first sentence of a kind changed: python docs/picture.py"
