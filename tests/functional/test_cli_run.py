# SPDX-License-Identifier: Apache-2.0
"""`tessera run` passes everything through, refuses by name, and leaves nothing behind.

Nothing here touches a device, so the native programs are fakes.
"""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.host import TESSERA, Host
from helpers.processes import eventually, is_running
from tessera.cli import run
from tessera.client.encode import encode
from tessera.client.exchange import ENVIRONMENT, exchange

OURS = b"HTTP/1.1 200 OK\r\ntessera-version: VERSION\r\n"


def leaves_nothing(host: Host) -> None:
    assert host.leases() == []
    assert host.lease_folders() == []
    assert host.processes() == []


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 37", 37), ("exit 255", 255)])
def test_the_exit_code_is_the_programs(shared_fake_host: Host, script: str, code: int) -> None:
    shared_fake_host.run("run", "--", "sh", "-c", script, code=code)
    leaves_nothing(shared_fake_host)


def test_a_program_ended_by_a_signal_is_seen_as_such_by_the_shell(shared_fake_host: Host) -> None:
    command = " ".join(TESSERA) + " run -- sh -c 'kill -TERM $$'; echo $?"
    shell = subprocess.run(
        ["sh", "-c", command],
        env=shared_fake_host.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == f"{128 + signal.SIGTERM}\n"
    leaves_nothing(shared_fake_host)


def test_standard_streams_are_the_programs(shared_fake_host: Host) -> None:
    script = "cat; echo err >&2"
    done = shared_fake_host.run("run", "--", "sh", "-c", script, stdin="some\0thing\n")
    assert (done.stdout, done.stderr) == ("some\0thing\n", "err\n")


def test_arguments_arrive_as_they_are(shared_fake_host: Host) -> None:
    words = ["a b", "", "--memory", "*", "'\"", "ä", "--"]
    script = "import sys; print(sys.argv[1:])"
    done = shared_fake_host.run("run", "-f", "1/2", "--", sys.executable, "-c", script, *words)
    assert done.stdout == f"{words}\n"


def test_options_after_the_program_are_the_programs(shared_fake_host: Host) -> None:
    assert shared_fake_host.run("run", "-f", "1/2", "echo", "--name", "x").stdout == "--name x\n"


def test_the_program_sees_its_lease_and_no_other_driver(shared_fake_host: Host) -> None:
    stale = {"OCL_ICD_FILENAMES": "/evil.so", "TESSERA_TOKEN": "old", "KEPT": "yes"}
    done = shared_fake_host.run("run", "--name", "job", "--", "env", environment=stale)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    lease = shared_fake_host.json("show", "job")
    assert seen["TESSERA_LEASE"] == lease["id"]
    assert seen["TESSERA_ENDPOINT"] == lease["endpoint"]
    assert seen["OCL_ICD_VENDORS"] == f"{shared_fake_host.runtime}/leases/{lease['id']}/vendors"
    assert seen["KEPT"] == "yes"
    assert not {"OCL_ICD_FILENAMES", "TESSERA_TOKEN"} & seen.keys()


def test_containers_are_shown_what_the_variables_lead_to(shared_fake_host: Host) -> None:
    own = {"APPTAINER_BIND": "/data:/data:ro"}
    script = 'env; echo "DRIVER=$(cat "$OCL_ICD_VENDORS/tessera.icd")"'
    done = shared_fake_host.run("run", "--", "sh", "-c", script, environment=own)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    kept, *shown = seen["APPTAINER_BIND"].split(",")
    assert (kept, shown) == ("/data:/data:ro", seen["SINGULARITY_BIND"].split(","))
    vendors, driver, socket = shown
    assert (vendors, driver) == (seen["OCL_ICD_VENDORS"], seen["DRIVER"])
    assert seen["TESSERA_ENDPOINT"].endswith(f":{socket}")


@pytest.mark.parametrize(
    ("options", "identity"),
    [([], "tessera"), (["--identity", "tessera"], "tessera"), (["--identity=device"], "device")],
)
def test_the_program_is_told_whose_names_its_platform_bears(
    shared_fake_host: Host, options: list[str], identity: str
) -> None:
    stale = {"TESSERA_IDENTITY": "pigeon"}
    words = ("run", "--name", f"job-{identity}", *options, "--", "printenv", "TESSERA_IDENTITY")
    assert shared_fake_host.run(*words, environment=stale).stdout == f"{identity}\n"
    assert shared_fake_host.json("show", f"job-{identity}")["identity"] == identity


@pytest.mark.parametrize(
    ("options", "weight"), [([], 100), (["--weight", "400"], 400), (["-w", "10000"], 10_000)]
)
def test_a_lease_has_the_weight_that_was_asked_for(
    shared_fake_host: Host, options: list[str], weight: int
) -> None:
    name = f"job-{weight}"
    shared_fake_host.run("run", "--name", name, *options, "--", "true")
    assert shared_fake_host.json("show", name)["weight"] == weight


def test_the_program_holds_the_lease_itself(shared_fake_host: Host) -> None:
    with shared_fake_host.start("run", "--name", "job", "--", "sleep", "60") as program:
        eventually(lambda: bool(shared_fake_host.leases()), "the lease is there")
        lease = shared_fake_host.json("show", "job")
        assert lease["holder"]["pid"] == program.pid
        assert lease["command"] == ["sleep", "60"]
        program.kill()
    leaves_nothing(shared_fake_host)


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "USR1", "USR2", "WINCH", "CONT"])
def test_signals_reach_the_program_once(shared_fake_host: Host, name: str) -> None:
    script = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIG{name}, lambda *_: print('got', flush=True))\n"
        "print('ready', flush=True)\n"
        "signal.signal(signal.SIGALRM, lambda *_: sys.exit(3))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.5)\n"
        "while True: signal.pause()\n"
    )
    with shared_fake_host.start("run", "--", sys.executable, "-c", script) as program:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        program.send_signal(getattr(signal, f"SIG{name}"))
        assert program.stdout.read() == "got\n"
        assert program.wait() == 3


