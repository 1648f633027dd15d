# SPDX-License-Identifier: Apache-2.0
"""Simulates tenants of one GPU under the arbiter's own policy code (native/arbiter/policy.h).

The simulated GPU does what a real one does to the policy: a command cannot be stopped, its length is
charged after it has ended, and a change of hands may cost time. Who comes back is seen at once, also in
the middle of another's command, as the arbiter is rung then. Times are nanoseconds.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

BEST_EFFORT, EQUAL, FIXED, WEIGHTED = range(4)
NOBODY = 128
NO_END = (1 << 64) - 1
OWED_SLICES = 4
MS = 1_000_000


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(Path(os.environ["TESSERA_NATIVE_DIR"]) / "libtessera-policy.so"))
    word, long, pointer = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
    library.tessera_policy_new.argtypes = (word, long)
    library.tessera_policy_new.restype = pointer
    library.tessera_policy_free.argtypes = (pointer,)
    library.tessera_policy_change.argtypes = (pointer, word)
    library.tessera_policy_see.argtypes = (pointer, word, word, word, word, long)
    library.tessera_policy_account.argtypes = (pointer, long)
    library.tessera_policy_choose.argtypes = (
        pointer,
        long,
        ctypes.POINTER(long),
        ctypes.POINTER(long),
    )
    library.tessera_policy_choose.restype = word
    return library


@dataclass
class Tenant:
    """`kernel`: length of each command; `burst` commands, then idle for `think` (0: saturating)."""

    kernel: int
    burst: int = 1
    think: int = 0
    weight: int = 100
    share_ppm: int = 1_000_000
    begins: int = 0
    device: int = 0
    waits: list[int] = field(default_factory=list)
    left: int = 0
    active: bool = False
    since: int = 0

    def wake(self, now: int) -> None:
        if not self.active and now >= self.begins:
            self.active = True
            self.left = self.burst
            self.since = now

    def ran_one(self, now: int) -> None:
        self.device += self.kernel
        self.left -= 1
        if self.left == 0:
            if self.think == 0:
                self.left = self.burst
            else:
                self.active = False
                self.begins = now + self.think


@dataclass
class Outcome:
    """What a run of `span` came to; `idle` is the time in which nobody had the GPU."""

    tenants: Sequence[Tenant]
    span: int
    idle: int
    idle_with_work: int
    grants: int

    def shares(self) -> list[float]:
        return [tenant.device / self.span for tenant in self.tenants]


class _Policy:
    """The state of the policy, and what it is shown."""

    def __init__(self, kind: int, slice_ns: int, tenants: Sequence[Tenant]) -> None:
        self._library = _library()
        self._state = self._library.tessera_policy_new(kind, slice_ns)
        self._tenants = tenants

    def close(self) -> None:
        self._library.tessera_policy_free(self._state)

    def change(self, kind: int) -> None:
        self._library.tessera_policy_change(self._state, kind)

    def _see(self, now: int) -> None:
        for index, tenant in enumerate(self._tenants):
            tenant.wake(now)
            self._library.tessera_policy_see(
                self._state, index, tenant.active, tenant.weight, tenant.share_ppm, tenant.device
            )

    def notice(self, now: int) -> None:
        """Whoever came back until now, before what ends now is charged."""
        if any(not tenant.active and tenant.begins <= now for tenant in self._tenants):
            self._see(now)
            self._library.tessera_policy_account(self._state, now)

    def choose(self, now: int) -> tuple[int, int, int]:
        """Who goes next, until when, and when to look again."""
        until, again = ctypes.c_uint64(), ctypes.c_uint64()
        self._see(now)
        chosen: int = self._library.tessera_policy_choose(
            self._state, now, ctypes.byref(until), ctypes.byref(again)
        )
        return chosen, until.value, again.value


def simulate(
    kind: int,
    tenants: Sequence[Tenant],
    span: int,
    slice_ns: int = 2 * MS,
    overhead: int = 0,
    changes: Sequence[tuple[int, int]] = (),
) -> Outcome:
    """Runs the tenants for `span`; every change of hands costs `overhead`. `changes` are later policies:
    since when, from the start, and which."""
    policy = _Policy(kind, slice_ns, tenants)
    # The clock of a real machine does not begin at 0 either.
    start = now = 10**12
    end = start + span
    for tenant in tenants:
        tenant.begins += start
    idle = idle_with_work = grants = 0
    try:
        to_come = list(changes)
        while now < end:
            while to_come and now >= start + to_come[0][0]:
                policy.change(to_come.pop(0)[1])
            chosen, until, again = policy.choose(now)
            coming = min((t.begins for t in tenants if not t.active), default=NO_END)
            if chosen == NOBODY:
                later = min(again, coming, end)
                idle += later - now
                idle_with_work += (later - now) * any(t.active for t in tenants)
                now = max(later, now + 1)
                continue
            grants += 1
            now = _run(policy, tenants[chosen], now + overhead, until, coming, end)
    finally:
        policy.close()
    return Outcome(tenants, now - start, idle, idle_with_work, grants)


def _run(policy: _Policy, tenant: Tenant, now: int, until: int, coming: int, end: int) -> int:
    """The grant's time: commands go as long as they fit; the first goes in any case."""
    tenant.waits.append(now - tenant.since)
    # Alone, it has the GPU until somebody else comes.
    until = min(until, max(coming, now)) if until == NO_END else until
    while True:
        now += tenant.kernel
        policy.notice(now)
        tenant.ran_one(now)
        if not tenant.active or now + tenant.kernel > until or now >= end:
            tenant.since = now
            return now
