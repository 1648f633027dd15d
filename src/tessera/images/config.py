# SPDX-License-Identifier: Apache-2.0
"""What an image says about how it is run: OCI's image config, in OCI's own words.

In a SIF file it is the data object of type JSON.Generic with the name `oci-config.json`, as Apptainer
writes it, too: an object with Entrypoint, Cmd, Env, WorkingDir and User, none of which must be there.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tessera.images.text import printable
from tessera.model.errors import ImageDamaged

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OBJECT_NAME = "oci-config.json"
_MAX_WORDS = 4096


class ImageConfig(BaseModel):
    """How the image's program is started."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    entrypoint: tuple[str, ...] = Field(default=(), alias="Entrypoint", max_length=_MAX_WORDS)
    cmd: tuple[str, ...] = Field(default=(), alias="Cmd", max_length=_MAX_WORDS)
    env: tuple[str, ...] = Field(default=(), alias="Env", max_length=_MAX_WORDS)
    working_dir: str = Field(default="", alias="WorkingDir")
    user: str = Field(default="", alias="User")

    @field_validator("entrypoint", "cmd", "env", mode="before")
    @classmethod
    def _null_is_none(cls, value: object) -> object:
        return () if value is None else value

    @field_validator("env")
    @classmethod
    def _assignments(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if not word.partition("=")[0] or "=" not in word:
                raise ValueError(f"'{word[:40]}' sets no variable")
        return words

    @field_validator("working_dir")
    @classmethod
    def _absolute(cls, folder: str) -> str:
        if folder and not folder.startswith("/"):
            raise ValueError(f"the working folder '{folder[:40]}' is not absolute")
        return folder

    @field_validator("entrypoint", "cmd", "env", "working_dir", "user")
    @classmethod
    def _no_zero_bytes(cls, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
        if any("\0" in word for word in _words(value)):
            raise ValueError("a zero byte ends a word early")
        return value

    @property
    def command(self) -> tuple[str, ...]:
        """What is run when the user names no program; empty when the image names none either."""
        return self.entrypoint + self.cmd

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the image, with a PATH in any case."""
        return {"PATH": DEFAULT_PATH} | dict(word.split("=", 1) for word in self.env)

    def to_json(self) -> bytes:
        """This config as a SIF file keeps it: the same bytes for the same config."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True).encode()


def _words(value: tuple[str, ...] | str) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value


def parse_config(text: bytes) -> ImageConfig:
    """The config in a JSON document. Raises ImageDamaged."""
    try:
        return ImageConfig.model_validate_json(text)
    except ValidationError as error:
        raise damaged_document("config", error) from error


def damaged_document(what: str, error: ValidationError) -> ImageDamaged:
    """The named error for a document of an image that pydantic refused."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    return ImageDamaged(
        printable(f"The image's {what} is wrong: {where}: {first['msg']}."),
        "Get the image again, or ask who made it.",
    )
