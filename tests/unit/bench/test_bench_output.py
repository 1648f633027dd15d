# SPDX-License-Identifier: Apache-2.0
"""Tables, plots and the command line of the experiments."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tessera.bench.allocate import Refusal
from tessera.bench.cli import app, parse_cores
from tessera.bench.demo import summary_table
from tessera.bench.errors import ExampleMissing, ResultsDiffer
from tessera.bench.examples import WORKLOADS, find_example
from tessera.bench.host import cpu_model, describe_host
from tessera.bench.overhead import compare_results
from tessera.bench.plots import write_plot
from tessera.bench.result import Report
from tessera.bench.sides import parse_sides, side_command
from tessera.bench.tables import bulk_bytes, print_report
from tessera.model.errors import InvalidRequest, UsageError
from tessera.model.units import format_duration
from unit.bench.samples import (
    boots_report,
    calls_report,
    fairness_report,
    overhead_in_machine_report,
    overhead_report,
    quarters_report,
    suspended_machine_report,
)

REPORTS = pytest.mark.parametrize(
    "report",
    [
        overhead_report(),
        overhead_in_machine_report(),
        calls_report(),
        fairness_report(),
        quarters_report(),
        suspended_machine_report(),
        boots_report(),
    ],
    ids=["overhead", "overhead-vm", "calls", "fairness", "quarters", "suspend-vm", "start-vm"],
)


def printed(report: Report) -> str:
    console = Console(file=io.StringIO())
    print_report(console, report)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_overhead_table_tells_ratio_loss_and_target() -> None:
    text = printed(overhead_report())
    assert "0.9800" in text
    assert "+2.00" in text
    assert "missed" in text


def test_the_calls_table_tells_bandwidth_and_round_trips() -> None:
    text = printed(calls_report())
    assert "11.18 GB/s" in text
    assert "round_trip_finish" in text
    assert "reached" in text


def test_the_fairness_tables_tell_shares_waits_and_who_got_idle_time() -> None:
    text = printed(fairness_report())
    for figure in ("49.0 (50.0)", "1.00 %", "15.00 %", "0.9850", "pauses", "4.43"):
        assert figure in text, figure
    assert "missed" in text


def test_the_quarters_table_tells_slowdown_gain_model_and_limit() -> None:
    text = printed(quarters_report())
    for figure in ("2.5 %", "3.90", "16.1 %", "3.45", "-13.6 %", "4.00", "9.0 ms"):
        assert figure in text, figure


@REPORTS
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plots_are_written(report: Report, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"plot{suffix}"
    write_plot(report, path)
    if suffix == ".png":
        assert path.read_bytes().startswith(b"\x89PNG\r\n")
    else:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert path.stat().st_size > 5000


def test_a_plot_of_an_unknown_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="plot.gif"):
        write_plot(calls_report(), tmp_path / "plot.gif")
    assert list(tmp_path.iterdir()) == []


def test_the_demo_shows_both_sides_and_the_refusal() -> None:
    refusal = Refusal(1 << 30, 1 << 30, 1 << 20, "CL_MEM_OBJECT_ALLOCATION_FAILURE (-4)")
    console = Console(file=io.StringIO(), width=140)
    console.print(summary_table(overhead_report(), refusal))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "refused: CL_MEM_OBJECT_ALLOCATION_FAILURE (-4)" in text
    assert "150.0" in text
    assert "0.9800" in text


def test_durations_and_sizes_are_readable() -> None:
    assert [format_duration(value) for value in (12.0, 1234.0, 2.5e6, 3e9)] == [
        "12 ns",
        "1.23 us",
        "2.5 ms",
        "3 s",
    ]
    assert bulk_bytes("write_64MiB") == 64 << 20
    assert bulk_bytes("posted_kernel") is None


def test_sides_are_parsed_in_order_and_once() -> None:
    assert parse_sides("tcp, bare,tcp") == ("tcp", "bare")
    for text in ("", "bare,rdma", "machine"):
        with pytest.raises(InvalidRequest):
            parse_sides(text)


def test_only_leased_sides_go_through_tessera_run() -> None:
    assert side_command("bare", ["prog"], "1/4") == ["prog"]
    leased = side_command("unix", ["prog", "--flag"], "1/4")
    assert leased[3:] == ["run", "--fraction", "1/4", "--transport", "unix", "--", "prog", "--flag"]


def test_a_lease_gets_the_weight_that_is_asked_for() -> None:
    leased = side_command("shm", ["prog"], "1/4", weight=200)
    assert leased[leased.index("--weight") + 1] == "200"


def test_cores_are_parsed_as_taskset_does() -> None:
    assert parse_cores("0,2-4") == {0, 2, 3, 4}
    for text in ("", "a", "1-", "-1", "0-99999999999999"):
        with pytest.raises(InvalidRequest):
            parse_cores(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["overhead", "--workload", "doom"],
        ["overhead", "--on", "bare,rdma"],
        ["calls", "--plot", "plot.gif"],
        ["calls", "--cores", "4095"],
        ["fairness", "--tenants", "1"],
        ["fairness", "--tenants", "2,x"],
        ["fairness", "--policies", "equal,kind"],
        ["fairness", "--slice", "1h"],
        ["fairness", "--plot", "plot.gif"],
        ["quarters", "--duty", "0"],
        ["quarters", "--duty", "0.2,nan"],
        ["quarters", "--arrivals", "late"],
        ["quarters", "--slice", "31ms"],
    ],
)
def test_bad_arguments_are_refused_before_anything_is_measured(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        app(arguments, standalone_mode=False)


def test_every_workload_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in WORKLOADS:
        assert find_example(name).name == f"{name}.py"
    with pytest.raises(ExampleMissing):
        find_example("no_such_example")
    (tmp_path / "nbody.py").write_text("")
    monkeypatch.setenv("TESSERA_EXAMPLES", str(tmp_path))
    assert find_example("nbody") == tmp_path / "nbody.py"


def test_one_different_bit_is_a_different_result() -> None:
    turn = {"result": (0.1).hex(), "shown": 0.1}
    other = {"result": (0.1 + 2**-56).hex(), "shown": 0.1 + 2**-56}
    ends = {"bare": {"sha256": "aa"}, "shm": {"sha256": "aa"}}
    same = compare_results({"bare": [turn], "shm": [turn]}, ends)
    assert same == {"last": "0.1", "sha256": "aa"}
    with pytest.raises(ResultsDiffer):
        compare_results({"bare": [turn], "shm": [other]}, ends)
    with pytest.raises(ResultsDiffer):
        compare_results(
            {"bare": [turn], "shm": [turn]}, {"bare": {"sha256": "aa"}, "shm": {"sha256": "ab"}}
        )


def test_the_host_is_described() -> None:
    host = describe_host()
    assert host.cores >= len(host.affinity) >= 1
    assert host.memory_bytes > 1 << 28
    text = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu hypervisor sse2\n"
    assert cpu_model(text) == ("A CPU", True)
    assert cpu_model("model name : B\nflags : fpu\n") == ("B", False)
