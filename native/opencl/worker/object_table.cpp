// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/object_table.h"

#include <random>
#include <string>

namespace tessera::worker {
namespace {

// What a client may go past kMaxObjects with entries that hold nothing but an error.
constexpr std::size_t kPoisonedMargin = 100'000;

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::context:
      return "context";
    case Kind::queue:
      return "queue";
    case Kind::mem:
      return "memory object";
    case Kind::sampler:
      return "sampler";
    case Kind::program:
      return "program";
    case Kind::kernel:
      return "kernel";
    case Kind::event:
      return "event";
    case Kind::partition:
      return "partition of a device";
    case Kind::command_buffer:
      return "command buffer";
  }
  return "object";
}

cl_mem ContextEntry::nothing(cl_int* status) {
  constexpr std::size_t kSize = 64;  // bytes
  if (nothing_ == nullptr) {
    nothing_ = clCreateBuffer(handle, CL_MEM_READ_WRITE, kSize, nullptr, status);
  }
  return nothing_;
}

ContextEntry::~ContextEntry() {
  if (nothing_ != nullptr) clReleaseMemObject(nothing_);
  if (ended_event != nullptr) clReleaseEvent(ended_event);
  if (internal_queue != nullptr) clReleaseCommandQueue(internal_queue);
  if (handle != nullptr) clReleaseContext(handle);
}

QueueEntry::~QueueEntry() {
  if (last != nullptr) clReleaseEvent(last);
  if (handle != nullptr) clReleaseCommandQueue(handle);
}

MemEntry::~MemEntry() {
  if (held != nullptr) held->fetch_sub(1);
  if (handle != nullptr) clReleaseMemObject(handle);
}

SamplerEntry::~SamplerEntry() {
  if (handle != nullptr) clReleaseSampler(handle);
}

ProgramEntry::~ProgramEntry() {
  if (handle != nullptr) clReleaseProgram(handle);
}

KernelEntry::~KernelEntry() {
  if (handle != nullptr) clReleaseKernel(handle);
}

EventEntry::~EventEntry() {
  if (handle != nullptr) clReleaseEvent(handle);
}

ObjectTable::ObjectTable() : entries_(ForeignIds{random_seed()}) {}

void ObjectTable::require_new(Id id) const {
  if (id == 0) throw ProtocolError("a new object has the id 0");
  if (entries_.find(id) != nullptr) throw ProtocolError("id " + std::to_string(id) + " is taken");
}

void ObjectTable::insert(const std::shared_ptr<Entry>& entry) {
  require_new(entry->id);
  entry->serial = next_serial();
  const std::size_t bytes = entry->record.size();
  if (entries_.size() >= kMaxObjects || bytes > kMaxRecordBytes - record_bytes_) {
    if (entries_.size() >= kMaxObjects + kPoisonedMargin) {
      throw ProtocolError("more than " + std::to_string(kMaxObjects) + " objects");
    }
    entry->poison = CL_OUT_OF_HOST_MEMORY;
    entry->record = Record();
  }
  entries_.insert(entry->id, entry);
  record_bytes_ += entry->record.size();
}

const std::shared_ptr<Entry>& ObjectTable::find(Id id, Kind kind) const {
  const std::shared_ptr<Entry>& entry = entries_.find(id);
  if (entry == nullptr) {
    throw ProtocolError("unknown " + std::string(kind_name(kind)) + " " + std::to_string(id));
  }
  if (entry->kind != kind) {
    throw ProtocolError("id " + std::to_string(id) + " is a " + kind_name(entry->kind) +
                        ", not a " + kind_name(kind));
  }
  return entry;
}

std::shared_ptr<Entry> ObjectTable::any(Id id) const {
  const std::shared_ptr<Entry>& entry = entries_.find(id);
  if (entry == nullptr) throw ProtocolError("unknown object " + std::to_string(id));
  return entry;
}

std::shared_ptr<Entry> ObjectTable::take(Id id) {
  std::shared_ptr<Entry> entry = entries_.take(id);
  if (entry == nullptr) throw ProtocolError("release of unknown object " + std::to_string(id));
  record_bytes_ -= entry->record.size();
  if (entry->kind == Kind::context) {
    const auto& context = static_cast<const ContextEntry&>(*entry);
    for (const auto& [address, block] : context.svm) record_bytes_ -= block.counted;
  }
  if (entry->kind == Kind::program) {
    record_bytes_ -= std::exchange(static_cast<ProgramEntry&>(*entry).counted, 0);
  }
  if (entry->kind == Kind::command_buffer) {
    record_bytes_ -= std::exchange(static_cast<CommandBufferEntry&>(*entry).counted, 0);
  }
  if (entry->kind == Kind::kernel) {
    const auto& kernel = static_cast<const KernelEntry&>(*entry);
    for (const auto& argument : kernel.arguments) record_bytes_ -= argument.value.size();
    for (const auto& [param, values] : kernel.exec_info) {
      record_bytes_ -= values.size() * sizeof(std::uint64_t);
    }
  }
  return entry;
}

bool ObjectTable::recount(std::size_t before, std::size_t after) {
  const std::size_t others = record_bytes_ - before;
  if (after > kMaxRecordBytes - others) return false;
  record_bytes_ = others + after;
  return true;
}

}  // namespace tessera::worker
