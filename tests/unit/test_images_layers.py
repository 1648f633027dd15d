# SPDX-License-Identifier: Apache-2.0
"""Layers over layers: the rules of OCI, and what only an attacker writes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.images import (
    LayoutFolder,
    Member,
    archive,
    file,
    folder,
    hard_link,
    layer,
    link,
    member,
)
from tessera.images import limits, tree
from tessera.images.flatten import Flattened
from tessera.images.oci_layout import open_layout
from tessera.images.progress import Silent
from tessera.images.tree import Kind, Tree
from tessera.model.errors import (
    ImageDamaged,
    ImageError,
    ImageHostile,
    ImageTooLarge,
    ImageUnsupported,
)


def laid(*layers: Sequence[Member]) -> Tree:
    """The tree of some layers."""
    found = Tree()
    for number, members in enumerate(layers):
        for one in members:
            found.apply(one.info, number)
    return found


def paths(found: Tree) -> list[str]:
    return [path for path, _ in found.walk()]


def flattened(where: Path, *layers: Sequence[Member] | bytes, method: str = "gzip") -> bytes:
    """The archive that a layout's layers make."""
    layout = LayoutFolder(where / "layout", [layer(one, method) for one in layers]).write()
    out = io.BytesIO()
    with open_layout(layout) as image:
        Flattened(image, Silent()).write(out)
    return out.getvalue()


def contents(flat: bytes) -> dict[str, str | None]:
    """The files of an archive; None for what has no content of its own."""
    with tarfile.open(fileobj=io.BytesIO(flat)) as tar:
        return {
            one.name: data.read().decode()
            if one.isreg() and (data := tar.extractfile(one))
            else None
            for one in tar
        }


def test_later_files_replace_earlier_ones_and_folders_merge() -> None:
    first = [folder("a"), file("a/x"), file("a/y"), file("b")]
    second = [folder("a", mode=0o700), file("a/x", "new"), folder("b"), file("b/z")]
    found = laid(first, second)
    assert paths(found) == ["a", "a/x", "a/y", "b", "b/z"]
    assert found.root.children["a"].mode == 0o700
    assert found.root.children["a"].children["x"].size == 3


def test_whiteouts_remove_what_earlier_layers_left() -> None:
    first = [file("a/x"), file("a/y"), file("b/z"), file("c")]
    second = [file("a/.wh.x"), file("b/new"), file("b/.wh..wh..opq"), file(".wh.c"), file(".wh.no")]
    assert paths(laid(first, second)) == ["a", "a/y", "b", "b/new"]


def test_whiteouts_leave_what_their_own_layer_brings() -> None:
    first = [file("a/old")]
    assert paths(laid(first, [folder("a"), file("a/new"), file(".wh.a")])) == ["a", "a/new"]
    assert paths(laid(first, [file(".wh.a"), file("a/new")])) == ["a", "a/new"]
    assert paths(laid(first, [file("a/b/new"), file("a/.wh..wh..opq")])) == ["a", "a/b", "a/b/new"]


def test_marks_of_other_tools_mean_nothing() -> None:
    assert paths(laid([file("a")], [folder(".wh..wh.plnk"), file(".wh..wh.aufs")])) == ["a"]


def test_files_below_a_link_land_where_it_leads() -> None:
    found = laid([folder("usr/lib"), link("lib", "usr/lib")], [file("lib/x")])
    assert paths(found) == ["lib", "usr", "usr/lib", "usr/lib/x"]


@pytest.mark.parametrize("target", ["/etc", "../../../etc", "etc", "/../etc/."])
def test_a_link_that_leads_outside_leads_to_the_root_of_the_image(target: str) -> None:
    found = laid([link("out", target), file("out/passwd")])
    assert paths(found) == ["etc", "etc/passwd", "out"]


@pytest.mark.parametrize(
    "members",
    [[link("a", "a"), file("a/x")], [link("a", "b"), link("b", "a"), file("a/x")]],
)
def test_links_in_a_circle_are_refused(members: list[Member]) -> None:
    with pytest.raises(ImageHostile, match="circle"):
        laid(members)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "a/..", "x" * 300, "d/" * 3000])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_paths_that_lead_outside_are_refused(name: str, kind: bytes) -> None:
    with pytest.raises(ImageHostile) as refusal:
        laid([member(name, kind, linkname="y")])
    assert refusal.value.hint


