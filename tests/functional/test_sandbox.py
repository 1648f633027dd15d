# SPDX-License-Identifier: Apache-2.0
"""`tessera run --sandbox`: an image's program on a lease, sealed off, with nothing left behind.

With the real bwrap, squashfuse and device. Images are made of the host's own programs.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.host import TESSERA, Host
from helpers.leases import lease_of, real_host
from helpers.nobody import host_of_nobody
from helpers.processes import eventually, is_running
from helpers.programs import native

SQUASHFUSE = "squashfuse"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host with an image `small` of busybox, and `opencl` with clinfo and a loader."""
    with real_host() as host:
        _make_small(host, host.folder / "small")
        _make_opencl(host, host.folder / "opencl")
        yield host


def _make_small(host: Host, root: Path) -> None:
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "outside").symlink_to("/oldroot/etc")
    (root / "folder").mkdir()
    (root / "folder" / "file").write_text("of the image")
    (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nme:x:1000:1001::/home/me:\n")
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, root / "bin" / "busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("/bin/busybox")
    words = ("--cmd", "echo 'of the image'", "--env", "FROM=image", "--env", "LD_PRELOAD=/x.so")
    host.run("image", "build", "small", "--folder", str(root), *words)


def _make_opencl(host: Host, root: Path) -> None:
    # The driver is the host's, and needs the C library of the image.
    needed = _libraries("/usr/bin/clinfo") | _libraries(native("libtessera-opencl.so"))
    for path in ("/usr/bin/clinfo", *needed):
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(path), place)
    # What a foreign image may bring along, and must not be found.
    (root / "etc/OpenCL/vendors").mkdir(parents=True)
    (root / "etc/OpenCL/vendors/pocl.icd").write_text("libpocl.so.2")
    host.run("image", "build", "opencl", "--folder", str(root))


def _libraries(program: str) -> set[str]:
    """The shared libraries of a program."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(/\S+) \(0x", listed))


def sandboxed(host: Host, *command: str, options: tuple[str, ...] = (), code: int = 0) -> str:
    """What a program in the image `small` prints."""
    words = ("run", "--sandbox", "--image", "small", "-f", "1/4", *options, "--", *command)
    return host.run(*words, code=code).stdout


def leaves_nothing(host: Host) -> None:
    assert host.leases() == []
    assert host.lease_folders() == []
    eventually(lambda: not parts(host), "no process of the sandbox is left")
    assert str(host.folder) not in Path("/proc/self/mountinfo").read_text()
    assert os.listdir(host.state / "images" / "mount") == []
    assert os.listdir(host.state / "images" / "new") == []


def parts(host: Host) -> list[int]:
    """The processes whose mount namespace holds this host's sandboxes, and those that serve images."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdecimal() or not is_running(int(entry)):
            continue
        try:
            mounts = Path(f"/proc/{entry}/mountinfo").read_text()
            files = [
                os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")
            ]
            name = Path(f"/proc/{entry}/comm").read_text()
        except OSError:
            continue
        serves = SQUASHFUSE in name and any(str(host.state) in file for file in files)
        if serves or str(host.folder) in mounts:
            found.append(int(entry))
    return found


@pytest.mark.parametrize("transport", ["shm", "unix"])
def test_an_image_sees_one_platform_and_its_quarter(host: Host, transport: str) -> None:
    words = ("run", "--sandbox", "--image", "opencl", "-f", "1/4", "-t", transport, "--name")
    with host.start(*words, f"job-{transport}", "--", "clinfo", "--raw") as program:
        listed, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors
    platforms = re.findall(r"CL_PLATFORM_NAME\s+(.*)", listed)
    assert set(platforms) == {"Tessera"}
    assert re.search(r"#PLATFORMS\s+1\n", listed)
    memory = int(re.search(r"CL_DEVICE_GLOBAL_MEM_SIZE\s+(\d+)", listed)[1])  # type: ignore[index]
    assert memory == host.json("gpus")[0]["memory"] // 4
    leaves_nothing(host)


