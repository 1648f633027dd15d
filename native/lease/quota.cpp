// SPDX-License-Identifier: Apache-2.0
#include "lease/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "base/robust_mutex.h"
#include "base/unique_fd.h"

namespace tessera {
namespace {

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

QuotaPage* map(int fd) {
  void* at = ::mmap(nullptr, sizeof(QuotaPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) fail(errno, "mapping the quota page");
  return static_cast<QuotaPage*>(at);
}

std::uint64_t realtime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// The slots are what counts; the totals are their sums.
void add_up(QuotaPage& page) {
  std::uint32_t live = 0;
  for (const auto& slot : page.slots) live += slot.state.load() != SlotState::free ? 1 : 0;
  page.live_sessions.store(live);
  for (std::size_t gpu = 0; gpu < page.gpu_count; ++gpu) {
    std::uint64_t used = 0;
    for (const auto& slot : page.slots) used += slot.used[gpu];
    page.gpus[gpu].used = used;
  }
}

RobustLock lock(QuotaPage& page) {
  return {page.mutex, [&] { add_up(page); }};
}

template <class F>
void each_gpu(const QuotaPage& page, std::uint32_t mask, F&& visit) {
  for (std::size_t gpu = 0; gpu < page.gpu_count; ++gpu) {
    if ((mask >> gpu & 1) != 0) visit(gpu);
  }
}

void clear(SessionSlot& slot) {
  slot.transport = 0;
  slot.worker_pid = 0;
  slot.client_pid = 0;
  slot.started_ns = 0;
  slot.used.fill(0);
  for (auto* counter : {&slot.messages, &slot.round_trips, &slot.bytes_to_worker,
                        &slot.bytes_to_client, &slot.commands, &slot.objects}) {
    counter->store(0, std::memory_order_relaxed);
  }
}

}  // namespace

Quota Quota::create(std::string_view path, std::string_view lease_id, const std::uint64_t* limits,
                    std::size_t gpu_count) {
  if (gpu_count == 0 || gpu_count > kMaxGpus) throw std::invalid_argument("1 to 8 GPUs a lease");
  const std::string name(path);
  ::unlink(name.c_str());
  UniqueFd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) fail(errno, "creating the quota page");
  // Space is taken now: on a full disk a later write to a hole would be a SIGBUS.
  require_zero(::posix_fallocate(fd.get(), 0, sizeof(QuotaPage)), "making room for the quota page");
  QuotaPage* page = map(fd.get());
  make_robust_mutex(page->mutex);
  page->version = kQuotaVersion;
  page->gpu_count = static_cast<std::uint32_t>(gpu_count);
  page->session_capacity = kMaxSessions;
  const std::size_t length = std::min(lease_id.size(), page->lease_id.size() - 1);
  ::memcpy(page->lease_id.data(), lease_id.data(), length);
  for (std::size_t gpu = 0; gpu < gpu_count; ++gpu) page->gpus[gpu].limit = limits[gpu];
  // Last: who finds the magic finds a complete page.
  std::atomic_thread_fence(std::memory_order_release);
  page->magic = kQuotaMagic;
  return Quota(fd.release(), page);
}

Quota Quota::attach(int fd) {
  UniqueFd owned(fd);
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) fail(errno, "the quota page's descriptor");
  if (static_cast<std::size_t>(facts.st_size) != sizeof(QuotaPage)) {
    throw std::runtime_error("the quota page has another size: another version of Tessera");
  }
  Quota quota(owned.release(), map(fd));
  if (quota.page_->magic != kQuotaMagic || quota.page_->version != kQuotaVersion ||
      quota.page_->gpu_count > kMaxGpus) {
    throw std::runtime_error("not a quota page of this version of Tessera");
  }
  return quota;
}

Quota::Quota(Quota&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), page_(std::exchange(other.page_, nullptr)) {}

Quota& Quota::operator=(Quota&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(page_, other.page_);
  return *this;
}

Quota::~Quota() {
  if (page_ != nullptr) ::munmap(page_, sizeof(QuotaPage));
  if (fd_ >= 0) ::close(fd_);
}

bool Quota::reserve(std::size_t slot, std::uint32_t gpu_mask, std::uint64_t bytes,
                    bool count_refusal) {
  const RobustLock held = lock(*page_);
  bool fits = true;
  each_gpu(*page_, gpu_mask, [&](std::size_t index) {
    GpuQuota& gpu = page_->gpus[index];
    if (gpu.used <= gpu.limit && bytes <= gpu.limit - gpu.used) return;
    fits = false;
    if (count_refusal) ++gpu.refused;
  });
  if (!fits) return false;
  each_gpu(*page_, gpu_mask, [&](std::size_t index) {
    GpuQuota& gpu = page_->gpus[index];
    page_->slots[slot].used[index] += bytes;
    gpu.used += bytes;
    gpu.peak = std::max(gpu.peak, gpu.used);
  });
  return true;
}

void Quota::release(std::size_t slot, std::uint32_t gpu_mask, std::uint64_t bytes) {
  const RobustLock held = lock(*page_);
  each_gpu(*page_, gpu_mask, [&](std::size_t index) {
    std::uint64_t& used = page_->slots[slot].used[index];
    const std::uint64_t back = std::min(bytes, used);
    used -= back;
    page_->gpus[index].used -= std::min(back, page_->gpus[index].used);
  });
}

std::array<std::uint64_t, kMaxGpus> Quota::used(std::size_t slot) {
  const RobustLock held = lock(*page_);
  return page_->slots[slot].used;
}

std::array<std::uint64_t, kMaxGpus> Quota::left() {
  const RobustLock held = lock(*page_);
  std::array<std::uint64_t, kMaxGpus> bytes{};
  for (std::size_t i = 0; i < page_->gpu_count; ++i) {
    const GpuQuota& gpu = page_->gpus[i];
    bytes[i] = gpu.limit - std::min(gpu.used, gpu.limit);
  }
  return bytes;
}

std::optional<BelowUse> Quota::resize(std::span<const NewLimit> limits) {
  const RobustLock held = lock(*page_);
  for (const auto& [gpu, bytes] : limits) {
    if (gpu >= page_->gpu_count) throw std::out_of_range("the lease has no such GPU");
    if (const std::uint64_t used = page_->gpus[gpu].used; bytes < used) return BelowUse{gpu, used};
  }
  for (const auto& [gpu, bytes] : limits) page_->gpus[gpu].limit = bytes;
  // Who sees the new count and then takes the mutex sees the new limits.
  page_->resizes.fetch_add(1);
  return std::nullopt;
}

std::uint64_t Quota::limit(std::size_t gpu) {
  const RobustLock held = lock(*page_);
  return page_->gpus[gpu].limit;
}

std::size_t Quota::acquire_slot() {
  const RobustLock held = lock(*page_);
  const auto free = std::ranges::find_if(
      page_->slots, [](const auto& slot) { return slot.state.load() == SlotState::free; });
  if (free == page_->slots.end()) return kMaxSessions;
  clear(*free);
  free->started_ns = realtime_ns();
  free->state.store(SlotState::starting);
  page_->sessions_total.fetch_add(1);
  add_up(*page_);
  return static_cast<std::size_t>(free - page_->slots.begin());
}

void Quota::free_slot(std::size_t slot) {
  const RobustLock held = lock(*page_);
  clear(page_->slots[slot]);
  page_->slots[slot].state.store(SlotState::free);
  add_up(*page_);
}

}  // namespace tessera
