// SPDX-License-Identifier: Apache-2.0
#include "opencl/null/objects.h"

using namespace tessera::null;

namespace {

using Property = cl_device_partition_property;

// The compute units of each part; empty where the device cannot be partitioned so.
std::vector<cl_uint> parts_of(const _cl_device_id& device, const Property* properties) {
  if (!device.can_be_partitioned() || properties == nullptr) return {};
  std::vector<cl_uint> parts;
  if (properties[0] == CL_DEVICE_PARTITION_EQUALLY && properties[1] > 0) {
    const auto each = static_cast<cl_uint>(properties[1]);
    parts.assign(device.units / each, each);
  } else if (properties[0] == CL_DEVICE_PARTITION_BY_COUNTS) {
    for (const Property* at = properties + 1; *at != CL_DEVICE_PARTITION_BY_COUNTS_LIST_END; ++at) {
      parts.push_back(static_cast<cl_uint>(*at));
    }
  }
  return parts;
}

// The whole list, with its closing 0.
std::vector<Property> copy_of(const Property* properties) {
  std::vector<Property> list;
  while (*properties != 0) list.push_back(*properties++);
  if (list.front() == CL_DEVICE_PARTITION_BY_COUNTS) list.push_back(0);
  list.push_back(0);
  return list;
}

}  // namespace

extern "C" {

cl_int CL_API_CALL clCreateSubDevices(cl_device_id device, const Property* properties,
                                      cl_uint entries, cl_device_id* made, cl_uint* count) {
  if (!valid(device)) return CL_INVALID_DEVICE;
  const std::vector<cl_uint> parts = parts_of(*device, properties);
  if (parts.empty() || (made != nullptr && entries < parts.size())) return CL_INVALID_VALUE;
  if (count != nullptr) *count = static_cast<cl_uint>(parts.size());
  if (made == nullptr) return CL_SUCCESS;
  for (const cl_uint units : parts) {
    auto part = std::make_unique<_cl_device_id>();
    part->index = device->index;
    part->memory = device->memory;
    part->units = units;
    part->parent = device;
    part->partition_type = copy_of(properties);
    *made++ = publish(std::move(part));
  }
  return CL_SUCCESS;
}

cl_int CL_API_CALL clRetainDevice(cl_device_id device) {
  if (!valid(device)) return CL_INVALID_DEVICE;
  return device->parent != nullptr ? retain(device, CL_INVALID_DEVICE) : CL_SUCCESS;
}

cl_int CL_API_CALL clReleaseDevice(cl_device_id device) {
  if (!valid(device)) return CL_INVALID_DEVICE;
  return device->parent != nullptr ? release(device, CL_INVALID_DEVICE) : CL_SUCCESS;
}

}  // extern "C"
