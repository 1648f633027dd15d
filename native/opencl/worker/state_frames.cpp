// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/state_frames.h"

#include <algorithm>

namespace tessera::worker {

void encode(wire::Encoder& out, const StateHeader& header) {
  out.text(header.lease);
  out.u64s(header.charged);
  out.u32(static_cast<std::uint32_t>(header.devices.size()));
  for (const auto& each : header.devices) encode(out, each);
}

bool decode(wire::Decoder& in, StateHeader& header) {
  header.lease = in.text();
  const auto charged = in.u64s();
  if (charged.size() != header.charged.size()) return false;
  std::ranges::copy(charged, header.charged.begin());
  const std::uint32_t count = in.u32();
  if (count > kMaxGpus) return false;
  header.devices.resize(count);
  for (auto& each : header.devices) {
    if (!decode(in, each)) return false;
  }
  return in.complete();
}

void encode(wire::Encoder& out, const ContentsPlace& place) {
  out.u64(place.target);
  out.u64(place.offset);
  out.u64x3(place.origin);
  out.u64x3(place.region);
}

bool decode(wire::Decoder& in, ContentsPlace& place) {
  place.target = in.u64();
  place.offset = in.u64();
  place.origin = in.u64x3();
  place.region = in.u64x3();
  return in.complete();
}

void encode(wire::Encoder& out, const PoisonedObject& object) {
  out.u32(object.kind);
  out.u64(object.id);
  out.u64(object.context);
  out.i32(object.status);
  out.u32(object.mem_type);
  out.u64(object.size);
  out.u64(object.mem_flags);
  out.u32s(object.devices);
}

bool decode(wire::Decoder& in, PoisonedObject& object) {
  object.kind = in.u32();
  object.id = in.u64();
  object.context = in.u64();
  object.status = in.i32();
  object.mem_type = in.u32();
  object.size = in.u64();
  object.mem_flags = in.u64();
  const auto devices = in.u32s();
  object.devices.assign(devices.begin(), devices.end());
  return in.complete() && object.status < 0;
}

void encode(wire::Encoder& out, const EndedEvent& event) {
  out.u64(event.id);
  out.u64(event.context);
  out.u64(event.queue);
  out.u64(event.number);
  out.i32(event.status);
  out.u32(event.user);
  out.u32(event.profiling);
  out.u32(event.reported);
}

bool decode(wire::Decoder& in, EndedEvent& event) {
  event.id = in.u64();
  event.context = in.u64();
  event.queue = in.u64();
  event.number = in.u64();
  event.status = in.i32();
  event.user = in.u32();
  event.profiling = in.u32();
  event.reported = in.u32();
  return in.complete() && event.status <= 0 && event.user <= 1 && event.profiling <= 1 &&
         event.reported <= 1;
}

void encode(wire::Encoder& out, const PendingEvent& event) {
  out.u64(event.id);
  out.i32(event.told);
}

bool decode(wire::Decoder& in, PendingEvent& event) {
  event.id = in.u64();
  event.told = in.i32();
  return in.complete();
}

void encode(wire::Encoder& out, const QueueCounters& queue) {
  out.u64(queue.id);
  out.i32(queue.deferred);
  out.u64(queue.commands);
}

bool decode(wire::Decoder& in, QueueCounters& queue) {
  queue.id = in.u64();
  queue.deferred = in.i32();
  queue.commands = in.u64();
  return in.complete() && queue.deferred <= 0;
}

void encode(wire::Encoder& out, const UnsetArgument& argument) {
  out.u64(argument.kernel);
  out.u32(argument.index);
}

bool decode(wire::Decoder& in, UnsetArgument& argument) {
  argument.kernel = in.u64();
  argument.index = in.u32();
  return in.complete();
}

}  // namespace tessera::worker
