// SPDX-License-Identifier: Apache-2.0
//
// A blocking call has been done when it returns: for every queue, for its event, and for all that
// its command waited for.
#include <array>
#include <cstring>
#include <functional>
#include <thread>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr std::size_t kLarge = 65536;  // bytes, or pixels of four of them
constexpr std::size_t kSide = 128;     // pixels
constexpr std::size_t kOrigin[3] = {0, 0, 0};
constexpr std::size_t kPixels[3] = {kSide, kSide, 1};
constexpr std::size_t kBox[3] = {256, 256, 1};
constexpr std::size_t kOneItem = 1;
constexpr int kRounds = 300;  // enough to see what goes wrong once in a hundred times

constexpr const char* kSlow = R"(
kernel void slow(global uint* a, uint n) {
  uint z = 1;
  for (uint j = 0; j < n; j++) z = z * 1664525u + 1013904223u;
  a[0] = z;
})";

// One kernel that takes a while, and an event of it.
class Slow {
 public:
  explicit Slow(const World& w, cl_uint loops = 1'000'000)
      : program_(new_program(w, kSlow)),
        kernel_(new_kernel(program_, "slow")),
        memory_(new_buffer(w, CL_MEM_READ_WRITE, 64)) {
    OK(clSetKernelArg(kernel_, 0, sizeof(cl_mem), memory_.at()));
    OK(clSetKernelArg(kernel_, 1, sizeof loops, &loops));
  }
  Event on(cl_command_queue queue, cl_uint count = 0, const cl_event* list = nullptr) {
    Event event;
    OK(clEnqueueNDRangeKernel(queue, kernel_, 1, nullptr, &kOneItem, nullptr, count, list,
                              event.out()));
    return event;
  }

 private:
  Program program_;
  Kernel kernel_;
  Mem memory_;
};

// `write(i)` on one queue, then `read()` on another without an event between them.
void seen_by_another_queue(const std::function<void(unsigned char*)>& write,
                           const std::function<void(unsigned char*)>& read) {
  std::vector<unsigned char> in(kLarge), out(kLarge);
  for (int i = 0; i < kRounds; ++i) {
    std::memset(in.data(), i, in.size());
    write(in.data());
    read(out.data());
    THAT(in == out);
  }
}

// After `call(queue, event)`, its event and that of a kernel before it are complete.
void ends_what_is_before(World& w, const std::function<void(cl_command_queue, cl_event*)>& call) {
  Slow slow(w);
  Queue queue = new_queue(w);
  for (int i = 0; i < 10; ++i) {
    const Event before = slow.on(queue);
    Event own;
    call(queue, own.out());
    SAME(status_of(own), CL_COMPLETE);
    SAME(status_of(before), CL_COMPLETE);
  }
}

void need_svm(const World& w) {
  if (!w.svm_coarse) throw Skip("the device has no shared virtual memory");
}

class Svm {
 public:
  Svm(const World& w, std::size_t size)
      : context_(w.ctx), at(clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, size, 0)) {}
  ~Svm() { clSVMFree(context_, at); }
  Svm(const Svm&) = delete;

 private:
  cl_context context_;

 public:
  void* const at;
};

