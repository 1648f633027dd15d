// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "opencl/sub_device.h"
#include "opencl/worker/session.h"
#include "opencl/worker/sub_devices.h"

namespace tessera::worker {
namespace {

constexpr std::size_t kMaxNotice = 4096;  // bytes of a driver's text that are passed on

}  // namespace

void CL_CALLBACK Session::Notifier::notify(const char* text, const void*, std::size_t,
                                           void* given) {
  auto& notifier = *static_cast<Notifier*>(given);
  wire::ContextNotice message;
  message.context = notifier.context;
  message.notice = std::string_view(text != nullptr ? text : "").substr(0, kMaxNotice);
  try {
    notifier.answers.send(message);
    notifier.answers.channel().flush();
  } catch (const ChannelClosed&) {
    // The receiver finds out by itself; nothing may be thrown through the driver.
  }
}

void Session::handle(const wire::CreateContext& m, Incoming& incoming) {
  const auto entry =
      objects_.add<ContextEntry>(m.context, Record(incoming.opcode, incoming.fields));
  std::vector<cl_device_id> handles;
  cl_int status = entry->poison;
  if (m.devices.size() > devices_.size() + kMaxSubDevices) {
    throw ProtocolError("a context of more devices than there can be");
  }
  for (const std::uint32_t number : m.devices) add_device(*entry, number);
  for (const std::uint32_t number : entry->devices) {
    const Device each = device(number);
    entry->scrubs = entry->scrubs || outlives_its_process(each.id);
    handles.push_back(each.id);
    if (each.platform != devices_[entry->gpu].platform) status = CL_INVALID_DEVICE;
  }
  if (handles.empty()) status = CL_INVALID_VALUE;
  if (status != CL_SUCCESS) return poison(*entry, status, m.kOpcode);
  std::vector<cl_context_properties> properties{
      CL_CONTEXT_PLATFORM, reinterpret_cast<cl_context_properties>(devices_[entry->gpu].platform)};
  if (m.interop_user_sync != 0) {
    properties.insert(properties.end(), {CL_CONTEXT_INTEROP_USER_SYNC, CL_TRUE});
  }
  properties.push_back(0);
  notifiers_.push_back(Notifier{answers_, m.context});
  entry->handle = clCreateContext(properties.data(), static_cast<cl_uint>(handles.size()),
                                  handles.data(), Notifier::notify, &notifiers_.back(), &status);
  if (entry->handle == nullptr) return poison(*entry, status, m.kOpcode);
  std::vector<std::shared_ptr<const SubDevices>> used;
  for (const auto& partition : entry->partitions) used.push_back(partition->sub_devices);
  hold_until_destroyed(entry->handle, used);
  entry->usm = UsmDriver::of(devices_[entry->gpu].platform);
}

}  // namespace tessera::worker
