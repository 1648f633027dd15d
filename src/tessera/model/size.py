# SPDX-License-Identifier: Apache-2.0
"""How much memory of a GPU is asked for: a fraction, bytes, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from tessera.model.errors import InvalidRequest, UsageError
from tessera.model.units import parse_fraction, parse_memory

MAX_MEMORY = (1 << 63) - 1


class Sized(BaseModel):
    """The part of a request that sizes a lease. What neither of the two means is the request's matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fraction: str | None = Field(default=None, max_length=32, examples=["1/4"])
    memory: int | None = Field(
        default=None, ge=1, le=MAX_MEMORY, description="bytes per GPU, or text such as 512MiB"
    )

    @field_validator("fraction")
    @classmethod
    def _checked_fraction(cls, value: str | None) -> str | None:
        if value is not None:
            parse_fraction(value)
        return value

    @field_validator("memory", mode="before")
    @classmethod
    def _memory_as_text(cls, value: object) -> object:
        return parse_memory(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.fraction is not None and self.memory is not None:
            raise UsageError(
                "A lease is sized by a fraction or by memory, not by both.",
                "Leave out --fraction or --memory.",
            )
        return self

    @classmethod
    def checked(cls, fields: Mapping[str, object]) -> Self:
        """A request from its fields. Raises UsageError (and its kinds) instead of pydantic's error."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise invalid_request(error.errors()[0]) from error


def invalid_request(first: Mapping[str, Any]) -> InvalidRequest:
    """The named error for the first of pydantic's findings."""
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "the request"
    return InvalidRequest(f"{where}: {first['msg']}.", "The API is described at /openapi.json.")
