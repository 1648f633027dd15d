// SPDX-License-Identifier: Apache-2.0
//
// tessera-bench-calls: what single OpenCL calls cost, on whatever device the environment offers.
#include "bench/device.h"
#include "bench/lockstep.h"
#include "bench/measure.h"

int main(int argc, char** argv) {
  using namespace tessera::bench;
  const unsigned rounds = rounds_from(argc, argv);
  const Device device;
  BulkCopies bulk(device);
  const auto round = [&](Slice& slice) {
    measure_posted(device, slice);
    measure_round_trips(device, slice);
    measure_kernels(device, slice);
    bulk.measure(slice);
  };
  Slice warm_up;
  round(warm_up);
  return serve(device.ready_line(), rounds, round);
}
