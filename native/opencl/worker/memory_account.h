// SPDX-License-Identifier: Apache-2.0
//
// Charges of one session to the lease's quota.
//
// Bytes are taken before the driver is asked and given back when the driver destroys the object,
// which may be long after the client released it: a command in flight keeps it. Giving back at the
// release would let a client hold more than its lease by queueing work on released buffers.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "lease/quota.h"

namespace tessera::worker {

class MemoryAccount;

// Bytes taken from the quota; gives them back when dropped.
class Charge {
 public:
  Charge(MemoryAccount& account, std::uint32_t gpu_mask, std::uint64_t bytes)
      : account_(account), gpu_mask_(gpu_mask), bytes_(bytes) {}
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge();

  std::uint64_t bytes() const { return bytes_; }
  // Takes or gives back the difference; false: the lease has no room for it, nothing changed.
  bool adjust(std::uint64_t bytes);

 private:
  MemoryAccount& account_;
  std::uint32_t gpu_mask_;
  std::uint64_t bytes_;
};

class MemoryAccount {
 public:
  MemoryAccount(Quota& quota, std::size_t slot) : quota_(quota), slot_(slot) {}
  // Waits a while for what the driver still destroys, which is told here.
  ~MemoryAccount();

  // Null when the lease has no room.
  std::unique_ptr<Charge> charge(std::uint32_t gpu_mask, std::uint64_t bytes,
                                 bool count_refusal = true);
  // Ties the charge to the driver's object: it is dropped when the driver destroys that. On an
  // error nothing is tied, the charge is dropped, and the caller releases the object.
  cl_int attach(std::unique_ptr<Charge> charge, cl_mem object);

  // Objects that the client holds; an entry with a charged object counts itself here.
  std::atomic<std::int64_t>& held() { return held_; }
  // The client released objects which the driver still keeps.
  bool releases_pending() const { return alive_.load() > held_.load(); }
  // Waits until the driver destroyed an object or the time is over; false: it is over.
  bool wait_for_release(std::chrono::steady_clock::time_point deadline);

 private:
  friend class Charge;
  static void CL_CALLBACK destroyed(cl_mem, void* charge);

  struct Tied {
    MemoryAccount* account;
    std::unique_ptr<Charge> charge;
  };

  Quota& quota_;
  std::size_t slot_;
  std::atomic<std::int64_t> held_{0};
  std::atomic<std::int64_t> alive_{0};
  std::mutex mutex_;
  std::condition_variable released_;
  std::uint64_t releases_ = 0;
};

}  // namespace tessera::worker