def test_a_program_can_be_stopped_and_goes_on(shared_fake_host: Host) -> None:
    # In a group with a parent outside of it: the kernel stops no group that nobody could continue.
    with shared_fake_host.start("run", "--", "sleep", "60", process_group=0) as program:
        eventually(lambda: "sleep" in comm(program.pid), "the program runs")
        program.send_signal(signal.SIGTSTP)
        eventually(lambda: state(program.pid) == "T", "it is stopped")
        program.send_signal(signal.SIGCONT)
        eventually(lambda: state(program.pid) == "S", "it goes on")
        program.kill()


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_control_c_at_a_terminal_reaches_the_program_once(shared_fake_host: Host) -> None:
    script = (
        "import signal, time\n"
        "hits = []\n"
        "signal.signal(signal.SIGINT, lambda *_: hits.append(1))\n"
        "print('ready', flush=True)\n"
        "while not hits: time.sleep(0.01)\n"
        "time.sleep(0.3); print('hits', len(hits), flush=True)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(
            TESSERA[0],
            [*TESSERA, "run", "--", sys.executable, "-c", script],
            shared_fake_host.environment,
        )
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    while b"hits" not in seen or not seen.endswith(b"\n"):
        seen += os.read(terminal, 1000)
    assert b"hits 1" in seen
    assert os.waitpid(pid, 0)[1] == 0
    os.close(terminal)


def test_the_program_has_no_children_that_it_did_not_make(fake_host: Host) -> None:
    script = "import os\ntry: os.wait()\nexcept ChildProcessError: print('none')"
    assert fake_host.run("run", "--", sys.executable, "-c", script).stdout == "none\n"
    assert fake_host.daemon_pid() is not None


def test_the_program_has_the_descriptors_that_it_was_given(shared_fake_host: Host) -> None:
    done = shared_fake_host.run(
        "run", "--", sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"
    )
    assert done.stdout == "['0', '1', '2', '3']\n"


