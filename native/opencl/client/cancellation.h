// SPDX-License-Identifier: Apache-2.0
//
// pthread_cancel() and the driver.
//
// The C library unwinds a cancelled thread from the next call of the system that waits. In here
// that is in the midst of a message, or while the thread receives for others; and the C++ runtime
// that is linked into the driver, apart from the program's, cannot be unwound by the program's at
// all: the process would end. So cancellation is off in there, and the thread ends after its call
// has returned.
#pragma once

#include <pthread.h>

namespace tessera::client {

class NotCancelled {
 public:
  NotCancelled() { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NotCancelled() { ::pthread_setcancelstate(before_, nullptr); }
  NotCancelled(const NotCancelled&) = delete;
  NotCancelled& operator=(const NotCancelled&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace tessera::client
