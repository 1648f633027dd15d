# SPDX-License-Identifier: Apache-2.0
"""What is run in an image, from what the user named and from what the image says of itself.

Images of OCI say it in their config. Those that Singularity or Apptainer built say it in files of the image:
`/.singularity.d/env/*.sh` set its variables, in the order of their names and each for those after it, and
`/.singularity.d/runscript` is the program when none is named. The scripts are the image's own, so its own shell
reads them, inside, as those tools have it done; here nothing of them is looked at. A definition among the data
objects of a SIF file tells such an image: both tools put one into every image that they build.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tessera.images.config import ImageConfig
from tessera.images.sif import DataType, Sif

_SHELL = "/bin/sh"
_RUNSCRIPT = "/.singularity.d/runscript"
_WITH_VARIABLES = (
    "for tessera_script in /.singularity.d/env/*.sh; do "
    '[ ! -f "$tessera_script" ] || . "$tessera_script"; done; unset tessera_script; exec "$@"'
)


@dataclass(frozen=True)
class Start:
    """A program: its words for a person, and those that are executed. Both are empty where nobody named one."""

    shown: tuple[str, ...]
    arguments: tuple[str, ...]


def start_of(image: Sif, config: ImageConfig, named: Sequence[str]) -> Start:
    """What to run where the user has `named` a program, or none."""
    if not _has_definition(image):
        words = tuple(named) or config.command
        return Start(words, words)
    words = tuple(named) or (_RUNSCRIPT,)
    return Start(words, (_SHELL, "-c", _WITH_VARIABLES, _SHELL, *words))


def _has_definition(image: Sif) -> bool:
    return any(found.type is DataType.DEFINITION for found in image.descriptors)
