# SPDX-License-Identifier: Apache-2.0
"""SIF files: everything that the format has is read, and nothing that lies is believed."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.images import CODE, HERE, Object, SifFile, primary, superblock
from helpers.processes import descriptors
from tessera.images import sif, sif_reader, sif_writer
from tessera.images.config import OBJECT_NAME, ImageConfig
from tessera.images.sif import DataType, Sif
from tessera.model.errors import (
    ImageDamaged,
    ImageEncrypted,
    ImageError,
    ImageNotFound,
    ImageTooLarge,
    ImageUnsupported,
    NotAnImage,
)

PLAIN = SifFile().to_bytes()


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """An empty file to write images into."""
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def read(fd: int, content: bytes) -> Sif:
    os.ftruncate(fd, 0)
    os.pwrite(fd, content, 0)
    return sif_reader.read_sif(fd)


def test_a_plain_file_is_read(fd: int) -> None:
    image = read(fd, PLAIN)
    assert image.architecture == HERE
    assert image.size == len(PLAIN)
    assert (image.primary.offset, image.primary.size, image.primary.name) == (32768, 4096, "root")
    assert (image.primary.group, image.primary.created, image.primary.modified) == (1, 1, 2)
    assert image.header.descriptors_free == 47
    assert not image.signed
    assert sif_reader.read_config(fd, image) == ImageConfig()


KINDS: list[tuple[Object, Any]] = [
    (Object(0x4001, b"bootstrap: docker"), None),
    (Object(0x4002, b"A=B"), None),
    (Object(0x4003, b"{}"), None),
    (
        Object(0x4004, b"x", struct.pack("<ii3s", 2, 4, b"04\0")),
        sif.Partition(file_system=sif.FileSystem.EXT3, part=sif.Part.OVERLAY, architecture="arm64"),
    ),
    (
        Object(0x4005, b"x", struct.pack("<i20s", 2, b"\x01" * 20), link=1),
        sif.Signature(hash=sif.Hash.SHA384, fingerprint="01" * 20),
    ),
    (Object(0x4006, b"{}", name="inspect-metadata.json"), None),
    (Object(0x4007, b"anything"), None),
    (
        Object(0x4008, b"key", struct.pack("<ii", 2, 0x200), link=1),
        sif.CryptoMessage(format=sif.MessageFormat.PEM, kind=sif.MessageKind.RSA_OAEP),
    ),
    (Object(0x4009, b"{}", struct.pack("<i", 4)), sif.Sbom(format=sif.SbomFormat.SPDX_JSON)),
    (Object(0x400A, b"{}", b"sha256:00"), sif.OciDigest(digest="sha256:00")),
    (Object(0x400B, b"{}", b"sha256:11"), sif.OciDigest(digest="sha256:11")),
]


def test_the_samples_have_every_type() -> None:
    assert [one.kind for one, _ in KINDS] == [kind.value for kind in DataType]


@pytest.mark.parametrize(("one", "extra"), KINDS)
def test_every_type_of_descriptor_is_read(fd: int, one: Object, extra: Any) -> None:
    found = read(fd, SifFile((primary(), one)).to_bytes()).descriptors[1]
    assert (found.type, found.extra, found.link) == (one.kind, extra, one.link)
    assert os.pread(fd, found.size, found.offset) == one.data


def test_a_file_with_all_of_them_is_one_image(fd: int) -> None:
    image = read(fd, SifFile((primary(), *(one for one, _ in KINDS))).to_bytes())
    assert len(image.descriptors) == len(KINDS) + 1
    assert image.signed


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        (sif.FileSystem, sif.PARTITION),
        (sif.Hash, sif.SIGNATURE),
        (sif.MessageFormat, sif.CRYPTO_MESSAGE),
        (sif.SbomFormat, sif.SBOM),
    ],
)
def test_codes_that_the_format_does_not_know_are_refused(
    fd: int, code: Any, kinds: struct.Struct
) -> None:
    kind = {sif.PARTITION: 0x4004, sif.SIGNATURE: 0x4005, sif.CRYPTO_MESSAGE: 0x4008}.get(
        kinds, 0x4009
    )
    unknown = max(code) + 1
    with pytest.raises(ImageUnsupported, match=str(unknown)):
        read(fd, SifFile((primary(), Object(kind, extra=struct.pack("<i", unknown)))).to_bytes())


def partition(file_system: int = 1, part: int = 2, code: bytes = CODE) -> bytes:
    return struct.pack("<ii3s", file_system, part, code)


REFUSALS: list[tuple[str, SifFile, type[ImageError], str]] = [
    ("magic", SifFile(magic=b"SIF_TRICK\0"), NotAnImage, "magic"),
    ("version", SifFile(version=b"02\0"), ImageUnsupported, "version 02"),
    ("none", SifFile(total=48, header={"total": 0, "table": 0}), ImageDamaged, "0 descriptors"),
    ("negative", SifFile(header={"total": -1}), ImageDamaged, "-1 descriptors"),
    ("many", SifFile(header={"total": 1 << 40}), ImageDamaged, "1 to 1024"),
    ("table", SifFile(header={"table": 585}), ImageDamaged, "do not have 585 bytes"),
    ("free", SifFile(header={"free": 99}), ImageDamaged, "cannot be free"),
    ("free", SifFile(header={"free": -1}), ImageDamaged, "cannot be free"),
    ("used", SifFile(header={"free": 46}), ImageDamaged, "1 descriptors are used"),
    ("inside", SifFile(header={"offset": 0}), ImageDamaged, "inside its header"),
    ("behind", SifFile(header={"offset": 1 << 40}), ImageDamaged, "ends inside its descriptors"),
    ("data", SifFile(header={"data": 4096}), ImageDamaged, "data lie inside"),
    ("data", SifFile(header={"data_size": 1 << 40}), ImageDamaged, "ends inside its data"),
    ("data", SifFile(header={"data_size": -1}), ImageDamaged, "ends inside its data"),
    ("data", SifFile(header={"data_size": 8}), ImageDamaged, "outside of the data"),
    ("place", SifFile((primary(offset=1 << 62),)), ImageDamaged, "inside the file"),
    ("place", SifFile((primary(offset=-1),)), ImageDamaged, "inside the file"),
    ("place", SifFile((primary(size=-1, padded=0),)), ImageDamaged, "inside the file"),
    ("place", SifFile((primary(offset=64),)), ImageDamaged, "outside of the data"),
    ("padding", SifFile((primary(padded=1),)), ImageDamaged, "with its padding"),
    ("padding", SifFile((primary(padded=1 << 50),)), ImageDamaged, "with its padding"),
    ("id", SifFile((primary(number=0),)), ImageDamaged, "no id"),
    ("id", SifFile((primary(number=sif.GROUP | 1),)), ImageDamaged, "no id"),
    ("ids", SifFile((primary(), Object(0x4007, b"x", number=1))), ImageDamaged, "same id"),
    (
        "overlap",
        SifFile((primary(), Object(0x4007, b"x", offset=32768 + 4095))),
        ImageDamaged,
        "1 and 2 overlap",
    ),
    ("link", SifFile((primary(link=7),)), ImageDamaged, "which is not there"),
    ("link", SifFile((primary(link=sif.GROUP | 9),)), ImageDamaged, "group that is not there"),
    ("circle", SifFile((primary(link=1),)), ImageDamaged, "circle"),
    (
        "circle",
        SifFile((primary(link=2), Object(0x4007, link=3), Object(0x4007, link=2))),
        ImageDamaged,
        "circle",
    ),
    ("type", SifFile((primary(), Object(0x4FFF))), ImageUnsupported, "type of data object 2"),
    ("no primary", SifFile((Object(0x4007, b"x"),)), ImageDamaged, "0 primary partitions"),
    ("two", SifFile((primary(), primary())), ImageDamaged, "2 primary partitions"),
    ("oci", SifFile((Object(0x400A, b"{}"),)), ImageUnsupported, "OCI image"),
    ("encrypted", SifFile((primary(extra=partition(5)),)), ImageEncrypted, "encrypted"),
    ("ext3", SifFile((primary(extra=partition(2)),)), ImageUnsupported, "EXT3"),
    ("raw", SifFile((primary(extra=partition(4)),)), ImageUnsupported, "RAW"),
    ("archive", SifFile((primary(extra=partition(3)),)), ImageUnsupported, "ARCHIVE"),
    ("processors", SifFile(code=b"00\0"), ImageDamaged, "different processors"),
]


@pytest.mark.parametrize(("image", "error", "said"), [row[1:] for row in REFUSALS])
def test_lies_are_refused_by_name_and_with_advice(
    fd: int, image: SifFile, error: type[ImageError], said: str
) -> None:
    with pytest.raises(ImageError, match=said) as refusal:
        read(fd, image.to_bytes())
    assert type(refusal.value) is error
    assert refusal.value.hint


SUPERBLOCKS: list[tuple[dict[str, int], type[ImageError], str]] = [
    ({"magic": 1}, ImageDamaged, "magic"),
    ({"major": 3}, ImageUnsupported, "version 3.0"),
    ({"compressor": 2}, ImageUnsupported, "method 2"),
    ({"compressor": 9}, ImageUnsupported, "method 9"),
    ({"block": 3}, ImageDamaged, "blocks of 3 bytes"),
    ({"block": 1 << 30, "log": 30}, ImageDamaged, "impossible"),
    ({"used": 4097}, ImageDamaged, "claims 4097 bytes"),
    ({"used": 1 << 63}, ImageDamaged, "claims"),
    ({"used": 5}, ImageDamaged, "claims 5"),
    ({"inodes": 0}, ImageDamaged, "holds nothing"),
    ({"ids": 0}, ImageDamaged, "holds nothing"),
    ({"table3": 4096}, ImageDamaged, "behind its end"),
]


@pytest.mark.parametrize(("changes", "error", "said"), SUPERBLOCKS)
def test_a_squashfs_that_lies_is_refused(
    fd: int, changes: dict[str, int], error: type[ImageError], said: str
) -> None:
    with pytest.raises(error, match=said) as refusal:
        read(fd, SifFile((primary(data=superblock(**changes)),)).to_bytes())
    assert refusal.value.hint


def test_a_squashfs_without_tables_that_it_need_not_have_is_sound(fd: int) -> None:
    read(fd, SifFile((primary(data=superblock(table1=(1 << 64) - 1)),)).to_bytes())


@pytest.mark.parametrize("length", [0, 1, 41, 42, 127, 128, 4096, 32767, 32768, 32864, 36863])
def test_a_file_that_is_cut_short_is_refused(fd: int, length: int) -> None:
    with pytest.raises((NotAnImage, ImageDamaged)):
        read(fd, PLAIN[:length])


def test_a_file_may_not_be_larger_than_allowed(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERA_IMAGE_LIMIT", "8KiB")
    with pytest.raises(ImageTooLarge, match="8.00 KiB") as refusal:
        read(fd, PLAIN)
    assert "TESSERA_IMAGE_LIMIT" in refusal.value.hint


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 127), st.integers(4096, 4096 + 585 * 3), st.integers(0, 40000)
            ),
            st.binary(min_size=1, max_size=8),
        ),
        max_size=6,
    ),
    st.one_of(st.none(), st.integers(0, 40000)),
)
def test_any_change_gives_an_image_or_a_named_error(
    changes: list[tuple[int, bytes]], length: int | None
) -> None:
    objects = (primary(), *(one for one, _ in KINDS[:5]))
    content = bytearray(SifFile(objects).to_bytes())
    for place, data in changes:
        content[place : place + len(data)] = data
    before = descriptors()
    fd = os.memfd_create("image")
    try:
        image = read(fd, bytes(content[:length]))
        # What passed is inside the file, whatever was changed.
        assert all(0 <= one.offset <= one.end <= image.size for one in image.descriptors)
        sif_reader.read_config(fd, image)
    except ImageError as error:
        assert error.message.isprintable() and error.hint
    finally:
        os.close(fd)
    assert descriptors() == before


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_behind_the_magic_give_a_named_error(tail: bytes) -> None:
    fd = os.memfd_create("image")
    try:
        with pytest.raises(ImageError):
            read(fd, PLAIN[:42] + tail)
    finally:
        os.close(fd)


def test_text_from_the_file_cannot_steer_a_terminal(fd: int) -> None:
    image = read(fd, SifFile((primary(name=b"\x1b[2J\xff"),)).to_bytes())
    assert image.primary.name == "\\x1b[2J\\xff"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotAnImage, match="not a file"):
        sif_reader.open_sif(tmp_path / "pipe")
    with pytest.raises(ImageNotFound, match="No such file"):
        sif_reader.open_sif(tmp_path / "nothing")


CONFIG = ImageConfig(
    entrypoint=("/bin/a",), cmd=("b c",), env=("A=1", "PATH=/x"), working_dir="/w", user="me"
)


def written(fd: int, config: ImageConfig) -> bytes:
    os.ftruncate(fd, 0)
    os.pwrite(fd, superblock(), sif_writer.partition_offset(config))
    sif_writer.complete(fd, config, HERE, 77)
    return os.pread(fd, 1 << 20, 0)


@pytest.mark.parametrize("config", [ImageConfig(), CONFIG, ImageConfig(cmd=("x" * 5000,))])
def test_what_is_written_is_read(fd: int, config: ImageConfig) -> None:
    first = written(fd, config)
    image = sif_reader.read_sif(fd)
    assert sif_reader.read_config(fd, image) == config
    assert image.primary.offset % 4096 == 0
    assert (image.header.created, image.header.descriptors_total) == (77, 48)
    assert image.descriptors[0].name == OBJECT_NAME
    assert written(fd, config) == first


def test_other_content_has_another_id(fd: int) -> None:
    written(fd, ImageConfig())
    one = sif_reader.read_sif(fd).header.id
    written(fd, ImageConfig(cmd=("x",)))
    assert sif_reader.read_sif(fd).header.id != one


def test_sif_has_no_code_for_every_processor(fd: int) -> None:
    with pytest.raises(ImageUnsupported, match="m68k"):
        sif_writer.complete(fd, ImageConfig(), "m68k", 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[]", "the document"),
        (b"{", "the document"),
        (b'{"Env": ["A"]}', "sets no variable"),
        (b'{"Env": ["=B"]}', "sets no variable"),
        (b'{"WorkingDir": "a"}', "not absolute"),
        (b'{"Cmd": "sh"}', "Cmd"),
        (b'{"Cmd": ["a\\u0000b"]}', "zero byte"),
        (b'{"User": 7}', "User"),
    ],
)
def test_a_config_that_is_none_is_refused(fd: int, text: bytes, said: str) -> None:
    content = SifFile((primary(), Object(0x4006, text, name=OBJECT_NAME))).to_bytes()
    image = read(fd, content)
    with pytest.raises(ImageDamaged, match=said):
        sif_reader.read_config(fd, image)


def test_a_config_is_read_as_docker_and_apptainer_write_it(fd: int) -> None:
    text = (
        b'{"Env": ["A=b=c"], "Cmd": null, "Entrypoint": ["/run"], "ExposedPorts": {"80/tcp": {}}}'
    )
    image = read(fd, SifFile((primary(), Object(0x4006, text, name=OBJECT_NAME))).to_bytes())
    config = sif_reader.read_config(fd, image)
    assert config.command == ("/run",)
    assert config.environment["A"] == "b=c"
    assert config.environment["PATH"].startswith("/usr/local/sbin")


def test_a_config_of_any_size_is_not_read(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sif_reader, "MAX_DOCUMENT", 10)
    content = SifFile((primary(), Object(0x4006, b'{"Cmd": ["a"]}', name=OBJECT_NAME))).to_bytes()
    image = read(fd, content)
    with pytest.raises(ImageDamaged, match="14 bytes"):
        sif_reader.read_config(fd, image)