USE(clEnqueueWriteBuffer, blocking_is_seen_by_another_queue) {
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, kLarge);
  Queue other = new_queue(w);
  seen_by_another_queue(
      [&](unsigned char* at) {
        OK(clEnqueueWriteBuffer(w.queue, memory, CL_TRUE, 0, kLarge, at, 0, nullptr, nullptr));
      },
      [&](unsigned char* at) {
        OK(clEnqueueReadBuffer(other, memory, CL_TRUE, 0, kLarge, at, 0, nullptr, nullptr));
      });
}
USE(clEnqueueWriteBuffer, blocking_is_seen_by_a_chain_out_of_order) {
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), memory.at()));
  for (int i = 0; i < 50; ++i) {
    const cl_int start = 1000 * i;
    OK(clEnqueueWriteBuffer(w.queue, memory, CL_TRUE, 0, sizeof start, &start, 0, nullptr,
                            nullptr));
    Event last;
    for (int k = 0; k < 200; ++k) {
      Event next;
      OK(clEnqueueNDRangeKernel(w.unordered, add, 1, nullptr, &kOneItem, nullptr,
                                last != nullptr ? 1 : 0, last != nullptr ? last.at() : nullptr,
                                next.out()));
      last = std::move(next);
    }
    OK(clFinish(w.unordered));
    SAME(read_all<cl_int>(w, memory, 1)[0], start + 200);
  }
}
USE(clEnqueueWriteBufferRect, blocking_is_seen_by_another_queue) {
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, kLarge);
  Queue other = new_queue(w);
  seen_by_another_queue(
      [&](unsigned char* at) {
        OK(clEnqueueWriteBufferRect(w.queue, memory, CL_TRUE, kOrigin, kOrigin, kBox, 256, 0, 256,
                                    0, at, 0, nullptr, nullptr));
      },
      [&](unsigned char* at) {
        OK(clEnqueueReadBuffer(other, memory, CL_TRUE, 0, kLarge, at, 0, nullptr, nullptr));
      });
}
USE(clEnqueueWriteImage, blocking_is_seen_by_another_queue) {
  Mem image = new_image(w, CL_MEM_READ_WRITE, {CL_RGBA, CL_UNSIGNED_INT8}, image_2d(kSide, kSide));
  Queue other = new_queue(w);
  seen_by_another_queue(
      [&](unsigned char* at) {
        OK(clEnqueueWriteImage(w.queue, image, CL_TRUE, kOrigin, kPixels, 0, 0, at, 0, nullptr,
                               nullptr));
      },
      [&](unsigned char* at) {
        OK(clEnqueueReadImage(other, image, CL_TRUE, kOrigin, kPixels, 0, 0, at, 0, nullptr,
                              nullptr));
      });
}
USE(clEnqueueSVMMemcpy, blocking_is_seen_by_another_queue) {
  need_svm(w);
  const Svm memory(w, kLarge);
  Queue other = new_queue(w);
  seen_by_another_queue(
      [&](unsigned char* at) {
        OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, memory.at, at, kLarge, 0, nullptr, nullptr));
      },
      [&](unsigned char* at) {
        OK(clEnqueueSVMMemcpy(other, CL_TRUE, at, memory.at, kLarge, 0, nullptr, nullptr));
      });
}
// Queues that wait for each other by nothing but the host: each write is complete before the next.
USE(clEnqueueWriteBuffer, blocking_by_turns_on_two_queues) {
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, kLarge);
  const std::array<Queue, 2> queues{new_queue(w), new_queue(w)};
  std::vector<unsigned char> in(kLarge);
  for (int i = 0; i < kRounds; ++i) {
    std::memset(in.data(), i, in.size());
    OK(clEnqueueWriteBuffer(queues[i % 2], memory, CL_TRUE, 0, kLarge, in.data(), 0, nullptr,
                            nullptr));
  }
  THAT(read_all<unsigned char>(w, memory, kLarge) == in);
}

