# SPDX-License-Identifier: Apache-2.0
"""The own tests of libraries of mathematics, of which each compares a device's results with a processor's.

CLBlast's tests print a mark for each case: right, wrong, an error of the documented kind, left out. On a
lease every mark is that of the bare device.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import Run, installed, run_bare, run_leased

pytestmark = pytest.mark.slow

LIMIT = 1200.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# Sums, products, triangles and copies; what takes the device minutes to compile is left out.
ROUTINES = [
    "xaxpy",
    "xdot",
    "xamax",
    "xnrm2",
    "xgemv",
    "xger",
    "xtrsv",
    "xgemm",
    "xsyrk",
    "xtrsm",
    "xgemmbatched",
    "xomatcopy",
    "xhad",
    "xim2col",
]

FFT = {
    "one dimension": "-x 1024",
    "not a power of two": "-x 105 -b 4",
    "two dimensions": "-x 30 -y 35 -o -b 3",
    "three dimensions": "-x 16 -y 9 -z 5",
    "double": "-x 500 --double",
    "backward": "-x 243 -b 2 --inv",
    "planar": "-x 128 -y 64 -o --inLayout 2 --outLayout 2",
    "real": "-x 64 -y 32 -o --inLayout 5 --outLayout 3",
    "long": "-x 1048576",
}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def marks(run: Run, routine: str) -> list[str]:
    """What one of CLBlast's tests says, without its colours."""
    program = installed(f"clblast_test_{routine}", "clblast-tests")
    done = run(program, limit=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return COLOUR.sub("", done.stdout).splitlines()


@pytest.mark.parametrize("routine", ROUTINES)
def test_clblast_finds_what_it_finds_on_the_bare_device(host: Host, routine: str) -> None:
    bare = marks(run_bare, routine)
    assert sum(int(n) for n in re.findall(r"(\d+) test\(s\) passed", "\n".join(bare))) > 0
    assert marks(partial(run_leased, host), routine) == bare


@pytest.mark.parametrize("kind", FFT)
def test_clfft_finds_the_right_spectrum(host: Host, kind: str) -> None:
    words = (installed("clFFT-client", "clfft-client"), *FFT[kind].split())
    bare, leased = run_bare(*words), run_leased(host, *words)
    assert "*****PASS*****" in bare.stdout, bare.stdout + bare.stderr
    assert (leased.returncode, leased.stdout) == (bare.returncode, bare.stdout)
