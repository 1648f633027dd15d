// SPDX-License-Identifier: Apache-2.0
//
// Sub-devices, and what a number of a device means.
#include <algorithm>
#include <limits>
#include <string>

#include "opencl/sub_device.h"
#include "opencl/worker/session.h"
#include "opencl/worker/snapshot.h"
#include "opencl/worker/sub_devices.h"

namespace tessera::worker {
namespace {

struct Made {
  cl_int status = CL_SUCCESS;
  std::vector<cl_device_id> handles;
  std::vector<std::uint32_t> units;  // of each
};

void keep_first(std::vector<cl_device_id>& handles, std::size_t count) {
  while (handles.size() > count) {
    clReleaseDevice(handles.back());
    handles.pop_back();
  }
}

// `room`: how many more the session may have.
Made make(cl_device_id parent, const wire::CreateSubDevices& m, std::size_t room) {
  const Scheme scheme{m.scheme, m.values};
  Made made;
  cl_uint count = 0;
  made.status = count_sub_devices(parent, scheme, count);
  if (made.status != CL_SUCCESS) return made;
  // A device with more compute units than the one before a suspend may fall into more parts.
  const bool anew = !m.units.empty();
  if (!anew && count > m.count) made.status = CL_INVALID_VALUE;
  if (anew && count < m.units.size()) made.status = CL_DEVICE_PARTITION_FAILED;
  if (count > room) made.status = CL_OUT_OF_HOST_MEMORY;
  if (made.status != CL_SUCCESS) return made;
  made.handles.resize(count);
  made.status = make_sub_devices(parent, scheme, made.handles);
  if (made.status != CL_SUCCESS) {
    made.handles.clear();
    return made;
  }
  if (anew) keep_first(made.handles, m.units.size());
  for (const cl_device_id handle : made.handles) made.units.push_back(compute_units(handle));
  if (anew && !std::ranges::equal(made.units, m.units)) {
    keep_first(made.handles, 0);
    made.status = CL_DEVICE_PARTITION_FAILED;
  }
  return made;
}

// By which a resume makes the same sub-devices.
Record record_of(wire::CreateSubDevices message, const Made& made) {
  message.count = static_cast<std::uint32_t>(made.handles.size());
  message.units = made.units;
  wire::Encoder out;
  encode(out, message);
  return Record(static_cast<std::uint16_t>(message.kOpcode), out.bytes());
}

}  // namespace

std::shared_ptr<PartitionEntry> Session::partition_of(std::uint32_t number) const {
  auto at = partitions_.upper_bound(number);
  if (at != partitions_.begin()) {
    auto partition = objects_.share<PartitionEntry>((--at)->second);
    if (number - at->first < partition->sub_devices->handles().size()) return partition;
  }
  throw ProtocolError("device " + std::to_string(number) + ", which is not there");
}

Device Session::device(std::uint32_t number) const {
  if (number < devices_.size()) return devices_[number];
  const auto partition = partition_of(number);
  return {devices_[partition->gpu].platform,
          partition->sub_devices->handles()[number - partition->first]};
}

std::uint32_t Session::gpu_of(std::uint32_t number) const {
  return number < devices_.size() ? number : partition_of(number)->gpu;
}

void Session::add_device(ContextEntry& context, std::uint32_t number) {
  const Device added = device(number);
  if (std::ranges::find(context.devices, number) != context.devices.end()) return;
  const std::uint32_t gpu = gpu_of(number);
  if (context.devices.empty()) {
    context.gpu = gpu;
    context.first_device = added.id;
  }
  context.devices.push_back(number);
  context.gpu_mask |= 1u << gpu;
  if (number < devices_.size()) return;
  auto partition = partition_of(number);
  if (std::ranges::find(context.partitions, partition) == context.partitions.end()) {
    context.partitions.push_back(std::move(partition));
  }
}

void Session::require_new_numbers(const wire::CreateSubDevices& m) const {
  const bool fits = m.count <= kMaxSubDevices && m.first >= kFirstSubDevice &&
                    m.first <= std::numeric_limits<std::uint32_t>::max() - kMaxSubDevices &&
                    (m.units.empty() || m.units.size() == m.count);
  if (!fits) throw ProtocolError("sub-devices whose numbers or units do not fit");
  const auto next = partitions_.lower_bound(m.first);
  bool taken = next != partitions_.end() && next->first - m.first < m.count;
  if (next != partitions_.begin()) {
    const auto before = objects_.share<PartitionEntry>(std::prev(next)->second);
    taken = taken || m.first - before->first < before->sub_devices->handles().size();
  }
  if (taken) throw ProtocolError("the number of another sub-device");
}

void Session::handle(const wire::CountSubDevices& m, Incoming& incoming) {
  cl_uint count = 0;
  const cl_int status = count_sub_devices(device(m.parent).id, {m.scheme, m.values}, count);
  const std::array<std::uint64_t, 1> values{count};
  answers_.reply(incoming.sequence, status, values);
}

void Session::handle(const wire::CreateSubDevices& m, Incoming& incoming) {
  objects_.require_new(m.partition);
  const Device parent = device(m.parent);
  require_new_numbers(m);
  const std::size_t live = live_sub_devices_->load();
  Made made = make(parent.id, m, live < kMaxSubDevices ? kMaxSubDevices - live : 0);
  const bool whole = made.status == CL_SUCCESS;
  const auto entry =
      objects_.add<PartitionEntry>(m.partition, whole ? record_of(m, made) : Record());
  if (whole) {
    entry->sub_devices = std::make_shared<SubDevices>(live_sub_devices_, std::move(made.handles));
    made.status = entry->poison;
  }
  entry->poison = made.status;
  if (made.status != CL_SUCCESS) return answers_.reply(incoming.sequence, made.status);
  entry->first = m.first;
  entry->gpu = gpu_of(m.parent);
  if (m.parent >= devices_.size()) entry->parent = partition_of(m.parent);
  partitions_.emplace(m.first, m.partition);
  const auto& handles = entry->sub_devices->handles();
  for (std::uint32_t place = 0; place < handles.size(); ++place) {
    send_sub_device_facts(answers_, m.partition, place, devices_[entry->gpu].id, handles[place]);
  }
  const std::array<std::uint64_t, 1> values{handles.size()};
  answers_.reply(incoming.sequence, CL_SUCCESS, values);
}

}  // namespace tessera::worker
