# SPDX-License-Identifier: Apache-2.0
"""ffmpeg's OpenCL filters: each frame has the same bits on a lease as on the bare device.

Every filter is an OpenCL program of images that ffmpeg maps, writes and reads frame by frame, with
formats of one and four channels.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import Run, installed, run_bare, run_leased

pytestmark = pytest.mark.slow

FRAMES = 10
# A moving picture of every colour, and a second one of another content.
SOURCES = ("testsrc=size=320x240:rate=10:duration=1", "testsrc2=size=320x240:rate=10:duration=1")
EDGES = ":".join(["-2 -1 0 -1 1 1 0 1 2"] * 4)

# One kernel for each way that ffmpeg calls kernels of the user's: of no picture, of one, and of two.
KERNELS = """
constant sampler_t nearest = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_CLAMP_TO_EDGE | CLK_FILTER_NEAREST;
constant sampler_t between = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_MIRRORED_REPEAT | CLK_FILTER_LINEAR;

kernel void wave(write_only image2d_t out, unsigned int frame) {
  int2 at = (int2)(get_global_id(0), get_global_id(1));
  float2 part = convert_float2(at) / convert_float2(get_image_dim(out));
  write_imagef(out, at, (float4)(part, frame / 10.0f, 1.0f));
}

kernel void turn(write_only image2d_t out, unsigned int frame, read_only image2d_t in) {
  int2 at = (int2)(get_global_id(0), get_global_id(1));
  float2 middle = convert_float2(get_image_dim(in)) / 2.0f;
  float2 from = convert_float2(at) - middle;
  float2 angle = (float2)(cospi(frame / 10.0f), sinpi(frame / 10.0f));
  float2 turned = (float2)(from.x * angle.x - from.y * angle.y, from.x * angle.y + from.y * angle.x);
  write_imagef(out, at, read_imagef(in, between, turned + middle));
}

kernel void larger(write_only image2d_t out, unsigned int frame, read_only image2d_t a, read_only image2d_t b) {
  int2 at = (int2)(get_global_id(0), get_global_id(1));
  write_imagef(out, at, max(read_imagef(a, nearest, at), read_imagef(b, nearest, at)));
}

