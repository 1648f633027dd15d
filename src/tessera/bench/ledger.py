# SPDX-License-Identifier: Apache-2.0
"""What turns cost, which pairs count, and where the extra time went. Pure functions.

On a machine that others use too, a compiler that starts in the middle of one slice moves a ratio
by far more than what is measured here. So more pairs are played than needed, and those count in
which others took least of the cores. The choice looks at nothing but that: it cannot see which
side was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tessera.bench.player import Message
from tessera.bench.result import BARE, MACHINE, Account, Loss
from tessera.bench.usage import Usage

COUNTERS = ("messages", "round_trips", "bytes_to_worker", "bytes_to_client", "wakes", "sleeps")
UNDISTURBED = 0.05  # of the cores' time, taken by processes outside of the experiment


@dataclass(frozen=True)
class Turn:
    """One slice of one side: its answer, and what everybody used meanwhile."""

    message: Message
    wall_seconds: float
    client: Usage = field(default_factory=Usage)
    worker: Usage = field(default_factory=Usage)
    quiet: Mapping[str, Usage] = field(default_factory=dict)  # of the other sides
    foreign_seconds: float = 0.0


Pair = Mapping[str, Turn]


def disturbance(pair: Pair, cores: int) -> float:
    """The part of the cores' time (0 to 1) that others took, in the worse slice of the pair."""
    return max(turn.foreign_seconds / (turn.wall_seconds * cores) for turn in pair.values())


def undisturbed(pairs: Sequence[Pair], cores: int) -> int:
    """How many pairs others hardly took part in."""
    return sum(disturbance(pair, cores) <= UNDISTURBED for pair in pairs)


def choose_pairs(pairs: Sequence[Pair], count: int, cores: int) -> list[Pair]:
    """The `count` least disturbed pairs, in the order in which they were played."""
    ranked = sorted(range(len(pairs)), key=lambda place: disturbance(pairs[place], cores))
    return [pairs[place] for place in sorted(ranked[:count])]


def slices_of(pairs: Sequence[Pair]) -> dict[str, list[Message]]:
    """The answers, by side."""
    return {side: [pair[side].message for pair in pairs] for side in pairs[0]} if pairs else {}


def accounts_of(pairs: Sequence[Pair]) -> tuple[Account, ...]:
    """The totals of every side over `pairs`."""
    return tuple(_account(side, pairs) for side in (pairs[0] if pairs else ()))


def _account(side: str, pairs: Sequence[Pair]) -> Account:
    turns = [pair[side] for pair in pairs]
    client, worker, quiet = Usage(), Usage(), Usage()
    for turn in turns:
        client, worker = client + turn.client, worker + turn.worker
    for pair in pairs:
        for other in pair.values():
            quiet += other.quiet.get(side, Usage())
    return Account(
        side=side,
        steps=sum(int(turn.message.get("steps", 1)) for turn in turns),
        wall_seconds=sum(turn.wall_seconds for turn in turns),
        client_cpu_seconds=client.cpu_seconds,
        worker_cpu_seconds=worker.cpu_seconds,
        system_cpu_seconds=(client + worker).system_seconds,
        quiet_cpu_seconds=quiet.cpu_seconds,
        foreign_cpu_seconds=sum(turn.foreign_seconds for turn in turns),
        client_switches=client.switches,
        worker_switches=worker.switches,
        **{
            name: sum(int(turn.message.get("counters", {}).get(name, 0)) for turn in turns)
            for name in COUNTERS
        },
    )


def losses(accounts: Iterable[Account], cores: int) -> tuple[Loss, ...]:
    """Where the extra time of each leased side went, beside the bare side among `accounts`."""
    by_side = {account.side: account for account in accounts}
    bare = by_side.get(BARE)
    if bare is None:
        return ()
    return tuple(
        _loss(bare, account, cores)
        for side, account in by_side.items()
        if side not in (BARE, MACHINE)
    )


def _loss(bare: Account, side: Account, cores: int) -> Loss:
    whole = cores * bare.per_step(bare.wall_seconds)

    def extra(total: Callable[[Account], float]) -> float:
        more = side.per_step(total(side)) - bare.per_step(total(bare))
        return 100 * more / whole

    lost = extra(lambda account: account.wall_seconds * cores)
    system = extra(lambda account: account.system_cpu_seconds)
    cpu = extra(lambda account: account.client_cpu_seconds + account.worker_cpu_seconds)
    foreign = extra(lambda account: account.foreign_cpu_seconds)
    return Loss(
        side=side.side,
        lost=lost,
        user=cpu - system,
        system=system,
        foreign=foreign,
        waiting=lost - cpu - foreign,
    )
