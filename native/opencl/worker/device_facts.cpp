// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/device_facts.h"

#include <sstream>

namespace tessera::worker {
namespace {

std::string text(cl_device_id device, cl_device_info what) {
  std::size_t size = 0;
  if (clGetDeviceInfo(device, what, 0, nullptr, &size) != CL_SUCCESS || size == 0) return {};
  std::string value(size, '\0');
  if (clGetDeviceInfo(device, what, size, value.data(), nullptr) != CL_SUCCESS) return {};
  value.resize(std::min(value.find('\0'), value.size()));
  return value;
}

template <class T>
std::uint64_t number(cl_device_id device, cl_device_info what) {
  T value{};
  if (clGetDeviceInfo(device, what, sizeof value, &value, nullptr) != CL_SUCCESS) return 0;
  return value;
}

bool lists(const std::string& extensions, const std::string& wanted) {
  std::istringstream words(extensions);
  for (std::string word; words >> word;) {
    if (word == wanted) return true;
  }
  return false;
}

}  // namespace

DeviceFacts DeviceFacts::of(cl_device_id device) {
  DeviceFacts facts;
  facts.name = text(device, CL_DEVICE_NAME);
  facts.extensions = text(device, CL_DEVICE_EXTENSIONS);
  facts.type = number<cl_device_type>(device, CL_DEVICE_TYPE);
  facts.images = number<cl_bool>(device, CL_DEVICE_IMAGE_SUPPORT);
  facts.address_bits = number<cl_uint>(device, CL_DEVICE_ADDRESS_BITS);
  facts.largest_object = number<cl_ulong>(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
  facts.work_group = number<std::size_t>(device, CL_DEVICE_MAX_WORK_GROUP_SIZE);
  facts.local_memory = number<cl_ulong>(device, CL_DEVICE_LOCAL_MEM_SIZE);
  facts.single_float = number<cl_device_fp_config>(device, CL_DEVICE_SINGLE_FP_CONFIG);
  facts.double_float = number<cl_device_fp_config>(device, CL_DEVICE_DOUBLE_FP_CONFIG);
  return facts;
}

void encode(wire::Encoder& out, const DeviceFacts& facts) {
  out.text(facts.name);
  out.text(facts.extensions);
  for (const std::uint64_t each :
       {facts.type, facts.images, facts.address_bits, facts.largest_object, facts.work_group,
        facts.local_memory, facts.single_float, facts.double_float}) {
    out.u64(each);
  }
}

bool decode(wire::Decoder& in, DeviceFacts& facts) {
  facts.name = in.text();
  facts.extensions = in.text();
  for (std::uint64_t* each :
       {&facts.type, &facts.images, &facts.address_bits, &facts.largest_object, &facts.work_group,
        &facts.local_memory, &facts.single_float, &facts.double_float}) {
    *each = in.u64();
  }
  return in.ok();
}

std::string missing(const DeviceFacts& told, const DeviceFacts& now) {
  const auto less = [](const char* what, std::uint64_t has, std::uint64_t needed) {
    return std::string(what) + " (" + std::to_string(has) + ", and " + std::to_string(needed) +
           " were promised)";
  };
  if (now.images < told.images) return "images";
  if (now.address_bits != told.address_bits) {
    return less("addresses of the same size", now.address_bits, told.address_bits);
  }
  if (now.largest_object < told.largest_object) {
    return less("objects of that many bytes", now.largest_object, told.largest_object);
  }
  if (now.work_group < told.work_group) {
    return less("work-groups of that size", now.work_group, told.work_group);
  }
  if (now.local_memory < told.local_memory) {
    return less("bytes of local memory", now.local_memory, told.local_memory);
  }
  if ((told.single_float & ~now.single_float) != 0) return "its floating-point capabilities";
  if ((told.double_float & ~now.double_float) != 0) return "double precision";
  std::istringstream words(told.extensions);
  for (std::string word; words >> word;) {
    if (!lists(now.extensions, word)) return "the extension " + word;
  }
  return {};
}

}  // namespace tessera::worker
