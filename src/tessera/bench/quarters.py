# SPDX-License-Identifier: Apache-2.0
"""Jobs that need only a part of a GPU: each alone on all of it, then all at once on a piece each.

The published experiment of this kind ran an image-processing job alone and then four of it on four
quarters of a GPU: each became 17 % slower, and together they did three times the work. Here the job is
examples/image_stream.py. It needs a part of the GPU because its host part waits for its input, as it
would for a camera or a data service; the part of the time in which the device computes for it, its duty
cycle, is what decides how much can be gained, so it is varied.

Alone means on the bare device, so what Tessera itself costs is inside of every slowdown. The job
alone and the four under each policy take turns, and the order turns around from round to round.

What may be had is bounded: n jobs do at most n times the work of one, and the device cannot compute
more than always, so the gain is at most min(n, 1 / duty). What a plain queue gives is told by the model of
`tessera.advice.mva`. Which of the two a schedule comes near depends on the jobs: where inputs arrive
at even distances and the device part of an input runs to its end, two jobs that meet once have passed
each other from then on. With random arrivals they meet again and again, and with time slices
shorter than the device part, two jobs that meet delay each other, end together, and meet again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import tessera
from tessera.bench.contest import Say
from tessera.bench.control import Control
from tessera.bench.crew import Crew, Tenancy
from tessera.bench.duty import Round, corrected_wait, duty_run, duty_targets, wait_for_duty
from tessera.bench.examples import find_example
from tessera.bench.host import commit, describe_host
from tessera.bench.player import Message, Player
from tessera.bench.quiet import least_disturbed
from tessera.bench.result import Driver, Report
from tessera.bench.shared_result import DutyRun
from tessera.bench.sides import bare_environment, private_daemon
from tessera.bench.stream import EXAMPLE
from tessera.model.policy import PolicyKind

DUTIES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 0.8)
# With weights that are alike `weighted` is `equal`, so it is left out unless asked for.
POLICIES = (PolicyKind.EQUAL, PolicyKind.BEST_EFFORT, PolicyKind.FIXED)
CAMERA = "camera"
CORRECTIONS = 1  # of the wait at each duty, each by a turn of the job alone


@dataclass(frozen=True)
class QuartersPlan:
    """What to measure: at each duty, `rounds` turns of `seconds` of the job alone and of `jobs` together
    under each policy. An input keeps the device busy for about `device_ms`, which the time slice should
    hold: else a job gives the device up in the middle of an input. `patience` is how many times
    more rounds may be played where others disturb them."""

    duties: tuple[float, ...] = DUTIES
    policies: tuple[PolicyKind, ...] = POLICIES
    jobs: int = 4
    time_slice: str = "12ms"
    arrivals: str = "fixed"
    device_ms: float = 8.0
    seconds: float = 4.0
    rounds: int = 3
    patience: int = 1
    transport: str = "shm"

    @property
    def length_seconds(self) -> float:
        """Of all turns together, undisturbed."""
        turns = CORRECTIONS + self.rounds * (1 + len(self.policies))
        return len(self.duties) * turns * self.seconds


def run_quarters(plan: QuartersPlan, say: Say) -> Report:
    """Measures. Raises BenchError's children, and what the daemon answers."""
    find_example(EXAMPLE)
    started, host = datetime.now(UTC), describe_host()
    with ExitStack() as stack:
        environment = stack.enter_context(private_daemon(needed=True))
        alone = stack.enter_context(_alone(plan, say))
        crew = stack.enter_context(_crew(plan, alone.ready["arguments"], environment, say))
        say(f"measuring for about {plan.length_seconds / 60:.0f} minutes")
        control = stack.enter_context(Control(environment))
        stage = Stage(plan, alone, crew, control, say)
        runs = [run for duty in plan.duties for run in stage.measure(duty)]
    return Report(
        experiment="quarters",
        started_at=started,
        host=host,
        tessera_version=tessera.__version__,
        commit=commit(),
        drivers={"bare": Driver(**{name: alone.ready[name] for name in Driver.model_fields})},
        parameters={
            "jobs": plan.jobs,
            "time_slice": plan.time_slice,
            "arrivals": plan.arrivals,
            "device_ms": alone.ready["device_ns"] / 1e6,
            "busy_ms": alone.ready["busy_ns"] / 1e6,
            "arguments": " ".join(alone.ready["arguments"]),
            "seconds": plan.seconds,
            "rounds": plan.rounds,
            "transport": plan.transport,
        },
        series=(),
        duties=tuple(runs),
        targets=duty_targets(runs),
    )