@pytest.mark.parametrize("name", ["/x", "./x", "//x/", "./././x"])
def test_a_root_in_front_of_a_path_is_the_images_own(name: str) -> None:
    assert paths(laid([file(name)])) == ["x"]


@pytest.mark.parametrize("target", ["../../etc/passwd", "nothing", "d", "", "x/y", "x/../x"])
def test_hard_links_lead_to_files_of_the_image(target: str) -> None:
    with pytest.raises((ImageHostile, ImageDamaged)):
        laid([file("x"), folder("d"), hard_link("l", target)])


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_device_nodes_are_refused(kind: bytes) -> None:
    with pytest.raises(ImageHostile, match="device node") as refusal:
        laid([member("dev/sda", kind)])
    assert "/dev of their own" in refusal.value.hint


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh..."])
def test_whiteouts_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ImageHostile, match="no file"):
        laid([file(name)])


@pytest.mark.parametrize("target", ["", "t" * 5000])
def test_links_to_nowhere_are_refused(target: str) -> None:
    with pytest.raises(ImageHostile, match="nowhere"):
        laid([link("a", target)])


def test_files_below_a_file_are_refused() -> None:
    with pytest.raises(ImageDamaged, match="no folder"):
        laid([file("a"), file("a/b")])


def test_files_belong_to_whom_the_last_layer_says() -> None:
    mine = {"uid": 1000, "gid": 1001}
    first = [folder("home/me", **mine), file("home/me/x", "", **mine), file("a", uid=5)]
    second = [folder("home/me", uid=7, gid=8), hard_link("b", "home/me/x"), file("a")]
    found = laid(first, second)
    assert {path: (node.owner, node.group) for path, node in found.walk()} == {
        "a": (0, 0),
        "b": (1000, 1001),
        "home": (0, 0),
        "home/me": (7, 8),
        "home/me/x": (1000, 1001),
    }


@pytest.mark.parametrize("fact", ["uid", "gid"])
@pytest.mark.parametrize("number", [-1, (1 << 32) - 1, 1 << 32, 1 << 200])
def test_files_of_users_who_cannot_be_are_refused(tmp_path: Path, fact: str, number: int) -> None:
    with pytest.raises(ImageHostile, match="nobody can be") as refusal:
        flattened(tmp_path, headers(**{fact: str(number)}))
    assert refusal.value.hint


def test_the_number_of_users_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_IDS", 3)
    few = [file("a", uid=1), file("b", uid=2), file("c", uid=2, gid=1)]
    laid(few)
    with pytest.raises(ImageTooLarge, match="more than 3 users"):
        laid([*few, file("d", gid=3)])


def test_the_number_of_files_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_ENTRIES", 3)
    with pytest.raises(ImageTooLarge, match="more than 3 files"):
        laid([file("a")] * 4)


def test_the_root_is_as_it_always_is() -> None:
    found = laid([folder("./", mode=0o000), link("/", "x"), file("a")])
    assert (paths(found), found.root.mode) == (["a"], 0o755)


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
STEPS = st.tuples(st.sampled_from(["file", "folder", "remove", "opaque"]), PATHS)


@settings(max_examples=300)
@given(st.lists(st.lists(STEPS, max_size=4), max_size=4))
def test_layers_come_to_what_a_plain_model_says(layers: list[list[tuple[str, str]]]) -> None:
    # Whiteouts come first, as OCI asks of who writes layers, those of folders before what lies in them.
    ordered = [sorted(steps, key=_in_order) for steps in layers]
    model: dict[str, str] = {}
    try:
        found = laid(*[[_member(*step) for step in steps] for steps in ordered])
    except ImageDamaged:
        return  # a file below a file; the model has no rule for it
    for steps in ordered:
        for step in steps:
            _model_step(model, *step)
    assert {path: node.kind.value for path, node in found.walk()} == model


def _in_order(step: tuple[str, str]) -> tuple[bool, int, bool]:
    kind, path = step
    content = kind in ("file", "folder")
    return content, 0 if content else len(path), kind == "opaque"


