# SPDX-License-Identifier: Apache-2.0
"""What jobs that wait for their input lose and gain together, from what was measured. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from tessera.advice.mva import gain_limit, predict_equal
from tessera.bench.player import Message
from tessera.bench.result import Target, make_target
from tessera.bench.shared_result import DutyRun
from tessera.model.policy import PolicyKind

# The published experiment, and what Tessera promises instead: by duty, slowdown and gain.
PROMISES = {0.15: (0.06, 3.75), 0.20: (0.10, 3.6)}
PROMISED_JOBS = 4


@dataclass(frozen=True)
class Round:
    """One turn of the job alone and one of all jobs together; `foreign` as in `shared_result.py`."""

    alone: Message
    together: Sequence[Message]
    foreign: float


def wait_for_duty(duty: float, device_ns: float, busy_ns: float, camera: bool) -> float:
    """How long (ns) an input must be waited for, so that the device computes `duty` of the time.

    `busy_ns` is what an input takes without the wait, `device_ns` of that on the device. A camera's wait
    is from shot to shot, a service's begins when the input before is done. Not below 0: a duty that
    the job's own host part does not let it reach is not reached.
    """
    cycle = device_ns / duty
    return cycle if camera else max(0.0, cycle - busy_ns)


def corrected_wait(wait_ns: float, duty: float, message: Message, camera: bool) -> float:
    """The wait (ns) that makes the `duty`, from a turn of the job alone with another wait.

    What an input needed of the device a minute ago, when the size of its tiles was looked for, is not what it
    needs now: the machine is warmer, or others are gone.
    """
    count = int(message["inputs"])
    device, cycle = float(message["device_ns"]) / count, per_input(message)
    return wait_for_duty(duty, device, max(0.0, cycle - wait_ns), camera)


def per_input(message: Message) -> float:
    """Wall time of a turn per input, in nanoseconds."""
    return float(message["elapsed_ns"]) / int(message["inputs"])


def duty_run(
    policy: PolicyKind, slice_ms: float, asked: float, wait_ns: float, rounds: Sequence[Round]
) -> DutyRun:
    """One point: a duty under a policy. Raises ValueError without any round."""
    if not rounds:
        raise ValueError("nothing was measured")
    alone = [per_input(one.alone) for one in rounds]
    together = [[per_input(message) for message in one.together] for one in rounds]
    duty = median(float(one.alone["device_ns"]) / float(one.alone["elapsed_ns"]) for one in rounds)
    jobs = len(together[0])
    slowdowns = [
        median(times[job] / own for times, own in zip(together, alone, strict=True))
        for job in range(jobs)
    ]
    gain = median(
        sum(own / time for time in times) for times, own in zip(together, alone, strict=True)
    )
    prediction = predict_equal(min(1.0, duty), jobs)
    return DutyRun(
        policy=policy,
        slice_ms=slice_ms,
        asked=asked,
        duty=duty,
        wait_ns=round(wait_ns),
        alone_ns=tuple(alone),
        together_ns=tuple(map(tuple, together)),
        slowdowns=tuple(slowdowns),
        gain=gain,
        response_alone_ns=mean(_response(one.alone) for one in rounds),
        response_together_ns=mean(_response(message) for one in rounds for message in one.together),
        predicted_slowdown=prediction.slowdowns[0],
        predicted_gain=prediction.gain,
        prediction_error=mean(slowdowns) - prediction.slowdowns[0],
        gain_limit=gain_limit(duty, jobs),
        foreign=tuple(one.foreign for one in rounds),
    )


def _response(message: Message) -> float:
    return float(message["response_ns"]) / int(message["inputs"])


def duty_targets(runs: Sequence[DutyRun]) -> tuple[Target, ...]:
    """The promises at the duties that were measured. `fixed` leaves time unused, and promises neither."""
    targets: list[Target] = []
    for run in runs:
        promised = PROMISES.get(run.asked)
        if (
            promised is None
            or run.policy == PolicyKind.FIXED
            or len(run.slowdowns) != PROMISED_JOBS
        ):
            continue
        slowdown, gain = promised
        side, note = f"{run.policy}, duty {run.asked:.2f}", f"measured duty {run.duty:.3f}"
        lost, most = 100 * (run.worst - 1), 100 * slowdown
        targets.append(make_target("slowdown of each job", side, lost, most, "%", True, note))
        targets.append(
            make_target("throughput / one after another", side, run.gain, gain, "x", False, note)
        )
    return tuple(targets)
