// SPDX-License-Identifier: Apache-2.0
//
// What clCreateImage checks before anything is made.
#include <algorithm>

#include "opencl/client/image.h"
#include "opencl/client/image_format.h"
#include "opencl/mem_flags.h"

namespace tessera::client {
namespace {

// A pitch beyond it would let the sizes computed from it wrap; no address space has room for it.
constexpr std::size_t kMaxPitch = std::size_t{1} << 40;

bool has_rows(cl_mem_object_type type) {
  return type == CL_MEM_OBJECT_IMAGE2D || type == CL_MEM_OBJECT_IMAGE2D_ARRAY ||
         type == CL_MEM_OBJECT_IMAGE3D;
}

bool is_array(cl_mem_object_type type) {
  return type == CL_MEM_OBJECT_IMAGE1D_ARRAY || type == CL_MEM_OBJECT_IMAGE2D_ARRAY;
}

bool has_slice_pitch(cl_mem_object_type type) {
  return is_array(type) || type == CL_MEM_OBJECT_IMAGE3D;
}

// The buffer, or the image, that the new image lies over; nullptr for memory of its own.
Mem* parent_of(const Context& context, const cl_image_desc& desc) {
  if (desc.mem_object == nullptr) {
    ensure(desc.image_type != CL_MEM_OBJECT_IMAGE1D_BUFFER, CL_INVALID_IMAGE_DESCRIPTOR);
    return nullptr;
  }
  auto* object = reinterpret_cast<Object*>(desc.mem_object);
  ensure(object->kind() == Kind::mem, CL_INVALID_IMAGE_DESCRIPTOR);
  Mem& parent = require<Mem>(desc.mem_object);
  ensure(&parent.context() == &context, CL_INVALID_CONTEXT);
  const bool line = desc.image_type == CL_MEM_OBJECT_IMAGE1D_BUFFER && parent.is_buffer();
  const bool plane = desc.image_type == CL_MEM_OBJECT_IMAGE2D &&
                     (parent.is_buffer() || parent.type() == CL_MEM_OBJECT_IMAGE2D);
  ensure(line || plane, CL_INVALID_IMAGE_DESCRIPTOR);
  return &parent;
}

// An image over another object may narrow what that allows, not widen it.
cl_mem_flags inherited(cl_mem_flags flags, const Mem& parent) {
  ensure((flags & kHostPointer) == 0, CL_INVALID_VALUE);
  const cl_mem_flags old = parent.flags();
  if ((old & CL_MEM_WRITE_ONLY) != 0) {
    ensure((flags & (CL_MEM_READ_WRITE | CL_MEM_READ_ONLY)) == 0, CL_INVALID_VALUE);
  }
  if ((old & CL_MEM_READ_ONLY) != 0) {
    ensure((flags & (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY)) == 0, CL_INVALID_VALUE);
  }
  if ((old & CL_MEM_HOST_WRITE_ONLY) != 0) {
    ensure((flags & CL_MEM_HOST_READ_ONLY) == 0, CL_INVALID_VALUE);
  }
  if ((old & CL_MEM_HOST_READ_ONLY) != 0) {
    ensure((flags & CL_MEM_HOST_WRITE_ONLY) == 0, CL_INVALID_VALUE);
  }
  if ((old & CL_MEM_HOST_NO_ACCESS) != 0) {
    ensure((flags & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY)) == 0, CL_INVALID_VALUE);
  }
  if ((flags & kAccess) == 0) flags |= old & kAccess;
  if ((flags & kHostAccess) == 0) flags |= old & kHostAccess;
  return flags | (old & kHostPointer);
}

ImageShape wanted_shape(const cl_image_desc& desc, std::size_t pixel) {
  ImageShape shape{.type = desc.image_type,
                   .pixel = pixel,
                   .width = desc.image_width,
                   .height = has_rows(desc.image_type) ? desc.image_height : 0,
                   .depth = desc.image_type == CL_MEM_OBJECT_IMAGE3D ? desc.image_depth : 0,
                   .array_size = is_array(desc.image_type) ? desc.image_array_size : 0};
  const wire::Id3 limits = shape.limits();
  ensure(std::find(limits.begin(), limits.end(), 0) == limits.end(), CL_INVALID_IMAGE_DESCRIPTOR);
  ensure(desc.num_mip_levels == 0 && desc.num_samples == 0, CL_INVALID_IMAGE_DESCRIPTOR);
  return shape;
}

void ensure_some_device_fits(const Context& context, const ImageShape& shape) {
  const auto& devices = context.devices();
  ensure(std::any_of(devices.begin(), devices.end(),
                     [&](const Device* device) { return image_fits(shape, *device); }),
         CL_INVALID_IMAGE_SIZE);
}

// Fills in the pitches; those given must be whole pixels, and whole rows.
void complete_pitches(cl_image_desc& desc, const ImageShape& shape, bool has_memory) {
  ensure(has_memory || (desc.image_row_pitch == 0 && desc.image_slice_pitch == 0),
         CL_INVALID_IMAGE_DESCRIPTOR);
  const std::size_t tight = shape.width * shape.pixel;
  if (desc.image_row_pitch == 0) desc.image_row_pitch = tight;
  ensure(desc.image_row_pitch >= tight && desc.image_row_pitch % shape.pixel == 0 &&
             desc.image_row_pitch <= kMaxPitch,
         CL_INVALID_IMAGE_DESCRIPTOR);
  if (!has_slice_pitch(shape.type)) {
    desc.image_slice_pitch = 0;
    return;
  }
  const std::size_t rows = has_rows(shape.type) ? shape.height : 1;
  const std::size_t whole = desc.image_row_pitch * rows;
  if (desc.image_slice_pitch == 0) desc.image_slice_pitch = whole;
  ensure(desc.image_slice_pitch >= whole && desc.image_slice_pitch % desc.image_row_pitch == 0 &&
             desc.image_slice_pitch <= kMaxPitch,
         CL_INVALID_IMAGE_DESCRIPTOR);
}

bool takes_plane_over_buffer(const Device& device) {
  return device.has_extension("cl_khr_image2d_from_buffer") ||
         device.fact_or<cl_uint>(CL_DEVICE_IMAGE_PITCH_ALIGNMENT, 0) != 0;
}

bool pitch_is_aligned(const Device& device, const ImagePlan& plan) {
  const std::size_t pixels = device.fact_or<cl_uint>(CL_DEVICE_IMAGE_PITCH_ALIGNMENT, 0);
  return pixels == 0 || plan.facts.desc.image_row_pitch % (pixels * plan.shape.pixel) == 0;
}

// The memory of the parent suits the image.
void ensure_parent_suits(const Context& context, const ImagePlan& plan) {
  const Mem& parent = *plan.parent;
  if (parent.is_image()) {
    ensure(parent.image().element_size == plan.shape.pixel, CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
    ensure(parent.image().desc.image_width == plan.shape.width &&
               parent.image().desc.image_height == plan.shape.height,
           CL_INVALID_IMAGE_DESCRIPTOR);
  }
  const auto& devices = context.devices();
  if (plan.shape.type == CL_MEM_OBJECT_IMAGE2D) {
    ensure(std::any_of(devices.begin(), devices.end(),
                       [](const Device* device) { return takes_plane_over_buffer(*device); }),
           CL_INVALID_OPERATION);
    ensure(std::any_of(devices.begin(), devices.end(),
                       [&](const Device* device) { return pitch_is_aligned(*device, plan); }),
           CL_INVALID_IMAGE_DESCRIPTOR);
  }
  if (parent.is_buffer()) {
    ensure(plan.shadow_bytes <= parent.size(), CL_INVALID_IMAGE_DESCRIPTOR);
  }
}

void ensure_format_supported(const Context& context, const ImagePlan& plan) {
  const cl_mem_flags access =
      (plan.flags & kAccess) == 0 ? CL_MEM_READ_WRITE : plan.flags & kAccess;
  const Platform& platform = context.devices()[0]->platform();
  for (const ImageFormatList& list : platform.image_formats()) {
    if (list.type != plan.shape.type || list.flags != access) continue;
    for (const cl_image_format& format : list.formats) {
      if (same_format(format, plan.facts.format)) return;
    }
  }
  throw ApiError(CL_IMAGE_FORMAT_NOT_SUPPORTED);
}

}  // namespace

ImageShape shape_of(const Mem& image) {
  const cl_image_desc& desc = image.image().desc;
  return {.type = desc.image_type,
          .pixel = image.image().element_size,
          .width = desc.image_width,
          .height = desc.image_height,
          .depth = desc.image_depth,
          .array_size = desc.image_array_size};
}

bool image_fits(const ImageShape& shape, const Device& device) {
  const auto at_most = [&](std::size_t extent, cl_device_info limit) {
    return extent <= device.fact_or<std::size_t>(limit, 0);
  };
  if (!device.images()) return false;
  switch (shape.type) {
    case CL_MEM_OBJECT_IMAGE1D_BUFFER:
      return at_most(shape.width, CL_DEVICE_IMAGE_MAX_BUFFER_SIZE);
    case CL_MEM_OBJECT_IMAGE3D:
      return at_most(shape.width, CL_DEVICE_IMAGE3D_MAX_WIDTH) &&
             at_most(shape.height, CL_DEVICE_IMAGE3D_MAX_HEIGHT) &&
             at_most(shape.depth, CL_DEVICE_IMAGE3D_MAX_DEPTH);
    default:
      return at_most(shape.width, CL_DEVICE_IMAGE2D_MAX_WIDTH) &&
             at_most(shape.height, CL_DEVICE_IMAGE2D_MAX_HEIGHT) &&
             at_most(shape.array_size, CL_DEVICE_IMAGE_MAX_ARRAY_SIZE);
  }
}

ImagePlan plan_image(Context& context, cl_mem_flags flags, const cl_image_format* format,
                     const cl_image_desc* desc, const void* host_ptr) {
  ensure_mem_flags(flags, kAccess | kHostAccess | kHostPointer);
  ensure(format != nullptr && pixel_size(*format) != 0, CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
  ensure(desc != nullptr && is_image_type(desc->image_type), CL_INVALID_IMAGE_DESCRIPTOR);
  ImagePlan plan;
  plan.parent = parent_of(context, *desc);
  plan.flags = plan.parent == nullptr ? flags : inherited(flags, *plan.parent);
  plan.shape = wanted_shape(*desc, pixel_size(*format));
  ensure(context.images(), CL_INVALID_OPERATION);
  ensure_some_device_fits(context, plan.shape);
  plan.facts = {.format = *format, .desc = *desc, .element_size = plan.shape.pixel};
  plan.facts.desc.image_height = plan.shape.height;
  plan.facts.desc.image_depth = plan.shape.depth;
  plan.facts.desc.image_array_size = plan.shape.array_size;
  complete_pitches(plan.facts.desc, plan.shape, host_ptr != nullptr || plan.parent != nullptr);
  const wire::Id3 limits = plan.shape.limits();
  plan.bytes = limits[0] * limits[1] * limits[2] * plan.shape.pixel;
  plan.host = *host_steps(plan.shape, limits, plan.facts.desc.image_row_pitch,
                          plan.facts.desc.image_slice_pitch);
  plan.shadow_bytes = plan.host.offset({limits[0], limits[1] - 1, limits[2] - 1}, plan.shape.pixel);
  if (plan.parent != nullptr) ensure_parent_suits(context, plan);
  // Flags that are the parent's ask for no pointer here.
  ensure_host_ptr(flags, host_ptr);
  ensure_format_supported(context, plan);
  return plan;
}

}  // namespace tessera::client
