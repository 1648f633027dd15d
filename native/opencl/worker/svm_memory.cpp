// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/svm_memory.h"

#include <unistd.h>

#include "opencl/allocation_kind.h"
#include "opencl/worker/retained.h"
#include "opencl/worker/shared_pages.h"

namespace tessera::worker {
namespace {

// What an allocation holds beside its memory.
struct Holding {
  Retained<cl_context> context;
  std::shared_ptr<Charge> charge;
};

std::uint64_t page_size() {
  static const auto size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::shared_ptr<void> from_driver(cl_context context, const DriverMemory& driver,
                                  std::uint64_t size, std::shared_ptr<Charge> charge) {
  void* const pointer = driver.allocate(size);
  if (pointer == nullptr) return nullptr;
  auto held = std::make_shared<Holding>(Holding{Retained(context), std::move(charge)});
  return {pointer, [held, free = driver.free](void* memory) { free(held->context.get(), memory); }};
}

// The driver's memory with shared pages in the middle of it.
struct Shared {
  Shared(std::shared_ptr<void> memory, SharedPages laid_over)
      : whole(std::move(memory)), pages(std::move(laid_over)) {}
  Shared(const Shared&) = delete;
  ~Shared() {
    // Lost for good rather than given back to a heap that a client could write to.
    if (!pages.put_private_pages_back()) new std::shared_ptr<void>(std::move(whole));
  }

  std::shared_ptr<void> whole;
  SharedPages pages;
};

std::shared_ptr<void> shared_from_driver(cl_context context, const DriverMemory& driver,
                                         std::uint64_t bytes, std::shared_ptr<Charge> charge,
                                         Channel& channel) {
  const std::uint64_t size = whole_pages(bytes, page_size());
  auto whole = from_driver(context, driver, size + page_size(), std::move(charge));
  if (whole == nullptr) return nullptr;
  const std::uint64_t address =
      whole_pages(reinterpret_cast<std::uintptr_t>(whole.get()), page_size());
  void* const first = reinterpret_cast<void*>(address);
  auto pages = SharedPages::lay_over(first, size);
  if (!pages) return nullptr;
  auto shared = std::make_shared<Shared>(std::move(whole), std::move(*pages));
  if (!channel.send_descriptor(address, shared->pages.fd().get())) return nullptr;
  shared->pages.fd().reset();
  return {shared, first};
}

}  // namespace

bool shares_pages(const Channel& channel, cl_device_id device) {
  cl_device_type type = 0;
  clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof type, &type, nullptr);
  return channel.passes_descriptors() && (type & CL_DEVICE_TYPE_CPU) != 0;
}

SvmMemory allocate_svm(cl_context context, const DriverMemory& driver, std::uint64_t size,
                       std::unique_ptr<Charge> charge, Channel& channel, Sharing sharing) {
  const std::shared_ptr<Charge> held(std::move(charge));
  if (sharing != Sharing::none) {
    if (auto memory = shared_from_driver(context, driver, size, held, channel)) {
      return {memory, true};
    }
    if (sharing == Sharing::always) return {};
  }
  return {from_driver(context, driver, size, held), false};
}

}  // namespace tessera::worker
