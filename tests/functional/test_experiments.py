# SPDX-License-Identifier: Apache-2.0
"""The experiments on sharing, with real tenants on the embedded device, as short as they can be.

What they measure depends on the machine and is judged nowhere here; that everything is measured is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.processes import eventually
from tessera.bench.cli import dump
from tessera.bench.demo import keep_caches
from tessera.bench.fairness import IDLE_CYCLES, TENANT_PROGRAM, FairnessPlan, run_fairness
from tessera.bench.overhead import OverheadPlan, run_overhead
from tessera.bench.plots import write_plot
from tessera.bench.quarters import QuartersPlan, run_quarters
from tessera.bench.result import Report
from tessera.model.policy import PolicyKind
from tessera.native import find

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
TWO = (PolicyKind.EQUAL, PolicyKind.WEIGHTED)


@pytest.fixture(autouse=True)
def _caches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCL_CACHE_DIR", "")  # noted by the patch, which so takes back what is set
        patch.delenv("POCL_CACHE_DIR")
        keep_caches(ROOT / ".cache")
        yield


def told_and_drawn(report: Report, folder: Path) -> None:
    assert Report.model_validate_json(dump(report)).targets == report.targets
    write_plot(report, folder / "plot.png")
    assert (folder / "plot.png").stat().st_size > 10_000


def test_fairness_asks_all_questions_under_every_policy(tmp_path: Path) -> None:
    said: list[str] = []
    plan = FairnessPlan(
        tenants=(2, 3),
        policies=TWO,
        seconds=0.5,
        kernel_us=200,
        idle_turns=1,
        pairs=1,
        patience=0,
    )
    report = run_fairness(plan, said.append)
    assert [(run.policy, len(run.tenants)) for run in report.shares] == [
        (policy, count) for count in (2, 3) for policy in TWO
    ]
    for run in report.shares:
        assert sum(tenant.measured for tenant in run.tenants) == pytest.approx(1)
        assert sum(tenant.counted for tenant in run.tenants) == pytest.approx(1)
        assert all(tenant.device_ns > 0 for tenant in run.tenants)
        assert 0 < run.busy
    weighted = [run for run in report.shares if run.policy == PolicyKind.WEIGHTED]
    assert [[tenant.weight for tenant in run.tenants] for run in weighted] == [
        [100, 200],
        [100, 200, 400],
    ]
    assert [run.policy for run in report.waits] == list(TWO)
    assert all(run.kernels > 0 for run in report.waits)
    for idle in report.idles:
        assert idle.pausing == (False, False, True, True)
        assert idle.while_paused[2:] == (0.0, 0.0)
        assert min(*idle.while_paused[:2], *idle.while_working) > 0
        assert len(idle.ratios) == IDLE_CYCLES * plan.idle_turns
    # Both of these policies leave no time unused; the one alone is the same for both.
    assert [run.policy for run in report.throughputs] == list(TWO)
    assert len({run.alone for run in report.throughputs}) == 1
    for throughput in report.throughputs:
        assert len(throughput.alone) == len(throughput.together) == plan.pairs
    assert len(said) > 10
    told_and_drawn(report, tmp_path)


def test_quarters_plays_the_job_alone_and_together(tmp_path: Path) -> None:
    plan = QuartersPlan(
        duties=(0.3, 0.6), policies=TWO, jobs=2, device_ms=2.0, seconds=0.5, rounds=1, patience=0
    )
    report = run_quarters(plan, print)
    assert [(run.asked, run.policy) for run in report.duties] == [
        (duty, policy) for duty in (0.3, 0.6) for policy in TWO
    ]
    for run in report.duties:
        assert 0 < run.duty <= 1
        assert len(run.slowdowns) == len(run.together_ns[0]) == plan.jobs
        assert 0 < run.gain
        assert run.predicted_slowdown >= 1
    waits = [run.wait_ns for run in report.duties]
    # Equal, namely 0, where the machine is so busy that the host part alone is longer than either wait.
    assert waits[0] >= waits[-1] >= 0
    told_and_drawn(report, tmp_path)


def test_advise_tells_what_a_saturating_and_an_interactive_lease_would_do(host: Host) -> None:
    tenants = {
        "busy": ["saturating", "--loops", "50", "--ms", "600000"],
        "light": ["interactive", "--loops", "50", "--ms", "600000"],
    }

    def all_compute() -> bool:
        found = host.json("stats")
        uses = [stats["gpus"][0]["device"] for stats in found]
        return len(uses) == 2 and all(use is not None and use["device_ns"] > 0 for use in uses)

    with ExitStack() as running:
        for name, words in tenants.items():
            command = ("run", "--name", name, "-f", "1/4", "--", str(find(TENANT_PROGRAM)), *words)
            running.enter_context(host.start(*command))
        eventually(all_compute, "both leases have used the device", limit=60)
        advice = host.json("advise", "--seconds", "1", "busy", "light")
        busy, light = advice["leases"]
        assert (busy["name"], light["name"]) == ("busy", "light")
        assert busy["duty"] > light["duty"] > 0
        assert min(busy["slowdown"], light["slowdown"]) >= 1
        assert 1 <= advice["gain"] <= 2
        assert advice["fits"] == [busy["gpu"]]
        assert advice["memory"] == busy["memory"] + light["memory"]
        assert "times the work" in host.run("advise", "--seconds", "0.2").stdout
        host.run("advise", "--seconds", "0.2", "nobody", code=3)
        host.run("stop", "--all")
    host.run("advise", "--seconds", "0.2", code=4)


def test_overhead_starts_all_sides_anew_for_each_sitting(tmp_path: Path) -> None:
    said: list[str] = []
    told: list[tuple[str, int]] = []
    plan = OverheadPlan(workload="nbody", pairs=5, steps=2, patience=0, sittings=2)
    report = run_overhead(
        plan,
        said.append,
        lambda side, pair, _: told.append((side, pair)),
        warm=lambda: said.append("warm"),
    )
    starts = [text for text in said if text.endswith("starting and warming up") or text == "warm"]
    bare, shm = (f"{side}: starting and warming up" for side in plan.sides)
    assert starts == [bare, shm, "warm", bare, shm]
    assert sorted(told) == [(side, pair) for side in ("bare", "shm") for pair in range(1, 6)]
    assert [len(turns) for turns in report.series[0].samples.values()] == [5, 5]
    assert report.parameters["sittings"] == 2
    told_and_drawn(report, tmp_path)
