# SPDX-License-Identifier: Apache-2.0
"""OCI layouts: the right image is found, and every byte is what its digest says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.images import (
    HERE,
    INDEX,
    MANIFEST,
    Layer,
    LayoutFolder,
    as_archive,
    digest,
    file,
    layer,
)
from tessera.images.flatten import Flattened
from tessera.images.oci_layout import open_layout
from tessera.images.progress import Silent
from tessera.model.errors import (
    ImageDamaged,
    ImageError,
    ImageOfOtherArchitecture,
    ImageUnsupported,
    NotAnImage,
)

OTHER = "arm64" if HERE != "arm64" else "amd64"
CONFIG = {"Cmd": ["/bin/a"], "Env": ["A=1"], "Labels": {"x": "y"}, "User": "7"}


def one_layer() -> Layer:
    return layer([file("a", "content")])


@pytest.fixture
def layout(tmp_path: Path) -> LayoutFolder:
    return LayoutFolder(tmp_path / "layout", [one_layer()], CONFIG)


def names(path: Path) -> list[str]:
    with open_layout(path) as found:
        return [name for name, _ in Flattened(found, Silent()).tree.walk()]


def look_at(path: Path) -> None:
    """Reads the documents of a layout, and no layer."""
    with open_layout(path):
        pass


@pytest.mark.parametrize("archived", [False, True])
def test_a_layout_is_read(layout: LayoutFolder, tmp_path: Path, archived: bool) -> None:
    path = layout.write()
    path = as_archive(path, tmp_path / "layout.tar") if archived else path
    with open_layout(path) as found:
        assert found.configuration.image_config.command == ("/bin/a",)
        assert found.configuration.created_at == 1767323045
    assert names(path) == ["a"]


def test_the_image_for_this_host_is_chosen(layout: LayoutFolder) -> None:
    mine = layout.manifest()
    other = {"mediaType": MANIFEST, **layout.blob(b"{}")}
    layout.write(
        {**other, "platform": {"architecture": OTHER, "os": "linux"}},
        {**other, "platform": {"architecture": HERE, "os": "windows"}},
        {**mine, "platform": {"architecture": HERE, "os": "linux"}},
    )
    assert names(layout.path) == ["a"]


def test_an_index_may_name_another_one(layout: LayoutFolder) -> None:
    inner = json.dumps({"manifests": [layout.manifest()]}).encode()
    layout.write({"mediaType": INDEX, **layout.blob(inner)})
    assert names(layout.path) == ["a"]


def test_indexes_may_not_lie_in_each_other_without_end(layout: LayoutFolder) -> None:
    reference = {"mediaType": INDEX, **layout.blob(b'{"manifests": []}')}
    for _ in range(8):
        inner = json.dumps({"manifests": [reference]}).encode()
        reference = {"mediaType": INDEX, **layout.blob(inner)}
    layout.write(reference)
    with pytest.raises(ImageDamaged, match="too deep"):
        look_at(layout.path)


def test_an_image_for_another_processor_is_refused(layout: LayoutFolder) -> None:
    platform = {"architecture": OTHER, "os": "linux"}
    layout.write({**layout.manifest(), "platform": platform})
    with pytest.raises(ImageOfOtherArchitecture, match=f"only for {OTHER}"):
        look_at(layout.path)


@pytest.mark.parametrize("architecture", [OTHER, ""])
def test_the_config_tells_the_processor(layout: LayoutFolder, architecture: str) -> None:
    layout.config["architecture"] = architecture
    layout.write()
    with pytest.raises(ImageOfOtherArchitecture, match=f"this host is {HERE}"):
        look_at(layout.path)


def test_an_image_for_another_system_is_refused(layout: LayoutFolder) -> None:
    layout.config["os"] = "windows"
    layout.write()
    with pytest.raises(ImageUnsupported, match="windows"):
        look_at(layout.path)


def test_digests_of_sha512_are_checked_too(layout: LayoutFolder) -> None:
    packed = one_layer().packed
    layout.layers[0] |= layout.blob(packed, "sha512")
    assert names(layout.write()) == ["a"]
    blob = layout.path / "blobs/sha512" / digest(packed, "sha512").partition(":")[2]
    blob.write_bytes(packed[:-1] + b"\x01")
    with pytest.raises(ImageDamaged):
        names(layout.path)


def blob_of(layout: LayoutFolder) -> Path:
    return layout.path / "blobs/sha256" / digest(one_layer().packed).partition(":")[2]


@pytest.mark.parametrize("change", ["other", "shorter", "longer", "gone", "link", "folder"])
def test_a_blob_that_is_another_one_is_refused(layout: LayoutFolder, change: str) -> None:
    layout.write()
    blob, good = blob_of(layout), one_layer().packed
    blob.unlink()
    if change == "folder":
        blob.mkdir()
    elif change == "link":
        (layout.path / "elsewhere").write_bytes(good)
        blob.symlink_to(layout.path / "elsewhere")
    elif change != "gone":
        # gzip looks at neither the time in its header nor what comes behind its end.
        other = good[:4] + b"\x01" + good[5:]
        blob.write_bytes({"other": other, "shorter": good[:-1], "longer": good + b"\0"}[change])
    with pytest.raises(ImageDamaged) as refusal:
        names(layout.path)
    assert refusal.value.hint


def test_the_content_of_a_layer_has_a_digest_of_its_own(tmp_path: Path) -> None:
    wrong = layer([file("a")], diff_id=digest(b"something else"))
    layout = LayoutFolder(tmp_path / "layout", [wrong])
    with pytest.raises(ImageDamaged, match="content of a layer"):
        names(layout.write())


@pytest.mark.parametrize("ids", [[], ["sha256:" + "0" * 64] * 2])
def test_every_layer_needs_a_digest(layout: LayoutFolder, ids: list[str]) -> None:
    layout.config["rootfs"]["diff_ids"] = ids
    layout.write()
    with pytest.raises(ImageDamaged, match="1 layers"):
        look_at(layout.path)


@pytest.mark.parametrize(
    "text",
    ["sha256:../../../../etc/passwd", "md5:00", "sha256:" + "A" * 64, "sha256:" + "0" * 63, ""],
)
def test_a_digest_is_no_path(layout: LayoutFolder, text: str) -> None:
    layout.layers[0]["digest"] = text
    layout.write()
    with pytest.raises(ImageDamaged, match="no sha256 or sha512 digest"):
        look_at(layout.path)


DOCUMENTS: list[tuple[str, Any]] = [
    ("manifests", {"manifests": {}}),
    ("manifests", {}),
    ("document", []),
    ("manifests.0.size", {"manifests": [{"digest": "sha256:" + "0" * 64, "size": -1}]}),
    ("manifests", {"manifests": [{"digest": "sha256:" + "0" * 64, "size": 1}] * 1025}),
]


@pytest.mark.parametrize(("where", "document"), DOCUMENTS)
def test_documents_of_another_form_are_refused(
    layout: LayoutFolder, where: str, document: Any
) -> None:
    layout.write()
    (layout.path / "index.json").write_text(json.dumps(document))
    with pytest.raises(ImageDamaged, match=where):
        look_at(layout.path)


def test_a_document_of_any_size_is_not_read(layout: LayoutFolder) -> None:
    layout.write({"mediaType": MANIFEST, **layout.manifest(), "size": 1 << 40})
    with pytest.raises(ImageDamaged, match="bytes"):
        look_at(layout.path)
    with open(layout.path / "index.json", "r+b") as index:
        index.truncate(64 << 20)
    with pytest.raises(ImageDamaged, match="more than"):
        look_at(layout.path)


def test_too_many_layers_are_refused(layout: LayoutFolder) -> None:
    layout.layers *= 300
    layout.write()
    with pytest.raises(ImageDamaged, match="layers"):
        look_at(layout.path)


def test_what_is_no_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotAnImage, match=r"index\.json"):
        look_at(tmp_path / "folder")
    (tmp_path / "file").write_text("something else" * 100)
    with pytest.raises(NotAnImage, match="neither"):
        look_at(tmp_path / "file")
    (tmp_path / "empty").touch()
    with pytest.raises(NotAnImage):
        look_at(tmp_path / "empty")


def test_a_pipe_in_place_of_a_document_does_not_hold_anybody_up(layout: LayoutFolder) -> None:
    layout.write()
    (layout.path / "index.json").unlink()
    os.mkfifo(layout.path / "index.json")
    with pytest.raises(NotAnImage):
        look_at(layout.path)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2), st.integers(0, 3000), st.binary(min_size=1, max_size=10))
def test_any_change_to_a_document_gives_an_image_or_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, which: int, place: int, data: bytes
) -> None:
    layout = LayoutFolder(tmp_path_factory.mktemp("fuzz") / "layout", [one_layer()], CONFIG)
    layout.write()
    index = json.loads((layout.path / "index.json").read_text())
    manifest = layout.path / "blobs/sha256" / index["manifests"][0]["digest"].partition(":")[2]
    config = json.loads(manifest.read_text())["config"]["digest"].partition(":")[2]
    changed = [layout.path / "index.json", manifest, layout.path / "blobs/sha256" / config][which]
    content = bytearray(changed.read_bytes())
    place %= len(content)
    content[place : place + len(data)] = data
    changed.write_bytes(content)
    try:
        found = names(layout.path)
    except ImageError as error:
        assert error.message.isprintable() and error.hint
        return
    assert found == ["a"]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 20000), st.binary(min_size=1, max_size=16))
def test_any_change_to_an_archive_gives_an_image_or_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = LayoutFolder(folder / "layout", [one_layer()], CONFIG).write()
    tar = as_archive(path, folder / "layout.tar")
    content = bytearray(tar.read_bytes())
    place %= len(content)
    content[place : place + len(data)] = data
    tar.write_bytes(content)
    try:
        found = names(tar)
    except ImageError as error:
        assert error.hint
        return
    assert found == ["a"]