def test_sigpipe_ends_programs_as_usual(shared_fake_host: Host) -> None:
    command = f"{' '.join(TESSERA)} run -- sh -c 'yes; echo ended $? >&2' | head -1"
    done = subprocess.run(
        ["sh", "-c", command],
        env=shared_fake_host.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "y\n"
    assert done.stderr in ("", f"ended {128 + signal.SIGPIPE}\n")


def test_a_script_without_an_interpreter_line_runs_in_the_shell(shared_fake_host: Host) -> None:
    script = shared_fake_host.folder / "script"
    script.write_text("echo shell $1\n")
    script.chmod(0o755)
    assert shared_fake_host.run("run", "--", str(script), "x").stdout == "shell x\n"


def test_one_run_after_another_finds_the_memory_free(shared_fake_host: Host) -> None:
    run_it = f"{' '.join(TESSERA)} run --gpus 2 -- true"
    script = " && ".join([run_it] * 5)
    subprocess.run(["sh", "-c", script], env=shared_fake_host.environment, check=True, timeout=60)
    leaves_nothing(shared_fake_host)


def test_a_killed_program_gives_its_lease_back(shared_fake_host: Host) -> None:
    with shared_fake_host.start("run", "--", "sleep", "60") as program:
        eventually(lambda: bool(shared_fake_host.processes()), "the gatekeeper runs")
        program.kill()
    eventually(lambda: shared_fake_host.processes() == [], "without any further request")
    leaves_nothing(shared_fake_host)


REFUSALS = [
    (["run", "--bogus", "--", "true"], 2, "No such option"),
    (["run"], 2, "Missing argument"),
    (["run", "--gpus", "many", "--", "true"], 2, "integer"),
    (["run", "--gpus", "0", "--", "true"], 2, "--gpus"),
    (["run", "--gpus", "99", "--", "true"], 2, "gpus"),
    (["run", "--fraction", "5/4", "--", "true"], 2, "more than 0 and at most 1"),
    (["run", "--fraction", "0", "--", "true"], 2, "more than 0"),
    (["run", "--fraction", "abc", "--", "true"], 2, "not a fraction"),
    (["run", "--memory", "much", "--", "true"], 2, "not a memory size"),
    (["run", "--memory", "1", "--fraction", "1/2", "--", "true"], 2, "not by both"),
    (["run", "--transport", "pigeon", "--", "true"], 2, "pigeon"),
    (["run", "--identity", "pigeon", "--", "true"], 2, "pigeon"),
    (["run", "--weight", "0", "--", "true"], 2, "--weight"),
    (["run", "--weight", "10001", "--", "true"], 2, "weight"),
    (["run", "--name", "a b", "--", "true"], 2, "no name for a lease"),
    (["run", "--memory", "1TiB", "--", "true"], 4, "do not fit"),
    (["run", "--gpus", "3", "--", "true"], 4, "this host has 2"),
    (["run", "--", "no-such-program"], 3, "no program 'no-such-program'"),
    (["run", "--", "/etc/passwd"], 1, "may not be executed"),
    (["run", "--", "/"], 3, "no program"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), REFUSALS)
def test_refusals_have_a_name_an_exit_code_and_advice(
    shared_fake_host: Host, arguments: list[str], code: int, said: str
) -> None:
    done = shared_fake_host.run(*arguments, code=code)
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) >= 2
    leaves_nothing(shared_fake_host)


def test_a_bad_request_starts_no_daemon(fake_host: Host) -> None:
    fake_host.run("run", "--fraction", "5/4", "--", "true", code=2)
    fake_host.run("run", "--", "no-such-program", code=3)
    assert fake_host.daemon_pid() is None


def test_a_program_for_another_machine_releases_its_lease(shared_fake_host: Host) -> None:
    alien = shared_fake_host.folder / "alien"
    alien.write_bytes(b"#!/no/such/interpreter\n")
    alien.chmod(0o755)
    done = shared_fake_host.run("run", "--", str(alien), code=1)
    assert "cannot be executed" in done.stderr
    assert shared_fake_host.processes() == []


