# SPDX-License-Identifier: Apache-2.0
"""Four virtual machines on four quarters of a GPU: the published experiment in small, for `make demo`.

Each machine runs one container image and in it a training (examples/online_digits.py) whose host part waits
for its input. The machines live at the same time. In a round each works alone while the others wait for
their turn, and then all work at once; so a slowdown compares a machine with itself, minutes of the host
with the same minutes, and is what sharing costs, not what the machine costs. (`tessera bench quarters
--vm` compares with the bare device, `bench overhead --vm` takes the machine's own cost apart.)

All four end with the same weights, to the bit, which are those of the same training outside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median

from rich.table import Table

from tessera.bench.contest import Say
from tessera.bench.errors import ResultsDiffer
from tessera.bench.machines import machine_command, make_image
from tessera.bench.player import Message, Player
from tessera.bench.sides import bare_environment, private_daemon

WORKLOAD = "online_digits"
WARM_UP = 2
Played = Callable[[str, int, Message], None]


@dataclass(frozen=True)
class MachinesPlan:
    """`rounds` rounds, in each `deliveries` of each machine alone and as many together, which come every
    `wait` seconds. All but `machines` is of one machine."""

    machines: int = 4
    rounds: int = 3
    deliveries: int = 8
    wait: float = 0.2

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"vm{number}" for number in range(1, self.machines + 1))

    @property
    def total(self) -> int:
        return 2 * self.rounds * self.deliveries

    def command(self, wait: float) -> list[str]:
        """The training that takes turns."""
        program = [sys.executable, "-m", "tessera.bench.workload", WORKLOAD, str(WARM_UP)]
        return [*program, "--wait", str(wait)]


@dataclass(frozen=True)
class MachineResult:
    """What one machine did: deliveries per second, and the part of the time the device computed for it."""

    alone: float
    together: float
    duty: float
    loss: float

    @property
    def slowdown(self) -> float:
        return self.alone / self.together - 1


@dataclass(frozen=True)
class MachinesResult:
    """The whole experiment; `sha256` is of the weights that all trainings ended with."""

    machines: dict[str, MachineResult]
    sha256: str

    @property
    def gain(self) -> float:
        """Deliveries per second of all together / of one after another."""
        together = sum(one.together for one in self.machines.values())
        return together / fmean(one.alone for one in self.machines.values())


def run_machines(plan: MachinesPlan, say: Say, played: Played) -> MachinesResult:
    """Runs it. Raises BenchError's children, and what `tessera image build` raises."""
    make_image(say)
    with ExitStack() as stack:
        environment = stack.enter_context(private_daemon(needed=True))
        say(f"{plan.machines} virtual machines: booting; each imports NumPy and pyopencl")
        started = machine_command(plan.command(plan.wait), f"1/{plan.machines}")
        players = [stack.enter_context(Player(name, started, environment)) for name in plan.names]
        for player in players:
            player.wait_ready(waiting=partial(say, f"{player.side}: not ready yet"))
            say(f"{player.side}: ready")
        turns = [_round(plan, players, number, played) for number in range(plan.rounds)]
        ends = {player.side: str(player.finish()["sha256"]) for player in players}
    sha256 = _agreed({**ends, "outside": _outside(plan)})
    machines = {name: _result([turn[name] for turn in turns]) for name in plan.names}
    return MachinesResult(machines, sha256)


Turns = dict[str, tuple[Message, Message]]


def _round(plan: MachinesPlan, players: list[Player], number: int, played: Played) -> Turns:
    """Each machine's turn alone, and its turn with the others."""
    alone = {}
    for player in players:
        alone[player.side] = player.play(plan.deliveries)
        played(player.side, 2 * number + 1, alone[player.side])
    for player in players:
        player.begin(plan.deliveries)
    together = {}
    for player in players:
        together[player.side] = player.answer()
        played(player.side, 2 * number + 2, together[player.side])
    return {name: (alone[name], together[name]) for name in alone}


def _result(turns: list[tuple[Message, Message]]) -> MachineResult:
    return MachineResult(
        alone=median(_rate(alone) for alone, _ in turns),
        together=median(_rate(together) for _, together in turns),
        duty=median(_duty(alone) for alone, _ in turns),
        loss=turns[-1][1]["shown"],
    )


def _rate(turn: Message) -> float:
    return float(turn["steps"] / turn["seconds"])


def _duty(turn: Message) -> float:
    return float(turn["samples"]["device"][0] / turn["samples"]["step"][0])


def _outside(plan: MachinesPlan) -> str:
    """The weights of the same training on the bare device, without waiting."""
    with Player("outside", plan.command(0), bare_environment()) as player:
        player.wait_ready()
        player.play(plan.total)
        return str(player.finish()["sha256"])


def _agreed(results: dict[str, str]) -> str:
    if len(set(results.values())) > 1:
        shown = "\n".join(f"  {name}: {digest}" for name, digest in results.items())
        raise ResultsDiffer(
            f"The same training came to different weights:\n{shown}",
            "This is an error of Tessera or of the driver; please report it with this output.",
        )
    return next(iter(results.values()))


def machines_table(plan: MachinesPlan, result: MachinesResult) -> Table:
    """Slowdown, gain and duty."""
    table = Table(
        title=f"{plan.machines} virtual machines, a container in each, on 1/{plan.machines} of the GPU each",
        title_justify="left",
    )
    for heading in ("machine", "alone", "together", "slowdown", "duty, alone", "loss"):
        table.add_column(heading, justify="left" if heading == "machine" else "right")
    for name, one in result.machines.items():
        rates = (f"{one.alone:.2f}/s", f"{one.together:.2f}/s")
        cells = (f"{100 * one.slowdown:.1f} %", f"{one.duty:.3f}", f"{one.loss:.5f}")
        table.add_row(name, *rates, *cells)
    table.add_section()
    total = sum(one.together for one in result.machines.values())
    table.add_row("all", "", f"{total:.2f}/s", "", "", "")
    table.add_row("gain", "", f"{result.gain:.2f}x", "", "", "")
    table.caption = (
        "deliveries of scans learnt from per second; gain: against one after another\n"
        f"weights, sha256 {result.sha256[:16]}: equal in all machines and outside"
    )
    table.caption_justify = "left"
    return table
