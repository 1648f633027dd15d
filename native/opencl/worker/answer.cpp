// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/answer.h"

#include <cstring>

#include "opencl/worker/output.h"

namespace tessera::worker {

Answers::Limits Answers::take_limits() {
  // The count comes first: a change between the two is told once more.
  Limits limits{quota_.page().resizes.load(), {}};
  for (std::size_t gpu = 0; gpu < quota_.page().gpu_count; ++gpu) {
    limits.memory.push_back(quota_.limit(gpu));
  }
  told_.store(limits.resizes);
  return limits;
}

void Answers::tell_limits() {
  const Limits limits = take_limits();
  wire::LeaseLimits message;
  message.resizes = limits.resizes;
  message.memory = limits.memory;
  send(message);
}

Bulk Answers::bulk_of(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  if (bytes.size() > kMaxBulk) return long_payload(bytes.data(), bytes.size());
  Bulk bulk = channel_.reserve(bytes.size());
  std::memcpy(bulk.data(), bytes.data(), bytes.size());
  return bulk;
}

bool Answers::hold_back(cl_int status) {
  if (!muted()) return false;
  if (first_error_ == CL_SUCCESS) first_error_ = status;
  return true;
}

void Answers::reply(std::uint64_t of, cl_int status, std::span<const std::uint64_t> values,
                    wire::Blob data, Bulk bulk) {
  if (hold_back(status)) return;
  output_.drain();
  const QuotaPage& page = quota_.page();
  if (page.resizes.load(std::memory_order_relaxed) != told_.load(std::memory_order_relaxed)) {
    tell_limits();
  }
  wire::Reply message;
  message.of = of;
  message.status = status;
  message.sessions = page.live_sessions.load(std::memory_order_relaxed);
  message.values = values;
  message.data = data;
  send(message, std::move(bulk));
  channel_.flush();
  count_round_trip();
}

void Answers::read_done(std::uint64_t ticket, cl_int status, Bulk bulk, bool waited) {
  if (hold_back(status)) return;
  if (waited) output_.drain();
  wire::ReadDone message;
  message.ticket = ticket;
  message.status = status;
  bulk.set_tag(ticket);
  send(message, std::move(bulk));
  channel_.flush();
  if (waited) count_round_trip();
}

void Answers::build_done(const wire::BuildDone& message) {
  if (hold_back(message.status)) return;
  output_.drain();
  send(message);
  channel_.flush();
  count_round_trip();
}

void Answers::deferred_error(std::uint64_t target, cl_int status, wire::Opcode opcode) {
  if (hold_back(status)) return;
  wire::DeferredError message;
  message.target = target;
  message.status = status;
  message.opcode = static_cast<std::uint32_t>(opcode);
  send(message);
  channel_.flush();
}

void Answers::count_round_trip() {
  slot_.round_trips.fetch_add(1, std::memory_order_relaxed);
  const ChannelCounters counters = channel_.counters();
  slot_.bytes_to_worker.store(counters.bytes_received, std::memory_order_relaxed);
  slot_.bytes_to_client.store(counters.bytes_sent, std::memory_order_relaxed);
}

}  // namespace tessera::worker
