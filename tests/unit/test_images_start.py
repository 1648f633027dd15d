# SPDX-License-Identifier: Apache-2.0
"""What is run in an image: the user's program, its own, or what Singularity put into it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from helpers.images import Object, SifFile, primary
from tessera.images import sif_reader
from tessera.images.config import ImageConfig
from tessera.images.sif import Sif
from tessera.images.start import Start, start_of

CONFIG = ImageConfig(entrypoint=("python3",), cmd=("job.py",))


def image(folder: Path, *objects: Object) -> Sif:
    fd = sif_reader.open_sif(SifFile((primary(), *objects)).write(folder))
    return sif_reader.read_sif(fd)


def test_without_a_definition_the_config_counts(tmp_path: Path) -> None:
    ours = image(tmp_path)
    words = ("python3", "job.py")
    assert start_of(ours, CONFIG, []) == Start(words, words)
    assert start_of(ours, CONFIG, ["sh", "-c", "x"]).arguments == ("sh", "-c", "x")
    assert start_of(ours, ImageConfig(), []) == Start((), ())


@pytest.mark.parametrize("named", [(), ("printf", "%s|", "a  b", "$HOME", "*")])
def test_with_a_definition_the_images_own_scripts_count(
    tmp_path: Path, named: tuple[str, ...]
) -> None:
    theirs = image(tmp_path, Object(0x4001, b"Bootstrap: docker\n", name="definition"))
    start = start_of(theirs, CONFIG, named)
    shown = named or ("/.singularity.d/runscript",)
    assert start.shown == shown
    assert start.arguments[0] == "/bin/sh"
    assert start.arguments[-len(shown) :] == shown


def test_its_shell_reads_every_script_in_order_and_hands_words_on_as_they_are(
    tmp_path: Path,
) -> None:
    theirs = image(tmp_path, Object(0x4001, b"Bootstrap: docker\n", name="definition"))
    scripts = tmp_path / "env"
    scripts.mkdir()
    (scripts / "10-a.sh").write_text("ONE=1\n")
    (scripts / "20-b.sh").write_text("export TWO=$ONE$ONE\n")
    (scripts / "30-folder.sh").mkdir()
    words = start_of(theirs, CONFIG, ["sh", "-c", 'echo "$TWO:$1:$tessera_script"', "sh", "a  *"])
    here = [word.replace("/.singularity.d/env", str(scripts)) for word in words.arguments]
    done = subprocess.run(here, capture_output=True, text=True, check=True)
    assert done.stdout == "11:a  *:\n"
