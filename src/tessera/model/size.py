# SPDX-License-Identifier: Apache-2.0
"""How much memory of a GPU is asked for: a fraction, bytes, or neither."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tessera.model.errors import UsageError
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
