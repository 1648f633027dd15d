# SPDX-License-Identifier: Apache-2.0
"""Why an experiment could not be made.

HostError                 exit 1
+-- BenchError
    +-- BenchPackageMissing
    +-- ExampleMissing
    +-- ImageMissing
    +-- SideFailed
    +-- DevicesDiffer
    +-- ResultsDiffer
    +-- LimitNotHeld
"""

from __future__ import annotations

from tessera.model.errors import HostError


class BenchError(HostError):
    """Base of what can go wrong in an experiment."""


class BenchPackageMissing(BenchError):
    """A Python package that only experiments need is not installed."""


class ExampleMissing(BenchError):
    """The example programs are not beside this installation."""


class ImageMissing(BenchError):
    """The image for experiments in virtual machines was not made yet."""


class SideFailed(BenchError):
    """A measured process ended, broke the protocol, or did not answer in time."""


class DevicesDiffer(BenchError):
    """The sides do not run on the same physical device, so a ratio would mean nothing."""


class ResultsDiffer(BenchError):
    """The same program computed something else on the lease than on the bare device."""


class LimitNotHeld(BenchError):
    """A lease got more memory than was leased."""
