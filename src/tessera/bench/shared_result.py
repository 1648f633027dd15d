# SPDX-License-Identifier: Apache-2.0
"""The parts of a result that tell how tenants shared one GPU. Each class is one measured window or point.

Times are nanoseconds and parts of the device are 0 to 1 unless a name says otherwise. `foreign` is the
part of the cores' time (0 to 1) that processes outside of the experiment took meanwhile: the more, the
less a figure says.
"""

from __future__ import annotations

from tessera.bench.part import Part


class TenantShare(Part):
    """A tenant that wanted all it could get, over one window.

    `due` is its part of the device time that was used, as the policy promises it (None where it promises
    nothing), `measured` its part by the driver's profiling as the daemon tells it, `counted` its part
    of all kernels that the tenants finished, which are of equal length. Under `fixed` all three are parts
    of the clock instead.
    """

    weight: int
    fraction: str
    due: float | None
    measured: float
    counted: float
    device_ns: int
    kernels: float


class ShareRun(Part):
    """All tenants saturating, under one policy. `busy` is device time of all / length of the window.

    `error` is the largest difference of a tenant's measured and due part, `jain` Jain's index
    of what each got beside what it was due; None where nothing was due.
    """

    policy: str
    slice_ms: float
    window_ns: int
    tenants: tuple[TenantShare, ...]
    error: float | None
    jain: float | None
    busy: float
    foreign: float


class WaitRun(Part):
    """An interactive tenant beside saturating ones; waits in units of time slices.

    A wait is what the program waited for a kernel, less the kernel's own time on the device. `bound`
    is two slices for each competitor and the longest kernel. The waits themselves are the series `wait`.
    """

    policy: str
    slice_ms: float
    competitors: int
    kernels: int
    longest_kernel_ns: int
    p50: float
    p99: float
    longest: float
    bound: float
    foreign: float


class IdleRun(Part):
    """Some tenants pause again and again: each tenant's mean part of the device (0 to 1) in both phases.

    `ratios` are the kernels that all finished in a pause / as many that all finished right after it, and
    `kept` is their median: 1 where the others get the time of those that pause.
    """

    policy: str
    slice_ms: float
    pausing: tuple[bool, ...]
    while_paused: tuple[float, ...]
    while_working: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    kept: float
    foreign: float


class ThroughputRun(Part):
    """Kernels per second of one saturating tenant alone, and of all of them together, in pairs.

    `ratio` is the median of together / alone; `foreign` is by pair.
    """

    policy: str
    slice_ms: float
    tenants: int
    alone: tuple[float, ...]
    together: tuple[float, ...]
    ratio: float
    foreign: tuple[float, ...]


class DutyRun(Part):
    """Jobs that wait for their inputs, alone on the whole GPU and together on pieces of it.

    `asked` is the duty cycle that was aimed at, `duty` the measured one: device time / wall time of the
    job alone. `alone_ns` and `together_ns` are wall times per input, by round and by round and job;
    `slowdowns` the median over the rounds of together / alone for each job, and `gain` that of the inputs done
    per time, beside one job after another. Responses are from an input's arrival to its result, means.
    `predicted_*` is the closed queueing network for the measured duty, `prediction_error` the mean of the
    slowdowns less the predicted one, and `gain_limit` what no scheduler can pass; `foreign` is by round.
    """

    policy: str
    slice_ms: float
    asked: float
    duty: float
    wait_ns: int
    alone_ns: tuple[float, ...]
    together_ns: tuple[tuple[float, ...], ...]
    slowdowns: tuple[float, ...]
    gain: float
    response_alone_ns: float
    response_together_ns: float
    predicted_slowdown: float
    predicted_gain: float
    prediction_error: float
    gain_limit: float
    foreign: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The slowdown of the job that suffered most."""
        return max(self.slowdowns)
