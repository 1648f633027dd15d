// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/command_recorder.h"

#include <array>
#include <string>

#include "opencl/worker/kernel_launch.h"
#include "opencl/worker/nd_range.h"
#include "opencl/worker/validate.h"

namespace tessera::worker {
namespace {

// What a recorded command costs besides its record, mostly in the driver.
constexpr std::size_t kRecordedCost = 1024;  // bytes
constexpr std::size_t kColor = 16;           // bytes of a fill color

using OwnKernel = std::shared_ptr<std::remove_pointer_t<cl_kernel>>;

OwnKernel clone_of(const KernelEntry& kernel, cl_int* status) {
  const cl_kernel clone = clCloneKernel(kernel.handle, status);
  return clone != nullptr ? OwnKernel(clone, clReleaseKernel) : OwnKernel();
}

// A launch's arguments as lists of the wire.
struct ArgumentLists {
  std::vector<std::uint32_t> indices;
  std::vector<std::uint32_t> kinds;
  std::vector<std::uint64_t> numbers;
  std::vector<std::byte> values;
  bool whole = true;

  explicit ArgumentLists(const KernelEntry& kernel) {
    for (std::uint32_t i = 0; i < kernel.arguments.size(); ++i) add(i, kernel.arguments[i]);
  }
  void add(std::uint32_t index, const KernelEntry::Argument& argument) {
    using What = KernelEntry::Argument::What;
    const bool told = !argument.is_address() && (argument.what != What::value || argument.value);
    whole = whole && told;
    if (!told) return;
    const auto bytes = argument.value.fields();
    const ArgumentKind kind = argument.what == What::value    ? ArgumentKind::value
                              : argument.what == What::object ? ArgumentKind::object
                                                              : ArgumentKind::local;
    indices.push_back(index);
    kinds.push_back(static_cast<std::uint32_t>(kind));
    numbers.push_back(kind == ArgumentKind::value ? bytes.size() : argument.number);
    values.insert(values.end(), bytes.begin(), bytes.end());
  }
  void put_into(wire::EnqueueNdRange& launch) const {
    launch.arg_indices = indices;
    launch.arg_kinds = kinds;
    launch.arg_numbers = numbers;
    launch.arg_values = values;
  }
};

template <class Message>
Record record_of(const Message& message) {
  wire::Encoder out;
  encode(out, message);
  return Record(static_cast<std::uint16_t>(Message::kOpcode), out.bytes());
}

}  // namespace

void CommandRecorder::take(const wire::RecordCommand& m, Incoming& incoming) {
  message_ = &m;
  switch (static_cast<wire::Opcode>(m.opcode)) {
    case wire::Opcode::fill_buffer:
      decoded<wire::FillBuffer>(m.command);
      break;
    case wire::Opcode::copy_buffer:
      decoded<wire::CopyBuffer>(m.command);
      break;
    case wire::Opcode::copy_buffer_rect:
      decoded<wire::CopyBufferRect>(m.command);
      break;
    case wire::Opcode::fill_image:
      decoded<wire::FillImage>(m.command);
      break;
    case wire::Opcode::copy_image:
      decoded<wire::CopyImage>(m.command);
      break;
    case wire::Opcode::copy_image_to_buffer:
      decoded<wire::CopyImageToBuffer>(m.command);
      break;
    case wire::Opcode::copy_buffer_to_image:
      decoded<wire::CopyBufferToImage>(m.command);
      break;
    case wire::Opcode::enqueue_nd_range:
      decoded<wire::EnqueueNdRange>(m.command);
      break;
    case wire::Opcode::enqueue_barrier:
      decoded<wire::EnqueueBarrier>(m.command);
      break;
    case wire::Opcode::enqueue_nothing:
      decoded<wire::EnqueueNothing>(m.command);
      break;
    default:
      throw ProtocolError("a recorded command that is none: " + std::to_string(m.opcode));
  }
  if (status_ == CL_SUCCESS) keep(incoming, m.sync_points);
}

// The fields lie anywhere within another message, and lists of numbers want their place.
template <class Message>
void CommandRecorder::decoded(wire::Blob fields) {
  const std::vector<std::byte> aligned(fields.begin(), fields.end());
  wire::Decoder in(aligned);
  Message m;
  if (!decode(in, m) || m.queue != 0 || m.event != 0 || !m.wait_list.empty()) {
    throw ProtocolError("a recorded command that cannot be read");
  }
  record(m);
}

MemEntry& CommandRecorder::mem(wire::Id id) {
  const auto entry = session_.objects().share<MemEntry>(id);
  use(entry, entry->context);
  return *entry;
}

void CommandRecorder::use(const std::shared_ptr<Entry>& entry,
                          const std::shared_ptr<ContextEntry>& context) {
  check(entry->poison);
  if (context != buffer_.context) check(CL_INVALID_CONTEXT);
  command_.uses.push_back(entry);
}

void CommandRecorder::record(const wire::FillBuffer& m) {
  const MemEntry& buffer = mem(m.buffer);
  check(validate(m, buffer.shape));
  command_.enqueue = [handle = buffer.handle, offset = m.offset, size = m.cb,
                      pattern = std::vector<std::byte>(m.pattern.begin(), m.pattern.end())](
                         cl_command_queue queue, cl_uint count, const cl_event* list,
                         cl_event* event) {
    return clEnqueueFillBuffer(queue, handle, pattern.data(), pattern.size(), offset, size, count,
                               list, event);
  };
}

void CommandRecorder::record(const wire::CopyBuffer& m) {
  const MemEntry& source = mem(m.src_buffer);
  const MemEntry& destination = mem(m.dst_buffer);
  check(validate(m, source.shape, destination.shape));
  command_.enqueue = [from = source.handle, to = destination.handle, m](
                         cl_command_queue queue, cl_uint count, const cl_event* list,
                         cl_event* event) {
    return clEnqueueCopyBuffer(queue, from, to, m.src_offset, m.dst_offset, m.cb, count, list,
                               event);
  };
}

void CommandRecorder::record(const wire::CopyBufferRect& m) {
  const MemEntry& source = mem(m.src_buffer);
  const MemEntry& destination = mem(m.dst_buffer);
  check(validate(m, source.shape, destination.shape));
  command_.enqueue = [from = source.handle, to = destination.handle, m](
                         cl_command_queue queue, cl_uint count, const cl_event* list,
                         cl_event* event) {
    return clEnqueueCopyBufferRect(queue, from, to, m.src_origin.data(), m.dst_origin.data(),
                                   m.region.data(), m.src_row_pitch, m.src_slice_pitch,
                                   m.dst_row_pitch, m.dst_slice_pitch, count, list, event);
  };
}

void CommandRecorder::record(const wire::FillImage& m) {
  const MemEntry& image = mem(m.image);
  if (m.fill_color.size() != kColor) throw ProtocolError("a color of another size");
  check(validate(m, image.shape));
  std::array<std::byte, kColor> color;
  std::copy(m.fill_color.begin(), m.fill_color.end(), color.begin());
  command_.enqueue = [handle = image.handle, color, m](cl_command_queue queue, cl_uint count,
                                                       const cl_event* list, cl_event* event) {
    return clEnqueueFillImage(queue, handle, color.data(), m.origin.data(), m.region.data(), count,
                              list, event);
  };
}

void CommandRecorder::record(const wire::CopyImage& m) {
  const MemEntry& source = mem(m.src_image);
  const MemEntry& destination = mem(m.dst_image);
  check(validate(m, source.shape, destination.shape));
  command_.enqueue = [from = source.handle, to = destination.handle, m](
                         cl_command_queue queue, cl_uint count, const cl_event* list,
                         cl_event* event) {
    return clEnqueueCopyImage(queue, from, to, m.src_origin.data(), m.dst_origin.data(),
                              m.region.data(), count, list, event);
  };
}

void CommandRecorder::record(const wire::CopyImageToBuffer& m) {
  const MemEntry& source = mem(m.src_image);
  const MemEntry& destination = mem(m.dst_buffer);
  check(validate(m, source.shape, destination.shape));
  command_.enqueue = [from = source.handle, to = destination.handle, m](
                         cl_command_queue queue, cl_uint count, const cl_event* list,
                         cl_event* event) {
    return clEnqueueCopyImageToBuffer(queue, from, to, m.src_origin.data(), m.region.data(),
                                      m.dst_offset, count, list, event);
  };
}

void CommandRecorder::record(const wire::CopyBufferToImage& m) {
  const MemEntry& source = mem(m.src_buffer);
  const MemEntry& destination = mem(m.dst_image);
  check(validate(m, source.shape, destination.shape));
  command_.enqueue = [from = source.handle, to = destination.handle, m](
                         cl_command_queue queue, cl_uint count, const cl_event* list,
                         cl_event* event) {
    return clEnqueueCopyBufferToImage(queue, from, to, m.src_offset, m.dst_origin.data(),
                                      m.region.data(), count, list, event);
  };
}

void CommandRecorder::record(const wire::EnqueueNdRange& m) {
  const auto kernel = session_.objects().share<KernelEntry>(m.kernel);
  use(kernel, kernel->context);
  // Also for a command that fails: the client has told them.
  check(session_.set_arguments(*kernel, m));
  if (status_ == CL_SUCCESS) check(check_launch(m, *kernel, buffer_.queue->device));
  if (status_ != CL_SUCCESS) return;
  cl_int cloned = CL_SUCCESS;
  OwnKernel own = clone_of(*kernel, &cloned);
  check(own != nullptr ? CL_SUCCESS : cloned);
  command_.cost = kernel->cost;
  command_.units = work_items(m);
  keep_arguments(*kernel, m);
  std::vector<std::shared_ptr<void>> keeps;
  for (const auto& argument : kernel->arguments) {
    if (auto named = argument.lives.lock()) keeps.push_back(std::move(named));
  }
  command_.enqueue = [own = std::move(own), keeps = std::move(keeps), dimensions = m.work_dim,
                      given = m.given, offset = m.offset, global = m.global,
                      local = m.local](cl_command_queue queue, cl_uint count, const cl_event* list,
                                       cl_event* event) {
    return clEnqueueNDRangeKernel(
        queue, own.get(), dimensions, (given & kOffsetGiven) != 0 ? offset.data() : nullptr,
        global.data(), (given & kLocalGiven) != 0 ? local.data() : nullptr, count, list, event);
  };
  buffer_.programs.insert(kernel->program);
}

void CommandRecorder::record(const wire::EnqueueBarrier&) {
  barrier_ = true;
}

void CommandRecorder::record(const wire::EnqueueNothing&) {}

void CommandRecorder::keep_arguments(const KernelEntry& kernel, wire::EnqueueNdRange launch) {
  for (const auto& argument : kernel.arguments) {
    if (auto object = argument.object()) command_.uses.push_back(std::move(object));
  }
  const ArgumentLists arguments(kernel);
  if (!arguments.whole) buffer_.unrecorded = true;
  arguments.put_into(launch);
  wire::Encoder out;
  encode(out, launch);
  wire::RecordCommand whole = *message_;
  whole.command = out.bytes();
  command_.message = record_of(whole);
}

void CommandRecorder::keep(Incoming& incoming, std::span<const std::uint32_t> sync_points) {
  if (!command_.message) command_.message = Record(incoming.opcode, incoming.fields);
  // The waits are no more than the sync points and what a barrier ends.
  const std::size_t bytes = kRecordedCost + command_.message.size() * 2;
  if (!session_.objects().recount(0, bytes)) return check(CL_OUT_OF_HOST_MEMORY);
  buffer_.counted += bytes;
  command_.serial = session_.objects().next_serial();
  buffer_.add(std::move(command_), barrier_, sync_points);
}

}  // namespace tessera::worker
