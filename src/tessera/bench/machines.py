# SPDX-License-Identifier: Apache-2.0
"""Programs of experiments in virtual machines: the image, and what of this host is mounted into it.

The image is a Debian with Python, NumPy and pyopencl, as anybody would make it; it knows nothing of Tessera.
The examples, their data and the few modules that let an example take turns are folders of this host, mounted
where Python finds them in the guest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import tessera
from tessera.bench.errors import BenchPackageMissing, ImageMissing
from tessera.bench.examples import find_example
from tessera.images import build
from tessera.images.cache import Cache
from tessera.images.config import ImageConfig
from tessera.images.progress import Silent

VM = "vm"
PACKAGES = ("python3", "python3-numpy", "python3-pil", "python3-pyopencl", "clinfo")
SUITE = "bookworm"
# pyopencl's package wants a driver, and takes PoCL with its compiler: nobody computes in the guest.
_LEFT_OUT = (
    "/etc/OpenCL/vendors/*",
    "/usr/include/*",
    "/usr/lib/gcc/*",
    "/usr/lib/llvm-15/*",
    "/usr/lib/x86_64-linux-gnu/lib*san.so*",
    "/usr/lib/x86_64-linux-gnu/libLLVM*",
    "/usr/lib/x86_64-linux-gnu/libclang*",
    "/usr/lib/x86_64-linux-gnu/libz3*",
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/pocl/*",
)
GUEST_MEMORY = "512MiB"
_APT_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_GUEST_TESSERA = "/opt/tessera"
_GUEST_EXAMPLES = f"{_GUEST_TESSERA}/examples"
_GUEST_PACKAGES = "/usr/lib/python3/dist-packages"
_DATA = ("datasets/data", "datasets/images")  # of scikit-learn


def beside_guests() -> dict[str, str]:
    """Variables with which the embedded device computes on all of these cores but one.

    A GPU computes beside the processors that guests run on. The embedded device computes on them, and an emulated
    guest that prepares its next step takes them from the step before: what would then be measured is this host's
    scheduler. For every side of a comparison alike; other devices take no notice.
    """
    cores = len(os.sched_getaffinity(0))
    return {"POCL_MAX_PTHREAD_COUNT": str(cores - 1)} if cores > 1 else {}


def image_path() -> Path:
    """Where the image of experiments lies: $TESSERA_BENCH_IMAGE, or build/demo.sif in the source tree."""
    chosen = os.environ.get("TESSERA_BENCH_IMAGE")
    return Path(chosen) if chosen else Path(tessera.__file__).parents[2] / "build" / "demo.sif"


def make_image(say: Callable[[str], None]) -> Path:
    """The image of experiments, made where it is not there yet. Raises what `tessera image build` raises."""
    path = image_path()
    if path.exists():
        return path
    say(f"making {path.name}: a Debian {SUITE} with {', '.join(PACKAGES)}")
    cache = Cache(path.parent / "images" / "cache")
    mirror = str(_APT_SOURCES) if _APT_SOURCES.is_file() else None
    entry = build.from_suite(
        cache,
        SUITE,
        PACKAGES,
        _LEFT_OUT,
        mirror,
        ImageConfig(),
        path.stem,
        replace=True,
        all_root=False,
        progress=Silent(),
    )
    path.unlink(missing_ok=True)
    path.hardlink_to(cache.path_of(entry.digest))
    return path


def machine_command(command: Sequence[str], fraction: str, weight: int | None = None) -> list[str]:
    """`command`, of this Python and of packages that the guest has, in a machine of its own.

    Raises ImageMissing and BenchPackageMissing.
    """
    image = image_path()
    if not image.exists():
        raise ImageMissing(
            f"There is no image {image}.",
            "Run `make demo`, which makes it, or name one with TESSERA_BENCH_IMAGE.",
        )
    run = [sys.executable, "-m", "tessera", "run", "--vm", "--image", str(image)]
    run += ["--fraction", fraction, "--guest-memory", GUEST_MEMORY]
    run += ["--weight", str(weight)] if weight is not None else []
    for source, place in _mounts():
        run += ["--mount", f"{source}:{place}"]
    inside = ["python3" if word == sys.executable else word for word in command]
    variables = [f"PYTHONPATH={_GUEST_TESSERA}", f"TESSERA_EXAMPLES={_GUEST_EXAMPLES}"]
    return [*run, "--", "env", *variables, *inside]


def _mounts() -> list[tuple[Path, str]]:
    package = Path(tessera.__file__).parent
    mounts = [(package / name, f"{_GUEST_TESSERA}/tessera/{name}") for name in ("bench", "model")]
    mounts.append((find_example("online_digits").parent, _GUEST_EXAMPLES))
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise BenchPackageMissing(
            "The examples need the data of scikit-learn.", "Run `make setup`."
        )
    data = Path(spec.origin).parent
    return mounts + [(data / name, f"{_GUEST_PACKAGES}/sklearn/{name}") for name in _DATA]
