// SPDX-License-Identifier: Apache-2.0
//
// The quota page: what a lease may use and what its sessions use now.
//
// One page per lease, created by the gatekeeper, mapped by every worker of the lease and, read
// only, by the daemon. The limit is held here, between processes that Tessera started, and never in
// the client: a tenant has no descriptor of this page, so no environment variable and no message
// changes it.
//
// The total is always the sum over the session slots. A worker that dies in the middle of an update
// leaves the robust mutex marked, and whoever takes it next adds the slots up again; the gatekeeper
// empties the slot of a worker that it reaped. Atomics without a mutex were refused: a worker
// killed between "add to the total" and "add to my slot" would leak the difference for the life of
// the lease.
//
// The layout is shared with Python (tessera/leases/quota.py) and checked by a test.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tessera {

inline constexpr std::uint64_t kQuotaMagic = 0x41544f5551525354;  // "TSRQUOTA" in memory order
inline constexpr std::uint32_t kQuotaVersion = 2;
inline constexpr std::size_t kMaxGpus = 8;
inline constexpr std::size_t kMaxSessions = 256;

// One GPU of the lease; all figures in bytes, `refused` in allocations.
struct GpuQuota {
  std::uint64_t limit;
  std::uint64_t used;
  std::uint64_t peak;
  std::uint64_t refused;
};

enum class SlotState : std::uint32_t { free = 0, starting = 1, live = 2 };

// One session. The worker writes it; counters are single-writer and read without the mutex.
struct SessionSlot {
  std::atomic<SlotState> state;
  std::uint32_t transport;  // tessera::TransportKind
  std::int32_t worker_pid;
  std::int32_t client_pid;   // as the kernel reports it; 0 over TCP
  std::uint64_t started_ns;  // CLOCK_REALTIME
  std::array<std::uint64_t, kMaxGpus> used;
  std::atomic<std::uint64_t> messages;
  std::atomic<std::uint64_t> round_trips;
  std::atomic<std::uint64_t> bytes_to_worker;
  std::atomic<std::uint64_t> bytes_to_client;
  std::atomic<std::uint64_t> commands;  // enqueued on the device
  std::atomic<std::uint64_t> objects;   // live in the object table
  std::uint64_t reserved[3];
};

struct QuotaPage {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t gpu_count;
  std::array<char, 64> lease_id;  // NUL-terminated
  std::atomic<std::uint32_t> live_sessions;
  std::uint32_t session_capacity;
  std::atomic<std::uint64_t> sessions_total;  // ever started
  std::atomic<std::uint64_t> resizes;         // how often limits changed since the page was made
  std::array<GpuQuota, kMaxGpus> gpus;
  alignas(64) pthread_mutex_t mutex;
  alignas(64) std::array<SessionSlot, kMaxSessions> slots;
};

// A limit to be, in bytes.
struct NewLimit {
  std::size_t gpu;
  std::uint64_t bytes;
};

// Why a limit cannot be what was asked for: more is in use.
struct BelowUse {
  std::size_t gpu;
  std::uint64_t used;
};

// A mapping of the page. Move-only; unmaps on destruction.
class Quota {
 public:
  // Creates the file with mode 0600 and maps it. Throws std::system_error.
  static Quota create(std::string_view path, std::string_view lease_id, const std::uint64_t* limits,
                      std::size_t gpu_count);
  // Maps an inherited descriptor; checks magic, version and size. Throws std::system_error or
  // std::runtime_error for a page of another version.
  static Quota attach(int fd);

  Quota(Quota&& other) noexcept;
  Quota& operator=(Quota&& other) noexcept;
  ~Quota();

  int fd() const { return fd_; }
  QuotaPage& page() { return *page_; }
  const QuotaPage& page() const { return *page_; }

  // Takes `bytes` on every GPU whose bit is set in `gpu_mask`, or on none of them: false means that
  // a limit would be passed, and counts a refusal unless the caller means to try again.
  bool reserve(std::size_t slot, std::uint32_t gpu_mask, std::uint64_t bytes,
               bool count_refusal = true);
  void release(std::size_t slot, std::uint32_t gpu_mask, std::uint64_t bytes);

  // Bytes by GPU: what the session has, and what the lease has left.
  std::array<std::uint64_t, kMaxGpus> used(std::size_t slot);
  std::array<std::uint64_t, kMaxGpus> left();

  // Changes limits, all of them or none: the first that is below what is used now is the answer.
  // Throws std::out_of_range for a GPU that the lease has not.
  std::optional<BelowUse> resize(std::span<const NewLimit> limits);
  // The limit of a GPU now.
  std::uint64_t limit(std::size_t gpu);

  // Gatekeeper only. `acquire_slot` returns kMaxSessions when the lease is full.
  std::size_t acquire_slot();
  void free_slot(std::size_t slot);

 private:
  Quota(int fd, QuotaPage* page) : fd_(fd), page_(page) {}
  int fd_ = -1;
  QuotaPage* page_ = nullptr;
};

}  // namespace tessera
