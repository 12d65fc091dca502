"""Charts that cannot be drawn, because the memory for them is lacking."""

import os
import signal
import subprocess
import sys

import pytest

from probunet.errors import OutOfMemoryError
from probunet.report import vega
from support.listening import linux

POINTS = {
    "data": {"values": [{"n": 1, "ged": 0.5}]},
    "mark": "point",
    "encoding": {"x": {"field": "n"}, "y": {"field": "ged"}},
}
# draws a chart after setting a limit on addresses: the soft one and the hard one, MiB
LIMITED = """
import resource, sys
from probunet.cli import app, main
from probunet.report import vega

@app.command()
def draw():
    print(vega.svg_of({spec})[:4])

if __name__ == "__main__":
    soft, hard = (int(text) * 2**20 for text in sys.argv.pop().split(","))
    hard = resource.RLIM_INFINITY if hard == 0 else hard
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    main()
"""


@pytest.fixture
def limited(tmp_path):
    script = tmp_path / "limited.py"
    script.write_text(LIMITED.format(spec=POINTS))

    def run(limits):
        command = [sys.executable, str(script), "draw", limits]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run


@linux
def test_a_limit_on_addresses_is_lifted_as_far_as_possible(limited):
    done = limited("3000,0")
    assert (done.returncode, done.stdout) == (0, "<svg\n")


@linux
def test_a_hard_limit_on_addresses_is_one_sentence(limited):
    done = limited("3000,3000")
    assert (done.returncode, done.stdout) == (1, "")
    [said] = [line for line in done.stderr.splitlines() if not line.startswith("job {")]
    assert said.startswith(
        "probunet: the report's charts: the process that draws them lacks memory"
    )
    assert "`ulimit -v unlimited`" in said


def test_a_killed_process_is_one_sentence():
    vega._process.cache_clear()
    assert vega.svg_of(POINTS).startswith("<svg")
    for process in vega._process()._processes:
        os.kill(process, signal.SIGKILL)
    with pytest.raises(OutOfMemoryError, match="lacks memory or was killed"):
        vega.svg_of(POINTS)
    vega._process.cache_clear()
    assert vega.svg_of(POINTS).startswith("<svg")


def test_what_vega_refuses_is_raised_as_it_is():
    with pytest.raises(ValueError, match="conversion failed"):
        vega.svg_of({"mark": "no such mark"})
