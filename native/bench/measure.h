// SPDX-License-Identifier: Apache-2.0
//
// What one round of tessera-bench-calls measures. Names in a slice:
//   posted_{kernel,arg,copy,write}   one call of a batch of kBatch, mean of the batch
//   posted_kernel_single             one call, each timed alone (adds the clock's own cost,
//   `clock`) round_trip_finish                clFinish on a queue with nothing to do, back to back
//   round_trip_finish_idle           the same after both sides had time to fall asleep
//   round_trip_read                  blocking read of 4 bytes
//   kernel_finish                    an empty kernel and clFinish
//   chain                            1,000 kernels, each waiting for the event of the one before,
//   and
//                                    one clFinish; chain_post is the part until clFinish
//   {write,read,memcpy}_SIZE         one blocking copy; memcpy in the same process, same size
//   write_done_SIZE                  the write and clFinish: when the device has the bytes, while a
//                                    write returns when the program may use its memory again
//   {map_read,map_write}_SIZE        blocking map, unmap and clFinish
#pragma once

#include "bench/device.h"
#include "bench/lockstep.h"

namespace tessera::bench {

// A batch must not fill any transport's window, or the wait for room is measured and not the call.
inline constexpr int kBatch = 64;
inline constexpr int kChain = 1000;

void measure_posted(const Device& device, Slice& slice);
void measure_round_trips(const Device& device, Slice& slice);
void measure_kernels(const Device& device, Slice& slice);

// Host and device memory of the largest copy, touched once, and kept from round to round.
class BulkCopies {
 public:
  explicit BulkCopies(const Device& device);
  ~BulkCopies();
  BulkCopies(const BulkCopies&) = delete;
  BulkCopies& operator=(const BulkCopies&) = delete;
  void measure(Slice& slice);

 private:
  void measure_copies(std::size_t bytes, Slice& slice);
  void measure_maps(std::size_t bytes, Slice& slice);

  const Device& device_;
  std::size_t largest_;
  std::vector<std::byte> source_, target_;
  cl_mem buffer_ = nullptr;
};

}  // namespace tessera::bench
