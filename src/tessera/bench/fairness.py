# SPDX-License-Identifier: Apache-2.0
"""How a policy shares a GPU: shares under saturation, waits, time that is left over, throughput.

Four questions, each with tenants that do nothing but want the device (native/bench/tenant.cpp):
  shares      2, 4 and 8 tenants that always want it: does each get what it is due?
  waits       one that wants it now and then, beside three that always do: how long does it wait?
  idle        two of four pause now and then: who gets their time?
  throughput  four that always want it, beside one alone, under each policy that leaves no time unused:
              what does sharing itself cost?

The shares are device time as the GPU's board has it, read twice in the middle of a turn, so that no
start and no end of a tenant is inside the window. The tenants count their kernels, which are of one
length, as a check that does not depend on Tessera's own bookkeeping.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import tessera
from tessera.bench.contest import Say
from tessera.bench.control import Control, Reading
from tessera.bench.crew import Crew, Tenancy
from tessera.bench.host import commit, describe_host
from tessera.bench.ledger import UNDISTURBED
from tessera.bench.player import Message, Player
from tessera.bench.quiet import least_disturbed, quietest
from tessera.bench.result import Driver, Report, Series, make_series
from tessera.bench.shared_result import IdleRun, ShareRun, ThroughputRun, WaitRun
from tessera.bench.shares import (
    Phase,
    fairness_targets,
    idle_run,
    kernels_between,
    pieces,
    share_run,
    throughput_run,
    wait_run,
    weights,
)
from tessera.bench.sides import bare_environment, private_daemon
from tessera.model.policy import PolicyKind
from tessera.native import find

TENANT_PROGRAM = "tessera-bench-tenant"
# Of a saturating tenant, queued at once. Where the embedded device fills every core, the tenant's own
# program waits milliseconds for one: with few kernels its queue would run dry, and it would not saturate.
IN_FLIGHT = 32
# From a turn's begin until all tenants surely work, and from the window's end until the first stops.
MARGIN_SECONDS = 0.3
# Pauses in a turn. Two windows are compared, and the machine's pace moves: so both are short and close together.
IDLE_CYCLES = 3
FOUR = tuple("abcd")
POLICIES = (
    PolicyKind.EQUAL,
    PolicyKind.WEIGHTED,
    PolicyKind.FIXED,
    PolicyKind.BEST_EFFORT,
)
_QUARTER = "1/4"


@dataclass(frozen=True)
class FairnessPlan:
    """What to measure: windows of `seconds` under each policy; kernels of `kernel_us` of device time.

    `think_ms` is the mean pause of the interactive tenant, `idle_turns` how often the policies take turns
    while two tenants pause now and then, `pairs` how often one tenant alone and all together under each
    policy do, and `patience` how often a window is measured again while others disturb it.
    """

    tenants: tuple[int, ...] = (2, 4, 8)
    policies: tuple[PolicyKind, ...] = POLICIES
    time_slice: str = "auto"
    seconds: float = 4.0
    kernel_us: int = 300
    think_ms: int = 20
    idle_turns: int = 4
    pairs: int = 9
    patience: int = 2
    transport: str = "shm"


def run_fairness(plan: FairnessPlan, say: Say) -> Report:
    """Measures. Raises BenchError's children, NativeProgramMissing, and what the daemon answers."""
    started, host = datetime.now(UTC), describe_host()
    with ExitStack() as stack:
        environment = stack.enter_context(private_daemon(needed=True))
        loops, driver = _calibrate(plan, say)
        control = stack.enter_context(Control(environment))
        scene = Scene(plan, environment, control, loops, say)
        shares = [run for count in plan.tenants for run in scene.shares(count)]
        waits, wait_samples = scene.waits()
        idles = scene.idles()
        throughputs = scene.throughputs()
    return Report(
        experiment="fairness",
        started_at=started,
        host=host,
        tessera_version=tessera.__version__,
        commit=commit(),
        drivers={"bare": driver},
        parameters={
            "time_slice": plan.time_slice,
            "seconds": plan.seconds,
            "kernel_us": plan.kernel_us,
            "kernel_loops": loops,
            "in_flight": IN_FLIGHT,
            "think_ms": plan.think_ms,
            "idle_cycles": plan.idle_turns * IDLE_CYCLES,
            "pairs": plan.pairs,
            "transport": plan.transport,
        },
        series=wait_samples,
        shares=tuple(shares),
        waits=tuple(waits),
        idles=tuple(idles),
        throughputs=tuple(throughputs),
        targets=fairness_targets(shares, waits, idles, throughputs),
    )


