# SPDX-License-Identifier: Apache-2.0
"""`tessera image`: parse, work on the user's own cache, print. No daemon takes part."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from tessera.cli import image_tables, output
from tessera.cli.output import Format, FormatOption
from tessera.images import build as making
from tessera.images import names
from tessera.images.cache import Cache, Entry
from tessera.images.config import ImageConfig
from tessera.images.opened import opened
from tessera.model.errors import ImageDamaged, ImageError, InvalidRequest, UsageError

app = typer.Typer(
    help="Container images: SIF, OCI layouts, folders, Debian.",
    no_args_is_help=True,
)


def _complete_image(incomplete: str) -> list[str]:
    return [
        name
        for entry in Cache().entries()
        for name in entry.names
        if name.startswith(incomplete)
    ]  # fmt: skip


ImageArgument = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE", help="Name, digest, or path of a SIF file.", autocompletion=_complete_image
    ),
]
NameOption = Annotated[
    str | None, typer.Option("--name", "-n", help="Its name; the file's own when left out.")
]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Take the name over from the image that has it.")
]
AllRootOption = Annotated[
    bool,
    typer.Option(
        "--all-root", help="Give all its files to root, for who has no numbers in /etc/subuid."
    ),
]


class _Shown:
    """Progress for people: a line for each step, and percents where a terminal shows them."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._percent = -1

    def step(self, text: str) -> None:
        self.end()
        output.say(text)

    def advance(self, done: int, total: int) -> None:
        percent = done * 100 // total if total else 0
        if self._terminal and percent != self._percent:
            self._percent = percent
            print(f"\r{percent:3d} %", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._percent >= 0:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._percent = -1


@app.command()
def add(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A SIF file, or an OCI layout (folder, .tar).")
    ],
    name: NameOption = None,
    replace: ReplaceOption = False,
    all_root: AllRootOption = False,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Check an image and take it in."""
    chosen = names.check_name(name) if name else names.name_from(source)
    progress = _Shown()
    entry = making.add(Cache(), source, chosen, replace, all_root, progress)
    _print_made(entry, progress, output_format)


@app.command()
def build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The image's name.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Pack this folder as the image's root.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Install this Debian, such as bookworm.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option("--include", help="A package more; once for each.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATH", help="Files to leave out: /usr/share/doc/*"),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Of Debian: a URL, or a list of sources.")
    ] = None,
    entrypoint: Annotated[
        str | None, typer.Option("--entrypoint", help="What is always run, in the shell's quotes.")
    ] = None,
    cmd: Annotated[
        str | None, typer.Option("--cmd", help="What is run when no program is named.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="Once for each.")
    ] = None,
    workdir: Annotated[str, typer.Option("--workdir", help="Where programs start.")] = "",
    user: Annotated[str, typer.Option("--user", help="Who runs them: USER or UID, :GROUP.")] = "",
    replace: ReplaceOption = False,
    all_root: AllRootOption = False,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Make an image from a folder, or from a Debian suite."""
    if (folder is None) == (suite is None):
        raise UsageError("An image is made of --folder or of --suite.", "Give one of them.")
    if folder and (include or exclude or mirror):
        raise UsageError("--include, --exclude and --mirror are for --suite.", "Leave them out.")
    if not all(pattern.startswith("/") for pattern in exclude or []):
        raise UsageError("What is left out is named from / on.", "For example: /usr/share/doc/*")
    names.check_name(name)
    config = _config(entrypoint, cmd, env or [], workdir, user)
    progress, cache = _Shown(), Cache()
    if folder:
        entry = making.from_folder(cache, folder, config, name, replace, progress)
    else:
        assert suite is not None
        entry = making.from_suite(
            cache,
            suite,
            include or (),
            exclude or (),
            mirror,
            config,
            name,
            replace,
            all_root,
            progress,
        )
    _print_made(entry, progress, output_format)


def _config(
    entrypoint: str | None, cmd: str | None, env: list[str], workdir: str, user: str
) -> ImageConfig:
    try:
        return ImageConfig(
            entrypoint=tuple(shlex.split(entrypoint or "")),
            cmd=tuple(shlex.split(cmd or "")),
            env=tuple(env),
            working_dir=workdir,
            user=user,
        )
    except ValidationError as error:
        raise _no_config(error.errors()[0]["msg"]) from error
    except ValueError as error:  # shlex's
        raise _no_config(str(error)) from error


def _no_config(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"This is no config for an image: {why}.", "See `tessera image build --help`."
    )


def _print_made(entry: Entry, progress: _Shown, output_format: Format) -> None:
    progress.end()
    if output_format is Format.JSON:
        output.print_json(entry)
    else:
        print(entry.digest)


@app.command("list")
def list_(output_format: FormatOption = Format.TABLE) -> None:
    """List the images."""
    entries = Cache().entries()
    if output_format is Format.JSON:
        output.print_json(entries)
        return
    output.print_tables(image_tables.entries(entries))
    if not entries:
        output.say("No image yet. `tessera image add` takes SIF files and OCI layouts in.")


@app.command()
def show(image: ImageArgument, output_format: FormatOption = Format.TABLE) -> None:
    """Show what an image holds and how it is run."""
    with opened(image, Cache()) as found:
        details = image_tables.Details.of(found)
    if output_format is Format.JSON:
        output.print_json(details)
    else:
        output.print_tables(*image_tables.details(details))


@app.command()
def verify(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE]...", help="All when left out.")
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Read images again, whole, and compare them with their digests."""
    cache, progress = Cache(), _Shown()
    found = [
        _verdict(image, cache, progress)
        for image in images or [entry.names[0] for entry in cache.entries()]
    ]
    progress.end()
    if output_format is Format.JSON:
        output.print_json(found)
    else:
        output.print_tables(image_tables.verdicts(found))
    for verdict in found:
        if verdict.damage:
            output.say(f"{verdict.image}: {verdict.damage}")
    if any(verdict.damage for verdict in found):
        raise ImageDamaged("An image is damaged.", "Remove it and add it again.")


def _verdict(reference: str, cache: Cache, progress: _Shown) -> image_tables.Verdict:
    try:
        with opened(reference, cache) as image:
            progress.step(f"Reading {reference}")
            if image.entry:
                cache.verify(image.entry, progress)
            digest = image.entry.digest if image.entry else None
    except ImageError as error:
        return image_tables.Verdict(image=reference, digest=None, damage=error.message)
    return image_tables.Verdict(image=reference, digest=digest, damage=None)


@app.command()
def remove(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Names, or digests.", autocompletion=_complete_image
        ),
    ],
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Remove names, and with its last name the image; a digest removes all its names.

    Sandboxes that run from it go on.
    """
    cache = Cache()
    gone = []
    for image in images:
        gone.append(cache.remove(image))
        if output_format is Format.TABLE:
            print(image, flush=True)
    if output_format is Format.JSON:
        output.print_json(gone)
