// SPDX-License-Identifier: Apache-2.0
//
// A mutex in shared memory that survives the death of its owner.
#pragma once

#include <errno.h>
#include <pthread.h>

#include <system_error>

namespace tessera {

inline void require_zero(int error, const char* what) {
  if (error != 0) throw std::system_error(error, std::generic_category(), what);
}

inline void make_robust_mutex(pthread_mutex_t& mutex) {
  pthread_mutexattr_t attributes;
  require_zero(::pthread_mutexattr_init(&attributes), "a mutex in shared memory");
  require_zero(::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED),
               "a shared mutex");
  require_zero(::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), "a robust mutex");
  require_zero(::pthread_mutex_init(&mutex, &attributes), "a mutex in shared memory");
  ::pthread_mutexattr_destroy(&attributes);
}

// Holds the mutex; `repair()` runs first where the last owner died holding it.
class RobustLock {
 public:
  template <class Repair>
  RobustLock(pthread_mutex_t& mutex, Repair&& repair) : mutex_(mutex) {
    const int error = ::pthread_mutex_lock(&mutex_);
    if (error == EOWNERDEAD) {
      repair();
      require_zero(::pthread_mutex_consistent(&mutex_), "repairing shared memory");
    } else {
      require_zero(error, "locking shared memory");
    }
  }
  ~RobustLock() { ::pthread_mutex_unlock(&mutex_); }
  RobustLock(const RobustLock&) = delete;
  RobustLock& operator=(const RobustLock&) = delete;

 private:
  pthread_mutex_t& mutex_;
};

}  // namespace tessera
