// SPDX-License-Identifier: Apache-2.0
//
// Scrubbing: no tenant sees what another left in a device's memory.
//
// The memory of a processor is the worker's own, and the kernel clears every page that a process
// gets. The memory of a GPU outlives the process that held it, and whether a driver clears it no
// standard says. So on such a device the worker fills a new buffer, image or block of shared
// virtual memory with zeros before the client's first command can touch it. At its creation rather
// than at its release: a tenant whose worker was killed releases nothing.
//
// Nobody waits for the zeros. The fill goes to the context's internal queue, which is in order, and
// the fill that was enqueued last is a condition of every later command of the context, as long as
// it has not ended (Command). One condition a context instead of one an object: a kernel's
// arguments would have to be gone through at each launch, and a fill takes less time than that. Nor
// does the client: creations stay posted.
//
// A client may say that it is going to write all of an object, and then need not, so its word saves
// no fill. Contents that came with the creation do: the driver copies them itself
// (Session::copying), and zeros would come after them.
#pragma once

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <cstdint>

#include "opencl/worker/validate.h"

namespace tessera::worker {

// Whether memory that one process frees on `device` can come to another one with its bytes.
bool outlives_its_process(cl_device_id device);

// Each enqueues zeros over all of an object on `queue`; `event` ends with them. CL_SUCCESS or the
// driver's error, and then the object must not be given to the client.
cl_int fill_buffer(cl_command_queue queue, cl_mem buffer, std::uint64_t size, cl_event* event);
cl_int fill_image(cl_command_queue queue, cl_mem image, const MemShape& shape, cl_event* event);
cl_int fill_svm(clEnqueueMemFillINTEL_fn fill, cl_command_queue queue, void* memory,
                std::uint64_t size, cl_event* event);

// The last fill of a context, until it is known to have ended.
class Scrubbing {
 public:
  Scrubbing() = default;
  Scrubbing(const Scrubbing&) = delete;
  Scrubbing& operator=(const Scrubbing&) = delete;
  ~Scrubbing() { replace(nullptr); }

  // Takes the reference. Later fills of an in-order queue end later.
  void replace(cl_event fill);
  // What a command has to wait for, or null. A fill that failed stays: everything that waits for it
  // fails, because the memory may hold anything.
  cl_event pending();

 private:
  cl_event fill_ = nullptr;
};

}  // namespace tessera::worker
