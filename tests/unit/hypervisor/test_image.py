# SPDX-License-Identifier: Apache-2.0
"""The root inside a SIF file is found, and everything else is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import images
from tessera.hypervisor import image
from tessera.hypervisor.base import Disk
from tessera.model.errors import ImageNotFound, ImageOfOtherArchitecture, NotAnImage, TesseraError

CONTENT = b"hsqs" + bytes(4092)


@pytest.fixture
def sif(tmp_path: Path) -> Path:
    return images.wrap(CONTENT, tmp_path / "a.sif")


def test_the_root_is_found(sif: Path) -> None:
    assert image.root_disk(sif) == Disk(sif, 32768, len(CONTENT))


def test_no_file(tmp_path: Path) -> None:
    for name in ("none.sif", "."):
        with pytest.raises(ImageNotFound):
            image.root_disk(tmp_path / name)


def test_another_processors(tmp_path: Path) -> None:
    file = images.wrap(CONTENT, tmp_path / "a.sif", images.ARM64)
    with pytest.raises(ImageOfOtherArchitecture, match="aarch64"):
        image.root_disk(file)


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [(CONTENT, 2, "no squashfs"), (b"ext4" * 1024, 1, "no squashfs")],
)
def test_a_root_that_no_guest_mounts(tmp_path: Path, content: bytes, kind: int, said: str) -> None:
    file = images.wrap(content, tmp_path / "a.sif", kind=kind)
    with pytest.raises(NotAnImage, match=said):
        image.root_disk(file)


@pytest.mark.parametrize("length", [0, 31, 127, 4096, 5000, 32768, 32769])
def test_what_is_cut_short(sif: Path, length: int) -> None:
    sif.write_bytes(sif.read_bytes()[:length])
    with pytest.raises(NotAnImage):
        image.root_disk(sif)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 4900), st.binary(min_size=1, max_size=8)), max_size=4))
def test_a_damaged_image_has_a_root_inside_or_an_error_with_a_name(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]
) -> None:
    file = images.wrap(CONTENT, tmp_path_factory.mktemp("sif") / "a.sif")
    data = bytearray(file.read_bytes())
    for at, new in changes:
        data[at : at + len(new)] = new
    file.write_bytes(data)
    try:
        disk = image.root_disk(file)
    except TesseraError:
        return
    assert 0 <= disk.offset <= disk.offset + disk.size <= len(data)