def stream_command(*arguments: str) -> list[str]:
    """The job that takes turns."""
    return [sys.executable, "-m", "tessera.bench.stream", *arguments]


def _alone(plan: QuartersPlan, say: Say) -> Player:
    say(f"alone: looking for tiles that take {plan.device_ms:g} ms of the device")
    command = stream_command("--device-ms", str(plan.device_ms), "--arrivals", plan.arrivals)
    player = Player("alone", command, bare_environment())
    try:
        ready = player.wait_ready(waiting=lambda: say("alone: still warming up"))
    except BaseException:
        player.stop()
        raise
    say(
        f"alone: {' '.join(ready['arguments'])}: {ready['device_ns'] / 1e6:.2f} ms of the device, "
        f"{ready['busy_ns'] / 1e6:.2f} ms in all"
    )
    return player


def _crew(
    plan: QuartersPlan, arguments: Sequence[str], environment: Mapping[str, str], say: Say
) -> Crew:
    say(f"{plan.jobs} jobs on 1/{plan.jobs} each: starting")
    tenancies = [
        Tenancy(
            f"job{number}",
            stream_command(*arguments, "--seed", str(number)),
            f"1/{plan.jobs}",
        )
        for number in range(1, plan.jobs + 1)
    ]
    return Crew(tenancies, plan.transport, environment, say)


class Stage:
    """The job alone and the jobs together, all warm, and what is played with them."""

    def __init__(
        self, plan: QuartersPlan, alone: Player, crew: Crew, control: Control, say: Say
    ) -> None:
        self._plan = plan
        self._alone = alone
        self._crew = crew
        self._control = control
        self._say = say
        self._gpu = control.gpu_of(crew.leases[0])
        self._turn = round(1000 * plan.seconds)
        self._slices: dict[PolicyKind, float] = {}

    def measure(self, duty: float) -> list[DutyRun]:
        """One duty under every policy."""
        plan, wait_ns = self._plan, self._find_wait(duty)
        for player in self._crew.players.values():
            player.tell(f"wait {wait_ns / 1e9:.6f}")
        rounds = self._rounds()
        runs = []
        for policy in plan.policies:
            run = duty_run(policy, self._slices[policy], duty, wait_ns, rounds[policy])
            self._say(
                f"duty {run.duty:.3f}  {policy.value:>11}: slowdown {100 * (run.worst - 1):5.1f} %, "
                f"gain {run.gain:.2f} (a queue: {100 * (run.predicted_slowdown - 1):.1f} %, "
                f"{run.predicted_gain:.2f}; at most {run.gain_limit:.2f})"
            )
            runs.append(run)
        return runs

    def _find_wait(self, duty: float) -> float:
        """The wait (ns) with which the job alone has the `duty`; it then has that wait."""
        ready, camera = self._alone.ready, self._plan.arrivals == CAMERA
        wait_ns = wait_for_duty(duty, ready["device_ns"], ready["busy_ns"], camera)
        for _ in range(CORRECTIONS):
            self._alone.tell(f"wait {wait_ns / 1e9:.6f}")
            tried = self._alone.play(self._turn)
            wait_ns = corrected_wait(wait_ns, duty, tried, camera)
        self._alone.tell(f"wait {wait_ns / 1e9:.6f}")
        return wait_ns

    def _rounds(self) -> dict[PolicyKind, list[Round]]:
        """The least disturbed rounds, each a turn of the job alone and of all together under a policy."""
        chosen = least_disturbed(self._round, self._plan.rounds, self._plan.patience)
        return {
            policy: [
                Round(alone, together[policy], foreign) for (alone, together), foreign in chosen
            ]
            for policy in self._plan.policies
        }

    def _round(self, number: int) -> tuple[Message, dict[PolicyKind, list[Message]]]:
        """One turn of everybody."""
        sides: list[PolicyKind | None] = [None, *self._plan.policies]
        alone: Message = {}
        together: dict[PolicyKind, list[Message]] = {}
        for policy in reversed(sides) if number % 2 else sides:
            if policy is None:
                alone = self._alone.play(self._turn)
            else:
                together[policy] = self._together(policy)
        return alone, together

    def _together(self, policy: PolicyKind) -> list[Message]:
        self._slices[policy] = self._control.set_policy(self._gpu, policy, self._plan.time_slice)
        slices, _ = self._crew.run(dict.fromkeys(self._crew.players, self._turn), lambda: None)
        return list(slices.values())
