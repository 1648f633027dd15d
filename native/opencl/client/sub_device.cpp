// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/sub_device.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <span>

#include "generated/client_entries.h"
#include "generated/messages_device.h"
#include "opencl/client/session.h"
#include "opencl/sub_device.h"

namespace tessera::client {
namespace {

using Property = cl_device_partition_property;

struct Scheme {
  Property name = 0;
  std::vector<std::uint64_t> values;  // what follows, without the closing zeros
  std::vector<std::byte> given;       // all of it
};

bool knows_scheme(const Device& device, Property name) {
  const auto* fact = device.fact(CL_DEVICE_PARTITION_PROPERTIES);
  for (std::size_t at = 0; at + sizeof name <= fact->size(); at += sizeof name) {
    Property known;
    std::memcpy(&known, fact->data() + at, sizeof known);
    if (known == name) return true;
  }
  return false;
}

// What stands behind the end of the counts is not looked at: not every program closes the list of
// properties, too.
std::size_t values_after(const Property* properties) {
  std::size_t count = 0;
  while (properties[1 + count] != 0) ++count;
  return count;
}

void check_counts(const Device& device, const Scheme& scheme) {
  constexpr cl_int kRefused = CL_INVALID_DEVICE_PARTITION_COUNT;
  const auto most = device.fact_or<cl_uint>(CL_DEVICE_PARTITION_MAX_SUB_DEVICES, 0);
  ensure(!scheme.values.empty() && scheme.values.size() <= most, kRefused);
  std::uint64_t left = device.fact_or<cl_uint>(CL_DEVICE_MAX_COMPUTE_UNITS, 0);
  for (const std::uint64_t count : scheme.values) {
    ensure(count <= left, kRefused);
    left -= count;
  }
}

void check_value(const Device& device, const Scheme& scheme) {
  ensure(scheme.values.size() == 1, CL_INVALID_VALUE);
  const std::uint64_t value = scheme.values[0];
  if (scheme.name == CL_DEVICE_PARTITION_EQUALLY) {
    ensure(value <= device.fact_or<cl_uint>(CL_DEVICE_MAX_COMPUTE_UNITS, 0), CL_INVALID_VALUE);
    return;
  }
  const auto domains =
      device.fact_or<cl_device_affinity_domain>(CL_DEVICE_PARTITION_AFFINITY_DOMAIN, 0);
  ensure(std::has_single_bit(value) && (value & domains) != 0, CL_INVALID_VALUE);
}

Scheme read_scheme(Device& device, const Property* properties) {
  ensure(properties != nullptr && properties[0] != 0, CL_INVALID_VALUE);
  Scheme scheme;
  scheme.name = properties[0];
  ensure(knows_scheme(device.gpu(), scheme.name), CL_INVALID_VALUE);
  const std::size_t count = values_after(properties);
  scheme.values.assign(properties + 1, properties + 1 + count);
  std::vector<Property> given(properties, properties + 1 + count);
  const bool counts = scheme.name == CL_DEVICE_PARTITION_BY_COUNTS;
  given.insert(given.end(), counts ? 2 : 1, 0);
  const auto bytes = std::as_bytes(std::span(given));
  scheme.given.assign(bytes.begin(), bytes.end());
  // Its own device can be partitioned so, but not this part of it.
  ensure(knows_scheme(device, scheme.name), CL_DEVICE_PARTITION_FAILED);
  counts ? check_counts(device, scheme) : check_value(device, scheme);
  return scheme;
}

Session& session_of(const Device& device) {
  return device.is_sub_device() ? device.session() : Session::current();
}

// How many there are of the `most` that there may be. Throws ApiError.
std::uint32_t ensure_made(const Reply& reply, std::uint64_t most) {
  ensure_success(reply.status);
  ensure(reply.values.size() == 1 && reply.values[0] != 0 && reply.values[0] <= most,
         CL_OUT_OF_RESOURCES);
  return static_cast<std::uint32_t>(reply.values[0]);
}

std::uint32_t count_parts(const Device& device, const Scheme& scheme) {
  wire::CountSubDevices message;
  message.parent = device.index();
  message.scheme = static_cast<std::uint64_t>(scheme.name);
  message.values = scheme.values;
  return ensure_made(session_of(device).call(message), std::numeric_limits<std::uint32_t>::max());
}

}  // namespace

std::vector<Ref<Device>> make_sub_devices(Session& session, Device& device,
                                          const cl_device_partition_property* properties,
                                          cl_uint room) {
  Scheme scheme = read_scheme(device, properties);
  // Each has a compute unit at least.
  const auto most = std::min({room, static_cast<cl_uint>(kMaxSubDevices),
                              device.fact_or<cl_uint>(CL_DEVICE_MAX_COMPUTE_UNITS, 1)});
  const auto partition = make<Partition>(session, device, std::move(scheme.given), most);
  wire::CreateSubDevices message;
  message.partition = partition->id();
  message.parent = device.index();
  message.scheme = static_cast<std::uint64_t>(scheme.name);
  message.values = scheme.values;
  message.first = session.new_sub_devices(most);
  message.count = most;
  const std::uint32_t count = ensure_made(session.create_call(*partition, message), most);
  std::vector<Ref<Device>> parts;
  for (std::uint32_t place = 0; place < count; ++place) {
    parts.push_back(make<Device>(*partition, message.first + place, partition->facts(place)));
  }
  return parts;
}

namespace entry {

cl_int CL_API_CALL clCreateSubDevices(cl_device_id in_device,
                                      const cl_device_partition_property* partition_properties,
                                      cl_uint num_entries, cl_device_id* out_devices,
                                      cl_uint* num_devices) {
  return guarded([&] {
    Device& device = require<Device>(in_device);
    ensure(out_devices == nullptr || num_entries != 0, CL_INVALID_VALUE);
    if (out_devices == nullptr) {
      const std::uint32_t count = count_parts(device, read_scheme(device, partition_properties));
      if (num_devices != nullptr) *num_devices = count;
      return;
    }
    std::vector<Ref<Device>> parts =
        make_sub_devices(session_of(device), device, partition_properties, num_entries);
    if (num_devices != nullptr) *num_devices = static_cast<cl_uint>(parts.size());
    for (Ref<Device>& part : parts) *out_devices++ = give_handle(std::move(part));
  });
}

}  // namespace entry
}  // namespace tessera::client
