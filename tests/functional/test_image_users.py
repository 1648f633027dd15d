# SPDX-License-Identifier: Apache-2.0
"""Whom an image's files belong to, and who its program is: the same in a sandbox and in a machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.images import LayoutFolder, Member, file, folder, layer, link, member
from helpers.nobody import NOBODY, host_of_nobody
from helpers.roots import BUSYBOX, need

BOTH = pytest.mark.parametrize("way", ["--sandbox", "--vm"])
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

PASSWD = "root:x:0:0::/root:/bin/sh\nme:x:1000:1001::/home/me:/bin/sh\n"
GROUP = "root:x:0:\nmine:x:1001:\nvideo:x:44:me\nrender:x:105:other,me\n"


def members() -> list[Member]:
    """An image in which users have private files."""
    mine = {"uid": 1000, "gid": 1001}
    return [
        folder("bin"),
        member("bin/busybox", data=Path(need(BUSYBOX)).read_bytes(), mode=0o755),
        link("bin/sh", "busybox"),
        folder("etc"),
        file("etc/passwd", PASSWD),
        file("etc/group", GROUP),
        folder("root", mode=0o700),
        folder("home"),
        folder("home/me", mode=0o700, **mine),
        file("home/me/private", "mine\n", mode=0o600, **mine),
        folder("srv"),
        file("srv/group", "of the group\n", mode=0o640, gid=105),
        file("srv/root", "of root\n", mode=0o600),
        file("srv/other", "of another\n", mode=0o600, uid=7, gid=8),
        file("srv/closed", "closed\n", mode=0, uid=7, gid=8),
        file("srv/tool", "#!/bin/sh\necho ran\n", mode=0o700),
        folder("tmp", mode=0o1777),
    ]


CONFIGS = {
    "of-me": {"User": "me", "WorkingDir": "/home/me"},
    "of-number": {"User": "1000", "WorkingDir": "/home/me"},
    "of-root": {"WorkingDir": "/root"},
    "of-stranger": {"User": "4294967294:44"},
    "of-nobody-known": {"User": "somebody"},
    "locked": {"User": "me", "WorkingDir": "/root"},
}


@pytest.fixture(scope="module")
def images(one_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The host with these images."""
    for name, config in CONFIGS.items():
        path = LayoutFolder(tmp_path_factory.mktemp("layout") / name, [layer(members())], config)
        one_host.run("image", "add", str(path.write()), "--name", name)
    return one_host


def words(way: str, image: str, *command: str, mount: Path | None = None) -> tuple[str, ...]:
    mounts = ("--mount", f"{mount}:/tools") if mount else ()
    return ("run", way, "--image", image, "-f", "1/4", *mounts, "--", *command)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of the caller's alone, for programs."""
    tools = tmp_path / "tools"
    tools.mkdir(mode=0o700)
    (tools / "private").write_text("the caller's\n")
    (tools / "private").chmod(0o600)
    return tools


def script(place: Path, text: str) -> None:
    place.write_text(f"#!/bin/busybox sh\nPATH=/bin:$PATH; alias b=/bin/busybox\n{text}")
    place.chmod(0o700)


OF_ME = """
echo $(b id -u) $(b id -g) $(b id -G); echo $HOME $PWD
b cat private /srv/group /tools/private
b cat /srv/root 2>/dev/null || echo no
b stat -c '%u:%g %a' . private /srv/root /srv/other
echo new >new && b cat new; echo new >/tmp/new && b cat /tmp/new
(echo x >/srv/new) 2>/dev/null || echo no; (echo x >/new) 2>/dev/null || echo no
"""
SEEN_BY_ME = """1000 1001 1001 44 105
/home/me /home/me
mine
of the group
the caller's
no
1000:1001 700
1000:1001 600
0:0 600
7:8 600
new
new
no
no
"""


@BOTH
def test_a_user_of_an_image_has_what_is_his_and_a_mounted_program_runs(
    images: Host, tools: Path, way: str
) -> None:
    script(tools / "tool", OF_ME)
    done = images.run(*words(way, "of-me", "/tools/tool", mount=tools))
    assert done.stdout == SEEN_BY_ME, done.stderr


OF_ROOT = """
echo $(b id -u) $(b id -g) $(b id -G); echo $HOME $PWD
b cat /srv/other /srv/closed /srv/group /home/me/private /tools/private
b stat -c '%u:%g %a' /home/me /srv/other
echo new >/home/me/new && b chown 7:8 /home/me/new && b stat -c %u:%g /home/me/new
for did in "id -u" "cat /home/me/private"; do b su me -c "/bin/busybox $did"; done
b su me -c "/bin/busybox cat /srv/root" 2>/dev/null || echo no
b ls /proc/self/fd | b wc -l
"""
SEEN_BY_ROOT = """0 0 0
/root /root
of another
closed
of the group
mine
the caller's
1000:1001 700
7:8 600
7:8
1000
mine
no
4
"""


