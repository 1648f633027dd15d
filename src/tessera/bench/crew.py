# SPDX-License-Identifier: Apache-2.0
"""Several tenants of one GPU that work at the same time, where a contest lets its sides take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self, TypeVar

from tessera.bench.contest import Say
from tessera.bench.errors import SideFailed
from tessera.bench.player import Message, Player
from tessera.bench.sides import side_command

T = TypeVar("T")


@dataclass(frozen=True)
class Tenancy:
    """A program, and the lease that it gets; without a weight, that of every lease."""

    name: str
    command: Sequence[str]
    fraction: str
    weight: int | None = None


class Crew:
    """All tenants, warm and waiting. A context manager: leaving it ends every process it started.

    They start one after another, because each warms up on a device that it believes its own.
    """

    def __init__(
        self, tenancies: Sequence[Tenancy], transport: str, environment: Mapping[str, str], say: Say
    ) -> None:
        self._tenancies = tenancies
        self._transport = transport
        self._environment = environment
        self._say = say
        self._stack = ExitStack()
        self.players: dict[str, Player] = {}

    def __enter__(self) -> Self:
        try:
            for tenancy in self._tenancies:
                self._start(tenancy)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _start(self, tenancy: Tenancy) -> None:
        command = side_command(
            self._transport, tenancy.command, tenancy.fraction, weight=tenancy.weight
        )
        player = self._stack.enter_context(Player(tenancy.name, command, self._environment))
        ready = player.wait_ready(waiting=lambda: self._say(f"{tenancy.name}: still warming up"))
        if ready.get("lease") is None:
            raise SideFailed(
                f"Tenant '{tenancy.name}' runs in no lease.", "Run the benchmark's command by hand."
            )
        self.players[tenancy.name] = player

    @property
    def leases(self) -> list[str]:
        """The ids of the leases, in the order of the tenants."""
        return [str(player.ready["lease"]) for player in self.players.values()]

    def run(
        self, amounts: Mapping[str, int], meanwhile: Callable[[], T]
    ) -> tuple[dict[str, Message], T]:
        """Lets each tenant in `amounts` begin a turn of that amount, calls `meanwhile`, and returns the
        tenants' slices with what that returned. Raises SideFailed."""
        for name, amount in amounts.items():
            self.players[name].begin(amount)
        seen = meanwhile()
        return {name: self.players[name].answer() for name in amounts}, seen
