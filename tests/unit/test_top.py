# SPDX-License-Identifier: Apache-2.0
"""`tessera top`: rates are the difference of two looks, and what is shown of them fits the window."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from rich.console import Console, RenderableType

from helpers.samples import NOW, a_device, a_lease, a_session
from tessera.cli.top import view
from tessera.cli.top.order import KEYS, Order, ordered
from tessera.cli.top.view import Shown
from tessera.model.lease import Condition, GpuShare, Lease, LeaseState
from tessera.model.policy import GpuPolicy, PolicyKind
from tessera.model.rates import Rates, rates
from tessera.model.stats import Counters, GpuStats, LeaseStats, SessionStats
from tessera.model.usage import GpuUsage, LeaseUsage, Usage

SECOND = 10**9
MIB = 1 << 20


def a_gpu(gpu: str = "gpu0", leases: int = 2, device_ns: int | None = 0) -> GpuUsage:
    policy = GpuPolicy(
        gpu=gpu,
        policy=PolicyKind.BEST_EFFORT,
        time_slice_ms=None,
        effective_slice_ms=2,
        leases=leases,
    )
    return GpuUsage(
        gpu=gpu,
        name="a card with a name that is long",
        memory=4096 * MIB,
        reserve=0,
        leased=2048 * MIB,
        free=2048 * MIB,
        used=100 * MIB,
        leases=leases,
        policy=policy,
        arbiter_running=True,
        arbiter_restarts=0,
        device_ns=device_ns,
        idle_ns=0,
    )


def used(
    lease: Lease, device_ns: int, sessions: tuple[SessionStats, ...] = (), **fields: object
) -> LeaseUsage:
    device = a_device().model_copy(update={"device_ns": device_ns, **fields})
    stats = LeaseStats(
        lease=lease.id,
        name=lease.name,
        gpus=tuple(
            GpuStats(gpu=share.gpu, limit=MIB, used=7, peak=8, refused=0, device=device)
            for share in lease.gpus
        ),
        sessions=sessions,
        totals=Counters(),
        sessions_total=len(sessions),
    )
    return LeaseUsage(lease=lease, stats=stats)


def named(name: str, gpus: int = 1) -> Lease:
    shares = tuple(GpuShare(gpu=f"gpu{number}", memory=MIB) for number in range(gpus))
    return a_lease().model_copy(update={"id": name, "name": name, "gpus": shares})


def look(at_ns: int, gpu: GpuUsage, *leases: LeaseUsage) -> Usage:
    return Usage(taken_ns=at_ns, gpus=(gpu,), leases=leases)


def test_device_time_between_two_looks_is_shared_out() -> None:
    a, b = named("a"), named("b")
    before = look(0, a_gpu(device_ns=5 * SECOND), used(a, 100), used(b, 0))
    gpu = a_gpu(device_ns=6 * SECOND)
    after = look(2 * SECOND, gpu, used(a, 100 + 3 * SECOND // 4), used(b, SECOND // 4))
    found = rates(before, after)
    assert found.seconds == 2
    assert found.gpus[0].busy == 0.5
    assert [lease.gpus[0].share for lease in found.leases] == [0.75, 0.25]
    assert [lease.gpus[0].duty for lease in found.leases] == [0.375, 0.125]


def test_what_is_not_known_is_not_guessed() -> None:
    a = named("a")
    first = rates(None, look(5, a_gpu(), used(a, 7)))
    assert (first.seconds, first.gpus[0].busy) == (None, None)
    assert first.leases[0].gpus[0].share is None
    assert first.leases[0].messages is None
    assert first.leases[0].gpus[0].used == 7
    new = rates(look(0, a_gpu()), look(SECOND, a_gpu(), used(a, 7)))
    assert new.leases[0].gpus[0].share is None
    idle = rates(look(0, a_gpu(), used(a, 7)), look(SECOND, a_gpu(), used(a, 7)))
    assert (idle.gpus[0].busy, idle.leases[0].gpus[0].duty) == (0, 0)
    assert idle.leases[0].gpus[0].share is None
    suspended = LeaseUsage(lease=a, stats=None)
    gone = rates(look(0, a_gpu(), used(a, 7)), look(SECOND, a_gpu(), suspended))
    assert gone.leases[0].gpus[0].used is None


def test_a_gpu_without_leases_is_not_busy() -> None:
    empty = a_gpu(leases=0, device_ns=None)
    assert rates(look(0, empty), look(SECOND, empty)).gpus[0].busy == 0
    # The board began anew between the looks.
    young = rates(look(0, a_gpu(device_ns=10 * SECOND)), look(SECOND, a_gpu(device_ns=SECOND // 2)))
    assert young.gpus[0].busy == 0.5


def test_messages_are_counted_by_session() -> None:
    a = named("a")
    one, two = a_session(1), a_session(2)
    later = one.model_copy(update={"messages": one.messages + 10, "round_trips": 4})
    # Session 2 has ended, and a new process has got its number.
    reborn = two.model_copy(update={"started_at": NOW + timedelta(hours=1), "messages": 30})
    before = look(0, a_gpu(), used(a, 0, (one, two)))
    after = look(2 * SECOND, a_gpu(), used(a, 0, (later, reborn)))
    (found,) = rates(before, after).leases
    assert (found.messages, found.round_trips) == (20, 2)
    assert found.sessions == 2


def test_percentiles_are_those_of_the_interval() -> None:
    a = named("a")
    before = look(0, a_gpu(), used(a, 0, wait_counts={40: 1000}))
    after = look(SECOND, a_gpu(), used(a, 0, wait_counts={40: 1000, 4: 3}))
    (gpu,) = rates(before, after).leases[0].gpus
    assert (gpu.waits, gpu.wait_p50_us, gpu.wait_p99_us) == (3, 2.0, 2.0)


def some_rates(leases: int = 3, gpus_each: int = 1) -> Rates:
    names = [f"lease-{number:02d}" for number in range(leases)]
    before = [used(named(name, gpus_each), 0) for name in names]
    after = [
        used(named(name, gpus_each), (number + 1) * SECOND // 100, wait_counts={4: number + 1})
        for number, name in enumerate(names)
    ]
    then, now = a_gpu(device_ns=0), a_gpu(device_ns=SECOND // 2)
    return rates(look(0, then, *before), look(SECOND, now, *after))


def drawn(width: int, height: int, draw: str, found: Rates, shown: Shown) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    content: RenderableType = getattr(view, draw)(console, found, shown, NOW)
    with console.capture() as captured:
        console.print(content, end="")
    return captured.get().split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 9), (110, 24), (200, 50)])
@pytest.mark.parametrize("gpus_each", [1, 2])
def test_the_screen_fits_the_window(width: int, height: int, gpus_each: int) -> None:
    lines = drawn(width, height, "screen", some_rates(60, gpus_each), Shown())
    assert len(lines) == height
    assert all(len(line.rstrip()) <= width for line in lines)
    assert lines[-1].split()[0] == "s"
    assert lines[-1].rstrip().endswith("q quit")
    assert "more" in lines[-2] or "more" in lines[-3]


def test_the_screen_shows_each_lease_once() -> None:
    lines = drawn(80, 24, "screen", some_rates(3), Shown())
    assert "1 GPU, 3 leases" in lines[0]
    assert lines[2].split() == [
        *("GPU", "DEVICE", "TIME", "BUSY", "USED", "LEASED", "MEMORY", "POLICY", "SLICE", "LEASES"),
    ]
    assert lines[3].split()[:3] == ["gpu0", "\N{MIDDLE DOT}" * 10, "50%"] or "█" in lines[3]
    names = [line.split()[0] for line in lines if line.startswith("lease-")]
    assert names == ["lease-02", "lease-01", "lease-00"]
    assert all(line.strip() == "" for line in lines[9:-1])


def test_a_lease_on_several_gpus_has_a_line_for_each() -> None:
    lines = drawn(120, 24, "plain", some_rates(1, gpus_each=2), Shown())
    first, second = lines[6:8]
    assert first.split()[:3] == ["lease-00", first.split()[1], "gpu0"]
    assert second.split()[0] == "gpu1"


def test_a_bar_is_as_long_as_the_device_is_busy() -> None:
    (line,) = [
        line for line in drawn(200, 24, "screen", some_rates(3), Shown()) if "gpu0 " in line
    ][:1]
    # Three leases with duties of 1, 2 and 3 %: the sum is rounded, not the parts.
    assert line.count("█") == 1


def test_a_command_cannot_write_to_the_terminal_and_conditions_come_first() -> None:
    found = some_rates(2)
    first, second = found.leases
    evil = first.model_copy(update={"command": ("x\x1b]0;y\x07",)})
    ill = second.model_copy(
        update={"conditions": (Condition(name="ArbiterRestarting", message="m"),)}
    )
    shown = found.model_copy(update={"leases": (evil, ill)})
    text = "\n".join(drawn(100, 24, "plain", shown, Shown()))
    assert "\x1b" not in text
    assert "ArbiterRestarting" in text
    asleep = first.model_copy(update={"state": LeaseState.SUSPENDED})
    text = "\n".join(
        drawn(100, 24, "plain", found.model_copy(update={"leases": (asleep,)}), Shown())
    )
    assert "suspended" in text


def test_a_missing_arbiter_and_a_missing_daemon_are_told() -> None:
    found = some_rates(1)
    lost = found.gpus[0].model_copy(update={"arbiter_running": False})
    lines = drawn(
        120, 24, "screen", found.model_copy(update={"gpus": (lost,)}), Shown(trouble="No daemon.")
    )
    assert lines[0].rstrip().endswith("No daemon.")
    assert "no arbiter" in lines[3]


@pytest.mark.parametrize("order", Order)
def test_every_order_has_a_key_and_can_be_turned(order: Order) -> None:
    leases = some_rates(3).leases
    assert order in KEYS.values()
    forward = ordered(leases, order, backwards=False)
    assert {lease.name for lease in forward} == {lease.name for lease in leases}
    if order in (Order.SHARE, Order.DUTY):
        assert [lease.name for lease in forward] == ["lease-02", "lease-01", "lease-00"]
    if order in (Order.SHARE, Order.DUTY, Order.NAME):
        assert ordered(leases, order, backwards=True) == forward[::-1]


def test_colours_stay_with_their_leases() -> None:
    shown = Shown()
    colours = [shown.colour(name) for name in ("a", "b", "a", "c")]
    assert colours[0] == colours[2]
    assert len({colours[0], colours[1], colours[3]}) == 3


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1536, "1.5K"),
        (72 * 1024, "72K"),
        (100 * MIB, "100M"),
        (3 << 30, "3.0G"),
    ],
)
def test_sizes_are_short(amount: int, text: str) -> None:
    assert view._size(amount) == text