@pytest.mark.parametrize("code", [0, 1, 37, 255])
def test_the_exit_code_is_the_programs(host: Host, code: int) -> None:
    sandboxed(host, "sh", "-c", f"exit {code}", code=code)
    leaves_nothing(host)


def test_the_image_names_a_program_of_its_own(host: Host) -> None:
    assert host.run("run", "--sandbox", "--image", "small").stdout == "of the image\n"


def test_a_file_outside_of_the_cache_is_run_too(host: Host) -> None:
    path = host.folder / "copy.sif"
    path.write_bytes(Path(host.json("image", "show", "small")["path"]).read_bytes())
    assert host.run("run", "--sandbox", "--image", str(path)).stdout == "of the image\n"


def test_standard_streams_and_arguments_are_the_programs(host: Host) -> None:
    words = ("run", "--sandbox", "--image", "small", "--", "sh", "-c", "cat; echo err >&2")
    done = host.run(*words, stdin="some\0thing\n")
    assert (done.stdout, done.stderr) == ("some\0thing\n", "err\n")
    odd = ["a b", "", "--image", "*", "'\"", "ä"]
    assert sandboxed(host, "printf", "%s|", *odd) == "".join(f"{word}|" for word in odd)


def test_the_environment_is_the_images_and_the_leases(host: Host) -> None:
    words = ("run", "--sandbox", "--image", "small", "--name", "env", "--", "env")
    done = host.run(*words, environment={"SECRET": "x", "TERM": "vt100"})
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert seen == {
        "FROM": "image",
        "HOME": "/root",
        "LD_PRELOAD": "/x.so",
        "OCL_ICD_VENDORS": "/run/tessera/vendors",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD": "/",
        "TERM": "vt100",
        "TESSERA_ENDPOINT": "shm:/run/tessera/gpu.sock",
        "TESSERA_IDENTITY": "tessera",
        "TESSERA_LEASE": host.json("show", "env")["id"],
    } | {name: value for name, value in seen.items() if name in ("PWD", "SHLVL")}


def test_the_program_has_the_descriptors_that_it_was_given(host: Host) -> None:
    assert sandboxed(host, "sh", "-c", "echo /proc/self/fd/*").split() == [
        f"/proc/self/fd/{number}" for number in range(4)
    ]  # fmt: skip


def test_the_holder_of_the_lease_is_the_command(host: Host) -> None:
    words = ("run", "--sandbox", "--image", "small", "--name", "job", "--", "sleep", "60")
    with host.start(*words) as program:
        eventually(lambda: bool(host.leases()), "the lease is there")
        assert host.json("show", "job")["holder"]["pid"] == program.pid
        eventually(lambda: program_inside(host, "sleep") is not None, "the program runs")
        host.run("stop", "job")
        assert program.wait(20) == 128 + signal.SIGTERM
    leaves_nothing(host)


def program_inside(host: Host, name: str) -> int | None:
    """The pid of the program called `name` in a sandbox of this host."""
    return next(
        (pid for pid in parts(host) if Path(f"/proc/{pid}/comm").read_text() == f"{name}\n"), None
    )


TRAPS = 'for s in HUP INT TERM USR1 USR2 WINCH CONT; do trap "echo got $s" $s; done; '
LOOP = "echo ready; while ! [ -e /stop ]; do sleep 0.05; done"


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM", "USR1", "USR2", "WINCH", "CONT"])
def test_signals_reach_the_program_once(host: Host, name: str) -> None:
    script = f"{TRAPS} trap 'echo end; exit 3' ALRM; {LOOP}"
    words = ("run", "--sandbox", "--image", "small", "--", "sh", "-c", script)
    with host.start(*words) as program:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        program.send_signal(getattr(signal, f"SIG{name}"))
        assert program.stdout.readline() == f"got {name}\n"
        program.send_signal(signal.SIGALRM)
        assert program.stdout.read() == "end\n"
        assert program.wait(20) == 3
    leaves_nothing(host)


def test_a_program_ended_by_a_signal_is_seen_as_such(host: Host) -> None:
    sandboxed(host, "sh", "-c", "kill -SEGV $$", code=128 + signal.SIGSEGV)


