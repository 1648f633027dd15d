# SPDX-License-Identifier: Apache-2.0
"""Moves a box of water with OpenMM's OpenCL platform, and prints what comes of it.

A program by itself, for the Python that has OpenMM: Debian's (python3-simtk). OpenMM prints words of its own, too.
Forces are sums of integers there, so they do not depend on the order in which the device's work-groups end.
"""

from __future__ import annotations

import hashlib
import importlib
import struct
import sys
from pathlib import Path
from typing import Any

mm: Any = importlib.import_module("openmm")
app: Any = importlib.import_module("openmm.app")
unit: Any = importlib.import_module("openmm.unit")

# How far atoms see each other: to a distance, or without end (particle mesh Ewald).
METHODS = {"cutoff": app.CutoffPeriodic, "mesh": app.PME}


def state(simulation: Any) -> str:
    """The SHA-256 of where every atom is, how it moves and what pulls at it; and the energy, in kJ/mol.

    The energy is a sum of floats in an order of the device's, so its last bits are not the same twice.
    """
    found = simulation.context.getState(
        getEnergy=True, getForces=True, getPositions=True, getVelocities=True
    )
    bits = hashlib.sha256()
    for vectors in (found.getPositions(), found.getVelocities(), found.getForces()):
        for vector in vectors:
            bits.update(struct.pack("3d", *vector._value))
    energy = found.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    return f"{bits.hexdigest()} {energy}"


def main(method: str, integrator: str, steps: int) -> None:
    """Moves, and tells the state before, in the middle and after, `steps` apart."""
    box = app.PDBFile(str(Path(app.__file__).parent / "data" / "tip3p.pdb"))
    field = app.ForceField("tip3p.xml")
    system = field.createSystem(
        box.topology,
        nonbondedMethod=METHODS[method],
        nonbondedCutoff=0.8 * unit.nanometer,
        rigidWater=True,
    )
    femtosecond = 0.001 * unit.picosecond
    if integrator == "langevin":
        mover = mm.LangevinMiddleIntegrator(300, 1 / unit.picosecond, femtosecond)
        mover.setRandomNumberSeed(1)
    else:
        mover = mm.VerletIntegrator(femtosecond)
    platform = mm.Platform.getPlatformByName("OpenCL")
    simulation = app.Simulation(box.topology, system, mover, platform)
    simulation.context.setPositions(box.positions)
    simulation.context.setVelocitiesToTemperature(300, 1)
    for _ in range(3):
        print("look", state(simulation), flush=True)
        simulation.step(steps)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
