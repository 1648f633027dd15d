// SPDX-License-Identifier: Apache-2.0
//
// The platform and its devices: one snapshot, taken at the first connection, answers every query.
// They belong to the process, not to a session, so that their handles stay good in a forked child.
// Sub-devices belong to the session that made them (sub_device.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencl/client/extensions.h"
#include "opencl/client/identity.h"
#include "opencl/client/object.h"

namespace tessera::client {

class Device final : public Typed<Device> {
 public:
  using Facts = DeviceFacts;
  // `memory`: bytes of the lease when the program first connected. Its queries go on telling that
  // after a resize: to the standard they are constants, and programs size their pools by them once.
  Device(Platform& platform, std::uint32_t index, std::uint64_t memory, Facts facts);
  // A part of another; `own`: what it tells otherwise than the lease's device.
  Device(Partition& partition, std::uint32_t index, const Facts& own);
  ~Device();

  Platform& platform() const { return platform_; }
  std::uint32_t index() const { return index_; }  // on the wire
  bool is_sub_device() const { return static_cast<bool>(partition_); }
  // The lease's device that this is or is a part of.
  Device& gpu();
  const Facts& facts() const { return facts_; }
  std::uint64_t memory() const { return memory_; }
  std::uint64_t max_alloc() const { return max_alloc_; }  // bytes of one object
  cl_device_type type() const { return type_; }
  cl_uint address_align_bits() const { return address_align_; }
  bool images() const { return images_; }
  bool has_usm() const { return has_usm_; }  // cl_intel_unified_shared_memory
  // Announced in CL_DEVICE_EXTENSIONS.
  bool has_extension(std::string_view name) const;
  // As it is announced; 0 where it is not.
  cl_version extension_version(std::string_view name) const;

  // The value of a query, or nullptr if the device does not know the parameter.
  const std::vector<std::byte>* fact(cl_device_info param) const;
  // The same as a number or a structure; `otherwise` where it is absent or of another size.
  template <class T>
  T fact_or(cl_device_info param, T otherwise) const {
    const auto* bytes = fact(param);
    if (bytes != nullptr && bytes->size() == sizeof(T)) {
      std::memcpy(&otherwise, bytes->data(), sizeof(T));
    }
    return otherwise;
  }

 private:
  Platform& platform_;
  std::uint32_t index_;
  Ref<Partition> partition_;  // of a sub-device
  std::uint64_t memory_;
  Facts facts_;
  std::uint64_t max_alloc_;
  cl_device_type type_;
  cl_uint address_align_;
  bool images_;
  bool has_usm_;
};

struct ImageFormatList {
  cl_mem_object_type type;
  cl_mem_flags flags;  // CL_MEM_READ_WRITE, READ_ONLY, WRITE_ONLY or KERNEL_READ_AND_WRITE
  std::vector<cl_image_format> formats;
};

// What a session learns when it opens.
struct Snapshot {
  struct Entry {
    std::uint32_t device;
    std::uint64_t memory;
    Device::Facts facts;
  };
  std::optional<PlatformTexts> platform;  // behind the first device; none: its driver told nothing
  std::vector<Entry> devices;             // by index: 0, 1, ...
  std::vector<ImageFormatList> image_formats;
};

class Platform final : public Typed<Platform> {
 public:
  // Connects at the first call. Throws ConnectError.
  static Platform& get();
  // The one of get(), or nullptr as long as there was no connection.
  static Platform* known();
  // A session was opened: its snapshot becomes the platform, or must fit the one that there is.
  // Throws ConnectError. One thread at a time.
  static void publish(Snapshot snapshot);

  explicit Platform(Snapshot snapshot);
  const std::vector<Device*>& devices() const { return devices_; }
  const std::vector<ImageFormatList>& image_formats() const { return image_formats_; }
  const PlatformIdentity& identity() const { return identity_; }
  // By a bit-field of types, CL_DEVICE_TYPE_DEFAULT or _ALL. Throws
  // ApiError(CL_INVALID_DEVICE_TYPE).
  std::vector<Device*> of_type(cl_device_type type) const;
  // What all devices have.
  std::string extensions() const;
  std::vector<cl_name_version> extensions_with_version() const;
  // Nanoseconds; 0 where the devices have no timer that a host can be compared with.
  cl_ulong host_timer_resolution() const;
  // No device computes on the processors that this program runs on.
  bool devices_apart() const { return devices_apart_; }

 private:
  std::vector<std::unique_ptr<Device>> owned_;
  std::vector<Device*> devices_;
  std::vector<ImageFormatList> image_formats_;
  PlatformIdentity identity_;
  bool devices_apart_ = true;
};

}  // namespace tessera::client