def test_a_program_can_be_stopped_and_goes_on(host: Host) -> None:
    words = ("run", "--sandbox", "--image", "small", "--", "sleep", "60")
    with host.start(*words, process_group=0) as program:
        eventually(lambda: program_inside(host, "sleep") is not None, "the program runs")
        inside = program_inside(host, "sleep")
        assert inside
        program.send_signal(signal.SIGTSTP)
        eventually(lambda: (state(inside), state(program.pid)) == ("T", "T"), "both are stopped")
        program.send_signal(signal.SIGCONT)
        eventually(lambda: (state(inside), state(program.pid)) == ("S", "S"), "both go on")
        program.terminate()
    leaves_nothing(host)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_control_c_at_a_terminal_reaches_the_whole_group_once(host: Host) -> None:
    # The shell waits for sleep: only a signal to both lets it come to its trap at once.
    script = "trap 'echo got it; exit 4' INT; [ -t 0 ] && echo ready; sleep 60"
    pid, terminal = pty.fork()
    if pid == 0:
        words = ["run", "--sandbox", "--image", "small", "--", "sh", "-c", script]
        os.execvpe(TESSERA[0], [*TESSERA, *words], host.environment)
    seen = b""
    try:
        while b"ready" not in seen:
            seen += os.read(terminal, 1000)
        eventually(lambda: program_inside(host, "sleep") is not None, "sleep runs")
        os.write(terminal, b"\x03")
        # To the end: a terminal that is closed earlier hangs up on who still uses it.
        with contextlib.suppress(OSError):  # nobody has it open any more
            while True:
                seen += os.read(terminal, 1000)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert (code, seen.count(b"got it")) == (4, 1)
    leaves_nothing(host)


@pytest.mark.parametrize("victim", ["tessera", "bwrap", "init", "squashfuse_ll", "sh"])
def test_whoever_is_killed_nothing_is_left(host: Host, victim: str) -> None:
    script = "(sleep 60 &) ; echo ready; sleep 60; true"
    words = ("run", "--sandbox", "--image", "small", "--", "sh", "-c", script)
    with host.start(*words) as program:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        # `init` is the first process of the sandbox, a bwrap, too; it is the child of the other one.
        bwraps = sorted(pid for pid in parts(host) if name_of(pid) == "bwrap")
        assert len(bwraps) == 2
        pid = {
            "tessera": program.pid,
            "bwrap": bwraps[0],
            "init": bwraps[1],
            "sh": program_inside(host, "sh"),
        }.get(victim) or program_inside(host, victim)
        assert pid
        os.kill(pid, signal.SIGKILL)
        _, errors = program.communicate(timeout=20)
    codes = {"tessera": -signal.SIGKILL, "squashfuse_ll": 1}
    assert program.returncode == codes.get(victim, 128 + signal.SIGKILL)
    assert "Traceback" not in errors
    assert ("serves the image's files ended" in errors) == (victim == "squashfuse_ll")
    leaves_nothing(host)


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_what_is_written_is_gone_and_the_image_is_as_it_was(host: Host) -> None:
    script = "echo new >/folder/file && rm -r /bin/cat && mkdir /x && cat /folder/file"
    assert sandboxed(host, "sh", "-c", script) == "new\n"
    assert sandboxed(host, "sh", "-c", "cat /folder/file; ls /x", code=1) == "of the image"
    host.run("image", "verify", "small")


def test_nothing_of_the_host_can_be_written_or_found(host: Host) -> None:
    marker = host.folder / "marker"
    marker.write_text("host")
    scripts = [
        f"cat {marker}",
        "ls /oldroot",
        "cat /proc/1/root/etc/hostname",
        "mount -t tmpfs x /folder",
        "mount -o remount,rw /run/tessera/vendors",
        "echo x >/run/tessera/vendors/other.icd",
        "echo x >/run/tessera/libtessera-opencl.so",
        "cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern",
        "cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness",
        "mknod /disk b 254 0 && cat /disk",
        "unshare -U true",
        "chroot / true",
        "ls /sys/kernel",
        "kill -9 2147483",
        "hostname other",
        "nc -w 1 127.0.0.1 22",
    ]
    done = sandboxed(
        host,
        "sh",
        "-c",
        "\n".join(f"({one}) 2>/dev/null && echo '{one}'" for one in scripts) + "\ntrue",
    )
    assert done == ""
    assert marker.read_text() == "host"


