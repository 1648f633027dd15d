// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/device.h"

#include <CL/cl_ext.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <span>

#include "opencl/client/extensions.h"
#include "opencl/client/session.h"
#include "opencl/client/sub_device.h"
#include "transport/channel.h"

namespace tessera::client {
namespace {

// Leaked like the session, and for the same reasons.
constinit std::atomic<Platform*> the_platform{nullptr};

template <class T>
std::vector<std::byte> as_bytes(const T& value) {
  const auto* at = reinterpret_cast<const std::byte*>(&value);
  return {at, at + sizeof value};
}

std::vector<std::byte> as_text(std::string_view text) {
  const auto* at = reinterpret_cast<const std::byte*>(text.data());
  std::vector<std::byte> bytes(at, at + text.size());
  bytes.push_back(std::byte{0});
  return bytes;
}

std::string_view text_of(const std::vector<std::byte>& bytes) {
  if (bytes.empty()) return {};
  const auto* at = reinterpret_cast<const char*>(bytes.data());
  return {at, strnlen(at, bytes.size())};
}

// Features whose calls or memory model cannot be carried over; the standard says what a device
// without them answers.
void hide_features(Device::Facts& facts) {
  static constexpr cl_device_info kZeroUint[] = {
      CL_DEVICE_PIPE_SUPPORT,
      CL_DEVICE_MAX_PIPE_ARGS,
      CL_DEVICE_PIPE_MAX_ACTIVE_RESERVATIONS,
      CL_DEVICE_PIPE_MAX_PACKET_SIZE,
      CL_DEVICE_QUEUE_ON_DEVICE_PREFERRED_SIZE,
      CL_DEVICE_QUEUE_ON_DEVICE_MAX_SIZE,
      CL_DEVICE_MAX_ON_DEVICE_QUEUES,
      CL_DEVICE_MAX_ON_DEVICE_EVENTS,
      CL_DEVICE_HOST_UNIFIED_MEMORY,
  };
  for (const cl_device_info param : kZeroUint) facts[param] = as_bytes(cl_uint{0});
  static constexpr cl_device_info kZeroBits[] = {
      CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES,
      CL_DEVICE_QUEUE_ON_DEVICE_PROPERTIES,
  };
  for (const cl_device_info param : kZeroBits) facts[param] = as_bytes(cl_bitfield{0});
}

// What no driver need have told, and what is the client's own.
void add_partition_facts(Device::Facts& facts) {
  facts.try_emplace(CL_DEVICE_PARTITION_MAX_SUB_DEVICES, as_bytes(cl_uint{0}));
  facts.try_emplace(CL_DEVICE_PARTITION_AFFINITY_DOMAIN, as_bytes(cl_device_affinity_domain{0}));
  facts.try_emplace(CL_DEVICE_PARTITION_PROPERTIES, as_bytes(cl_device_partition_property{0}));
  facts[CL_DEVICE_PARTITION_TYPE] = as_bytes(cl_device_partition_property{0});
  facts[CL_DEVICE_PARENT_DEVICE] = as_bytes(cl_device_id{nullptr});
  facts[CL_DEVICE_REFERENCE_COUNT] = as_bytes(cl_uint{1});
}

// Only these bits of a bit-field stay.
void keep_bits(Device::Facts& facts, cl_device_info param, cl_bitfield bits) {
  const auto at = facts.find(param);
  if (at == facts.end() || at->second.size() != sizeof(cl_bitfield)) return;
  cl_bitfield value;
  std::memcpy(&value, at->second.data(), sizeof value);
  at->second = as_bytes(value & bits);
}

// A program reads these to their NUL, whatever the worker sent.
void end_texts(Device::Facts& facts) {
  static constexpr cl_device_info kTexts[] = {
      CL_DEVICE_NAME,
      CL_DEVICE_VENDOR,
      CL_DRIVER_VERSION,
      CL_DEVICE_PROFILE,
      CL_DEVICE_VERSION,
      CL_DEVICE_OPENCL_C_VERSION,
      CL_DEVICE_IL_VERSION,
      CL_DEVICE_BUILT_IN_KERNELS,
      CL_DEVICE_LATEST_CONFORMANCE_VERSION_PASSED,
      CL_DEVICE_SPIR_VERSIONS,
      CL_DEVICE_BOARD_NAME_AMD,
  };
  for (const cl_device_info param : kTexts) {
    if (const auto at = facts.find(param); at != facts.end())
      at->second = as_text(text_of(at->second));
  }
}

// A later version promises entry points that this driver's table has no place for, and a loader
// would call through them.
void cap_version(Device::Facts& facts) {
  constexpr std::string_view kPrefix = "OpenCL ";
  constexpr std::string_view kNewest = "3.0";
  const auto text = facts.find(CL_DEVICE_VERSION);
  if (text != facts.end()) {
    const std::string version(text_of(text->second));
    const std::size_t end = std::min(version.find(' ', kPrefix.size()), version.size());
    const bool later = version.starts_with(kPrefix) && end == kPrefix.size() + kNewest.size() &&
                       version.compare(kPrefix.size(), kNewest.size(), kNewest) > 0;
    if (later) text->second = as_text(std::string(kPrefix).append(kNewest) + version.substr(end));
  }
  const auto number = facts.find(CL_DEVICE_NUMERIC_VERSION);
  if (number != facts.end() && number->second.size() == sizeof(cl_version)) {
    cl_version version = 0;
    std::memcpy(&version, number->second.data(), sizeof version);
    number->second = as_bytes(std::min<cl_version>(version, CL_MAKE_VERSION(3, 0, 0)));
  }
}

Device::Facts presented(Platform& platform, std::uint64_t memory, Device::Facts facts) {
  hide_features(facts);
  add_partition_facts(facts);
  end_texts(facts);
  cap_version(facts);
  // The worker leaves the fine-grain bits where both sides can map the same pages.
  keep_bits(
      facts, CL_DEVICE_SVM_CAPABILITIES,
      CL_DEVICE_SVM_COARSE_GRAIN_BUFFER | CL_DEVICE_SVM_FINE_GRAIN_BUFFER | CL_DEVICE_SVM_ATOMICS);
  keep_bits(facts, CL_DEVICE_EXECUTION_CAPABILITIES, CL_EXEC_KERNEL);
  facts[CL_DEVICE_PLATFORM] = as_bytes(platform.handle());
  facts[CL_DEVICE_GLOBAL_MEM_SIZE] = as_bytes(cl_ulong{memory});
  if (const auto at = facts.find(CL_DEVICE_GLOBAL_FREE_MEMORY_AMD); at != facts.end()) {
    // In KiB: all of it, and the largest block. What others have of the device is none of the
    // lease's.
    at->second = as_bytes(std::array<std::size_t, 2>{memory / 1024, memory / 1024});
  }
  cl_ulong max_alloc = memory;
  if (const auto at = facts.find(CL_DEVICE_MAX_MEM_ALLOC_SIZE);
      at != facts.end() && at->second.size() == sizeof max_alloc) {
    std::memcpy(&max_alloc, at->second.data(), sizeof max_alloc);
  }
  facts[CL_DEVICE_MAX_MEM_ALLOC_SIZE] = as_bytes(std::min<cl_ulong>(max_alloc, memory));
  facts[CL_DEVICE_EXTENSIONS] =
      as_text(passing_extensions(text_of(facts[CL_DEVICE_EXTENSIONS]), facts));
  if (const auto at = facts.find(CL_DEVICE_EXTENSIONS_WITH_VERSION); at != facts.end()) {
    const auto versions = passing_versions(at->second, facts);
    const auto bytes = std::as_bytes(std::span(versions));
    at->second.assign(bytes.begin(), bytes.end());
  }
  return facts;
}

Device::Facts of_sub_device(Partition& partition, const Device::Facts& own) {
  Device& gpu = partition.parent().gpu();
  Device::Facts facts = gpu.facts();
  for (const auto& [param, value] : own) facts[param] = value;
  facts = presented(gpu.platform(), gpu.memory(), std::move(facts));
  const auto type = own.find(CL_DEVICE_PARTITION_TYPE);
  facts[CL_DEVICE_PARTITION_TYPE] = type != own.end() ? type->second : partition.type();
  facts[CL_DEVICE_PARENT_DEVICE] = as_bytes(partition.parent().handle());
  return facts;
}

}  // namespace

Device::Device(Platform& platform, std::uint32_t index, std::uint64_t memory, Facts facts)
    : Typed(nullptr),
      platform_(platform),
      index_(index),
      memory_(memory),
      facts_(presented(platform, memory, std::move(facts))),
      max_alloc_(fact_or<cl_ulong>(CL_DEVICE_MAX_MEM_ALLOC_SIZE, memory)),
      type_(fact_or<cl_device_type>(CL_DEVICE_TYPE, CL_DEVICE_TYPE_CUSTOM)),
      address_align_(fact_or<cl_uint>(CL_DEVICE_MEM_BASE_ADDR_ALIGN, 1024)),
      images_(fact_or<cl_bool>(CL_DEVICE_IMAGE_SUPPORT, CL_FALSE) == CL_TRUE),
      has_usm_(has_extension("cl_intel_unified_shared_memory")) {}

Device::Device(Partition& partition, std::uint32_t index, const Facts& own)
    : Typed(&partition.session()),
      platform_(partition.parent().platform()),
      index_(index),
      partition_(partition),
      memory_(partition.parent().memory()),
      facts_(of_sub_device(partition, own)),
      max_alloc_(fact_or<cl_ulong>(CL_DEVICE_MAX_MEM_ALLOC_SIZE, memory_)),
      type_(fact_or<cl_device_type>(CL_DEVICE_TYPE, CL_DEVICE_TYPE_CUSTOM)),
      address_align_(fact_or<cl_uint>(CL_DEVICE_MEM_BASE_ADDR_ALIGN, 1024)),
      images_(fact_or<cl_bool>(CL_DEVICE_IMAGE_SUPPORT, CL_FALSE) == CL_TRUE),
      has_usm_(has_extension("cl_intel_unified_shared_memory")) {}

Device::~Device() = default;

Device& Device::gpu() {
  return is_sub_device() ? partition_->parent().gpu() : *this;
}

const std::vector<std::byte>* Device::fact(cl_device_info param) const {
  const auto at = facts_.find(param);
  return at != facts_.end() ? &at->second : nullptr;
}

bool Device::has_extension(std::string_view name) const {
  return lists_extension(text_of(*fact(CL_DEVICE_EXTENSIONS)), name);
}

cl_version Device::extension_version(std::string_view name) const {
  const auto* versions = fact(CL_DEVICE_EXTENSIONS_WITH_VERSION);
  return versions != nullptr ? version_of(name, *versions) : 0;
}

Platform& Platform::get() {
  Session::current();
  return *known();
}

Platform* Platform::known() {
  return the_platform.load(std::memory_order_acquire);
}

void Platform::publish(Snapshot snapshot) {
  const Platform* platform = known();
  if (platform == nullptr) {
    the_platform.store(new Platform(std::move(snapshot)), std::memory_order_release);
    return;
  }
  // The memory may differ: the lease may have been resized.
  if (platform->devices_.size() != snapshot.devices.size()) {
    throw ConnectError("the lease changed since this program started; start the program again");
  }
}

Platform::Platform(Snapshot snapshot)
    : Typed(nullptr),
      image_formats_(std::move(snapshot.image_formats)),
      identity_(platform_identity(wanted_identity(), snapshot.platform.value_or(PlatformTexts()))) {
  for (Snapshot::Entry& entry : snapshot.devices) {
    owned_.push_back(
        std::make_unique<Device>(*this, entry.device, entry.memory, std::move(entry.facts)));
    devices_.push_back(owned_.back().get());
    if ((devices_.back()->type() & CL_DEVICE_TYPE_CPU) != 0) devices_apart_ = false;
  }
}

std::vector<Device*> Platform::of_type(cl_device_type type) const {
  constexpr cl_device_type kKnown = CL_DEVICE_TYPE_DEFAULT | CL_DEVICE_TYPE_CPU |
                                    CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR |
                                    CL_DEVICE_TYPE_CUSTOM;
  ensure(type == CL_DEVICE_TYPE_ALL || (type != 0 && (type & ~kKnown) == 0),
         CL_INVALID_DEVICE_TYPE);
  std::vector<Device*> chosen;
  for (Device* device : devices_) {
    const bool is_default = device == devices_.front();
    // ALL leaves out custom devices.
    const bool wanted = type == CL_DEVICE_TYPE_ALL
                            ? (device->type() & CL_DEVICE_TYPE_CUSTOM) == 0
                            : (device->type() & type & ~CL_DEVICE_TYPE_DEFAULT) != 0 ||
                                  (is_default && (type & CL_DEVICE_TYPE_DEFAULT) != 0);
    if (wanted) chosen.push_back(device);
  }
  return chosen;
}

std::vector<cl_name_version> Platform::extensions_with_version() const {
  std::vector<cl_name_version> common;
  const auto* first = devices_.front()->fact(CL_DEVICE_EXTENSIONS_WITH_VERSION);
  if (first != nullptr) common = named_versions(*first);
  std::erase_if(common, [this](const cl_name_version& entry) {
    return !std::all_of(devices_.begin(), devices_.end(),
                        [&](const Device* device) { return device->has_extension(entry.name); });
  });
  const bool has_icd = std::any_of(common.begin(), common.end(), [](const auto& entry) {
    return std::string_view(entry.name) == "cl_khr_icd";
  });
  if (!has_icd) {
    common.insert(common.begin(), {.version = CL_MAKE_VERSION(1, 0, 0), .name = "cl_khr_icd"});
  }
  return common;
}

std::string Platform::extensions() const {
  std::string names = "cl_khr_icd";
  for (const cl_name_version& entry : extensions_with_version()) {
    if (std::string_view(entry.name) != "cl_khr_icd") names.append(" ").append(entry.name);
  }
  return names;
}

cl_ulong Platform::host_timer_resolution() const {
  return devices_.front()->fact_or<cl_ulong>(CL_PLATFORM_HOST_TIMER_RESOLUTION, 0);
}

}  // namespace tessera::client
