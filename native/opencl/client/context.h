// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <vector>

#include "opencl/client/callbacks.h"
#include "opencl/client/device.h"
#include "opencl/client/object.h"

namespace tessera::client {

class Context final : public Typed<Context> {
 public:
  struct Notify {
    tessera_context_callback function = nullptr;
    void* user_data = nullptr;
  };
  Context(Session& session, std::vector<Device*> devices,
          std::vector<cl_context_properties> properties, Notify notify);
  ~Context();

  const std::vector<Device*>& devices() const { return devices_; }
  // The lease's devices that these are or are parts of, each once: whose memory is charged.
  const std::vector<Device*>& gpus() const { return gpus_; }
  const std::vector<cl_context_properties>& properties() const { return properties_; }
  Notify notify() const { return notify_; }
  bool has_device(const Device& device) const;
  // At least one device has the capability.
  bool images() const;
  std::uint64_t max_alloc() const;  // of the device that allows most

  void on_destroy(tessera_context_release_callback function, void* user_data);

 private:
  std::vector<Device*> devices_;
  std::vector<Ref<Device>> sub_devices_;  // of them; the program may release its own references
  std::vector<Device*> gpus_;
  std::vector<cl_context_properties> properties_;  // with the closing 0, or empty
  Notify notify_;
  std::mutex mutex_;
  std::vector<std::pair<tessera_context_release_callback, void*>> destructors_;
};

}  // namespace tessera::client
