# SPDX-License-Identifier: Apache-2.0
"""piglit's OpenCL tests: every result, failures included, is on a lease what it is on the bare device.

Some 700 programs, each a process, and so a session, of its own. They are of three kinds: calls of the API
with right and wrong arguments, programs of a device, and built-in functions with their results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import Run, installed, run_bare, run_leased

pytestmark = pytest.mark.slow

LEAST = 600  # passed on the bare device, or something is wrong with the run
LIMIT = 3600.0


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def results(run: Run, folder: Path) -> dict[str, str]:
    """Name of each test -> pass, fail, skip, warn or crash."""
    piglit = installed("piglit")
    # No display, and one test after the other: several at once are other tests' business.
    options = ("-p", "surfaceless_egl", "-1", "--overwrite")
    done = run(piglit, "run", *options, "quick_cl", str(folder), limit=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    told = run_bare(piglit, "summary", "console", str(folder)).stdout
    return dict(
        re.findall(r"^(\S.*): (pass|fail|skip|warn|crash|timeout|incomplete)$", told, re.MULTILINE)
    )


def test_every_result_is_that_of_the_bare_device(host: Host, tmp_path: Path) -> None:
    bare = results(run_bare, tmp_path / "bare")
    assert sum(end == "pass" for end in bare.values()) >= LEAST
    leased = results(partial(run_leased, host), tmp_path / "leased")
    assert {name: end for name, end in leased.items() if bare.get(name) != end} == {}
    assert leased.keys() == bare.keys()
