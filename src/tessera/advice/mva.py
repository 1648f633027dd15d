# SPDX-License-Identifier: Apache-2.0
"""What several jobs on one GPU do to each other: mean-value analysis of a closed network.

A job alternates between the device and everything else: its host part, its input, its disk. Alone, it
spends the part `duty` of each cycle on the device. Put n such jobs on one device and you have the oldest
closed queueing network, the machine repairman's: one server that all share (the device) and a delay in
which nobody waits for anybody (all the rest). Exponential times at a first-come server, or any times at
a server that is shared evenly (processor sharing, the limit of short time slices), give the network a
product form, and then mean-value analysis is exact and needs nothing but the means:

    R_c(N) = S_c (1 + Q(N - e_c))          an arriving job sees the network without itself
    X_c(N) = 1 / (Z_c + R_c(N))            one job in each class, so Little's law is this
    Q(N)   = sum over c of X_c(N) R_c(N)

    M. Reiser and S. S. Lavenberg, "Mean-Value Analysis of Closed Multichain Queuing Networks",
    Journal of the ACM 27 (2), 1980, pages 313-322.

Each job is a class of its own, so N is a set of jobs and the recursion goes over all its subsets. Only
the product of a job's rate and its stretch enters Q, so its cycle can be the unit: S = duty, Z = 1 - duty.

Above `EXACT_JOBS` jobs the 2^n subsets are too many, and Q(N - e_c) is taken to be Q(N) less the
job's own part (the approximation of P. J. Schweitzer and of Y. Bard, both 1979), iterated until it stands
still.

What the model leaves out: jobs whose times are nearly constant wait less than this, because they fall
into step and then pass each other; jobs that all start at once, or a policy that leaves the device idle,
wait more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXACT_JOBS = 12
_STANDS_STILL = 1e-12
_MOST_ROUNDS = 10_000


@dataclass(frozen=True)
class Prediction:
    """Of jobs that share one device, in the order of their duties.

    `slowdowns` are time together / time alone, 1 or more. `gain` is the work done per time together /
    the work done per time one after another. `busy` is the part of the time (0 to 1) in which the
    device computes.
    """

    slowdowns: tuple[float, ...]
    gain: float
    busy: float


def predict(duties: Sequence[float]) -> Prediction:
    """Puts jobs with these `duties` (device time / wall time of each alone, 0 to 1) together.

    Raises ValueError for none, or for one outside of [0, 1].
    """
    if not duties or not all(0 <= duty <= 1 for duty in duties):
        raise ValueError(f"a duty is a part of the time: {duties}")
    slowdowns = _exact(duties) if len(duties) <= EXACT_JOBS else _approximate(duties)
    return Prediction(
        slowdowns=tuple(slowdowns),
        gain=sum(1 / slowdown for slowdown in slowdowns),
        busy=sum(duty / slowdown for duty, slowdown in zip(duties, slowdowns, strict=True)),
    )


def predict_equal(duty: float, jobs: int) -> Prediction:
    """The same for `jobs` jobs that are alike. Raises ValueError as `predict` does."""
    return predict([duty] * jobs)


def gain_limit(duty: float, jobs: int) -> float:
    """What no scheduler can pass: min(jobs, 1 / duty), for the device computes all the time at most.

    It is also what jobs with constant times reach once they fall into step.
    """
    return float(jobs) if duty * jobs <= 1 else 1 / duty


def _exact(duties: Sequence[float]) -> list[float]:
    """By the recursion over the subsets of the jobs; bit c of a subset says that job c is in it."""
    everyone = (1 << len(duties)) - 1
    queue = [0.0] * (everyone + 1)
    for subset in range(1, everyone + 1):
        for job, duty in enumerate(duties):
            if subset >> job & 1:
                response = duty * (1 + queue[subset & ~(1 << job)])
                queue[subset] += response / (1 - duty + response)
    return [
        1 - duty + duty * (1 + queue[everyone & ~(1 << job)]) for job, duty in enumerate(duties)
    ]


def _approximate(duties: Sequence[float]) -> list[float]:
    """By iteration from an even spread; each job meets what the others' mean queues say."""
    queues = [duty / len(duties) for duty in duties]
    slowdowns = [1.0] * len(duties)
    for _ in range(_MOST_ROUNDS):
        total = sum(queues)
        waits = [duty * (1 + total - own) for duty, own in zip(duties, queues, strict=True)]
        slowdowns = [1 - duty + wait for duty, wait in zip(duties, waits, strict=True)]
        moved = [wait / slowdown for wait, slowdown in zip(waits, slowdowns, strict=True)]
        change = max(abs(new - old) for new, old in zip(moved, queues, strict=True))
        queues = moved
        if change < _STANDS_STILL:
            break
    return slowdowns