def test_no_gpu_and_a_broken_driver(fake_host: Host) -> None:
    native = fake_host.folder / "native"
    (native / "probe-mode").write_text("crash")
    done = fake_host.run("run", "--", "true", code=1)
    assert "SIGABRT" in done.stderr
    assert "tessera doctor" in done.stderr
    (native / "probe-mode").write_text("well")
    (native / "tessera-probe").write_text("#!/bin/sh\necho '{\"platforms\": []}'\n")
    done = fake_host.run("run", "--", "true", code=4)
    assert "offers no GPU" in done.stderr
    leaves_nothing(fake_host)


def test_an_unwritable_runtime_folder(fake_host: Host) -> None:
    done = fake_host.run(
        "run", "--", "true", code=1, environment={"TESSERA_RUNTIME_DIR": "/proc/nowhere"}
    )
    assert "/proc/nowhere" in done.stderr
    assert "TESSERA_RUNTIME_DIR" in done.stderr


def test_a_runtime_folder_that_cannot_be(fake_host: Host) -> None:
    done = fake_host.run(
        "run", "--", "true", code=1, environment={"TESSERA_RUNTIME_DIR": "/dev/full/x"}
    )
    assert "Cannot write" in done.stderr


def test_folders_may_be_relative(fake_host: Host) -> None:
    relative = {
        "TESSERA_RUNTIME_DIR": os.path.relpath(fake_host.runtime),
        "TESSERA_STATE_DIR": os.path.relpath(fake_host.state),
        "TESSERA_NATIVE_DIR": os.path.relpath(fake_host.folder / "native"),
    }
    fake_host.run("run", "--", "true", environment=relative)
    leaves_nothing(fake_host)


def test_a_stale_socket_is_replaced(fake_host: Host) -> None:
    fake_host.runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(fake_host.socket))
    fake_host.run("run", "--", "true")
    leaves_nothing(fake_host)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "ended before it answered"),
        (b"\0\xff garbage \r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "names no version"),
        (b"HTTP/1.1 201 OK\r\ntessera-version: 0.0.1\r\n\r\n{}", "version 0.0.1"),
        (
            OURS + b"Content-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "is no application/",
        ),
        (OURS + b"Content-Length: 3\r\n\r\nA=", "cut short"),
        (OURS + b"\r\nA=", "cut short"),
        (OURS.replace(b"200", b"500") + b"Content-Length: 6\r\n\r\n<html>", "no JSON"),
    ],
)
def test_something_else_on_the_socket(fake_host: Host, answer: bytes, said: str) -> None:
    from tessera import __version__

    fake_host.runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(fake_host.socket))
        listener.listen()
        with fake_host.start("run", "--", "true") as command:
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            connection.sendall(answer.replace(b"VERSION", __version__.encode()))
            connection.close()
            _, errors = command.communicate(timeout=20)
        assert command.returncode == 5
        assert said in errors
        assert "tessera daemon --stop" in errors


def test_the_fast_path_reads_what_the_full_command_reads() -> None:
    words = ["--fraction=1/4", "-n", "x", "-t", "tcp", "-g", "2", "--identity", "device"]
    words += ["--wait", "--priority", "-7", "--placement=spread", "--weight", "7"]
    options = run.parse([*words, "--", "a", "-b"])
    assert options is not None
    assert (options.identity, options.weight) == ("device", "7")
    assert (options.fraction, options.name, options.transport) == ("1/4", "x", "tcp")
    assert (options.gpus, options.command) == ("2", ["a", "-b"])
    assert (options.wait, options.priority) == (run.FOREVER, "-7")
    assert (options.placement, options.weight) == ("spread", "7")


