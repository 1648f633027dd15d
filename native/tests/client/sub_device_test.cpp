// SPDX-License-Identifier: Apache-2.0
//
// Sub-devices of the client against a real worker session, whose driver aborts when one is used
// after its last release.
#include <algorithm>
#include <array>

#include "check.h"
#include "client/client_pair.h"
#include "opencl/client/sub_device.h"
#include "opencl/null/objects.h"

namespace tessera::test {
namespace {

namespace api = client::entry;
using Property = cl_device_partition_property;

constexpr Property kByOne[] = {CL_DEVICE_PARTITION_EQUALLY, 1, 0};

std::vector<cl_device_id> parts_of(ClientPair& pair, const Property* scheme,
                                   cl_device_id whole = nullptr) {
  auto& device = client::require<client::Device>(whole != nullptr ? whole : pair.device());
  std::vector<cl_device_id> parts;
  for (auto& part : client::make_sub_devices(pair.session(), device, scheme, 16)) {
    parts.push_back(client::give_handle(std::move(part)));
  }
  return parts;
}

template <class T>
T fact(cl_device_id device, cl_device_info what) {
  T value{};
  CHECK(api::clGetDeviceInfo(device, what, sizeof value, &value, nullptr) == CL_SUCCESS);
  return value;
}

void facts_cost_no_round_trip() {
  ClientPair pair(TransportKind::shm);
  const std::uint64_t before = pair.session().counters().round_trips;
  const auto parts = parts_of(pair, kByOne);
  CHECK(parts.size() == 4 && pair.session().counters().round_trips == before + 1);
  const std::uint64_t messages = pair.session().counters().messages;
  for (const cl_device_id part : parts) {
    CHECK(fact<cl_uint>(part, CL_DEVICE_MAX_COMPUTE_UNITS) == 1);
    CHECK(fact<cl_device_id>(part, CL_DEVICE_PARENT_DEVICE) == pair.device());
    CHECK(fact<cl_uint>(part, CL_DEVICE_REFERENCE_COUNT) == 1);
    CHECK(fact<cl_ulong>(part, CL_DEVICE_GLOBAL_MEM_SIZE) ==
          fact<cl_ulong>(pair.device(), CL_DEVICE_GLOBAL_MEM_SIZE));
    std::array<Property, 3> type{};
    CHECK(api::clGetDeviceInfo(part, CL_DEVICE_PARTITION_TYPE, sizeof type, type.data(), nullptr) ==
          CL_SUCCESS);
    CHECK(std::ranges::equal(type, kByOne));
  }
  CHECK(pair.session().counters().messages == messages);
  for (const cl_device_id part : parts) CHECK(api::clReleaseDevice(part) == CL_SUCCESS);
}

void parts_of_parts() {
  ClientPair pair(TransportKind::unix_stream);
  const Property halves[] = {CL_DEVICE_PARTITION_EQUALLY, 2, 0};
  const auto two = parts_of(pair, halves);
  CHECK(two.size() == 2);
  const auto ones = parts_of(pair, kByOne, two[0]);
  CHECK(ones.size() == 2 && fact<cl_device_id>(ones[1], CL_DEVICE_PARENT_DEVICE) == two[0]);
  // A part keeps what it is a part of.
  for (const cl_device_id part : two) CHECK(api::clReleaseDevice(part) == CL_SUCCESS);
  CHECK(fact<cl_uint>(fact<cl_device_id>(ones[1], CL_DEVICE_PARENT_DEVICE),
                      CL_DEVICE_MAX_COMPUTE_UNITS) == 2);
  for (const cl_device_id part : ones) CHECK(api::clReleaseDevice(part) == CL_SUCCESS);
}

void errors_send_nothing() {
  ClientPair pair(TransportKind::shm);
  const std::uint64_t messages = pair.session().counters().messages;
  const auto refused = [&](std::vector<Property> scheme, cl_int code) {
    scheme.push_back(0);
    try {
      parts_of(pair, scheme.data());
    } catch (const client::ApiError& error) {
      return error.code() == code;
    }
    return false;
  };
  CHECK(refused({}, CL_INVALID_VALUE));
  CHECK(refused({0x7777, 1}, CL_INVALID_VALUE));
  CHECK(refused({CL_DEVICE_PARTITION_EQUALLY}, CL_INVALID_VALUE));
  CHECK(refused({CL_DEVICE_PARTITION_EQUALLY, 5}, CL_INVALID_VALUE));
  CHECK(refused({CL_DEVICE_PARTITION_EQUALLY, -1}, CL_INVALID_VALUE));
  CHECK(refused({CL_DEVICE_PARTITION_EQUALLY, 1, 1}, CL_INVALID_VALUE));
  CHECK(refused({CL_DEVICE_PARTITION_BY_COUNTS, 0}, CL_INVALID_DEVICE_PARTITION_COUNT));
  CHECK(refused({CL_DEVICE_PARTITION_BY_COUNTS, 3, 2, 0}, CL_INVALID_DEVICE_PARTITION_COUNT));
  CHECK(refused({CL_DEVICE_PARTITION_BY_COUNTS, -1, 0}, CL_INVALID_DEVICE_PARTITION_COUNT));
  CHECK(refused({CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN, CL_DEVICE_AFFINITY_DOMAIN_NUMA},
                CL_INVALID_VALUE));
  CHECK(pair.session().counters().messages == messages);
}

void the_last_hold_releases_them() {
  const std::size_t before = null::live_handles();
  ClientPair pair(TransportKind::shm);
  const auto parts = parts_of(pair, kByOne);
  CHECK(null::live_handles() == before + 4);
  CHECK(api::clRetainDevice(parts[0]) == CL_SUCCESS);
  CHECK(fact<cl_uint>(parts[0], CL_DEVICE_REFERENCE_COUNT) == 2);
  for (const cl_device_id part : parts) CHECK(api::clReleaseDevice(part) == CL_SUCCESS);
  pair.session().synchronise();
  CHECK(null::live_handles() == before + 4);
  CHECK(fact<cl_uint>(parts[0], CL_DEVICE_REFERENCE_COUNT) == 1);
  CHECK(api::clReleaseDevice(parts[0]) == CL_SUCCESS);
  pair.session().synchronise();
  CHECK(null::live_handles() == before);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  facts_cost_no_round_trip();
  parts_of_parts();
  errors_send_nothing();
  the_last_hold_releases_them();
  return 0;
}
