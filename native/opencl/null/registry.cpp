// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "opencl/null/device_memory.h"
#include "opencl/null/objects.h"

namespace tessera::null {
namespace {

constexpr std::size_t kMemory = std::size_t{1} << 30;  // bytes that all objects together may take

struct Registry {
  std::mutex mutex;
  std::unordered_map<const void*, Kind> live;
};

// Never destroyed: threads of the application may outlive main().
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

std::atomic<std::size_t> allocated{0};

}  // namespace

std::mutex& big_lock() {
  static std::mutex* const instance = new std::mutex;
  return *instance;
}

void die(const char* what, const void* handle) {
  std::fprintf(stderr, "null driver: the application %s: %p\n", what, handle);
  std::abort();
}

void register_handle(const void* handle, Kind kind) {
  const std::lock_guard lock(registry().mutex);
  registry().live[handle] = kind;
}

void unregister_handle(const void* handle) {
  const std::lock_guard lock(registry().mutex);
  registry().live.erase(handle);
}

bool is_registered(const void* handle, Kind kind) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().live.find(handle);
  return found != registry().live.end() && found->second == kind;
}

std::size_t live_handles() {
  const std::lock_guard lock(registry().mutex);
  return registry().live.size();
}

cl_int Query::bytes(const void* from, std::size_t count) const {
  if (value != nullptr && size < count) return CL_INVALID_VALUE;
  if (value != nullptr && count != 0) std::memcpy(value, from, count);
  if (needed != nullptr) *needed = count;
  return CL_SUCCESS;
}

cl_int Query::text(const std::string& value_text) const {
  return bytes(value_text.c_str(), value_text.size() + 1);
}

std::nullptr_t refuse(cl_int* errcode, cl_int error) {
  if (errcode != nullptr) *errcode = error;
  return nullptr;
}

Bytes allocate(std::size_t size) {
  if (has_device_memory()) return allocate_on_device(size);
  if (allocated.fetch_add(size) + size > kMemory) {
    allocated.fetch_sub(size);
    return nullptr;
  }
  // calloc, because its untouched pages cost nothing; aligned by hand to what SVM promises.
  void* const memory = std::calloc(1, size + 128);
  if (memory == nullptr) {
    allocated.fetch_sub(size);
    return nullptr;
  }
  const auto aligned = (reinterpret_cast<std::uintptr_t>(memory) + 127) & ~std::uintptr_t{127};
  return {reinterpret_cast<std::byte*>(aligned), [memory, size](std::byte*) {
            std::free(memory);
            allocated.fetch_sub(size);
          }};
}

}  // namespace tessera::null
