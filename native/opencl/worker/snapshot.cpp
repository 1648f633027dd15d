// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/snapshot.h"

#include <array>
#include <cstring>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "generated/messages_device.h"
#include "opencl/extension_table.h"
#include "opencl/worker/svm_memory.h"

namespace tessera::worker {
namespace {

// The standard numbers its device queries without large gaps, extensions that are part of it
// elsewhere among them. A driver answers CL_INVALID_VALUE for what it does not know, so asking for
// all of the range stays complete for drivers newer than this file.
constexpr cl_device_info kFirstOfTheCore = 0x1000;
constexpr cl_device_info kLastOfTheCore = 0x10ff;

std::set<cl_device_info> queries() {
  std::set<cl_device_info> all;
  for (cl_device_info query = kFirstOfTheCore; query <= kLastOfTheCore; ++query) all.insert(query);
  for (const extension::Extension& each : extension::kAnnounceable) {
    all.insert(each.asks.begin(), each.asks.end());
    all.insert(each.also.begin(), each.also.end());
  }
  return all;
}

// Handles mean nothing to the client, and counts of references are its own.
bool is_local(cl_device_info param) {
  return param == CL_DEVICE_PLATFORM || param == CL_DEVICE_PARENT_DEVICE ||
         param == CL_DEVICE_REFERENCE_COUNT;
}

template <class T>
void overwrite(std::vector<std::byte>& value, T with) {
  if (value.size() != sizeof(T)) return;
  std::memcpy(value.data(), &with, sizeof(T));
}

template <class T>
void keep_only(std::vector<std::byte>& value, T bits) {
  T now{};
  if (value.size() != sizeof(T)) return;
  std::memcpy(&now, value.data(), sizeof(T));
  overwrite<T>(value, now & bits);
}

// Those of the standard: what others need, no message carries.
void keep_known_schemes(std::vector<std::byte>& value) {
  using Property = cl_device_partition_property;
  std::vector<Property> list(value.size() / sizeof(Property));
  std::memcpy(list.data(), value.data(), list.size() * sizeof(Property));
  std::erase_if(list, [](Property each) {
    return each != CL_DEVICE_PARTITION_EQUALLY && each != CL_DEVICE_PARTITION_BY_COUNTS &&
           each != CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN;
  });
  if (list.empty()) list.push_back(0);
  const auto bytes = std::as_bytes(std::span(list));
  value.assign(bytes.begin(), bytes.end());
}

// Takes back what no message carries.
void withhold(cl_device_info param, std::vector<std::byte>& value) {
  switch (param) {
    case CL_DEVICE_QUEUE_ON_DEVICE_PROPERTIES:
      return overwrite<cl_command_queue_properties>(value, 0);
    case CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES:
      return overwrite<cl_device_device_enqueue_capabilities>(value, 0);
    case CL_DEVICE_QUEUE_ON_DEVICE_PREFERRED_SIZE:
    case CL_DEVICE_QUEUE_ON_DEVICE_MAX_SIZE:
    case CL_DEVICE_MAX_ON_DEVICE_QUEUES:
    case CL_DEVICE_MAX_ON_DEVICE_EVENTS:
    case CL_DEVICE_MAX_PIPE_ARGS:
    case CL_DEVICE_PIPE_MAX_ACTIVE_RESERVATIONS:
    case CL_DEVICE_PIPE_MAX_PACKET_SIZE:
    case CL_DEVICE_PIPE_SUPPORT:
      return overwrite<cl_uint>(value, 0);
    case CL_DEVICE_PARTITION_PROPERTIES:
      return keep_known_schemes(value);
    case CL_DEVICE_EXECUTION_CAPABILITIES:
      return keep_only<cl_device_exec_capabilities>(value, CL_EXEC_KERNEL);
    default:
      return;
  }
}

// A pointer of the client's own heap can never be the worker's, and fine-grain memory has to be the
// same pages on both sides.
cl_device_svm_capabilities reachable_svm(const Channel& channel, cl_device_id device) {
  constexpr cl_device_svm_capabilities kApart = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
  constexpr cl_device_svm_capabilities kTogether =
      kApart | CL_DEVICE_SVM_FINE_GRAIN_BUFFER | CL_DEVICE_SVM_ATOMICS;
  return shares_pages(channel, device) ? kTogether : kApart;
}

// Of unified memory the program reaches what it shares pages with; of the system's own none.
cl_bitfield reachable_usm(const Channel& channel, cl_device_id device, cl_device_info param) {
  constexpr cl_bitfield kAll = ~cl_bitfield{0};
  switch (param) {
    case CL_DEVICE_DEVICE_MEM_CAPABILITIES_INTEL:
      return kAll;
    case CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL:
      return 0;
    default:
      return shares_pages(channel, device) ? kAll : 0;
  }
}

bool is_about_usm(cl_device_info param) {
  return param >= CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL &&
         param <= CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL;
}

bool query(cl_device_id device, cl_device_info param, std::vector<std::byte>& value) {
  std::size_t size = 0;
  constexpr std::size_t kLongest = 1024 * 1024;  // bytes; no fact is that long
  if (clGetDeviceInfo(device, param, 0, nullptr, &size) != CL_SUCCESS || size > kLongest) {
    return false;
  }
  value.assign(size, std::byte{0});
  return size == 0 || clGetDeviceInfo(device, param, size, value.data(), nullptr) == CL_SUCCESS;
}

void present(const Channel& channel, cl_device_id device, cl_device_info param,
             std::vector<std::byte>& value) {
  withhold(param, value);
  if (param == CL_DEVICE_SVM_CAPABILITIES) keep_only(value, reachable_svm(channel, device));
  if (is_about_usm(param)) keep_only(value, reachable_usm(channel, device, param));
}

struct Facts {
  std::vector<std::uint32_t> params;
  std::vector<std::vector<std::byte>> values;  // parallel
};

Facts facts_of(const Channel& channel, cl_device_id device) {
  Facts facts;
  std::vector<std::byte> value;
  for (const cl_device_info param : queries()) {
    if (is_local(param) || !query(device, param, value)) continue;
    present(channel, device, param, value);
    facts.params.push_back(param);
    facts.values.push_back(value);
  }
  return facts;
}

void send_formats(Answers& answers, cl_context context, cl_mem_flags flags,
                  cl_mem_object_type type) {
  cl_uint count = 0;
  if (clGetSupportedImageFormats(context, flags, type, 0, nullptr, &count) != CL_SUCCESS) return;
  std::vector<cl_image_format> formats(count);
  if (clGetSupportedImageFormats(context, flags, type, count, formats.data(), nullptr) !=
      CL_SUCCESS) {
    return;
  }
  std::vector<std::uint32_t> numbers;
  for (const auto& format : formats) {
    numbers.push_back(format.image_channel_order);
    numbers.push_back(format.image_channel_data_type);
  }
  wire::ImageFormats message;
  message.image_type = type;
  message.flags = flags;
  message.formats = numbers;
  answers.send(message);
}

// Empty where the driver has no such text, or one that is longer than any platform's.
std::string platform_text(cl_platform_id platform, cl_platform_info what) {
  std::size_t size = 0;
  constexpr std::size_t kLongest = 1024;  // bytes; what the client takes (PlatformTexts)
  if (clGetPlatformInfo(platform, what, 0, nullptr, &size) != CL_SUCCESS || size > kLongest) {
    return {};
  }
  std::string text(size, '\0');
  if (size == 0 || clGetPlatformInfo(platform, what, size, text.data(), nullptr) != CL_SUCCESS) {
    return {};
  }
  return text.c_str();
}

}  // namespace

void send_platform_snapshot(Answers& answers, cl_platform_id platform) {
  const std::string name = platform_text(platform, CL_PLATFORM_NAME);
  const std::string vendor = platform_text(platform, CL_PLATFORM_VENDOR);
  const std::string version = platform_text(platform, CL_PLATFORM_VERSION);
  wire::PlatformSnapshot message;
  message.name = name;
  message.vendor = vendor;
  message.version = version;
  answers.send(message);
}

void send_device_snapshot(Answers& answers, std::uint32_t number, cl_device_id device,
                          std::uint64_t limit) {
  const Facts facts = facts_of(answers.channel(), device);
  wire::DeviceSnapshot message;
  message.device = number;
  message.memory = limit;
  message.params = facts.params;
  message.values.assign(facts.values.begin(), facts.values.end());
  answers.send(message);
}

void send_sub_device_facts(Answers& answers, wire::Id partition, std::uint32_t place,
                           cl_device_id device, cl_device_id sub_device) {
  if (answers.muted()) return;
  const Facts facts = facts_of(answers.channel(), sub_device);
  wire::SubDeviceFacts message;
  message.partition = partition;
  message.place = place;
  std::vector<std::uint32_t> params;
  std::vector<std::byte> known;
  for (std::size_t i = 0; i < facts.params.size(); ++i) {
    // Compared as it is sent: what is taken back is taken back from both.
    const bool told = query(device, facts.params[i], known);
    if (told) present(answers.channel(), device, facts.params[i], known);
    if (told && known == facts.values[i]) continue;
    params.push_back(facts.params[i]);
    message.values.emplace_back(facts.values[i]);
  }
  message.params = params;
  answers.send(message);
}

void send_image_formats(Answers& answers, cl_platform_id platform, cl_device_id device) {
  cl_bool images = CL_FALSE;
  if (clGetDeviceInfo(device, CL_DEVICE_IMAGE_SUPPORT, sizeof images, &images, nullptr) !=
          CL_SUCCESS ||
      images == CL_FALSE) {
    return;
  }
  const std::array<cl_context_properties, 3> properties{
      CL_CONTEXT_PLATFORM, reinterpret_cast<cl_context_properties>(platform), 0};
  const cl_context context =
      clCreateContext(properties.data(), 1, &device, nullptr, nullptr, nullptr);
  if (context == nullptr) return;
  for (const cl_mem_object_type type :
       {CL_MEM_OBJECT_IMAGE1D, CL_MEM_OBJECT_IMAGE1D_BUFFER, CL_MEM_OBJECT_IMAGE1D_ARRAY,
        CL_MEM_OBJECT_IMAGE2D, CL_MEM_OBJECT_IMAGE2D_ARRAY, CL_MEM_OBJECT_IMAGE3D}) {
    for (const cl_mem_flags flags :
         {CL_MEM_READ_WRITE, CL_MEM_READ_ONLY, CL_MEM_WRITE_ONLY, CL_MEM_KERNEL_READ_AND_WRITE}) {
      send_formats(answers, context, flags, type);
    }
  }
  clReleaseContext(context);
}

}  // namespace tessera::worker
