// SPDX-License-Identifier: Apache-2.0
//
// Copies between the state and a device, one of which is under way while the bytes of the next are
// read or checked: a disk, a checksum and a copy engine work at the same time.
#pragma once

#include <CL/cl.h>

#include <utility>

namespace tessera::worker {

// The copy that is under way, if one is. Its end is waited for before the memory that it uses goes.
class CopyUnderWay {
 public:
  CopyUnderWay() = default;
  CopyUnderWay(const CopyUnderWay&) = delete;
  CopyUnderWay& operator=(const CopyUnderWay&) = delete;
  ~CopyUnderWay() { end(); }

  // Takes one reference. Waits for the copy before; its status.
  cl_int follow_with(cl_event next) {
    const cl_int status = end();
    event_ = next;
    return status;
  }
  // CL_SUCCESS, or the error that the copy ended with.
  cl_int end() {
    const cl_event event = std::exchange(event_, nullptr);
    if (event == nullptr) return CL_SUCCESS;
    const cl_int waited = clWaitForEvents(1, &event);
    clReleaseEvent(event);
    return waited;
  }

 private:
  cl_event event_ = nullptr;
};

}  // namespace tessera::worker
