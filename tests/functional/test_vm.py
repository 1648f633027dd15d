# SPDX-License-Identifier: Apache-2.0
"""A program in a virtual machine on its piece of the device: real QEMU, real guest, emulated where it must be."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import pty
import random
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from helpers.host import TESSERA, Host
from helpers.images import Object, SifFile, primary
from helpers.machines import BOOT, children, running, said, words
from helpers.processes import eventually, is_running
from tessera.bench import boot
from tessera.hypervisor import base


@pytest.fixture(scope="module")
def speaking_image(image: Path) -> Path:
    """The same, with a program of its own."""
    packed = image.with_name("root.squashfs").read_bytes()
    script = "id; pwd; echo $MOOD"
    config = {"Cmd": ["sh", "-c", script], "Env": ["MOOD=fine"], "WorkingDir": "/tmp"}
    says = Object(0x4006, json.dumps({**config, "User": "7:8"}).encode(), name="oci-config.json")
    return SifFile((primary(data=packed), says)).write(image.parent, "speaking.sif")


def test_a_program_runs_under_another_kernel_with_its_own_streams_and_code(
    vm_host: Host, image: Path
) -> None:
    data = bytes(random.Random(1).randbytes(3 << 20))
    script = 'uname -r >&2; cat; echo $0 $# "$1" >&2; exit 37'
    done = subprocess.run(
        [*TESSERA, *words(image, "sh", "-c", script, "name", "a  b", "")],
        env=vm_host.environment,
        input=data,
        capture_output=True,
        timeout=BOOT,
        check=False,
    )
    lines = said(done.stderr.decode()).splitlines()
    assert done.returncode == 37, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert lines[0] != platform.release()
    assert lines[1:] == ["name 2 a  b"]


def test_the_guest_has_one_platform_with_the_leases_memory(vm_host: Host, image: Path) -> None:
    (gpu,) = vm_host.json("gpus")
    done = vm_host.run(*words(image, "clinfo", "--raw"))
    facts = [line.split(None, 2) for line in done.stdout.splitlines()]
    values = {fact[1]: fact[2] for fact in facts if len(fact) == 3 and fact[0].startswith("[TESS")}
    assert "#PLATFORMS                                        1\n" in done.stdout
    assert values["CL_PLATFORM_NAME"] == "Tessera"
    assert values["#DEVICES"] == "1"
    assert int(values["CL_DEVICE_GLOBAL_MEM_SIZE"]) == gpu["memory"] // 4


def test_a_boot_is_timed_from_the_start_of_qemu(vm_host: Host, image: Path) -> None:
    one = boot.boot(boot.boot_command(image, "1/4"), vm_host.environment)
    assert 0 < one.from_qemu < one.from_command + 0.02 and one.from_command < one.whole


def test_programs_of_the_guest_compute_side_by_side(vm_host: Host, image: Path) -> None:
    one = "tessera-conformance --filter 'clEnqueueNDRangeKernel.*' >/tmp/$i || echo failed $i"
    script = f"for i in 1 2 3 4; do ({one}) & done; wait; tail -qn1 /tmp/1 /tmp/2 /tmp/3 /tmp/4"
    done = vm_host.run(*words(image, "sh", "-c", script, options=("--cpus", "2")))
    lines = done.stdout.splitlines()
    assert len(lines) == 4, (done.stdout, done.stderr)
    assert all(" passed, 0 failed" in line for line in lines), lines


def test_calls_cost_the_guest_no_more_round_trips_than_anybody(vm_host: Host, image: Path) -> None:
    done = vm_host.run(*words(image, "tessera-roundtrips"))
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert (done.returncode, failed) == (0, []), done.stdout + done.stderr


def test_more_connections_than_gpu_ports_are_refused_and_free_ports_are_used_again(
    vm_host: Host, image: Path
) -> None:
    done = vm_host.run(*words(image, "guest_connections", "/run/tessera/gpu.sock", "17", "2"))
    served, full = "0", "4"
    assert done.stdout.split() == [*[served] * base.GPU_PORTS, full] * 2, done.stderr


def test_bulk_arrives_as_it_was_and_by_shared_memory(vm_host: Host, image: Path) -> None:
    bulk = "tessera-conformance --filter 'clEnqueue*Buffer.large*' >/tmp/out 2>&1"
    script = f"{bulk} && {bulk} && tail -n1 /tmp/out >&2 && echo ready && sleep 600"
    command, _, relay = running(vm_host, image, "sh", "-c", script)
    with command:
        files = [entry for entry in Path(f"/proc/{relay}/fd").iterdir()]
        (window,) = [file for file in files if "tessera-window" in os.readlink(file)]
        facts = window.stat()
        command.terminate()
        assert command.stderr
        assert " passed, 0 failed" in said(command.stderr.read())
    assert facts.st_size == base.GPU_PORTS * base.PORT_WINDOW
    # The first port's slots in both directions, and no port's that was not used.
    assert base.PORT_WINDOW <= facts.st_blocks * 512 <= 4 * base.PORT_WINDOW


def test_the_image_says_what_is_run_and_as_whom(vm_host: Host, speaking_image: Path) -> None:
    done = vm_host.run("run", "--vm", "--image", str(speaking_image), "--fraction", "1/4")
    assert done.stdout.split("\n")[1:] == ["/tmp", "fine", ""]
    assert done.stdout.startswith("uid=7 gid=8")


def test_what_the_image_lacks_and_what_the_guest_can_write(vm_host: Host, image: Path) -> None:
    before = hashlib.sha256(image.read_bytes()).digest()
    script = "echo x >/bin/new && echo y >/etc/z && cat /bin/new /etc/z && echo $HOME $PWD $USER; ls /dev/fd/"
    done = vm_host.run(*words(image, "sh", "-c", script))
    assert done.stdout.splitlines()[:3] == ["x", "y", "/root /"]
    assert hashlib.sha256(image.read_bytes()).digest() == before
    done = vm_host.run(*words(image, "no-such-program"), code=3)
    assert "no program 'no-such-program' in the image" in done.stderr


def test_folders_of_the_host_are_there_as_they_were_and_cannot_be_written(
    vm_host: Host, image: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    mounts = [f"{tmp_path}/one:/some/where/one", f"{tmp_path}/two"]
    options = tuple(word for mount in mounts for word in ("--mount", mount))
    script = (
        f"cat /some/where/one/file {tmp_path}/two/file; echo x >/some/where/one/file || echo no"
    )
    done = vm_host.run(*words(image, "sh", "-c", script, options=options))
    assert done.stdout == "onetwono\n"
    assert (tmp_path / "one" / "file").read_text() == "one"


def test_signals_reach_the_program_and_its_end_by_one_is_told(vm_host: Host, image: Path) -> None:
    script = (
        "trap 'echo usr1' USR1; trap 'echo term; kill -SEGV $$' TERM; echo ready;"
        "while :; do sleep 1; done"
    )
    with vm_host.start(*words(image, "sh", "-c", script)) as command:
        assert command.stdout
        assert command.stdout.readline() == "ready\n"
        command.send_signal(signal.SIGUSR1)
        assert command.stdout.readline() == "usr1\n"
        command.send_signal(signal.SIGTERM)
        assert command.stdout.read() == "term\n"
        assert command.wait() == 128 + signal.SIGSEGV


def test_a_signal_while_the_guest_boots_ends_the_command(vm_host: Host, image: Path) -> None:
    with vm_host.start(*words(image, "true")) as command:
        eventually(lambda: bool(children(command.pid, "qemu")), "QEMU runs", 60)
        command.terminate()
        # While it finds out about KVM, the command ends as any does.
        assert command.wait(20) in (128 + signal.SIGTERM, -signal.SIGTERM)


def test_a_reader_that_leaves_ends_the_writer(vm_host: Host, image: Path) -> None:
    command = " ".join(TESSERA) + " " + " ".join(words(image, "yes")) + " | head -1"
    done = subprocess.run(
        ["bash", "-c", command + '; echo "${PIPESTATUS[0]}"'],
        env=vm_host.environment,
        capture_output=True,
        text=True,
        timeout=BOOT,
        check=True,
    )
    assert done.stdout.splitlines() == ["y", str(128 + signal.SIGPIPE)]


def read_until(terminal: int, seen: bytes, wanted: bytes) -> bytes:
    while wanted not in seen:
        seen += os.read(terminal, 1000)
    return seen


def test_a_person_has_a_terminal_in_the_guest(vm_host: Host, image: Path) -> None:
    script = (
        "stty size; test -t 0 && test -t 2 && echo terminal $TERM; trap 'stty size' WINCH;"
        "trap 'echo int; exit 4' INT; echo ready; while :; do sleep 1; done"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (24, 80))
        line = [*TESSERA, *words(image, "sh", "-c", script)]
        os.execvpe(line[0], line, {**vm_host.environment, "TERM": "vt100"})
    seen = read_until(terminal, b"", b"ready\r\n")
    assert b"24 80\r\nterminal vt100\r\n" in seen
    termios.tcsetwinsize(terminal, (30, 100))
    read_until(terminal, b"", b"30 100\r\n")
    os.write(terminal, b"\x03")
    read_until(terminal, b"", b"int\r\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
    os.close(terminal)


@pytest.mark.parametrize("victim", ["qemu", "relay", "command"])
def test_whatever_is_killed_takes_the_rest_with_it(vm_host: Host, image: Path, victim: str) -> None:
    script = "tessera-bench-tenant interactive --ms 600000 >/dev/null & echo ready; wait"
    command, qemu, relay = running(vm_host, image, "sh", "-c", script)
    with command:
        os.kill({"qemu": qemu, "relay": relay, "command": command.pid}[victim], signal.SIGKILL)
        code = command.wait(20)
        assert command.stderr
        errors = said(command.stderr.read())
    eventually(lambda: not is_running(qemu) and not is_running(relay), "both are gone")
    eventually(lambda: vm_host.processes() == [], "the lease is released without any request")
    if victim == "command":
        assert code == -signal.SIGKILL
    else:
        assert code == 1
        assert ("The machine was ended by signal 9" if victim == "qemu" else "The relay") in errors


def test_qemu_is_nobody_here_and_stop_ends_it(vm_host: Host, image: Path) -> None:
    command, qemu, _ = running(vm_host, image, "sh", "-c", "echo ready; sleep 600")
    with command:
        (lease,) = vm_host.leases()
        assert lease.holder is not None
        assert lease.holder.pid == command.pid
        status = Path(f"/proc/{qemu}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        filtered = "2"
        assert (int(facts["CapEff"], 16), facts["Seccomp"]) == (0, filtered)
        assert "0" not in facts["Uid"].split()
        vm_host.run("stop", lease.name)
        assert command.wait(20) == 128 + signal.SIGTERM
    assert not is_running(qemu)


REFUSALS = [
    ([], 2, "runs an image"),
    (["--image", "/no/such.sif"], 3, "/no/such.sif"),
    (["--image", "/etc/passwd"], 1, "no SIF file"),
    (["--image", "IMAGE", "--guest-memory", "1MiB"], 2, "cannot start in 1MiB"),
    (["--image", "IMAGE", "--guest-memory", "much"], 2, "not a memory size"),
    (["--image", "IMAGE", "--cpus", "0"], 2, "--cpus"),
    (["--image", "IMAGE", "--mount", "/no/folder"], 2, "/no/folder"),
    (["--image", "IMAGE", "--mount", "/etc/passwd:/x"], 2, "no folder"),
    (["--image", "IMAGE", "--mount", "/etc:/x:rw"], 2, "cannot write"),
    (["--image", "IMAGE", "--fraction", "5/4"], 2, "at most 1"),
    (["--image", "IMAGE", "--transport", "tcp"], 2, "virtio-serial"),
    (["--image", "IMAGE", "--memory", "9TiB"], 4, "do not fit"),
    (["--image", "IMAGE", "--direct", "ffff:ff:1f.7"], 3, "NoSuchDevice"),
    (["--image", "IMAGE", "--direct", "the fast one"], 2, "names no device"),
    (["--image", "IMAGE", "--direct", "ff:1f.7", "--memory", "1GiB"], 2, "handed over whole"),
    (["--image", "IMAGE", "--direct", "ff:1f.7", "--wait=5"], 2, "Nobody waits"),
    (["--image", "IMAGE", "--without-reset"], 2, "is for --direct"),
]


@pytest.mark.parametrize(("options", "code", "expected"), REFUSALS)
def test_refusals_have_a_name_an_exit_code_and_advice(
    shared_fake_host: Host, image: Path, options: list[str], code: int, expected: str
) -> None:
    given = [str(image) if word == "IMAGE" else word for word in options]
    done = shared_fake_host.run("run", "--vm", *given, "--", "true", code=code)
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert shared_fake_host.leases() == []


def test_an_image_without_a_machine_is_refused(shared_fake_host: Host, image: Path) -> None:
    done = shared_fake_host.run("run", "--image", str(image), "--", "true", code=2)
    assert "for --sandbox and --vm" in done.stderr
    done = shared_fake_host.run("run", "--direct", "ff:1f.7", "--", "true", code=2)
    assert "for --vm" in done.stderr


def test_a_wait_may_go_without_a_time_behind_the_machines_options(
    shared_fake_host: Host, image: Path
) -> None:
    done = shared_fake_host.run(
        *("run", "--vm", "--image", str(image), "--wait", "--gpus", "9", "--", "true"), code=2
    )
    assert "gpus" in done.stderr


def test_the_limit_for_a_boot_is_a_number(shared_fake_host: Host, image: Path) -> None:
    done = shared_fake_host.run(
        *words(image, "true"), code=2, environment={"TESSERA_BOOT_LIMIT": "long"}
    )
    assert "TESSERA_BOOT_LIMIT is 'long'" in done.stderr
    assert shared_fake_host.leases() == []


def test_no_qemu_and_no_kernel_are_named(shared_fake_host: Host, image: Path) -> None:
    line = words(image, "true")
    done = shared_fake_host.run(*line, code=1, environment={"PATH": "/nowhere"})
    assert "qemu-system-" in done.stderr
    done = shared_fake_host.run(*line, code=1, environment={"TESSERA_GUEST_KERNEL": "/nowhere"})
    assert "scripts/guest-kernel /nowhere" in done.stderr
