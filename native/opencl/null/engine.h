// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "opencl/null/objects.h"

namespace tessera::null {

// One command. `work` runs when everything it waits for has completed, under big_lock(); it holds a
// Ref to whatever it uses.
struct Submission {
  cl_command_queue queue;
  cl_command_type type;
  cl_uint count;
  const cl_event* list;
  cl_event* event;
  bool blocking = false;
  // A marker or barrier: without a wait-list it waits for all that the queue holds.
  bool fence = false;
  // What comes later in an out-of-order queue waits for it.
  bool barrier = false;
};

// CL_SUCCESS, or the error of the wait-list (or, if blocking, of the command).
cl_int submit(const Submission& submission, std::function<cl_int()> work);

// The checks of a queue and a wait-list that every clEnqueue* begins with.
cl_int check_submission(const Submission& submission);

// Ends a user event. CL_INVALID_OPERATION if it has ended before.
cl_int end_user_event(cl_event event, cl_int status);
cl_int wait_until_ended(const std::vector<cl_event>& events);
void finish(cl_command_queue queue);
// Calls back now if the event is already there.
void add_callback(cl_event event, _cl_event::Callback callback);

}  // namespace tessera::null