@pytest.mark.parametrize(
    ("arguments", "wait", "command"),
    [
        (["--wait", "a"], run.FOREVER, ["a"]),
        (["--wait", "--", "9"], run.FOREVER, ["9"]),
        (["--wait", "9", "a"], "9", ["a"]),
        (["--wait=0.5", "a"], "0.5", ["a"]),
        (["-n", "--wait", "a", "--wait", "b"], None, ["a", "--wait", "b"]),
        (["a", "--wait"], None, ["a", "--wait"]),
    ],
)
def test_a_wait_may_go_without_a_time(
    arguments: list[str], wait: str | None, command: list[str]
) -> None:
    options = run.parse(arguments)
    assert options is not None
    assert (options.wait, options.command) == (wait, command)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["-f"], ["--bogus", "a"], ["--gpus", "x", "a"], ["-f=1/4", "a"], ["--"]]
    + [["-f", "1/2", "-m", "1", "a"], ["--transport", "pigeon", "a"], ["--gpus", "-1", "a"]]
    + [["--identity", "pigeon", "a"], ["--placement", "sideways", "a"], ["--wait=soon", "a"]]
    + [["--weight", "0", "a"], ["-w", "1" * 99, "a"], ["--priority", "high", "a"], ["--wait"]],
)
def test_the_fast_path_leaves_the_rest_to_the_full_command(arguments: list[str]) -> None:
    assert run.parse(arguments) is None


def test_the_fast_path_imports_no_heavy_package() -> None:
    script = "import sys, tessera.cli.run; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    heavy = {"typer", "rich", "httpx", "pydantic", "argparse", "dataclasses", "typing", "asyncio"}
    slow = {"json", "re", "enum", "socket", "selectors", "signal", "subprocess", "collections"}
    assert not (heavy | slow) & loaded
    assert len(loaded) < 60


def test_a_run_imports_nothing_slow_until_it_is_the_program(shared_fake_host: Host) -> None:
    shared_fake_host.run("ps")  # a daemon is there
    imports = shared_fake_host.run("run", "--", "true", environment={"PYTHONVERBOSE": "1"}).stderr
    loaded = {line.split("'")[1] for line in imports.splitlines() if line.startswith("import '")}
    assert "tessera.client.exchange" in loaded
    assert not {"json", "enum", "socket", "signal"} & loaded


def test_a_lease_is_answered_as_what_its_environment_needs(shared_fake_host: Host) -> None:
    path = str(shared_fake_host.socket)
    content = encode({"holder_pid": os.getpid(), "name": "words"})
    words = os.fsdecode(exchange(path, "POST", "/v1/leases", content, ENVIRONMENT)).split("\0")
    lease = shared_fake_host.json("show", "words")
    found = run.environment(
        words[:-1], {"OCL_ICD_FILENAMES": "mine", "TESSERA_TOKEN": "old", "A": "=b"}
    )
    assert found == {"A": "=b", **lease["environment"]}
    assert set(lease["environment_unset"]) == {"OCL_ICD_FILENAMES", "TESSERA_TOKEN"}
    exchange(path, "DELETE", "/v1/leases/words")


def test_two_commands_at_once_start_one_daemon(fake_host: Host) -> None:
    commands = [fake_host.start("run", "-m", "1", "--", "true") for _ in range(4)]
    for command in commands:
        _, errors = command.communicate(timeout=60)
        assert (command.returncode, errors) == (0, "")
    assert fake_host.log.count("daemon ready") == 1


def test_a_daemon_that_cannot_start_says_why(fake_host: Host) -> None:
    fake_host.state.mkdir(mode=0o700)
    (fake_host.state / "tessera.db").write_bytes(b"something else" * 1000)
    done = fake_host.run("run", "--", "true", code=5)
    assert "not a database" in done.stderr
    assert "TESSERA_DATABASE_URL" in done.stderr
    assert fake_host.daemon_pid() is None


def test_the_workload_goes_on_and_its_lease_ends_without_a_daemon(fake_host: Host) -> None:
    with fake_host.start(
        "run", "--name", "job", "--", "sh", "-c", "echo ready; read x; exit 7", stdin=-1
    ) as job:
        assert job.stdout
        assert job.stdout.readline() == "ready\n"
        fake_host.kill_daemon()
        time.sleep(0.1)
        assert job.poll() is None
        assert [lease["state"] for lease in fake_host.json("ps")] == ["active"]
        fake_host.kill_daemon()
        job.communicate("\n", timeout=10)
        assert job.returncode == 7
    # Its gatekeeper and the arbiter of its GPU.
    assert len(fake_host.processes()) == 2
    leaves_nothing(fake_host)
    assert not any(is_running(pid) for pid in fake_host.processes())
