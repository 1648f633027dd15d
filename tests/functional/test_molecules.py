# SPDX-License-Identifier: Apache-2.0
"""Molecular dynamics with OpenMM: the same positions, velocities and forces on a lease, to the last bit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import Run, run_bare, run_leased

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "helpers" / "molecules.py"
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's OpenMM
STEPS = "20"  # of a femtosecond between two looks
LOOKS = 3
# A sum of floats in an order of the device's: the bare device's own energies differ by 1e-6 of themselves.
CLOSE = 1e-5


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    found = Path(PYTHON).exists() and not run_bare(PYTHON, "-c", "import openmm").returncode
    if not found:
        packages = "python3-simtk libopenmm-plugins"
        pytest.skip(f"OpenMM is not installed: `apt-get install {packages}`, or `make setup`.")
    with real_host() as host:
        yield host


def looks(run: Run, method: str, integrator: str) -> list[tuple[str, float]]:
    """The SHA-256 and the energy of each look at the atoms."""
    done = run(PYTHON, str(PROGRAM), method, integrator, STEPS)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^look (\w+) (\S+)$", done.stdout, re.MULTILINE)
    return [(bits, float(energy)) for bits, energy in found]


@pytest.mark.parametrize("integrator", ["verlet", "langevin"])
@pytest.mark.parametrize("method", ["cutoff", "mesh"])
def test_atoms_move_as_on_the_bare_device(host: Host, method: str, integrator: str) -> None:
    bare = looks(run_bare, method, integrator)
    leased = looks(partial(run_leased, host), method, integrator)
    assert len({bits for bits, _ in bare}) == LOOKS
    assert [bits for bits, _ in leased] == [bits for bits, _ in bare]
    assert [energy for _, energy in leased] == pytest.approx(
        [energy for _, energy in bare], rel=CLOSE
    )