@BOTH
def test_root_of_an_image_has_what_all_its_users_have(images: Host, tools: Path, way: str) -> None:
    script(tools / "tool", OF_ROOT)
    done = images.run(*words(way, "of-root", "/tools/tool", mount=tools))
    assert done.stdout == SEEN_BY_ROOT, done.stderr


def test_a_user_by_number_is_the_same_one_and_a_stranger_has_no_home(images: Host) -> None:
    shown = "echo $(/bin/busybox id -u) $(/bin/busybox id -g) $(/bin/busybox id -G) $HOME"
    done = images.run(*words("--sandbox", "of-number", "/bin/sh", "-c", shown))
    assert done.stdout == "1000 1001 1001 44 105 /home/me\n"
    done = images.run(*words("--sandbox", "of-stranger", "/bin/sh", "-c", shown))
    assert done.stdout == "4294967294 44 44 /\n"


@BOTH
@pytest.mark.parametrize(
    ("image", "said"), [("of-nobody-known", "does not know"), ("locked", "/root")]
)
def test_who_cannot_be_and_where_he_may_not_go_is_named(
    images: Host, way: str, image: str, said: str
) -> None:
    done = images.run(*words(way, image, "/bin/busybox", "true"), code=1)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_program_that_its_user_may_not_run_is_named(images: Host, tools: Path) -> None:
    done = images.run(*words("--sandbox", "of-me", "/srv/tool"), code=1)
    assert "/srv/tool of the image may not be executed" in done.stderr
    (tools / "text").write_text("no program")
    done = images.run(*words("--sandbox", "of-me", "/tools/text", mount=tools), code=1)
    assert "/tools/text of the image may not be executed" in done.stderr
    done = images.run(*words("--sandbox", "of-me", "/tools/none", mount=tools), code=3)
    assert "no program '/tools/none'" in done.stderr


def test_a_mounted_program_is_found_however_it_is_named(
    images: Host, tools: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(need(BUSYBOX), root / "bin/busybox")
    (root / "bin/linked").symlink_to("/tools/tool")
    build = ("image", "build", "found", "--folder", str(root), "--workdir", "/tools")
    images.run(*build, "--env", "PATH=/nowhere:/tools:/bin")
    script(tools / "tool", "echo ran")
    (tools / "back").symlink_to("/bin/busybox")
    for name in ("tool", "./tool", "linked", "/bin/linked", "../tools/tool"):
        assert images.run(*words("--sandbox", "found", name, mount=tools)).stdout == "ran\n"
    done = images.run(*words("--sandbox", "found", "back", "echo", "ran", mount=tools), code=None)
    # What is executed is the image's own file, which knows itself by its name: there is no applet `back`.
    assert "applet not found" in done.stderr


def test_what_is_written_to_a_mount_is_the_callers(images: Host, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    run = ("run", "--sandbox", "--image", "of-me", "-f", "1/4", "--mount", f"{out}:/out:rw")
    images.run(*run, "--", "/bin/sh", "-c", "echo x >/out/file")
    assert ((out / "file").stat().st_uid, (out / "file").read_text()) == (os.geteuid(), "x\n")


OF_ONE = """
echo $(b id -u) $HOME; b cat private; echo new >new && b cat new
echo new >/tmp/new && b cat /tmp/new; b stat -c '%u %a' private
"""


@AS_ROOT
def test_an_image_with_a_user_runs_for_a_caller_who_has_one_number(
    images: Host, tools: Path
) -> None:
    with host_of_nobody() as other:
        image = other.copied(Path(images.json("image", "show", "of-me")["path"]))
        tools = Path(shutil.copytree(tools, other.host.folder / "tools"))
        script(tools / "tool", OF_ONE)
        give_to_nobody(tools)
        done = other.run(*words("--sandbox", str(image), "/tools/tool", mount=tools))
        assert done.stdout == "1000 /home/me\nmine\nnew\nnew\n1000 600\n", done.stderr
        image = other.copied(Path(images.json("image", "show", "of-root")["path"]))
        reading = "/bin/busybox cat /srv/closed; /bin/busybox cat /srv/root; echo x >/root/x"
        done = other.run(*words("--sandbox", str(image), "/bin/sh", "-c", reading))
        assert (done.stdout, "/srv/closed': Permission denied" in done.stderr) == (
            "of root\n",
            True,
        )


@AS_ROOT
def test_a_caller_whom_numbers_are_set_aside_for_has_all_users(images: Host, tools: Path) -> None:
    need("newuidmap")
    aside = f"{NOBODY}:200000:65536"
    with host_of_nobody() as other:
        tools = Path(shutil.copytree(tools, other.host.folder / "tools"))
        for name, text, seen in (
            ("of-me", OF_ME, SEEN_BY_ME),
            ("of-root", OF_ROOT, SEEN_BY_ROOT),
        ):
            image = other.copied(Path(images.json("image", "show", name)["path"]))
            script(tools / "tool", text)
            give_to_nobody(tools)
            line = words("--sandbox", str(image), "/tools/tool", mount=tools)
            done = other.run(*line, aside=aside)
            assert done.stdout == seen, done.stderr


def give_to_nobody(folder: Path) -> None:
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)
