# SPDX-License-Identifier: Apache-2.0
"""`tessera image`, with the real mksquashfs: what is packed is what was there, and refusals are named."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.host import Host
from helpers.images import (
    HERE,
    LayoutFolder,
    SifFile,
    as_archive,
    file,
    folder,
    hard_link,
    layer,
    link,
    member,
    primary,
)
from helpers.processes import eventually

APT_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")


@pytest.fixture
def image_host(tmp_path: Path) -> Host:
    """A host of which only the state folder is used: no daemon takes part."""
    return Host(tmp_path)


def unpacked(shown: Any, where: Path) -> Path:
    """The files of an image that `tessera image show` describes."""
    (primary,) = [one for one in shown["sif"]["descriptors"] if one["name"] == "rootfs.squashfs"]
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-o", str(primary["offset"])]
        + ["-d", str(where), shown["path"]],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return where


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    first = [
        folder("bin"),
        file("bin/a", "one", mode=0o4755),
        file("gone", "x"),
        link("l", "bin/a"),
    ]
    mine = {"uid": 1000, "gid": 70_000}
    first += [
        folder("locked", mode=0o700, **mine),
        file("locked/x", "secret", mode=0o600, mtime=1234, **mine),
        file("last", mode=0o2755, uid=(1 << 32) - 2, gid=65_534),
    ]
    odd = "n" * 120 + "/" + "m" * 120 + "/ä \\"
    second = [file(".wh.gone"), hard_link("bin/b", "bin/a"), file(odd, "two")]
    config = {"Entrypoint": ["/bin/a"], "Cmd": ["x"], "Env": ["A=1"], "WorkingDir": "/bin"}
    layers = [layer(first, "gzip"), layer(second, "zstd")]
    return LayoutFolder(tmp_path / "my-layout", layers, config).write()


def test_an_oci_layout_becomes_an_image(image_host: Host, layout: Path, tmp_path: Path) -> None:
    made = image_host.json("image", "add", str(layout))
    assert made["names"] == ["my-layout"]
    shown = image_host.json("image", "show", "my-layout")
    assert shown["architecture"] == HERE
    assert shown["config"] == {
        "entrypoint": ["/bin/a"],
        "cmd": ["x"],
        "env": ["A=1"],
        "working_dir": "/bin",
        "user": "",
    }
    root = unpacked(shown, tmp_path / "root")
    assert (root / "bin/a").read_text() == (root / "bin/b").read_text() == "one"
    assert (root / "bin/a").stat().st_ino == (root / "bin/b").stat().st_ino
    assert stat.S_IMODE((root / "bin/a").stat().st_mode) == 0o4755
    assert os.readlink(root / "l") == "bin/a"
    assert not (root / "gone").exists()
    assert (root / ("n" * 120) / ("m" * 120) / "ä \\").read_text() == "two"
    assert stat.S_IMODE((root / "locked").stat().st_mode) == 0o700
    assert (root / "locked/x").stat().st_mtime == 1234


def listed(shown: Any) -> dict[str, str]:
    """Mode and owner of each file of an image."""
    (primary,) = [one for one in shown["sif"]["descriptors"] if one["name"] == "rootfs.squashfs"]
    words = ["unsquashfs", "-lln", "-o", str(primary["offset"]), shown["path"]]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines() if "squashfs-root" in line]
    names = ["".join(line[5:]).removeprefix("squashfs-root") or "/" for line in lines]
    return {name: f"{line[0]} {line[1]}" for name, line in zip(names, lines, strict=True)}


def test_files_of_a_layout_keep_their_owners(image_host: Host, layout: Path) -> None:
    image_host.run("image", "add", str(layout))
    found = listed(image_host.json("image", "show", "my-layout"))
    assert found["/"] == "drwxr-xr-x 0/0"
    assert found["/bin/a"] == "-rwsr-xr-x 0/0"
    assert found["/locked"] == "drwx------ 1000/70000"
    assert found["/locked/x"] == "-rw------- 1000/70000"
    assert found["/last"] == f"-rwxr-sr-x {(1 << 32) - 2}/65534"


def test_all_files_of_a_layout_can_be_given_to_root(image_host: Host, layout: Path) -> None:
    image_host.run("image", "add", str(layout), "--all-root")
    found = listed(image_host.json("image", "show", "my-layout"))
    assert found["/locked/x"] == "-rw------- 0/0"
    assert {facts.split()[1] for facts in found.values()} == {"0/0"}
    sif = image_host.json("image", "show", "my-layout")["path"]
    done = image_host.run("image", "add", sif, "--name", "x", "--all-root", code=2)
    assert "taken in as it is" in done.stderr


def test_the_same_layout_is_the_same_image_also_as_an_archive(
    image_host: Host, layout: Path, tmp_path: Path
) -> None:
    first = image_host.json("image", "add", str(layout))
    tar = as_archive(layout, tmp_path / "packed.tar")
    second = image_host.json("image", "add", str(tar))
    assert second["digest"] == first["digest"]
    assert second["names"] == ["my-layout", "packed"]


def test_a_folder_becomes_an_image_and_a_sif_file_comes_back_in(
    image_host: Host, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "etc").mkdir(parents=True)
    (source / "etc/x").write_text("content")
    words = ("--cmd", "cat '/etc/a b'", "--env", "A=1", "--workdir", "/etc", "--user", "7:8")
    made = image_host.json("image", "build", "app", "--folder", str(source), *words)
    assert image_host.json("image", "build", "app", "--folder", str(source), *words) == made
    shown = image_host.json("image", "show", "app")
    assert shown["config"]["cmd"] == ["cat", "/etc/a b"]
    assert (shown["config"]["user"], shown["config"]["working_dir"]) == ("7:8", "/etc")
    assert (unpacked(shown, tmp_path / "root") / "etc/x").read_text() == "content"
    sif = tmp_path / "copy.sif"
    sif.write_bytes(Path(shown["path"]).read_bytes())
    assert image_host.json("image", "show", str(sif))["entry"] is None
    image_host.run("image", "remove", "app")
    assert image_host.json("image", "add", str(sif))["digest"] == made["digest"]
    assert image_host.json("image", "list")[0]["names"] == ["copy"]


def test_tables_for_people(image_host: Host, layout: Path) -> None:
    added = image_host.run("image", "add", str(layout), "--name", "app")
    assert added.stdout.startswith("sha256:")
    assert "Reading layer 1 of 2" in added.stderr
    table = image_host.run("image", "list").stdout.splitlines()
    assert table[0].split() == ["NAME", "DIGEST", "SIZE", "AGE"]
    assert table[1].split()[:2] == ["app", added.stdout[:19]]
    page = image_host.run("image", "show", "app").stdout
    assert "entrypoint    /bin/a" in page
    assert f"primary squashfs {HERE}" in page
    assert image_host.run("image", "verify", "app").stdout.splitlines()[1].split() == [
        "app",
        "whole",
    ]
    assert image_host.run("image", "remove", "app").stdout == "app\n"
    assert "No image yet" in image_host.run("image", "list").stderr


def test_damage_is_found(image_host: Host, layout: Path) -> None:
    image_host.run("image", "add", str(layout), "--name", "app")
    path = Path(image_host.json("image", "show", "app")["path"])
    path.chmod(0o600)
    with open(path, "r+b") as out:
        out.seek(-1, os.SEEK_END)
        out.write(b"\x01")
    done = image_host.run("image", "verify", code=1)
    assert done.stdout.splitlines()[1].split() == ["app", "damaged"]
    assert "was changed" in done.stderr
    assert json.loads(image_host.run("image", "verify", "-o", "json", code=1).stdout)[0]["damage"]


REFUSALS: list[tuple[list[str], int, str]] = [
    (["show", "none"], 3, "no image"),
    (["show", "sha256:00000000"], 3, "no image"),
    (["show", "./none.sif"], 3, "cannot be opened"),
    (["show", "/"], 1, "is a folder"),
    (["show", "/etc/passwd"], 1, "no SIF file"),
    (["show", "a b"], 2, "no name for an image"),
    (["remove", "none"], 3, "no image"),
    (["verify", "none"], 3, "no image"),
    (["add", "/none"], 3, "nothing at"),
    (["add", "/etc/passwd"], 1, "neither a SIF file nor an OCI layout"),
    (["add", "/etc"], 1, "no OCI layout"),
    (["add", "/etc/passwd", "--name", "../x"], 2, "no name for an image"),
    (["build", "x"], 2, "--folder or of --suite"),
    (["build", "x", "--folder", "/none"], 3, "no folder"),
    (["build", "x", "--folder", "/etc/passwd"], 1, "is no folder"),
    (["build", "x", "--folder", "/etc", "--mirror", "x"], 2, "for --suite"),
    (["build", "x", "--folder", "/etc", "--suite", "y"], 2, "--folder or of --suite"),
    (["build", "x", "--folder", "/etc", "--env", "A"], 2, "sets no variable"),
    (["build", "x", "--folder", "/etc", "--cmd", "'"], 2, "quotation"),
    (["build", "x", "--suite", "y", "--exclude", "usr/share"], 2, "from / on"),
    (["build", "x", "--folder", "/etc", "--exclude", "/x"], 2, "for --suite"),
    (["build", "x", "--suite", "--hook"], 2, "no suite"),
    (["bogus"], 2, "No such command"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSALS)
def test_refusals_have_a_name_an_exit_code_and_advice(
    image_host: Host, words: list[str], code: int, said: str
) -> None:
    done = image_host.run("image", *words, code=code)
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) >= 2
    assert image_host.json("image", "list") == []


def test_a_hostile_layout_leaves_nothing(image_host: Host, tmp_path: Path) -> None:
    hostile = [file("ok", "x"), member("../../escaped", data=b"x")]
    path = LayoutFolder(tmp_path / "hostile", [layer(hostile)]).write()
    done = image_host.run("image", "add", str(path), code=1)
    assert "leads outside" in done.stderr
    assert image_host.json("image", "list") == []
    assert [one for one in (image_host.state / "images").rglob("*") if one.is_file()] == [
        image_host.state / "images" / "lock"
    ]


def test_an_image_for_another_processor_is_refused(image_host: Host, tmp_path: Path) -> None:
    objects = (primary(extra=struct.pack("<ii3s", 1, 2, b"11\0")),)
    other = SifFile(objects, code=b"11\0").write(tmp_path, "other.sif")
    assert "is for s390x" in image_host.run("image", "add", str(other), code=1).stderr
    assert image_host.json("image", "list") == []


def test_a_name_in_use_is_a_conflict(image_host: Host, layout: Path, tmp_path: Path) -> None:
    image_host.run("image", "add", str(layout), "--name", "app")
    words = ("image", "build", "app", "--folder", str(tmp_path / "my-layout/blobs"))
    assert "--replace" in image_host.run(*words, code=4).stderr
    image_host.run(*words, "--replace")
    assert len(image_host.json("image", "list")) == 1


def test_a_killed_command_leaves_nothing_that_the_next_one_does_not_remove(
    image_host: Host, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(200 << 20))
    new = image_host.state / "images" / "new"
    with image_host.start("image", "build", "app", "--folder", str(source)) as command:
        eventually(lambda: new.exists() and len(os.listdir(new)) == 1, "it is being made")
        command.kill()
    (source / "large").unlink()
    image_host.run("image", "build", "app", "--folder", str(source))
    assert os.listdir(new) == []


def test_a_missing_tool_is_named(image_host: Host, tmp_path: Path) -> None:
    done = image_host.run(
        "image", "build", "x", "--folder", "/etc", code=1, environment={"PATH": str(tmp_path)}
    )
    assert "apt-get install squashfs-tools" in done.stderr
    done = image_host.run(
        "image", "build", "x", "--suite", "bookworm", code=1, environment={"PATH": str(tmp_path)}
    )
    assert "apt-get install mmdebstrap" in done.stderr


def test_a_folder_that_cannot_be_read_is_no_image(image_host: Host) -> None:
    # A file of /proc/self that not even root reads.
    done = image_host.run("image", "build", "x", "--folder", "/proc/self/attr", code=1)
    assert "mksquashfs failed" in done.stderr


def test_a_failing_bootstrap_says_why(image_host: Host, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "mmdebstrap"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'E: no such suite' >&2\nexit 25\n")
    fake.chmod(0o755)
    path = f"{fake.parent}:{os.environ['PATH']}"
    done = image_host.run(
        "image", "build", "x", "--suite", "pigeon", code=1, environment={"PATH": path}
    )
    assert "no such suite" in done.stderr
    assert image_host.json("image", "list") == []


def test_commands_that_are_no_images_load_none_of_this() -> None:
    script = (
        "import sys; sys.argv = ['tessera', 'version', '--help']\n"
        "from tessera.cli import app\n"
        "try: app.main()\n"
        "except SystemExit: print([name for name in sys.modules if 'images' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")


@pytest.mark.slow
@pytest.mark.skipif(not APT_SOURCES.exists(), reason="this host has no list of Debian's sources")
def test_a_debian_suite_becomes_an_image(image_host: Host, tmp_path: Path) -> None:
    words = ("--suite", "bookworm", "--include", "clinfo", "--mirror", str(APT_SOURCES))
    image_host.run("image", "build", "debian", *words)
    root = unpacked(image_host.json("image", "show", "debian"), tmp_path / "root")
    assert (root / "usr/bin/clinfo").exists()
    assert (root / "etc/debian_version").exists()
    assert not (root / "dev").exists()
