# SPDX-License-Identifier: Apache-2.0
"""`tessera run --sandbox`: an image's program in namespaces of its own, on a lease.

What can be refused is refused before there is a lease. Then comes the lease, asked for from the host's own
namespaces (the daemon may have to be started, and must not start inside of them), then the root, and at
last bwrap. Where something fails after the lease was made, this process ends, and with it the lease.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tessera import native
from tessera.cli import run
from tessera.images import architecture
from tessera.images.cache import Cache
from tessera.images.opened import OpenImage, opened
from tessera.images.start import start_of
from tessera.model.errors import ImageUnsupported, UsageError
from tessera.sandbox import looking, tools
from tessera.sandbox.idmap import owners
from tessera.sandbox.inside import ROOT, Inside, User
from tessera.sandbox.keeper import Keeper
from tessera.sandbox.plan import Plan
from tessera.sandbox.root import LIBRARY, SOCKET, VENDORS, Root
from tessera.sandbox.served import Served, serve
from tessera.sandbox.words import ENDPOINT, bwrap_words, variables_inside


def main(options: run.Options, plan: Plan) -> int:
    """Runs the program, or the image's own where none is named; its exit code.

    Raises UsageError, ImageError, NotFoundError, HostError, and what a request for a lease raises.
    """
    if options.transport == "tcp" and not plan.network:
        raise UsageError(
            "A sandbox without a network reaches no lease over TCP.",
            "Leave --transport out, or add --network.",
        )
    tools.check()
    library = native.find(native.CLIENT_LIBRARY)
    cache = Cache()
    with opened(plan.image, cache) as image:
        architecture.check(image.image.architecture)
        start = start_of(image.image, image.config, options.command)
        if not start.arguments:
            raise ImageUnsupported(
                "The image names no program of its own.",
                f"Name one: tessera run --sandbox --image {plan.image} -- PROGRAM",
            )
        options.command = list(start.shown)
        lease = run.environment(run.request_lease(options), {})
        return _run(image, plan, start.arguments, lease, library, cache.mount_point())


def _run(
    image: OpenImage,
    plan: Plan,
    command: Sequence[str],
    lease: dict[str, str],
    library: Path,
    base: str,
) -> int:
    served, user = _serve(image)
    keeper = Keeper(served.server)
    try:
        root = Root(base, served)
        workdir = image.config.working_dir or "/"
        root.prepare(plan.mounts, plan.network, (user.home, workdir, "/tmp", "/var/tmp"))
        variables = variables_inside(image.config.environment, lease, user, os.environ)
        wanted = looking.Wanted(command[0], workdir, variables["PATH"])
        looking.check(root.path, plan.mounts, served.namespaces, user, wanted)
        bound = [(str(library), LIBRARY), (root.vendors, VENDORS), *_socket(lease)]
        inner = served.namespaces.inner
        words = bwrap_words(plan, user, workdir, variables, root.path, bound, inner)
        return keeper.run(tools.find(tools.BWRAP), words, command, served.namespaces, user)
    finally:
        keeper.close()


def _serve(image: OpenImage) -> tuple[Served, User]:
    """The image's files as they are for its user, whom its own files name."""
    offset = image.image.primary.offset
    served = serve(image.fd, offset, owners(ROOT))
    try:
        user = Inside(served.mount).user(image.config.user)
    except BaseException:
        served.end()
        raise
    if (user.uid, user.gid) != (ROOT.uid, ROOT.gid):
        served.end()
        served = serve(image.fd, offset, owners(user))
    return served, user


def _socket(lease: dict[str, str]) -> list[tuple[str, str]]:
    path = lease[ENDPOINT].partition(":")[2]
    return [(path, SOCKET)] if path.startswith("/") else []
