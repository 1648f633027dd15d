# SPDX-License-Identifier: Apache-2.0
"""The histogram of waits, as native/arbiter/board.h keeps it: four buckets per octave.

Bucket 0 is below 1 us, bucket i > 0 begins at 2^((i - 1) / 4) us and ends at 2^(i / 4) us. A figure read
from it is the end of a bucket: too high by a factor of at most 2^(1/4), which is 1.19, and never too low.
"""

from __future__ import annotations

from collections.abc import Mapping


def bucket_end_us(bucket: int) -> float:
    """Where a bucket ends, in us."""
    return float(2 ** (bucket / 4))


def percentile_us(counts: Mapping[int, int], part: float) -> float | None:
    """The end of the bucket below which `part` (0 to 1) of the waits lie, or None without any."""
    total = sum(counts.values())
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if counts[bucket] and seen >= part * total:
            return bucket_end_us(bucket)
    return None


def difference(after: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    """The waits that ended between two looks at the same histogram."""
    counts = {bucket: count - before.get(bucket, 0) for bucket, count in after.items()}
    return {bucket: count for bucket, count in counts.items() if count > 0}
