// SPDX-License-Identifier: Apache-2.0
//
// What a session's state has besides messages, as the fields of its frames.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "lease/quota.h"
#include "opencl/worker/device_facts.h"
#include "wire/codec.h"

namespace tessera::worker {

struct StateHeader {
  std::string lease;
  std::array<std::uint64_t, kMaxGpus> charged{};  // bytes by GPU, at the time of the suspend
  std::vector<DeviceFacts> devices;
};

struct ContentsPlace {
  wire::Id target = 0;
  std::uint64_t offset = 0;  // bytes, of a buffer
  wire::Id3 origin{};        // of an image
  wire::Id3 region{};        // all 0 for a buffer
};

struct PoisonedObject {
  std::uint32_t kind = 0;  // Kind
  wire::Id id = 0;
  wire::Id context = 0;  // 0 for a context
  std::int32_t status = 0;
  std::uint32_t mem_type = 0;  // cl_mem_object_type
  std::uint64_t size = 0;      // bytes
  std::uint64_t mem_flags = 0;
  std::vector<std::uint32_t> devices;  // of a context, a program or (one) a queue
};

struct EndedEvent {
  wire::Id id = 0;
  wire::Id context = 0;
  wire::Id queue = 0;  // 0: none, or gone
  std::uint64_t number = 0;
  std::int32_t status = 0;
  std::uint32_t user = 0;
  std::uint32_t profiling = 0;
  std::uint32_t reported = 0;
};

struct PendingEvent {
  wire::Id id = 0;
  std::int32_t told = 0;
};

struct QueueCounters {
  wire::Id id = 0;
  std::int32_t deferred = 0;
  std::uint64_t commands = 0;  // that have ended, ever
};

struct UnsetArgument {
  wire::Id kernel = 0;
  std::uint32_t index = 0;
};

void encode(wire::Encoder& out, const StateHeader& header);
void encode(wire::Encoder& out, const ContentsPlace& place);
void encode(wire::Encoder& out, const PoisonedObject& object);
void encode(wire::Encoder& out, const EndedEvent& event);
void encode(wire::Encoder& out, const PendingEvent& event);
void encode(wire::Encoder& out, const QueueCounters& queue);
void encode(wire::Encoder& out, const UnsetArgument& argument);

// False for anything that encode() does not write.
bool decode(wire::Decoder& in, StateHeader& header);
bool decode(wire::Decoder& in, ContentsPlace& place);
bool decode(wire::Decoder& in, PoisonedObject& object);
bool decode(wire::Decoder& in, EndedEvent& event);
bool decode(wire::Decoder& in, PendingEvent& event);
bool decode(wire::Decoder& in, QueueCounters& queue);
bool decode(wire::Decoder& in, UnsetArgument& argument);

}  // namespace tessera::worker