def test_other_processes_are_not_seen(host: Host) -> None:
    listed = sandboxed(host, "sh", "-c", "ls -d /proc/[0-9]*")
    assert len(listed.split()) <= 4
    assert sandboxed(host, "cat", "/proc/1/comm") == "bwrap\n"


def test_sockets_of_the_host_are_out_of_reach(host: Host) -> None:
    with lease_of(host) as lease:
        others = f"{lease['endpoint'].partition(':')[2]} {host.socket} {host.runtime}"
        script = f"ls {others}; ls -A /run /run/tessera; true"
        assert sandboxed(host, "sh", "-c", script).split() == [
            "/run:",
            "tessera",
            "/run/tessera:",
            "gpu.sock",
            "libtessera-opencl.so",
            "vendors",
        ]


def test_the_network_is_there_only_when_asked_for(host: Host) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        connect = ("nc", "127.0.0.1", str(listener.getsockname()[1]))
        sandboxed(host, *connect, code=1)
        words = ("run", "--sandbox", "--image", "small", "-f", "1/4", "--network", "--", *connect)
        with host.start(*words) as program:
            listener.settimeout(20)
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"of the host\n")
            assert program.communicate(timeout=20)[0] == "of the host\n"


def test_a_folder_of_the_host_is_mounted_read_only_or_as_asked(host: Host) -> None:
    data = host.folder / "data"
    data.mkdir()
    (data / "x").write_text("of the host")
    mounts = ("--mount", f"{data}", "--mount", f"{data}:/folder/deep", "--mount", f"{data}:/out:rw")
    script = f"cat {data}/x /folder/deep/x /folder/file; echo y >{data}/y; echo z >/out/z"
    shown = sandboxed(host, "sh", "-c", script, options=mounts)
    assert shown == "of the hostof the hostof the image"
    assert sorted(os.listdir(data)) == ["x", "z"]
    single = ("--mount", f"{data}/x:/folder/file")
    assert sandboxed(host, "cat", "/folder/file", options=single) == "of the host"


def test_a_link_of_the_image_leads_no_mount_astray(host: Host) -> None:
    words = ("--sandbox", "--image", "small", "--mount", f"{host.folder}:/outside/x")
    done = host.run("run", *words, "--", "true", code=2)
    assert "/outside is no folder in the image" in done.stderr
    leaves_nothing(host)


REFUSALS: list[tuple[list[str], int, str]] = [
    (["--sandbox", "--", "true"], 2, "none is named"),
    (["--image", "small", "--", "true"], 2, "for --sandbox and --vm"),
    (["--network", "--", "true"], 2, "Add --sandbox"),
    (["--sandbox", "--image", "none", "--", "true"], 3, "no image"),
    (["--sandbox", "--image", "small", "--", "no-such-program"], 3, "no program 'no-such-program'"),
    (["--sandbox", "--image", "small", "--", "/folder/file"], 1, "may not be executed"),
    (["--sandbox", "--image", "small", "--", "/folder"], 3, "no program"),
    (["--sandbox", "--image", "opencl"], 1, "names no program"),
    (["--sandbox", "--image", "small", "-t", "tcp", "--", "true"], 2, "--network"),
    (["--sandbox", "--image", "small", "--mount", "/none", "--", "true"], 2, "no file or folder"),
    (["--sandbox", "--image", "small", "--mount", "/etc:/", "--", "true"], 2, "sandbox's own"),
    (["--sandbox", "--image", "small", "--mount", "/etc:/proc/x", "--", "true"], 2, "own"),
    (["--sandbox", "--image", "small", "--mount", "/etc:/a/../b", "--", "true"], 2, "no place"),
    (["--sandbox", "--image", "small", "--mount", "/etc:/a:w", "--", "true"], 2, "is no mount"),
    (["--sandbox", "--image", "small", "-f", "5/4", "--", "true"], 2, "at most 1"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSALS)
def test_refusals_have_a_name_an_exit_code_and_advice(
    host: Host, words: list[str], code: int, said: str
) -> None:
    done = host.run("run", *words, code=code)
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) >= 2
    leaves_nothing(host)


