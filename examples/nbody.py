#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lets a cluster of stars fall under its own gravity, with pyopencl.

An ordinary program: it uses the first OpenCL device and knows nothing of how that device came to
be there.

    python nbody.py --bodies 2048 --steps 100

The stars start as a Plummer sphere in virial equilibrium, in units where the gravitational constant
and the total mass are 1. Every pair attracts (softened), and a leapfrog scheme advances them; the
drift of the total energy says how well. Kernel times come from the device's own profiling events.
The same seed gives the same positions, to the last bit, on every run on a device.

Exit status: 0, 1 without an OpenCL device, or 2 for arguments that make no sense.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyopencl as cl

GROUP = 64  # bodies that share one tile of local memory
FLOPS_PER_PAIR = 20

SOURCE = """
#define GROUP %(group)d

/* float4: position and mass. Returns the acceleration and, in w, the potential. */
float4 pull(float4 self, __global const float4 *bodies, __local float4 *tile, int count,
            float softening) {
  float4 sum = (float4)(0.0f);
  const int lane = get_local_id(0);
  for (int first = 0; first < count; first += GROUP) {
    tile[lane] = bodies[first + lane];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int other = 0; other < GROUP; ++other) {
      const float4 body = tile[other];
      const float3 gap = body.xyz - self.xyz;
      const float distance2 = dot(gap, gap);
      const float inverse = 1.0f / sqrt(distance2 + softening * softening);
      sum.xyz += gap * (body.w * inverse * inverse * inverse);
      sum.w -= distance2 > 0.0f ? body.w * inverse : 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  return sum;
}

__kernel void kick(__global const float4 *bodies, __global float4 *speeds, int count,
                   float softening, float seconds) {
  __local float4 tile[GROUP];
  const int me = get_global_id(0);
  const float4 sum = pull(bodies[me], bodies, tile, count, softening);
  speeds[me].xyz += sum.xyz * seconds;
}

__kernel void drift(__global float4 *bodies, __global const float4 *speeds, float seconds) {
  const int me = get_global_id(0);
  bodies[me].xyz += speeds[me].xyz * seconds;
}

__kernel void energy(__global const float4 *bodies, __global const float4 *speeds,
                     __global float *energies, int count, float softening) {
  __local float4 tile[GROUP];
  const int me = get_global_id(0);
  const float4 body = bodies[me];
  const float4 sum = pull(body, bodies, tile, count, softening);
  const float3 speed = speeds[me].xyz;
  energies[me] = 0.5f * body.w * (dot(speed, speed) + sum.w);
}
"""


@dataclass(frozen=True)
class Options:
    """What to simulate, in units where G = M = 1."""

    bodies: int = 2048
    steps: int = 100
    warmup: int = 3
    seed: int = 0
    step_length: float = 0.005
    softening: float = 0.05
    report_every: int = 10
    json_lines: bool = False


