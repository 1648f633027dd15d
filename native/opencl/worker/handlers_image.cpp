// SPDX-License-Identifier: Apache-2.0
//
// Images. Pixels travel tightly packed, and the driver's own pitches are its business: a pitch of 0
// in its calls means exactly that. Regions are checked against the image's extent before the driver
// sees them.
#include "opencl/mem_flags.h"
#include "opencl/worker/command.h"
#include "opencl/worker/image_shape.h"
#include "opencl/worker/transfer.h"

namespace tessera::worker {
namespace {

// What the image takes on the device, as far as the driver says.
std::uint64_t size_on_device(cl_mem image, std::uint64_t estimate) {
  std::size_t size = 0;
  const cl_int status = clGetMemObjectInfo(image, CL_MEM_SIZE, sizeof size, &size, nullptr);
  return status == CL_SUCCESS && size != 0 ? size : estimate;
}

// An image may lie over a buffer of its own context, or over another image to read it otherwise.
cl_int check_parent(const MemEntry& parent, const MemEntry& image) {
  if (parent.poison != CL_SUCCESS) return parent.poison;
  if (parent.context != image.context) return CL_INVALID_CONTEXT;
  const bool over_buffer =
      image.shape.type == CL_MEM_OBJECT_IMAGE1D_BUFFER || image.shape.type == CL_MEM_OBJECT_IMAGE2D;
  const bool fits = parent.shape.image() ? image.shape.type == CL_MEM_OBJECT_IMAGE2D &&
                                               parent.shape.type == CL_MEM_OBJECT_IMAGE2D
                                         : over_buffer;
  return fits ? CL_SUCCESS : CL_INVALID_IMAGE_DESCRIPTOR;
}

// Every row that the image would have lies in the buffer.
cl_int check_inside(const wire::CreateImage& m, const MemShape& image, const MemShape& buffer) {
  if (buffer.image()) return image.size <= buffer.size ? CL_SUCCESS : CL_INVALID_IMAGE_DESCRIPTOR;
  const wire::Id3 region{image.pixels[0] * image.element, image.pixels[1], 1};
  const cl_int status = check_rect(buffer, {0, 0, 0}, region, m.row_pitch, 0);
  return status == CL_SUCCESS ? CL_SUCCESS : CL_INVALID_IMAGE_DESCRIPTOR;
}

}  // namespace

void Session::create_image(MemEntry& entry, const wire::CreateImage& m, const MemEntry* parent,
                           const Bulk& contents) {
  cl_int status = entry.poison;
  if (status == CL_SUCCESS) status = entry.context->poison;
  if (status == CL_SUCCESS) status = check_mem_flags(m.flags);
  MemShape shape;
  if (status == CL_SUCCESS) status = shape_of(m, shape);
  if (status == CL_SUCCESS) entry.shape = shape;
  if (status == CL_SUCCESS && parent != nullptr) status = check_parent(*parent, entry);
  if (status == CL_SUCCESS && parent != nullptr) status = check_inside(m, shape, parent->shape);
  if (status == CL_SUCCESS && contents.size() != 0 &&
      (parent != nullptr || contents.size() != packed_size(shape.pixels, shape.element))) {
    throw ProtocolError("an image with other pixels than it has");
  }
  std::unique_ptr<Charge> charge;
  if (status == CL_SUCCESS && parent == nullptr) {
    charge = charge_memory(entry.context->gpu_mask, shape.size, m.confirm != 0);
    if (charge == nullptr) status = CL_MEM_OBJECT_ALLOCATION_FAILURE;
  }
  const bool filled = driver_copies(contents);
  if (status == CL_SUCCESS) {
    const cl_image_format format{m.channel_order, m.channel_type};
    const cl_image_desc desc = description_of(m, parent != nullptr ? parent->handle : nullptr);
    const auto make = [&](cl_mem_flags also, void* pixels) {
      entry.handle = clCreateImage(entry.context->handle, (m.flags & ~kHostAccess) | also, &format,
                                   &desc, pixels, &status);
    };
    if (filled) {
      copying(*entry.context, [&] { make(CL_MEM_COPY_HOST_PTR, contents.data()); });
    } else {
      make(0, nullptr);
    }
  }
  if (entry.handle != nullptr && charge != nullptr) {
    if (charge->adjust(size_on_device(entry.handle, shape.size))) {
      hand_over(entry, std::move(charge), filled, &status);
    } else {
      clReleaseMemObject(std::exchange(entry.handle, nullptr));
      status = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    }
  }
  if (entry.handle == nullptr) return poison(entry, status, m.kOpcode);
  if (contents.size() == 0 || filled) return;
  status = initialize(entry, {0, 0, 0}, entry.shape.pixels, contents);
  if (status != CL_SUCCESS) answers_.deferred_error(entry.id, status, m.kOpcode);
}

void Session::handle(const wire::CreateImage& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  const Bulk contents = std::move(incoming.bulk);
  const auto context = objects_.share<ContextEntry>(m.context);
  const auto parent = m.buffer != 0 ? objects_.share<MemEntry>(m.buffer) : nullptr;
  const auto entry = objects_.add<MemEntry>(m.image, Record(incoming.opcode, incoming.fields));
  entry->context = context;
  entry->parent = parent;
  // Of the type that it was to have, also if the creation fails.
  entry->shape.type = m.image_type != CL_MEM_OBJECT_BUFFER ? m.image_type : CL_MEM_OBJECT_IMAGE2D;
  const bool confirm = m.confirm != 0;
  create_image(*entry, m, parent.get(), contents);
  if (confirm) answers_.reply(sequence, entry->poison);
}

cl_int Session::initialize(const MemEntry& image, const wire::Id3& origin, const wire::Id3& region,
                           const Bulk& pixels) {
  cl_int status = CL_SUCCESS;
  const cl_command_queue queue = internal_queue(*image.context, &status);
  if (status != CL_SUCCESS) return status;
  return unlocked([&] {
    return metered(image.context->gpu, [&](cl_event* event) {
      return clEnqueueWriteImage(queue, image.handle, CL_TRUE, origin.data(), region.data(), 0, 0,
                                 pixels.data(), 0, nullptr, event);
    });
  });
}

void Session::handle(const wire::InitializeImage& m, Incoming& incoming) {
  const auto image = objects_.share<MemEntry>(m.image);
  const Bulk bulk = std::move(incoming.bulk);
  // The client has heard of this one already.
  if (image->poison != CL_SUCCESS) return;
  cl_int status = check_box(image->shape, m.origin, m.region);
  if (status == CL_SUCCESS && bulk.size() != packed_size(m.region, image->shape.element)) {
    throw ProtocolError("initialize_image with other pixels than its region has");
  }
  if (status == CL_SUCCESS) status = initialize(*image, m.origin, m.region, bulk);
  if (status != CL_SUCCESS) answers_.deferred_error(image->id, status, m.kOpcode);
}

void Session::handle(const wire::ReadImage& m, Incoming&) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const MemEntry& image = command.mem(m.image);
  command.check(check_box(image.shape, m.origin, m.region));
  const std::uint64_t size = packed_size(m.region, image.shape.element);
  read_into_bulk(command, {size, m.ticket, read_wait(m.blocking)},
                 [&](cl_command_queue queue, std::byte* data, cl_uint count, const cl_event* list,
                     cl_event* event) {
                   return clEnqueueReadImage(queue, image.handle, CL_FALSE, m.origin.data(),
                                             m.region.data(), 0, 0, data, count, list, event);
                 });
}

void Session::handle(const wire::WriteImage& m, Incoming& incoming) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const MemEntry& image = command.mem(m.image);
  command.check(check_box(image.shape, m.origin, m.region));
  // Of an image that failed, no pixel size may be known: then the bytes are not looked at.
  const std::uint64_t size = command.status() == CL_SUCCESS
                                 ? packed_size(m.region, image.shape.element)
                                 : incoming.bulk.size();
  write_from_bulk(command, incoming, size, m.fence != 0,
                  [&](cl_command_queue queue, std::byte* data, cl_uint count, const cl_event* list,
                      cl_event* event) {
                    return clEnqueueWriteImage(queue, image.handle, CL_FALSE, m.origin.data(),
                                               m.region.data(), 0, 0, data, count, list, event);
                  });
}

}  // namespace tessera::worker
