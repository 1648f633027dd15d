// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/sub_devices.h"

#include <algorithm>
#include <bit>

#include "opencl/sub_device.h"

namespace tessera::worker {
namespace {

using Held = std::vector<std::shared_ptr<const SubDevices>>;

cl_int check_counts(std::span<const std::uint64_t> counts, std::uint64_t units) {
  constexpr cl_int kRefused = CL_INVALID_DEVICE_PARTITION_COUNT;
  if (counts.empty() || counts.size() > kMaxSubDevices) return kRefused;
  std::uint64_t left = units;
  for (const std::uint64_t count : counts) {
    if (count == 0 || count > left) return kRefused;
    left -= count;
  }
  return CL_SUCCESS;
}

bool is_one_domain(std::uint64_t domain) {
  constexpr cl_device_affinity_domain kKnown =
      CL_DEVICE_AFFINITY_DOMAIN_NUMA | CL_DEVICE_AFFINITY_DOMAIN_L4_CACHE |
      CL_DEVICE_AFFINITY_DOMAIN_L3_CACHE | CL_DEVICE_AFFINITY_DOMAIN_L2_CACHE |
      CL_DEVICE_AFFINITY_DOMAIN_L1_CACHE | CL_DEVICE_AFFINITY_DOMAIN_NEXT_PARTITIONABLE;
  return std::has_single_bit(domain) && (domain & ~kKnown) == 0;
}

cl_int check(const Scheme& scheme, std::uint64_t units) {
  const auto fits = [&](bool good) { return good ? CL_SUCCESS : CL_INVALID_VALUE; };
  const bool one = scheme.values.size() == 1;
  switch (scheme.name) {
    case CL_DEVICE_PARTITION_EQUALLY:
      return fits(one && scheme.values[0] != 0 && scheme.values[0] <= units);
    case CL_DEVICE_PARTITION_BY_COUNTS:
      return check_counts(scheme.values, units);
    case CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN:
      return fits(one && is_one_domain(scheme.values[0]));
    default:
      return CL_INVALID_VALUE;
  }
}

std::vector<cl_device_partition_property> for_driver(const Scheme& scheme) {
  std::vector<cl_device_partition_property> list;
  list.push_back(static_cast<cl_device_partition_property>(scheme.name));
  for (const std::uint64_t value : scheme.values) {
    list.push_back(static_cast<cl_device_partition_property>(value));
  }
  if (scheme.name == CL_DEVICE_PARTITION_BY_COUNTS) {
    list.push_back(CL_DEVICE_PARTITION_BY_COUNTS_LIST_END);
  }
  list.push_back(0);
  return list;
}

void CL_CALLBACK let_go(cl_context, void* held) {
  delete static_cast<Held*>(held);
}

}  // namespace

SubDevices::SubDevices(std::shared_ptr<std::atomic<std::size_t>> live,
                       std::vector<cl_device_id> handles)
    : live_(std::move(live)), handles_(std::move(handles)) {
  live_->fetch_add(handles_.size());
}

SubDevices::~SubDevices() {
  for (const cl_device_id handle : handles_) clReleaseDevice(handle);
  live_->fetch_sub(handles_.size());
}

cl_int count_sub_devices(cl_device_id device, const Scheme& scheme, cl_uint& count) {
  cl_int status = check(scheme, compute_units(device));
  if (status != CL_SUCCESS) return status;
  count = 0;
  status = clCreateSubDevices(device, for_driver(scheme).data(), 0, nullptr, &count);
  if (status == CL_SUCCESS && count == 0) return CL_DEVICE_PARTITION_FAILED;
  return status;
}

cl_int make_sub_devices(cl_device_id device, const Scheme& scheme,
                        std::vector<cl_device_id>& handles) {
  return clCreateSubDevices(device, for_driver(scheme).data(), static_cast<cl_uint>(handles.size()),
                            handles.data(), nullptr);
}

std::uint32_t compute_units(cl_device_id device) {
  cl_uint units = 0;
  clGetDeviceInfo(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, nullptr);
  return units;
}

void hold_until_destroyed(cl_context context, const Held& partitions) {
  if (partitions.empty()) return;
  auto held = std::make_unique<Held>(partitions);
  // Drivers before OpenCL 3.0 cannot tell; the session's own entry holds them all the same.
  if (clSetContextDestructorCallback(context, let_go, held.get()) == CL_SUCCESS) held.release();
}

}  // namespace tessera::worker
