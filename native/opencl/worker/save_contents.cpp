// SPDX-License-Identifier: Apache-2.0
//
// Contents of memory, copied from the device into the state piece by piece: a gigabyte of them
// never lies in this process twice.
#include <algorithm>

#include "opencl/worker/save.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// Large enough for a device's copy engine, small enough to stay in the processor's cache between
// the copy, the checksum and the write.
constexpr std::size_t kContentsPiece = 4 * 1024 * 1024;  // bytes

[[noreturn]] void fail(const MemEntry& mem, cl_int status) {
  throw StateError(state_error::kFailed, "the driver does not give the contents of memory object " +
                                             std::to_string(mem.id) + " (error " +
                                             std::to_string(status) + ")");
}

}  // namespace

void Saver::write_contents() {
  for (const auto& [id, entry] : entries_) {
    if (entry->kind == Kind::mem && entry->poison == CL_SUCCESS) {
      write_contents(static_cast<const MemEntry&>(*entry));
    }
  }
  staging_.reset();
}

void Saver::write_contents(const MemEntry& mem) {
  if (mem.parent != nullptr) return;
  cl_int status = CL_SUCCESS;
  const cl_command_queue queue = session_.internal_queue(*mem.context, &status);
  if (status != CL_SUCCESS) fail(mem, status);
  if (staging_ == nullptr) staging_.reset(new std::byte[kContentsPiece]);
  if (mem.shape.image()) {
    write_image(queue, mem);
  } else {
    write_buffer(queue, mem);
  }
}

void Saver::write_piece(const ContentsPlace& place, std::size_t bytes) {
  wire::Encoder fields;
  encode(fields, place);
  out_->write(
      {.type = FrameType::contents, .fields = fields.bytes(), .bulk = {staging_.get(), bytes}});
}

void Saver::write_buffer(cl_command_queue queue, const MemEntry& mem) {
  const std::uint32_t device = mem.context->devices.front();
  for (std::uint64_t at = 0; at < mem.shape.size; at += kContentsPiece) {
    const std::size_t bytes = std::min<std::uint64_t>(kContentsPiece, mem.shape.size - at);
    const cl_int status = session_.metered(device, [&](cl_event* event) {
      return clEnqueueReadBuffer(queue, mem.handle, CL_TRUE, at, bytes, staging_.get(), 0, nullptr,
                                 event);
    });
    if (status != CL_SUCCESS) fail(mem, status);
    write_piece({mem.id, at, {}, {}}, bytes);
  }
}

void Saver::write_image(cl_command_queue queue, const MemEntry& mem) {
  const std::uint32_t device = mem.context->devices.front();
  const auto& [width, height, depth] = mem.shape.pixels;
  const std::uint64_t row = width * mem.shape.element;
  if (row == 0 || row > kContentsPiece) fail(mem, CL_INVALID_IMAGE_SIZE);
  const std::uint64_t rows = std::min(kContentsPiece / row, height);
  for (std::uint64_t z = 0; z < depth; ++z) {
    for (std::uint64_t y = 0; y < height; y += rows) {
      const wire::Id3 origin{0, y, z};
      const wire::Id3 region{width, std::min(rows, height - y), 1};
      const cl_int status = session_.metered(device, [&](cl_event* event) {
        return clEnqueueReadImage(queue, mem.handle, CL_TRUE, origin.data(), region.data(), 0, 0,
                                  staging_.get(), 0, nullptr, event);
      });
      if (status != CL_SUCCESS) fail(mem, status);
      write_piece({mem.id, 0, origin, region}, region[1] * row);
    }
  }
}

}  // namespace tessera::worker