def plummer(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions with masses, and speeds, of `count` stars of a Plummer sphere at rest."""
    random = np.random.default_rng(seed)
    radius = 1.0 / np.sqrt(random.uniform(0.001, 0.999, count) ** (-2.0 / 3.0) - 1.0)
    fraction = np.empty(count)
    filled = 0
    while filled < count:  # von Neumann's rejection for the density g(q) = q^2 (1 - q^2)^3.5
        q, level = random.uniform(size=2) * (1.0, 0.1)
        if level < q * q * (1.0 - q * q) ** 3.5:
            fraction[filled] = q
            filled += 1
    speed = fraction * np.sqrt(2.0) * (1.0 + radius**2) ** -0.25
    bodies = np.zeros((count, 4), dtype=np.float32)
    speeds = np.zeros((count, 4), dtype=np.float32)
    for target, length in ((bodies, radius), (speeds, speed)):
        way = random.normal(size=(count, 3))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        target[:, :3] = way * length[:, None]
        target[:, :3] -= target[:, :3].mean(axis=0)
    bodies[:, 3] = 1.0 / count
    return bodies, speeds


class Simulation:
    """The stars on the device. Steps are queued; only reading a result waits."""

    unit = "energy"

    def __init__(self, options: Options) -> None:
        self.options = options
        device = cl.get_platforms()[0].get_devices()[0]
        self.device_name = device.name
        self._context = cl.Context([device])
        self._queue = cl.CommandQueue(
            self._context, properties=cl.command_queue_properties.PROFILING_ENABLE
        )
        program = cl.Program(self._context, SOURCE % {"group": GROUP}).build()
        self._kick, self._drift, self._energy = (
            cl.Kernel(program, name) for name in ("kick", "drift", "energy")
        )
        bodies, speeds = plummer(options.bodies, options.seed)
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        self._bodies = cl.Buffer(self._context, flags, hostbuf=bodies)
        self._speeds = cl.Buffer(self._context, flags, hostbuf=speeds)
        self._energies = cl.Buffer(self._context, cl.mem_flags.WRITE_ONLY, 4 * options.bodies)
        self._kicks: list[cl.Event] = []
        self.device_seconds = 0.0
        self.pairs = 0
        self.energy_at_start = self.energy()

    def _launch_kick(self, seconds: float) -> None:
        self._kick.set_args(
            self._bodies,
            self._speeds,
            np.int32(self.options.bodies),
            np.float32(self.options.softening),
            np.float32(seconds),
        )
        shape = (self.options.bodies,)
        self._kicks.append(cl.enqueue_nd_range_kernel(self._queue, self._kick, shape, (GROUP,)))

    def step(self) -> None:
        """Queues one leapfrog step: half a kick, a drift, half a kick."""
        length = self.options.step_length
        self._launch_kick(length / 2)
        self._drift.set_args(self._bodies, self._speeds, np.float32(length))
        cl.enqueue_nd_range_kernel(self._queue, self._drift, (self.options.bodies,), (GROUP,))
        self._launch_kick(length / 2)

    def run(self, steps: int) -> float:
        """Queues `steps` steps and waits for the total energy after the last."""
        for _ in range(steps):
            self.step()
        energy = self.energy()
        self._account()
        return energy

    def _account(self) -> None:
        for event in self._kicks:
            self.device_seconds += (event.profile.end - event.profile.start) * 1e-9
        self.pairs += len(self._kicks) * self.options.bodies**2
        self._kicks.clear()

    def energy(self) -> float:
        """The total energy, summed on the host in double precision; waits for the device."""
        self._energy.set_args(
            self._bodies,
            self._speeds,
            self._energies,
            np.int32(self.options.bodies),
            np.float32(self.options.softening),
        )
        cl.enqueue_nd_range_kernel(self._queue, self._energy, (self.options.bodies,), (GROUP,))
        energies = np.empty(self.options.bodies, dtype=np.float32)
        cl.enqueue_copy(self._queue, energies, self._energies)
        return float(energies.astype(np.float64).sum())

    def checksum(self) -> str:
        """SHA-256 of every position and speed."""
        digest = hashlib.sha256()
        for buffer in (self._bodies, self._speeds):
            values = np.empty((self.options.bodies, 4), dtype=np.float32)
            cl.enqueue_copy(self._queue, values, buffer)
            digest.update(values.tobytes())
        return digest.hexdigest()


def create(arguments: Sequence[str] = ()) -> Simulation:
    """The simulation that the command line `arguments` describe, before its first step."""
    return Simulation(parse(arguments))


def simulate(options: Options) -> None:
    """Runs the whole program: warm-up, timed steps with reports, and the result."""
    simulation = Simulation(options)
    start = simulation.energy_at_start
    say(
        options,
        {"event": "start", "device": simulation.device_name, "energy": start},
        f"{options.bodies} bodies on {simulation.device_name}, energy {start:.9f}",
    )
    if options.warmup:
        began = time.perf_counter()
        energy = simulation.run(options.warmup)
        seconds = time.perf_counter() - began
        say(
            options,
            {"event": "warmup", "steps": options.warmup, "energy": energy, "seconds": seconds},
            f"warm-up    {options.warmup} steps, {seconds:.1f} s",
        )
    total, energy = 0.0, start
    for first in range(0, options.steps, options.report_every):
        steps = min(options.report_every, options.steps - first)
        began = time.perf_counter()
        energy = simulation.run(steps)
        seconds = time.perf_counter() - began
        total += seconds
        say(
            options,
            {"event": "step", "step": first + steps, "energy": energy, "seconds": seconds / steps},
            f"step {first + steps:5d}  energy {energy:.9f}  {steps / seconds:6.1f} steps/s",
        )
    drift = (energy - start) / start
    gigaflops = simulation.pairs * FLOPS_PER_PAIR / simulation.device_seconds / 1e9
    rate, checksum = options.steps / total, simulation.checksum()
    say(
        options,
        {
            "event": "result",
            "steps": options.steps,
            "energy": energy,
            "drift": drift,
            "gigaflops": gigaflops,
            "steps_per_second": rate,
            "sha256": checksum,
        },
        f"energy {energy!r}, drift {drift:+.2e}\n"
        f"{rate:.1f} steps/s, {gigaflops:.1f} GFLOP/s while kicks ran\nstate sha256 {checksum}",
    )


def say(options: Options, record: dict[str, object], text: str) -> None:
    """One line to stdout: a JSON object when asked for, else text for people."""
    print(json.dumps(record) if options.json_lines else text, flush=True)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; ends the program with status 2 where it makes no sense."""
    default = Options()
    parser = argparse.ArgumentParser(description="Simulate a cluster of stars.")
    parser.add_argument("--bodies", type=int, default=default.bodies, help=f"a multiple of {GROUP}")
    parser.add_argument("--steps", type=int, default=default.steps, help="timed leapfrog steps")
    parser.add_argument(
        "--warmup", type=int, default=default.warmup, help="steps before the timed ones"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--step-length", type=float, default=default.step_length)
    parser.add_argument("--softening", type=float, default=default.softening)
    parser.add_argument(
        "--report-every",
        type=int,
        default=default.report_every,
        help="steps between two readings of the energy, each of which waits for the device",
    )
    parser.add_argument("--json-lines", action="store_true", help="one JSON object per report")
    options = Options(**vars(parser.parse_args(arguments)))
    if options.bodies < GROUP or options.bodies % GROUP:
        parser.error(f"--bodies must be a multiple of {GROUP}")
    for name in ("steps", "report_every"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if options.warmup < 0:
        parser.error("--warmup cannot be negative")
    if options.step_length <= 0 or options.softening <= 0:
        parser.error("--step-length and --softening must be positive")
    return options


if __name__ == "__main__":
    try:
        simulate(parse())
    except cl.LogicError as error:
        print(f"no OpenCL device can be used: {error}", file=sys.stderr)
        sys.exit(1)
