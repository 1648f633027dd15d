// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "opencl/client/session.h"

namespace tessera::client {

template <class Function>
using Destructors = std::vector<std::pair<Function, void*>>;

// Runs what the program registered for the end of an object, newest first. `handle` only tells the
// program which object it was.
template <class Handle, class Function>
void run_destructors(Handle handle, const Destructors<Function>& registered) {
  for (auto at = registered.rbegin(); at != registered.rend(); ++at) at->first(handle, at->second);
}

// Runs `what` now, or on the callback thread in the middle of handling a message, where the
// program's code may not run.
template <class What>
void run_outside_messages(Session& session, What what) noexcept {
  try {
    if (Session::handling_message()) {
      session.callbacks().run(std::move(what));
    } else {
      what();
    }
  } catch (...) {  // no memory, no thread: nothing can be told to the program
  }
}

}  // namespace tessera::client