USE(clEnqueueWriteBuffer, blocking_ends_what_is_before) {
  const std::vector<unsigned char> bytes = pattern(kBytes);
  ends_what_is_before(w, [&](cl_command_queue queue, cl_event* event) {
    OK(clEnqueueWriteBuffer(queue, w.dst, CL_TRUE, 0, kBytes, bytes.data(), 0, nullptr, event));
  });
}
USE(clEnqueueWriteBufferRect, blocking_ends_what_is_before) {
  const std::vector<unsigned char> bytes = pattern(kBytes);
  constexpr std::size_t kRegion[3] = {64, 4, 1};
  ends_what_is_before(w, [&](cl_command_queue queue, cl_event* event) {
    OK(clEnqueueWriteBufferRect(queue, w.dst, CL_TRUE, kOrigin, kOrigin, kRegion, 64, 0, 64, 0,
                                bytes.data(), 0, nullptr, event));
  });
}
USE(clEnqueueWriteImage, blocking_ends_what_is_before) {
  const std::vector<unsigned char> bytes = pattern(kImageSide * kImageSide * 4);
  constexpr std::size_t kAll[3] = {kImageSide, kImageSide, 1};
  ends_what_is_before(w, [&](cl_command_queue queue, cl_event* event) {
    OK(clEnqueueWriteImage(queue, w.dst_image, CL_TRUE, kOrigin, kAll, 0, 0, bytes.data(), 0,
                           nullptr, event));
  });
}
USE(clEnqueueMapBuffer, blocking_and_overwriting_ends_what_is_before) {
  ends_what_is_before(w, [&](cl_command_queue queue, cl_event* event) {
    cl_int e = 1;
    void* at = clEnqueueMapBuffer(queue, w.dst, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0, kBytes,
                                  0, nullptr, event, &e);
    OK(e);
    OK(clEnqueueUnmapMemObject(queue, w.dst, at, 0, nullptr, nullptr));
  });
}
USE(clEnqueueMapImage, blocking_and_overwriting_ends_what_is_before) {
  constexpr std::size_t kAll[3] = {kImageSide, kImageSide, 1};
  ends_what_is_before(w, [&](cl_command_queue queue, cl_event* event) {
    cl_int e = 1;
    std::size_t row = 0;
    void* at = clEnqueueMapImage(queue, w.dst_image, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION,
                                 kOrigin, kAll, &row, nullptr, 0, nullptr, event, &e);
    OK(e);
    OK(clEnqueueUnmapMemObject(queue, w.dst_image, at, 0, nullptr, nullptr));
  });
}
USE(clEnqueueSVMMemcpy, blocking_ends_what_is_before) {
  need_svm(w);
  const Svm memory(w, kBytes);
  const std::vector<unsigned char> bytes = pattern(kBytes);
  ends_what_is_before(w, [&](cl_command_queue queue, cl_event* event) {
    OK(clEnqueueSVMMemcpy(queue, CL_TRUE, memory.at, bytes.data(), kBytes, 0, nullptr, event));
  });
}
USE(clEnqueueSVMMap, blocking_and_overwriting_ends_what_is_before) {
  need_svm(w);
  const Svm memory(w, kBytes);
  ends_what_is_before(w, [&](cl_command_queue queue, cl_event* event) {
    OK(clEnqueueSVMMap(queue, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, memory.at, kBytes, 0,
                       nullptr, event));
    OK(clEnqueueSVMUnmap(queue, memory.at, 0, nullptr, nullptr));
  });
}
USE(clEnqueueReadBuffer, blocking_out_of_order_ends_its_event) {
  std::vector<unsigned char> bytes(kBytes);
  for (int i = 0; i < 50; ++i) {
    Event own;
    OK(clEnqueueReadBuffer(w.unordered, w.dst, CL_TRUE, 0, kBytes, bytes.data(), 0, nullptr,
                           own.out()));
    SAME(status_of(own), CL_COMPLETE);
  }
}
// The kernel writes after the host has mapped what it wrote, if the map did not wait for it.
USE(clEnqueueMapBuffer, blocking_and_overwriting_is_behind_the_kernel) {
  Program program = new_program(w, kSlow);
  Kernel slow = new_kernel(program, "slow");
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  const cl_uint loops = 100'000;
  OK(clSetKernelArg(slow, 0, sizeof(cl_mem), memory.at()));
  OK(clSetKernelArg(slow, 1, sizeof loops, &loops));
  Queue other = new_queue(w);
  for (int i = 0; i < 100; ++i) {
    OK(clEnqueueNDRangeKernel(w.queue, slow, 1, nullptr, &kOneItem, nullptr, 0, nullptr, nullptr));
    cl_int e = 1;
    void* at = clEnqueueMapBuffer(w.queue, memory, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0,
                                  kBytes, 0, nullptr, nullptr, &e);
    OK(e);
    const std::vector<unsigned char> wanted(kBytes, static_cast<unsigned char>(i));
    std::memcpy(at, wanted.data(), kBytes);
    OK(clEnqueueUnmapMemObject(other, memory, at, 0, nullptr, nullptr));
    OK(clFinish(other));
    THAT(read_all<unsigned char>(w, memory, kBytes) == wanted);
  }
}

// What failed is named: the wait list, whatever the event's own error.
void behind_a_failed_event(World& w,
                           const std::function<cl_int(cl_command_queue, cl_event)>& call) {
  Queue queue = new_queue(w);
  Event gate = new_user_event(w);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    clSetUserEventStatus(gate, -9);
  });
  const cl_int code = call(queue, gate);
  later.join();
  SAME(code, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  queue.give_up();  // the bare device never finishes such a queue
}
FAULT_BODY(clEnqueueReadBuffer, blocking_behind_a_failed_event) {
  static std::array<unsigned char, kBytes> bytes;
  behind_a_failed_event(w, [&](cl_command_queue queue, cl_event gate) {
    return clEnqueueReadBuffer(queue, w.dst, CL_TRUE, 0, kBytes, bytes.data(), 1, &gate, nullptr);
  });
}
FAULT_BODY(clEnqueueWriteBuffer, blocking_behind_a_failed_event) {
  static std::array<unsigned char, kBytes> bytes;
  behind_a_failed_event(w, [&](cl_command_queue queue, cl_event gate) {
    return clEnqueueWriteBuffer(queue, w.dst, CL_TRUE, 0, kBytes, bytes.data(), 1, &gate, nullptr);
  });
}
FAULT_BODY(clEnqueueMapBuffer, blocking_behind_a_failed_event) {
  behind_a_failed_event(w, [&](cl_command_queue queue, cl_event gate) {
    cl_int e = 1;
    clEnqueueMapBuffer(queue, w.dst, CL_TRUE, CL_MAP_READ, 0, kBytes, 1, &gate, nullptr, &e);
    return e;
  });
}

}  // namespace
}  // namespace tessera::conformance
