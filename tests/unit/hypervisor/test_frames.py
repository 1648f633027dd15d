# SPDX-License-Identifier: Apache-2.0
"""The frames between a machine and its host: what was encoded comes back, and nonsense is refused."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.hypervisor import base, frames
from tessera.hypervisor.boot import Program
from tessera.hypervisor.frames import BadFrame, Decoder, Frame, Kind, encode, numbers

ROOT = Path(__file__).resolve().parents[3]
HEADER = (ROOT / "native/guest/frame.h").read_text()
PORTS = (ROOT / "native/guest/ports.h").read_text()


def payloads(kind: Kind) -> st.SearchStrategy[bytes]:
    if kind in (Kind.DATA, Kind.WORD):
        return st.binary(min_size=1, max_size=300)
    if kind in (Kind.HELLO, Kind.FAILED):
        return st.binary(min_size=4, max_size=300)
    sizes = {Kind.SIGNAL: 4, Kind.SIZE: 8, Kind.EXIT: 8, Kind.TIME: 12}
    size = (sizes | {Kind.LENT: 8, Kind.RETURNED: 4}).get(kind, 0)
    return st.binary(min_size=size, max_size=size)


FRAMES = st.sampled_from(Kind).flatmap(lambda kind: st.builds(Frame, st.just(kind), payloads(kind)))


@given(st.lists(FRAMES), st.lists(st.integers(0, 2000), max_size=6))
def test_what_was_encoded_comes_back_however_it_was_cut(sent: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(encode(frame.kind, frame.payload) for frame in sent)
    decoder = Decoder()
    found: list[Frame] = []
    for begin, end in pairwise(sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})):
        found += decoder.feed(stream[begin:end])
    assert found == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    try:
        found = Decoder().feed(data)
    except BadFrame:
        return
    assert (
        b"".join(encode(frame.kind, frame.payload) for frame in found)
        == data[: sum(8 + len(frame.payload) for frame in found)]
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\x0e\0\0\0",
        encode(Kind.DATA),
        encode(Kind.OPEN, b"x"),
        encode(Kind.EXIT, numbers(1)),
        encode(Kind.TIME, numbers(1, 2)),
        encode(Kind.HELLO, b"abc"),
        encode(Kind.DATA, bytes(frames.MAX_PAYLOAD + 1)),
        b"\x01\0\0\0\x01\0\0\x01x",
    ],
)
def test_what_makes_no_sense_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        Decoder().feed(data)


def test_both_languages_mean_the_same() -> None:
    listed = re.search(r"enum class Kind[^{]*\{(.*?)\};", HEADER, re.DOTALL)
    assert listed
    native = {name.upper(): int(value) for name, value in re.findall(r"(\w+) = (\d+)", listed[1])}
    assert native == {kind.name: kind.value for kind in Kind}
    assert f"kGuestProtocol = {frames.VERSION};" in HEADER
    assert "kMaxPayload = 256 * 1024;" in HEADER
    assert frames.MAX_PAYLOAD == 256 * 1024


def test_both_languages_count_ports_alike() -> None:
    native = {name: int(value) for name, value in re.findall(r"k(\w+) = (\d+);", PORTS)}
    assert native["ControlPort"] == base.CONTROL
    assert (native["StdinPort"], native["StdoutPort"]) == (base.STDIN, base.STDOUT)
    assert (native["StderrPort"], native["FirstGpuPort"]) == (base.STDERR, base.FIRST_GPU)
    assert base.PORTS <= native["MaxPort"]


def test_a_program_is_told_in_words() -> None:
    program = Program(["sh", "-c", "a=b"], {"A": "=x"}, "box", "/tmp", "me:8", (24, 80))
    assert program.words() == [
        *("argument=sh", "argument=-c", "argument=a=b", "variable=A==x"),
        *("hostname=box", "directory=/tmp", "user=me:8", "terminal=24x80"),
    ]