def _member(kind: str, path: str) -> Member:
    parent, _, name = path.rpartition("/")
    return {
        "file": file(path),
        "folder": folder(path),
        "remove": file(f"{parent}/.wh.{name}"),
        "opaque": file(f"{path}/.wh..wh..opq"),
    }[kind]


def _model_step(model: dict[str, str], kind: str, path: str) -> None:
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    model.update(dict.fromkeys([*above, *([path] if kind == "opaque" else [])], "folder"))
    below = [other for other in model if other.startswith(f"{path}/")]
    if kind in ("remove", "opaque", "file"):
        for other in below:
            del model[other]
    if kind == "remove":
        model.pop(path, None)
    if kind in ("file", "folder"):
        model[path] = kind


@pytest.mark.parametrize("method", ["tar", "gzip", "zstd"])
def test_an_image_becomes_one_archive(tmp_path: Path, method: str) -> None:
    first = [
        folder("bin"),
        file("bin/a", "one", mode=0o4755, uid=(1 << 32) - 2, gid=1001),
        file("gone", "x"),
        link("l", "bin/a"),
    ]
    second = [
        file(".wh.gone"),
        hard_link("bin/b", "bin/a"),
        file("ä" * 60 + "/" + "n" * 120, "two"),
    ]
    flat = flattened(tmp_path, first, second, method=method)
    assert contents(flat) == {
        "bin": None,
        "l": None,
        "ä" * 60: None,
        "bin/a": "one",
        "bin/b": None,
        "ä" * 60 + "/" + "n" * 120: "two",
    }
    with tarfile.open(fileobj=io.BytesIO(flat)) as tar:
        assert tar.getmember("bin/a").mode == 0o4755
        for name in ("bin/a", "bin/b"):
            assert (tar.getmember(name).uid, tar.getmember(name).gid) == ((1 << 32) - 2, 1001)
        assert tar.getmember("ä" * 60).uid == 0
        assert tar.getmember("bin/b").linkname == "bin/a"
        assert tar.getmember("l").linkname == "bin/a"


def test_a_hard_link_outlives_the_file_that_it_was_made_from(tmp_path: Path) -> None:
    first = [file("a", "content"), hard_link("b", "a")]
    assert contents(flattened(tmp_path, first, [file(".wh.a")])) == {"b": "content"}
    assert contents(flattened(tmp_path, first, [file("a", "other")])) == {
        "a": "other",
        "b": "content",
    }


def test_an_image_without_layers_is_empty(tmp_path: Path) -> None:
    assert contents(flattened(tmp_path)) == {}


