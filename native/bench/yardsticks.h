// SPDX-License-Identifier: Apache-2.0
//
// What the machine itself can do, without OpenCL and without Tessera: the figures that a transport
// is held against. Names in a slice, each a duration in nanoseconds:
//   futex_sleeping                   one round trip between two processes over shared memory, each
//                                    asleep until woken, on whatever cores the scheduler likes
//   futex_two_cores, futex_spinning  the same with a core for each; asleep, or never asleep
//   pipe, unix_stream, tcp           one round trip of 64 bytes over that
//   memcpy_16MiB                     one copy of 16 MiB by one thread
//   unix_stream_64MiB, tcp_64MiB     64 MiB sent to another process, in writes of 128 KiB as iperf3
//                                    does: the same 128 KiB, which stay in the caches
//   ..._buffers_64MiB                the same from a whole buffer into another, as a program copies
#pragma once

#include "bench/lockstep.h"

namespace tessera::bench {

int usable_cores();

enum class FutexKind { sleeping, two_cores, spinning };

void measure_futex(Slice& slice, FutexKind kind);
void measure_pipe(Slice& slice);
void measure_stream_round_trips(Slice& slice, bool tcp);
void measure_stream_bandwidth(Slice& slice, bool tcp);
void measure_memcpy(Slice& slice);

}  // namespace tessera::bench
