# SPDX-License-Identifier: Apache-2.0
"""What tenants are due under each policy, and how far from it they were. Pure functions.

A share is a part of the device time that was *used*, not of the clock: between two kernels no driver
computes, and those gaps belong to nobody. What the policy leaves unused shows in `busy` instead. But
`fixed` promises a part of the clock, and is held to that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean, median

from tessera.bench.result import Target, make_target
from tessera.bench.shared_result import IdleRun, ShareRun, TenantShare, ThroughputRun, WaitRun
from tessera.bench.statistics import quantile
from tessera.model.lease import DEFAULT_WEIGHT
from tessera.model.policy import PolicyKind

Ticks = Sequence[Sequence[int]]  # [moment, kernels, device_ns], each growing

SHARE_ERROR = 0.02
JAIN = 0.999
KEPT = 0.97
THROUGHPUT = 0.97
_PATTERN = (1, 2, 4)


@dataclass(frozen=True)
class Phase:
    """A window: each tenant's part of the device (0 to 1), and kernels per second of all together.

    At each change of hands the commands of two tenants overlap for a moment, and each is charged its own
    time; so what was *done* is compared by kernels.
    """

    parts: tuple[float, ...]
    kernels: float


def weights(tenants: int) -> tuple[int, ...]:
    """1 : 2 : 4 over and over, in units of the default weight."""
    return tuple(DEFAULT_WEIGHT * _PATTERN[place % len(_PATTERN)] for place in range(tenants))


def pieces(tenants: int) -> tuple[str, ...]:
    """The fraction of the GPU that each tenant leases; together they are seven eighths of it.

    An eighth stays free, because nobody can be given all of the clock: each change of hands takes a
    little of it. Of an even number of tenants a quarter, but at least one, get half as much as the
    rest, and as many half as much again: were all alike, `fixed` could not be told from `equal`.
    """
    few = 0 if tenants % 2 else max(1, tenants // 4)
    part = Fraction(7, 8 * tenants)
    sizes = [part / 2] * few + [part] * (tenants - 2 * few) + [part * 3 / 2] * few
    return tuple(f"{size.numerator}/{size.denominator}" for size in sizes)


def due_shares(
    policy: PolicyKind, weights: Sequence[int], pieces: Sequence[str]
) -> tuple[float, ...] | None:
    """Each tenant's part of the used device time while all saturate (of the clock, under `fixed`), or
    None for no promise."""
    if policy is PolicyKind.FIXED:
        return tuple(float(Fraction(piece)) for piece in pieces)
    if policy is PolicyKind.BEST_EFFORT:
        return None
    claims = weights if policy is PolicyKind.WEIGHTED else [1] * len(weights)
    return tuple(claim / sum(claims) for claim in claims)


def share_error(measured: Sequence[float], due: Sequence[float]) -> float:
    """max |measured - due| over the tenants, as a part of the device (0 to 1)."""
    return max(abs(got - owed) for got, owed in zip(measured, due, strict=True))


def jain_index(got: Sequence[float], due: Sequence[float]) -> float:
    """J = (sum of x)^2 / (n * sum of x^2) over x = got / due: 1 is fair, 1/n is all for one.

    R. Jain, D. Chiu, W. Hawe: "A Quantitative Measure of Fairness and Discrimination for Resource
    Allocation in Shared Computer Systems", DEC Research Report TR-301, 1984; the division by what is
    due makes it one of weighted shares. Raises ValueError if nobody got anything.
    """
    allotted = [part / owed for part, owed in zip(got, due, strict=True)]
    squares = sum(part * part for part in allotted)
    if squares == 0:
        raise ValueError("nobody got anything")
    return sum(allotted) ** 2 / (len(allotted) * squares)


def kernels_between(ticks: Ticks, begin_ns: int, end_ns: int) -> float:
    """Kernels that a tenant finished between two moments, between ticks by interpolation."""
    return _kernels_at(ticks, end_ns) - _kernels_at(ticks, begin_ns)


def _kernels_at(ticks: Ticks, moment: int) -> float:
    before = ticks[0]
    for tick in ticks:
        if tick[0] > moment:
            if tick is ticks[0]:
                return float(tick[1])
            part = (moment - before[0]) / (tick[0] - before[0])
            return before[1] + part * (tick[1] - before[1])
        before = tick
    return float(before[1])


def share_run(
    policy: PolicyKind,
    slice_ms: float,
    window_ns: int,
    lease_sizes: Sequence[tuple[int, str]],
    device_ns: Sequence[int],
    kernels: Sequence[float],
    foreign: float,
) -> ShareRun:
    """One window; `lease_sizes` are weight and fraction of each tenant. Raises ValueError without any
    device time."""
    used, finished = sum(device_ns), sum(kernels)
    if used <= 0 or finished <= 0:
        raise ValueError("the tenants used no device time")
    whole = window_ns if policy is PolicyKind.FIXED else used
    measured = [part / whole for part in device_ns]
    sizes = [weight for weight, _ in lease_sizes], [piece for _, piece in lease_sizes]
    due = due_shares(policy, *sizes)
    owed: Sequence[float | None] = due if due is not None else [None] * len(measured)
    return ShareRun(
        policy=policy,
        slice_ms=slice_ms,
        window_ns=window_ns,
        tenants=tuple(
            TenantShare(
                weight=weight,
                fraction=piece,
                due=own,
                measured=part,
                counted=done / finished * used / whole,
                device_ns=spent,
                kernels=done,
            )
            for (weight, piece), own, part, done, spent in zip(
                lease_sizes, owed, measured, kernels, device_ns, strict=True
            )
        ),
        error=share_error(measured, due) if due is not None else None,
        jain=jain_index(measured, due) if due is not None else None,
        busy=used / window_ns,
        foreign=foreign,
    )


def wait_run(
    policy: PolicyKind,
    slice_ms: float,
    competitors: int,
    waits_ns: Sequence[float],
    longest_kernel_ns: int,
    foreign: float,
) -> WaitRun:
    """The waits of an interactive tenant in units of the slice. Raises ValueError for none."""
    slice_ns = slice_ms * 1e6
    return WaitRun(
        policy=policy,
        slice_ms=slice_ms,
        competitors=competitors,
        kernels=len(waits_ns),
        longest_kernel_ns=longest_kernel_ns,
        p50=quantile(waits_ns, 0.5) / slice_ns,
        p99=quantile(waits_ns, 0.99) / slice_ns,
        longest=max(waits_ns, default=0.0) / slice_ns,
        bound=2 * competitors + longest_kernel_ns / slice_ns,
        foreign=foreign,
    )


def idle_run(
    policy: PolicyKind,
    slice_ms: float,
    pausing: Sequence[bool],
    cycles: Sequence[tuple[Phase, Phase]],
    foreign: float,
) -> IdleRun:
    """What was done while some paused, beside what was done right after. Raises ValueError for no cycle
    and for one in which nobody worked."""
    if not cycles or any(working.kernels <= 0 for _, working in cycles):
        raise ValueError("the tenants finished no kernel")
    ratios = tuple(paused.kernels / working.kernels for paused, working in cycles)
    while_paused, while_working = (
        tuple(fmean(parts) for parts in zip(*(phase.parts for phase in phases), strict=True))
        for phases in zip(*cycles, strict=True)
    )
    return IdleRun(
        policy=policy,
        slice_ms=slice_ms,
        pausing=tuple(pausing),
        while_paused=while_paused,
        while_working=while_working,
        ratios=ratios,
        kept=median(ratios),
        foreign=foreign,
    )


def throughput_run(
    policy: PolicyKind,
    slice_ms: float,
    tenants: int,
    rounds: Sequence[Mapping[PolicyKind | None, float]],
    foreign: Sequence[float],
) -> ThroughputRun:
    """What `tenants` together do under `policy`, beside one alone, in each of `rounds`.

    A round has kernels per second by policy, and of the one alone under None; `foreign` is by round.
    """
    alone = tuple(rates[None] for rates in rounds)
    together = tuple(rates[policy] for rates in rounds)
    return ThroughputRun(
        policy=policy,
        slice_ms=slice_ms,
        tenants=tenants,
        alone=alone,
        together=together,
        ratio=median(both / one for one, both in zip(alone, together, strict=True)),
        foreign=tuple(foreign),
    )


def fairness_targets(
    shares: Sequence[ShareRun],
    waits: Sequence[WaitRun],
    idles: Sequence[IdleRun],
    throughputs: Sequence[ThroughputRun],
) -> tuple[Target, ...]:
    """The promises on sharing. `best-effort` promises neither shares nor a bound of waits."""
    targets: list[Target] = []
    for run in shares:
        if run.error is None or run.jain is None:
            continue
        side = f"{run.policy}, {len(run.tenants)} tenants"
        error, most = 100 * run.error, 100 * SHARE_ERROR
        targets.append(make_target("share error", side, error, most, "%", at_most=True))
        targets.append(make_target("Jain's index", side, run.jain, JAIN, "x", at_most=False))
    for wait in waits:
        if wait.policy != PolicyKind.BEST_EFFORT:
            name, note = "wait of an interactive tenant, p99", f"slices of {wait.slice_ms:g} ms"
            targets.append(
                make_target(name, wait.policy, wait.p99, wait.bound, "slices", True, note)
            )
    targets += [_idle_target(idle) for idle in idles]
    targets += [
        make_target(
            f"{run.tenants} saturating tenants / one alone",
            run.policy,
            run.ratio,
            THROUGHPUT,
            "x",
            at_most=False,
        )
        for run in throughputs
    ]
    return tuple(targets)


def _idle_target(idle: IdleRun) -> Target:
    if idle.policy != PolicyKind.FIXED:
        name = "time of paused tenants goes to the others"
        return make_target(name, idle.policy, idle.kept, KEPT, "x", at_most=False)
    # `fixed` leases parts of the clock, here the same to each: those that work have theirs and no more.
    leased = idle.pausing.count(False) / len(idle.pausing)
    return make_target(
        "time of paused tenants stays unused",
        idle.policy,
        sum(idle.while_paused),
        leased + SHARE_ERROR,
        "x",
        at_most=True,
    )