def test_missing_tools_are_named_before_there_is_a_lease(host: Host, tmp_path: Path) -> None:
    words = ("run", "--sandbox", "--image", "small", "--", "true")
    done = host.run(*words, code=1, environment={"PATH": str(tmp_path)})
    assert "apt-get install bubblewrap" in done.stderr


@pytest.mark.parametrize(
    ("user", "seen"),
    [("me", "1000 1001 /home/me"), ("7", "7 0 /"), ("7:8", "7 8 /"), ("me:8", "1000 8 /home/me")],
)
def test_the_image_says_who_its_programs_are(host: Host, user: str, seen: str) -> None:
    words = ("image", "build", "other", "--replace", "--folder", str(host.folder / "small"))
    host.run(*words, "--user", user, "--workdir", "/folder")
    script = "echo $(id -u) $(id -g) $HOME; pwd; echo x >/tmp/x && echo wrote"
    done = host.run("run", "--sandbox", "--image", "other", "--", "sh", "-c", script)
    assert done.stdout == f"{seen}\n/folder\nwrote\n"


def test_an_image_with_wrong_facts_is_refused(host: Host) -> None:
    words = ("image", "build", "other", "--replace", "--folder", str(host.folder / "small"))
    host.run(*words, "--user", "nobody-here")
    run_it = ("run", "--sandbox", "--image", "other", "--", "true")
    assert "whom it does not know" in host.run(*run_it, code=1).stderr
    host.run(*words, "--workdir", "/none")
    assert "no such folder" in host.run(*run_it, code=1).stderr
    leaves_nothing(host)


def test_a_sandbox_runs_on_when_its_image_is_removed(host: Host) -> None:
    words = ("image", "build", "brief", "--folder", str(host.folder / "small"), "--cmd", "true")
    host.run(*words)
    script = "echo ready; read x; cat /folder/file"
    start = ("run", "--sandbox", "--image", "brief", "--", "sh", "-c", script)
    with host.start(*start, stdin=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        host.run("image", "remove", "brief")
        assert program.communicate("\n", timeout=20)[0] == "of the image"
    leaves_nothing(host)


def test_sandboxes_beside_each_other_do_not_meet(host: Host) -> None:
    script = "echo $1 >/mine; echo ready; read x; cat /mine; ls /proc | grep -c '^[0-9]'"
    words = ("run", "--sandbox", "--image", "small", "-f", "1/8", "--", "sh", "-c", script, "sh")
    with (
        host.start(*words, "one", stdin=subprocess.PIPE) as one,
        host.start(*words, "two", stdin=subprocess.PIPE) as two,
    ):
        for program in (one, two):
            assert program.stdout
            assert program.stdout.readline() == "ready\n"
        seen = [program.communicate("\n", timeout=20)[0].split()[0] for program in (one, two)]
    assert seen == ["one", "two"]
    leaves_nothing(host)


def test_the_doctor_looks_for_what_sandboxes_need(host: Host, tmp_path: Path) -> None:
    found = {
        one["check"]: one for one in json.loads(host.run("doctor", "-o", "json", code=None).stdout)
    }
    assert found["sandboxes"]["status"] == "ok"
    assert found["images"]["status"] == "ok"
    done = host.run("doctor", "-o", "json", code=None, environment={"PATH": str(tmp_path)})
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert "apt-get install bubblewrap" in found["sandboxes"]["todo"]
    assert "apt-get install squashfs-tools" in found["images"]["todo"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_privileges_runs_an_image(host: Host) -> None:
    with host_of_nobody() as other:
        image = other.copied(Path(host.json("image", "show", "small")["path"]))
        inside = "id -u; echo new >/folder/file; mkdir /folder/x; rm /folder/file; ls /folder"
        words = ("run", "--sandbox", "--image", str(image), "-f", "1/4", "--", "sh", "-c", inside)
        done = other.run(*words)
        assert (done.returncode, done.stdout) == (0, "0\nx\n"), done.stderr