kernel void dissolve(write_only image2d_t out, read_only image2d_t a, read_only image2d_t b, float part) {
  int2 at = (int2)(get_global_id(0), get_global_id(1));
  float4 one = read_imagef(a, nearest, at), other = read_imagef(b, nearest, at);
  write_imagef(out, at, (at.x ^ at.y) % 64 < part * 64 ? one : other);
}
"""


def of_one(filters: str, layout: str = "yuv420p") -> str:
    """A graph that sends one picture through `filters` on the device."""
    return f"[0]format={layout},hwupload,{filters},hwdownload,format={layout}"


def of_two(filters: str, layout: str = "yuv420p", second: str = "") -> str:
    """The same with two pictures; `second` is the layout of the second one."""
    uploads = f"[0]format={layout},hwupload[a];[1]format={second or layout},hwupload[b]"
    return f"{uploads};[a][b]{filters},hwdownload,format={layout}"


# xfade passes frames on as they came where it fades nothing, and hwdownload takes none of another filter's.
AGAIN = ",transpose_opencl"
HDR = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
TONES = "tonemap_opencl=t=bt709:m=bt709:p=bt709:r=tv:format=nv12"
MAPS = (
    "[0]format=rgba,hwupload[a];"
    "nullsrc=size=320x240:rate=10:duration=1,geq='319-X+8*sin(Y/16)',format=gray16,hwupload[x];"
    "nullsrc=size=320x240:rate=10:duration=1,geq='Y',format=gray16,hwupload[y];"
    "[a][x][y]remap_opencl=interp={},hwdownload,format=rgba"
)

GRAPHS = {
    "avgblur": of_one("avgblur_opencl=sizeX=3:sizeY=5"),
    "avgblur of four channels": of_one("avgblur_opencl=sizeX=9", "rgba"),
    "boxblur": of_one("boxblur_opencl=luma_radius=3:luma_power=2:chroma_radius=2:chroma_power=1"),
    "colorkey": of_one("colorkey_opencl=red:0.3:0.2", "rgba"),
    "convolution": of_one(f"convolution_opencl={EDGES}"),
    "convolution of 5": of_one("convolution_opencl=" + ":".join(["1 " * 24 + "1"] * 3)),
    "deshake": of_one("deshake_opencl=smooth_window_multiplier=0.1"),
    "dilation": of_one("dilation_opencl=coordinates=90", "gray"),
    "erosion": of_one("erosion_opencl=threshold0=30:coordinates=231"),
    "nlmeans": of_one("nlmeans_opencl=s=4:p=3:r=5"),
    "overlay": of_two("overlay_opencl=x=40:y=20"),
    "overlay with alpha": of_two("overlay_opencl=x=16:y=8", "yuv420p", "yuva420p"),
    "pad": of_one("pad_opencl=w=400:h=300:x=40:y=30:color=teal"),
    "prewitt": of_one("prewitt_opencl=scale=2:delta=1"),
    "program of one": of_one("program_opencl=source={file}:kernel=turn", "rgba"),
    "program of two": of_two("program_opencl=source={file}:kernel=larger:inputs=2", "rgba"),
    "remap, nearest": MAPS.format("near"),
    "remap, linear": MAPS.format("linear"),
    "roberts": of_one("roberts_opencl", "yuv444p"),
    "sobel": of_one("sobel_opencl=planes=1"),
    "source": "openclsrc=source={file}:kernel=wave:size=320x240:rate=10:format=rgba,"
    f"trim=end_frame={FRAMES},hwdownload,format=rgba",
    "transpose": of_one("transpose_opencl=clock"),
    "transpose, flipped": of_one("transpose_opencl=cclock_flip", "yuv444p"),
    "unsharp": of_one("unsharp_opencl=lx=7:ly=7:la=1.5:cx=3:cy=3:ca=0.5"),
    "several in a row": of_one("avgblur_opencl=2,sobel_opencl,pad_opencl=w=400,transpose_opencl"),
    "several queues": "[0]format=yuv420p,split[p][q];[p]hwupload,avgblur_opencl=4[a];"
    "[q]hwupload,sobel_opencl[b];[a][b]overlay_opencl=x=64:y=64,hwdownload,format=yuv420p",
} | {
    f"xfade, {kind}": of_two(f"xfade_opencl=transition={kind}:duration=0.8:offset=0.1{AGAIN}")
    for kind in ("fade", "wipeleft", "wipeup", "slideright", "slidedown")
} | {
    "xfade, own": of_two(
        f"xfade_opencl=transition=custom:source={{file}}:kernel=dissolve:duration=0.8:offset=0.1{AGAIN}"
    )
}  # fmt: skip

# Pictures whose colours lie in images of two channels, which not every device has: not the embedded one.
OF_TWO_CHANNELS = {
    "transpose": of_one("transpose_opencl=clock", "nv12")
} | {
    f"tonemap, {kind}": f"[0]format=p010,{HDR},hwupload,{TONES}:tonemap={kind},hwdownload,format=nv12"
    for kind in ("none", "linear", "gamma", "clip", "reinhard", "hable", "mobius")
}  # fmt: skip


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def ffmpeg(run: Run, graph: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "kernels.cl"
    file.write_text(KERNELS)
    words = ["-hide_banner", "-nostdin", "-v", "error"]
    words += ["-init_hw_device", "opencl=device", "-filter_hw_device", "device"]
    for source in SOURCES:
        words += ["-f", "lavfi", "-i", source]
    graph = graph.replace("{file}", str(file))
    words += ["-filter_complex", f"{graph}[out]", "-map", "[out]", "-f", "framemd5", "-"]
    return run(installed("ffmpeg"), *words)


def frames(output: str) -> list[str]:
    """What ffmpeg says of each frame that leaves the graph: time, size, checksum."""
    return [line for line in output.splitlines() if not line.startswith("#")]


def test_every_filter_that_ffmpeg_has_is_in_a_graph() -> None:
    listed = run_bare(installed("ffmpeg"), "-hide_banner", "-filters").stdout
    offered = set(re.findall(r"\b(\w+_opencl|openclsrc)\b", listed))
    used = " ".join([*GRAPHS.values(), *OF_TWO_CHANNELS.values()])
    assert len(offered) > 10
    assert {name for name in offered if name not in used} == set()


@pytest.mark.parametrize("name", GRAPHS)
def test_every_frame_has_the_same_bits(host: Host, tmp_path: Path, name: str) -> None:
    bare = ffmpeg(run_bare, GRAPHS[name], tmp_path)
    assert bare.returncode == 0, bare.stderr
    assert len(frames(bare.stdout)) >= FRAMES
    leased = ffmpeg(partial(run_leased, host), GRAPHS[name], tmp_path)
    assert leased.returncode == 0, leased.stderr
    assert frames(leased.stdout) == frames(bare.stdout)


@pytest.mark.parametrize("name", OF_TWO_CHANNELS)
def test_the_same_where_the_device_has_the_images_and_refused_where_not(
    host: Host, tmp_path: Path, name: str
) -> None:
    bare = ffmpeg(run_bare, OF_TWO_CHANNELS[name], tmp_path)
    leased = ffmpeg(partial(run_leased, host), OF_TWO_CHANNELS[name], tmp_path)
    assert (leased.returncode, frames(leased.stdout)) == (bare.returncode, frames(bare.stdout))
