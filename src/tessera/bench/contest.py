# SPDX-License-Identifier: Apache-2.0
"""Lets the sides take turns, and notes what each of them uses.

Every pair is one slice of each side, back to back, and the order turns around from pair to pair
(A B, B A, A B, ...): a machine that slowly gets slower or faster then favours neither.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from tessera.bench.errors import DevicesDiffer, SideFailed
from tessera.bench.ledger import Pair, Turn, choose_pairs, undisturbed
from tessera.bench.machines import VM
from tessera.bench.player import Message, Player
from tessera.bench.result import BARE, MACHINE, Driver
from tessera.bench.sides import private_daemon, side_command
from tessera.bench.usage import Usage, children_of, machine_busy_seconds, servers_of, usage_of

# Told after every slice: the side, the number of the pair from 1, and the slice.
Played = Callable[[str, int, Message], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Seat:
    """A player and the processes that work for it: its program, and those of its lease."""

    player: Player
    client: int | None
    servers: tuple[int, ...]

    @property
    def side(self) -> str:
        return self.player.side

    def usages(self) -> tuple[Usage, Usage]:
        return usage_of(self.client), sum(map(usage_of, self.servers), start=Usage())


class Contest:
    """All sides, warm and waiting. A context manager: leaving it ends every process it started.

    `fraction` is each lease's part of the GPU; with None, the leases get all of it between them. `variables` are
    added to every program's environment, and to the daemon's.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        say: Say,
        fraction: str | None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._commands = commands
        self._say = say
        self._leased = [side for side in commands if side not in (BARE, MACHINE)]
        self.fraction = fraction or f"1/{max(1, len(self._leased))}"
        self.cores = len(os.sched_getaffinity(0))
        self._variables = variables
        self._stack = ExitStack()
        self._seats: dict[str, Seat] = {}
        self.played: list[Pair] = []

    def __enter__(self) -> Self:
        try:
            daemon = private_daemon(bool(self._leased), variables=self._variables)
            environment = self._stack.enter_context(daemon)
            for side, command in self._commands.items():
                self._say(f"{side}: starting and warming up")
                started = side_command(side, command, self.fraction)
                player = self._stack.enter_context(Player(side, started, environment))
                self._seats[side] = self._seat(player)
            self._check_devices()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _seat(self, player: Player) -> Seat:
        ready = player.wait_ready(
            waiting=lambda: self._say(f"{player.side}: still warming up (compiling kernels)")
        )
        lease = ready.get("lease")
        if (lease is None) != (player.side in (BARE, MACHINE)):
            raise SideFailed(
                f"Side '{player.side}' runs in {'no' if lease is None else 'a'} lease.",
                "Start the benchmark outside of `tessera run`.",
            )
        taken = {pid for seat in self._seats.values() for pid in seat.servers}
        servers = servers_of(lease) if lease is not None else ()
        # All leases have one daemon, which is counted once.
        own = tuple(pid for pid in servers if pid not in taken)
        if player.side == VM:
            # The program's own number is one of the guest's. What it uses is what its machine uses.
            machine = (player.pid, *children_of(player.pid))
            return Seat(player=player, client=None, servers=(*own, *machine))
        return Seat(player=player, client=ready.get("pid"), servers=own)

    def _check_devices(self) -> None:
        devices = {driver.device for driver in self.drivers().values()}
        if len(devices) > 1:
            raise DevicesDiffer(
                f"The sides run on different devices: {', '.join(sorted(devices))}.",
                "Point OCL_ICD_VENDORS at the driver of the GPU that is leased.",
            )

    def drivers(self) -> dict[str, Driver]:
        """What each side with an OpenCL device sees."""
        return {
            side: Driver(**{name: seat.player.ready[name] for name in Driver.model_fields})
            for side, seat in self._seats.items()
            if "platform" in seat.player.ready
        }

    def play(
        self, pairs: int, rounds: int, patience: int, played: Played | None = None
    ) -> list[Pair]:
        """Plays until `pairs` pairs of slices of `rounds` rounds were undisturbed.

        Patience ends after `pairs` * (1 + `patience`) pairs; all of them are in `self.played`.
        Returns the `pairs` least disturbed ones. Raises SideFailed.
        """
        for place in range(pairs * (1 + patience)):
            if undisturbed(self.played, self.cores) >= pairs:
                break
            self.played.append(self._pair(bool(place % 2), rounds, played))
        return choose_pairs(self.played, pairs, self.cores)

    def _pair(self, turned: bool, rounds: int, played: Played | None) -> Pair:
        order = list(self._seats.values())
        pair: dict[str, Turn] = {}
        for seat in reversed(order) if turned else order:
            pair[seat.side] = self._turn(seat, rounds)
            if played is not None:
                played(seat.side, len(self.played) + 1, pair[seat.side].message)
        return {side: pair[side] for side in self._seats}

    def _turn(self, seat: Seat, rounds: int) -> Turn:
        before = {side: other.usages() for side, other in self._seats.items()}
        busy, began = machine_busy_seconds(), time.monotonic()
        message = seat.player.play(rounds)
        wall = time.monotonic() - began
        busy = machine_busy_seconds() - busy
        used = {
            side: tuple(now - then for now, then in zip(other.usages(), before[side], strict=True))
            for side, other in self._seats.items()
        }
        ours = sum(usage.cpu_seconds for both in used.values() for usage in both)
        return Turn(
            message=message,
            wall_seconds=float(message.get("seconds", wall)),
            client=used[seat.side][0],
            worker=used[seat.side][1],
            quiet={side: both[0] + both[1] for side, both in used.items() if side != seat.side},
            foreign_seconds=max(0.0, busy - ours),
        )

    def finish(self) -> dict[str, Message]:
        """Ends every side by the end of its input; returns their last words. Raises SideFailed."""
        return {side: seat.player.finish() for side, seat in self._seats.items()}