def test_odd_names_arrive_as_they_are(tmp_path: Path) -> None:
    odd = b"\xff\n\\ '".decode("utf-8", "surrogateescape")
    # In GNU's format names are bytes.
    flat = flattened(tmp_path, archive([file(odd, "x")], tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=io.BytesIO(flat), errors="surrogateescape") as tar:
        assert tar.getnames() == [odd]


@pytest.mark.parametrize("method", ["gzip", "zstd", "tar"])
def test_a_bomb_is_refused_before_it_fills_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv(limits.VARIABLE, "3MiB")
    with pytest.raises(ImageTooLarge, match="3.00 MiB") as refusal:
        flattened(tmp_path, [member("zeros", data=bytes(4 << 20))], method=method)
    assert limits.VARIABLE in refusal.value.hint


def test_the_limit_is_of_all_layers_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(limits.VARIABLE, "3MiB")
    with pytest.raises(ImageTooLarge):
        flattened(tmp_path, *[[member("zeros", data=bytes(1 << 20))]] * 4)


@pytest.mark.parametrize(
    ("size", "error"), [(1 << 60, ImageTooLarge), (1 << 20, ImageDamaged), (513, ImageDamaged)]
)
def test_a_file_that_claims_more_than_there_is_is_refused(
    tmp_path: Path, size: int, error: type[ImageError]
) -> None:
    info = tarfile.TarInfo("huge")
    info.size = size
    with pytest.raises(error):
        flattened(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(512))


def headers(**facts: str) -> bytes:
    """An archive with an extended header of facts that tarfile would not write."""
    info = tarfile.TarInfo("a")
    info.pax_headers = facts
    return info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


HOSTILE = [
    ("a long header", lambda: _long_header(tarfile.XHDTYPE), "extended header"),
    ("a long global header", lambda: _long_header(tarfile.XGLTYPE), "extended header"),
    ("a long name", lambda: _long_header(tarfile.GNUTYPE_LONGNAME), "extended header"),
    ("a long link", lambda: _long_header(tarfile.GNUTYPE_LONGLINK), "extended header"),
    ("GNU's sparse file", lambda: _header_of(tarfile.GNUTYPE_SPARSE, 0), "sparse"),
    (
        "a sparse file",
        lambda: headers(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}),
        "spars",
    ),
    (
        "a sparse file",
        lambda: headers(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
        "spar",
    ),
    ("a sparse file", lambda: headers(**{"GNU.sparse.size": "99999999999999"}), "sparse"),
    ("a negative size", lambda: _header_of(tarfile.REGTYPE, -512), "negative"),
]


def _header_of(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("a")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def _long_header(kind: bytes) -> bytes:
    return _header_of(kind, 2 << 20) + bytes(2 << 20)


@pytest.mark.parametrize(("made", "said"), [row[1:] for row in HOSTILE])
def test_headers_that_only_an_attacker_writes_are_refused(
    tmp_path: Path, made: object, said: str
) -> None:
    assert callable(made)
    with pytest.raises(ImageHostile, match=said):
        flattened(tmp_path, made())


@pytest.mark.parametrize("facts", [{"size": "-512"}, {"mtime": "1e999"}])
def test_numbers_that_are_none_are_refused(tmp_path: Path, facts: dict[str, str]) -> None:
    with pytest.raises(ImageError):
        flattened(tmp_path, headers(**facts))


def test_headers_before_headers_without_end_are_damage(tmp_path: Path) -> None:
    one = tarfile.TarInfo("x").create_pax_global_header({"a": "b"})
    with pytest.raises(ImageDamaged):
        flattened(tmp_path, one * 5000)


PIECES = archive(
    [folder("d"), file("d/a", "x" * 700), link("l", "d"), hard_link("h", "d/a"), file("n" * 200)]
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(PIECES) - 1), st.binary(min_size=1, max_size=12))),
    st.sampled_from(["tar", "gzip", "zstd"]),
)
def test_any_change_to_a_layer_gives_an_image_or_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]], method: str
) -> None:
    content = bytearray(PIECES)
    for place, data in changes:
        content[place : place + len(data)] = data
    try:
        flat = flattened(tmp_path_factory.mktemp("fuzz"), bytes(content), method=method)
    except ImageError as error:
        assert error.hint
        return
    with tarfile.open(fileobj=io.BytesIO(flat), errors="surrogateescape") as tar:
        for one in tar:
            assert ".." not in one.name.split("/") and not one.name.startswith("/")
            assert one.isreg() or one.isdir() or one.issym() or one.islnk()


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=6), st.integers(0, 200), st.sampled_from(["gzip", "zstd"]))
def test_any_change_to_a_packed_layer_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, place: int, method: str
) -> None:
    good = layer(PIECES, method)
    changed = bytearray(good.packed)
    changed[place : place + len(data)] = data
    if bytes(changed) == good.packed:
        return
    where = tmp_path_factory.mktemp("fuzz")
    broken = layer(PIECES, method, packed=bytes(changed))
    path = LayoutFolder(where / "layout", [broken]).write()
    try:
        with open_layout(path) as layout:
            found = Flattened(layout, Silent())
    except ImageError as error:
        assert error.hint
        return
    # The change was in what packing leaves open, such as a name inside of gzip's header.
    assert [node.kind for _, node in found.tree.walk()].count(Kind.FOLDER) == 1


def test_other_kinds_of_layers_are_refused(tmp_path: Path) -> None:
    odd = layer([file("a")], media_type="application/vnd.oci.image.layer.nondistributable.v1.tar")
    path = LayoutFolder(tmp_path / "layout", [odd]).write()
    with (
        pytest.raises(ImageUnsupported, match="nondistributable"),
        open_layout(path) as layout,
    ):
        Flattened(layout, Silent())