def _calibrate(plan: FairnessPlan, say: Say) -> tuple[int, Driver]:
    """The loops of a kernel, found once for all tenants and on the bare device, and that device."""
    say(f"finding the kernel that takes {plan.kernel_us} us")
    command = tenant_command("saturating", kernel_us=plan.kernel_us)
    with Player("calibration", command, bare_environment()) as player:
        ready = player.wait_ready()
        player.finish()
    say(f"{ready['loops']} loops take {ready['kernel_ns'] / 1e3:.0f} us")
    return int(ready["loops"]), Driver(**{name: ready[name] for name in Driver.model_fields})


def tenant_command(mode: str, **options: int) -> list[str]:
    """The tenant in lockstep; `options` are its own, in milliseconds, microseconds or counts."""
    words = [str(find(TENANT_PROGRAM)), mode, "--lockstep", "--in-flight", str(IN_FLIGHT)]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


class Scene:
    """The four questions, asked of one daemon."""

    def __init__(
        self,
        plan: FairnessPlan,
        environment: Mapping[str, str],
        control: Control,
        loops: int,
        say: Say,
    ) -> None:
        self._plan = plan
        self._environment = environment
        self._say = say
        self._control = control
        self._saturating = tenant_command("saturating", loops=loops)
        self._interactive = tenant_command(
            "interactive", loops=loops, think_us=plan.think_ms * 1000
        )
        self._phase_ms = round(1000 * (plan.seconds / 4 + 2 * MARGIN_SECONDS))
        self._phased = tenant_command(
            "phased", loops=loops, idle_ms=self._phase_ms, work_ms=self._phase_ms
        )

    def _crew(self, tenancies: Sequence[Tenancy]) -> Crew:
        return Crew(tenancies, self._plan.transport, self._environment, self._say)

    def _four(self, *commands: Sequence[str]) -> Crew:
        named = zip(FOUR, commands, strict=True)
        return self._crew([Tenancy(name, command, _QUARTER) for name, command in named])

    def _set(self, crew: Crew, policy: PolicyKind) -> float:
        gpu = self._control.gpu_of(crew.leases[0])
        return self._control.set_policy(gpu, policy, self._plan.time_slice)

    def _readings(self, begins: Sequence[float], seconds: float) -> list[tuple[Reading, Reading]]:
        """Two readings, `seconds` apart, from each of `begins` (seconds from now) on."""
        start = time.monotonic()
        found = []
        for begin in begins:
            _sleep_until(start + begin)
            before = self._control.read()
            _sleep_until(start + begin + seconds)
            found.append((before, self._control.read()))
        return found

    def shares(self, count: int) -> list[ShareRun]:
        """All of `count` tenants saturating, under each policy."""
        self._say(f"{count} saturating tenants: starting")
        sizes = list(zip(weights(count), pieces(count), strict=True))
        tenancies = [
            Tenancy(f"t{number}", self._saturating, piece, weight)
            for number, (weight, piece) in enumerate(sizes)
        ]
        with self._crew(tenancies) as crew:
            return [self._share(crew, policy, sizes) for policy in self._plan.policies]

    def _share(self, crew: Crew, policy: PolicyKind, sizes: Sequence[tuple[int, str]]) -> ShareRun:
        slice_ms, seconds = self._set(crew, policy), self._plan.seconds
        turn = dict.fromkeys(crew.players, round(1000 * (seconds + 2 * MARGIN_SECONDS)))
        (slices, [(before, after)]), foreign = quietest(
            lambda: crew.run(turn, lambda: self._readings([MARGIN_SECONDS], seconds)),
            self._plan.patience,
        )
        window = before.taken_ns, after.taken_ns
        run = share_run(
            policy,
            slice_ms,
            window[1] - window[0],
            sizes,
            after.since(before, crew.leases),
            [kernels_between(message["ticks"], *window) for message in slices.values()],
            foreign,
        )
        error = "nothing promised" if run.error is None else f"share error {100 * run.error:.2f} %"
        self._say(
            f"{len(sizes)} saturating, {policy}: {error}, busy {run.busy:.3f}{disturbed(foreign)}"
        )
        return run

    def waits(self) -> tuple[list[WaitRun], tuple[Series, ...]]:
        """One interactive tenant beside three saturating ones, under each policy."""
        self._say("an interactive tenant beside three saturating ones: starting")
        others = [self._saturating] * 3
        runs: list[WaitRun] = []
        samples: dict[str, list[list[float]]] = {}
        with self._four(self._interactive, *others) as crew:
            for policy in self._plan.policies:
                run, samples[policy.value] = self._wait(crew, policy)
                runs.append(run)
        return runs, (make_series("wait", samples),)

    def _wait(self, crew: Crew, policy: PolicyKind) -> tuple[WaitRun, list[list[float]]]:
        slice_ms = self._set(crew, policy)
        (waits, longest), foreign = quietest(lambda: self._interact(crew), self._plan.patience)
        run = wait_run(policy, slice_ms, len(FOUR) - 1, waits, longest, foreign)
        self._say(
            f"interactive, {policy}: wait p50 {run.p50:.2f}, p99 {run.p99:.2f} slices of "
            f"{slice_ms:g} ms (bound {run.bound:.1f}){disturbed(foreign)}"
        )
        return run, [waits]

    def _interact(self, crew: Crew) -> tuple[list[float], int]:
        """The waits of the first of four while the others work, and their longest kernel; in ns."""
        # Twice as long as another window: of the waits the hundredth part is looked at.
        turn, margin = round(2000 * self._plan.seconds), round(1000 * MARGIN_SECONDS)
        for name in FOUR[1:]:
            crew.players[name].begin(turn + 2 * margin)
        time.sleep(MARGIN_SECONDS)
        waits = crew.players[FOUR[0]].play(turn)["samples"]["wait"]
        others = [crew.players[name].answer() for name in FOUR[1:]]
        return waits, max(int(message["longest_ns"]) for message in others)

    def idles(self) -> list[IdleRun]:
        """Two saturating tenants beside two that pause again and again, under each policy."""
        self._say("two saturating tenants beside two that pause: starting")
        policies = self._plan.policies
        commands = (self._saturating, self._saturating, self._phased, self._phased)
        with self._four(*commands) as crew:
            slices = {policy: self._set(crew, policy) for policy in policies}
            measure = partial(self._idle_round, crew)
            chosen = least_disturbed(measure, self._plan.idle_turns, self._plan.patience)
        rounds, foreign = zip(*chosen, strict=True)
        return [
            idle_run(
                policy,
                slices[policy],
                (False, False, True, True),
                [cycle for cycles in rounds for cycle in cycles[policy]],
                max(foreign),
            )
            for policy in policies
        ]

    def _idle_round(self, crew: Crew, number: int) -> dict[PolicyKind, list[tuple[Phase, Phase]]]:
        """A turn under each policy; their order turns around from round to round."""
        policies = self._plan.policies
        found: dict[PolicyKind, list[tuple[Phase, Phase]]] = {}
        for policy in reversed(policies) if number % 2 else policies:
            self._set(crew, policy)
            found[policy] = self._cycles(crew)
            kept = ", ".join(
                f"{paused.kernels / working.kernels:.3f}" for paused, working in found[policy]
            )
            self._say(f"two of four pause, {policy}: {kept} of the work is done meanwhile")
        return found

    def _cycles(self, crew: Crew) -> list[tuple[Phase, Phase]]:
        """Each pause, and the work after it."""
        phase, count = self._phase_ms / 1000, 2 * IDLE_CYCLES
        begins = [place * phase + MARGIN_SECONDS for place in range(count)]
        turn = dict.fromkeys(FOUR, count * self._phase_ms)
        slices, readings = crew.run(turn, lambda: self._readings(begins, self._plan.seconds / 4))
        phases = [
            phase_between(before, after, crew.leases, list(slices.values()))
            for before, after in readings
        ]
        return list(zip(phases[::2], phases[1::2], strict=True))

    def throughputs(self) -> list[ThroughputRun]:
        """One saturating tenant alone, and four together under each work-conserving policy, by turns."""
        policies = [policy for policy in self._plan.policies if policy != PolicyKind.FIXED]
        if not policies:
            return []
        self._say("four saturating tenants and one alone, by turns: starting")
        with self._four(*[self._saturating] * 4) as crew:
            slices = {policy: self._set(crew, policy) for policy in policies}
            measure = partial(self._round, crew, policies)
            chosen = least_disturbed(measure, self._plan.pairs, self._plan.patience)
        rounds, foreign = zip(*chosen, strict=True)
        return [
            throughput_run(policy, slices[policy], len(FOUR), rounds, foreign)
            for policy in policies
        ]

    def _round(
        self, crew: Crew, policies: Sequence[PolicyKind], number: int
    ) -> dict[PolicyKind | None, float]:
        """Kernels per second of one alone (None), another in each round, and of all under each policy.

        The order turns around from round to round.
        """
        sides: list[PolicyKind | None] = [None, *policies]
        rates: dict[PolicyKind | None, float] = {}
        for side in reversed(sides) if number % 2 else sides:
            if side is None:
                rates[side] = self._rate(crew, (FOUR[number % len(FOUR)],))
            else:
                self._set(crew, side)
                rates[side] = self._rate(crew, FOUR)
        ratios = (f"{policy} {rates[policy] / rates[None]:.4f}" for policy in policies)
        self._say(f"round {number + 1}: together / alone: {', '.join(ratios)}")
        return rates

    def _rate(self, crew: Crew, names: Sequence[str]) -> float:
        """Kernels per second of all `names` together, in the middle of a turn."""
        turn = round(1000 * (self._plan.seconds + 2 * MARGIN_SECONDS))
        slices, _ = crew.run(dict.fromkeys(names, turn), lambda: None)
        return middle_rate(list(slices.values()), round(MARGIN_SECONDS * 1e9))


def disturbed(foreign: float) -> str:
    """A word on others, where they took more than hardly anything."""
    return "" if foreign <= UNDISTURBED else f" (others took {100 * foreign:.0f} % of the cores)"


def middle_rate(slices: Sequence[Message], margin_ns: int) -> float:
    """Kernels per second of all `slices` together, while all of them worked."""
    begin = max(int(message["began_ns"]) for message in slices) + margin_ns
    end = min(int(message["ended_ns"]) for message in slices) - margin_ns
    done = sum(kernels_between(message["ticks"], begin, end) for message in slices)
    return 1e9 * done / (end - begin)


def phase_between(
    before: Reading, after: Reading, leases: Sequence[str], slices: Sequence[Message]
) -> Phase:
    """What was used and done between two readings."""
    window = before.taken_ns, after.taken_ns
    length = window[1] - window[0]
    done = sum(kernels_between(message["ticks"], *window) for message in slices)
    parts = tuple(used / length for used in after.since(before, leases))
    return Phase(parts, 1e9 * done / length)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
