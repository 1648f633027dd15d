// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

namespace tessera::worker {

// CL_QUEUED to CL_COMPLETE, or the error that the command ended with or the driver answered.
inline cl_int status_of(cl_event event) {
  cl_int status = CL_QUEUED;
  const cl_int got =
      clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr);
  return got == CL_SUCCESS ? status : got;
}

inline bool has_ended(cl_event event) {
  return status_of(event) <= CL_COMPLETE;
}

}  // namespace tessera::worker
