# SPDX-License-Identifier: Apache-2.0
"""Players and contests, with small Python programs in the roles of the measured ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tessera.bench import contest
from tessera.bench import player as player_module
from tessera.bench.contest import Contest
from tessera.bench.errors import DevicesDiffer, SideFailed
from tessera.bench.ledger import Turn, accounts_of, choose_pairs, disturbance, slices_of
from tessera.bench.player import Player
from tessera.bench.usage import Usage, servers_of, usage_of

GOOD = """
import json, os, sys
name, device, log = sys.argv[1:]
facts = {"platform": "P", "platform_version": "3", "device": device, "driver_version": "1"}
print(json.dumps({"event": "ready", "pid": os.getpid(), "lease": None, **facts}), flush=True)
for line in sys.stdin:
    with open(log, "a") as file:
        file.write(name)
    steps = int(line.split()[1])
    total = sum(range(300_000))
    counters = {"messages": 7}
    slice = {"event": "slice", "steps": steps, "seconds": 0.5, "counters": counters}
    print(json.dumps(slice), flush=True)
print(json.dumps({"event": "end"}), flush=True)
"""


def good(name: str, device: str, log: Path) -> list[str]:
    return [sys.executable, "-c", GOOD, name, device, str(log)]


def player(program: str) -> Player:
    return Player("bare", [sys.executable, "-c", program], os.environ)


def test_turns_are_answered_one_by_one(tmp_path: Path) -> None:
    with Player("bare", good("a", "D", tmp_path / "log"), os.environ) as one:
        assert one.wait_ready()["device"] == "D"
        assert one.play(3)["steps"] == 3
        assert one.play(5)["steps"] == 5
        assert one.finish() == {"event": "end"}


def test_a_process_that_ends_early_is_named_with_what_it_said() -> None:
    early = pytest.raises(SideFailed, match=r"'bare' ended before it said 'ready'")
    with player("import sys; sys.exit('no device here')") as one, early as caught:
        one.wait_ready()
    assert "no device here" in caught.value.message


def test_a_process_that_talks_nonsense_is_refused() -> None:
    with player("print('hello')") as one, pytest.raises(SideFailed, match="something else than"):
        one.wait_ready()


def test_a_silent_process_runs_into_the_time_limit_and_is_ended() -> None:
    with player("import time; time.sleep(600)") as one:
        with pytest.raises(SideFailed, match="within 0 s"):
            one.wait_ready(0.2)
        pid = one._process.pid
    assert not Path(f"/proc/{pid}").exists()


def test_a_bad_exit_code_is_no_success() -> None:
    program = (
        'import sys; print(\'{"event": "ready"}\', flush=True); sys.stdin.read();'
        'print(\'{"event": "end"}\', flush=True); sys.exit(3)'
    )
    with player(program) as one:
        one.wait_ready()
        with pytest.raises(SideFailed, match="exit code 3"):
            one.finish()


def test_sides_alternate_and_the_order_turns_around(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = {"machine": good("m", "D", log), "bare": good("b", "D", log)}
    seen: list[str] = []
    with Contest(commands, lambda _: None, None) as match:
        pairs = match.play(3, 2, 0, lambda side, _count, _slice: seen.append(side))
        match.finish()
    assert log.read_text() == "mbbmmb"
    assert seen == ["machine", "bare", "bare", "machine", "machine", "bare"]
    assert [len(turns) for turns in slices_of(pairs).values()] == [3, 3]
    accounts = {account.side: account for account in accounts_of(pairs)}
    assert accounts["bare"].steps == 6
    assert accounts["bare"].wall_seconds == pytest.approx(1.5)
    assert accounts["bare"].messages == 21
    assert accounts["bare"].client_cpu_seconds > 0


def test_different_devices_are_not_compared(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = {"machine": good("m", "one", log), "bare": good("b", "two", log)}
    with pytest.raises(DevicesDiffer, match="one, two"), Contest(commands, lambda _: None, None):
        pass


def test_cpu_time_is_counted_and_a_gone_process_used_nothing() -> None:
    before = usage_of(os.getpid())
    sum(range(2_000_000))
    spent = usage_of(os.getpid()) - before
    assert 0 < spent.cpu_seconds < 60
    assert usage_of(None).cpu_seconds == 0
    assert servers_of("no-such-lease") == ()


def made_pair(number: int, foreign: float) -> dict[str, Turn]:
    quiet = {"shm": Usage(cpu_seconds=0.01)}
    return {
        "bare": Turn({"number": number}, wall_seconds=1.0, quiet=quiet),
        "shm": Turn({"number": number}, wall_seconds=1.0, foreign_seconds=foreign),
    }


def test_the_least_disturbed_pairs_count_in_their_order() -> None:
    pairs = [made_pair(number, foreign) for number, foreign in enumerate([0.9, 0.02, 0.4, 0.01])]
    assert disturbance(pairs[0], cores=2) == pytest.approx(0.45)
    chosen = slices_of(choose_pairs(pairs, 2, cores=2))
    assert [message["number"] for message in chosen["bare"]] == [1, 3]


def test_work_in_the_turn_of_another_side_is_noticed() -> None:
    accounts = {a.side: a for a in accounts_of([made_pair(0, 0.0), made_pair(1, 0.0)])}
    assert accounts["shm"].quiet_cpu_seconds == pytest.approx(0.02)
    assert accounts["bare"].quiet_cpu_seconds == 0


def test_playing_goes_on_while_others_disturb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = iter(range(0, 10_000, 50))  # every look finds 50 s more of other people's work
    monkeypatch.setattr(contest, "machine_busy_seconds", lambda: float(next(busy)))
    with Contest({"bare": good("b", "D", tmp_path / "log")}, lambda _: None, None) as match:
        pairs = match.play(2, 1, 2)
    assert len(match.played) == 6
    assert len(pairs) == 2


def test_a_long_warm_up_is_talked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "PATIENCE_SECONDS", 0.05)
    said: list[None] = []
    program = 'import time; time.sleep(0.5); print(\'{"event": "ready"}\')'
    with player(program) as one:
        one.wait_ready(waiting=lambda: said.append(None))
    assert len(said) >= 3


def test_a_terminated_experiment_leaves_no_process() -> None:
    program = (
        "import os, sys\n"
        "from tessera.bench.player import Player\n"
        "from tessera.bench.sides import clean_up_when_terminated\n"
        "clean_up_when_terminated()\n"
        "sleeper = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "with Player('bare', sleeper, os.environ) as one:\n"
        "    print(one._process.pid, flush=True)\n"
        "    one.wait_ready()\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    with running.stdout:
        sleeper = int(running.stdout.readline())
    running.terminate()
    assert running.wait(30) == 143
    assert not Path(f"/proc/{sleeper}").exists()
