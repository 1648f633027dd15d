// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "opencl/null/engine.h"
#include "opencl/null/region.h"

using namespace tessera::null;

namespace tessera::null {
namespace {

constexpr cl_image_format kFormats[] = {
    {CL_RGBA, CL_UNORM_INT8},
    {CL_RGBA, CL_SNORM_INT8},
    {CL_RGBA, CL_SIGNED_INT8},
    {CL_RGBA, CL_SIGNED_INT16},
    {CL_RGBA, CL_SIGNED_INT32},
    {CL_RGBA, CL_UNSIGNED_INT8},
    {CL_RGBA, CL_HALF_FLOAT},
    {CL_RGBA, CL_UNSIGNED_INT32},
    {CL_RGBA, CL_FLOAT},
    {CL_BGRA, CL_UNORM_INT8},
    {CL_RGBA, CL_UNSIGNED_INT16},
    {CL_R, CL_UNORM_INT8},
    {CL_R, CL_UNSIGNED_INT8},
    {CL_R, CL_FLOAT},
    {CL_RG, CL_FLOAT},
};

std::size_t channel_size(cl_channel_type type) {
  switch (type) {
    case CL_UNORM_INT8:
    case CL_SNORM_INT8:
    case CL_SIGNED_INT8:
    case CL_UNSIGNED_INT8:
      return 1;
    case CL_SIGNED_INT16:
    case CL_UNSIGNED_INT16:
    case CL_HALF_FLOAT:
      return 2;
    default:
      return 4;
  }
}

// Sets the extent that a region is checked against; false for a description that no image has.
bool lay_out(_cl_mem& image, const cl_image_desc& desc) {
  const bool array = desc.image_type == CL_MEM_OBJECT_IMAGE1D_ARRAY ||
                     desc.image_type == CL_MEM_OBJECT_IMAGE2D_ARRAY;
  image.extent[0] = desc.image_width;
  switch (desc.image_type) {
    case CL_MEM_OBJECT_IMAGE1D:
    case CL_MEM_OBJECT_IMAGE1D_BUFFER:
      break;
    case CL_MEM_OBJECT_IMAGE1D_ARRAY:
      image.extent[1] = desc.image_array_size;
      break;
    case CL_MEM_OBJECT_IMAGE2D:
      image.extent[1] = desc.image_height;
      break;
    case CL_MEM_OBJECT_IMAGE2D_ARRAY:
      image.extent[1] = desc.image_height;
      image.extent[2] = desc.image_array_size;
      break;
    case CL_MEM_OBJECT_IMAGE3D:
      image.extent[1] = desc.image_height;
      image.extent[2] = desc.image_depth;
      break;
    default:
      return false;
  }
  const std::size_t width_limit = desc.image_type == CL_MEM_OBJECT_IMAGE1D_BUFFER ? 65536 : 8192;
  const std::size_t depth_limit = array || desc.image_type == CL_MEM_OBJECT_IMAGE3D ? 2048 : 8192;
  return image.extent[0] - 1 < width_limit && image.extent[1] - 1 < 8192 &&
         image.extent[2] - 1 < depth_limit;
}

cl_int set_pitches(_cl_mem& image, const cl_image_desc& desc, cl_mem over) {
  const std::size_t tight = image.extent[0] * image.pixel;
  if (over == nullptr && desc.image_row_pitch != 0) return CL_INVALID_IMAGE_DESCRIPTOR;
  image.row = desc.image_row_pitch == 0 ? tight : desc.image_row_pitch;
  if (image.row < tight || image.row % image.pixel != 0 || image.row > (std::size_t{1} << 30)) {
    return CL_INVALID_IMAGE_DESCRIPTOR;
  }
  image.slice = image.row * image.extent[1];
  image.size = image.slice * image.extent[2];
  if (desc.image_type == CL_MEM_OBJECT_IMAGE1D_ARRAY) image.slice = image.row;
  return CL_SUCCESS;
}

}  // namespace

std::size_t pixel_size(const cl_image_format& format) {
  const bool supported = std::ranges::any_of(kFormats, [&](const cl_image_format& known) {
    return known.image_channel_order == format.image_channel_order &&
           known.image_channel_data_type == format.image_channel_data_type;
  });
  if (!supported) return 0;
  const cl_channel_order order = format.image_channel_order;
  const std::size_t channels = order == CL_R ? 1 : order == CL_RG ? 2 : 4;
  return channels * channel_size(format.image_channel_data_type);
}

}  // namespace tessera::null

extern "C" {

cl_mem CL_API_CALL clCreateImageWithProperties(cl_context context,
                                               const cl_mem_properties* properties,
                                               cl_mem_flags flags, const cl_image_format* format,
                                               const cl_image_desc* desc, void* host,
                                               cl_int* errcode) {
  if (!valid(context)) return refuse(errcode, CL_INVALID_CONTEXT);
  if (properties != nullptr && *properties != 0) return refuse(errcode, CL_INVALID_PROPERTY);
  if (format == nullptr) return refuse(errcode, CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
  if (desc == nullptr || desc->num_mip_levels != 0 || desc->num_samples != 0) {
    return refuse(errcode, CL_INVALID_IMAGE_DESCRIPTOR);
  }
  // Contents are taken tightly packed, and by copying only.
  const bool copies = (flags & CL_MEM_COPY_HOST_PTR) != 0;
  if (copies != (host != nullptr) || (copies && desc->mem_object != nullptr)) {
    return refuse(errcode, CL_INVALID_HOST_PTR);
  }
  auto image = std::make_unique<_cl_mem>();
  image->pixel = pixel_size(*format);
  if (image->pixel == 0) return refuse(errcode, CL_IMAGE_FORMAT_NOT_SUPPORTED);
  image->type = desc->image_type;
  if (!lay_out(*image, *desc)) return refuse(errcode, CL_INVALID_IMAGE_DESCRIPTOR);
  cl_mem over = desc->mem_object;
  if (over != nullptr && !valid(over)) return refuse(errcode, CL_INVALID_IMAGE_DESCRIPTOR);
  if (const cl_int error = set_pitches(*image, *desc, over)) return refuse(errcode, error);
  if (over != nullptr) {
    if (over->type != CL_MEM_OBJECT_BUFFER || image->size > over->size) {
      return refuse(errcode, CL_INVALID_IMAGE_DESCRIPTOR);
    }
    image->parent = Ref<_cl_mem>(over);
    image->bytes = over->bytes;
    image->origin = over->origin;
  } else {
    if (image->type == CL_MEM_OBJECT_IMAGE1D_BUFFER) {
      return refuse(errcode, CL_INVALID_IMAGE_DESCRIPTOR);
    }
    if (image->size > context->devices[0]->memory / 2)
      return refuse(errcode, CL_INVALID_IMAGE_SIZE);
    image->bytes = allocate(image->size);
    if (!image->bytes) return refuse(errcode, CL_MEM_OBJECT_ALLOCATION_FAILURE);
    if (copies) std::memcpy(image->bytes.get(), host, image->size);
  }
  image->context = Ref<_cl_context>(context);
  image->flags = flags == 0 ? CL_MEM_READ_WRITE : flags;
  image->format = *format;
  image->desc = *desc;
  if (properties != nullptr) image->properties.push_back(0);
  return grant(errcode, std::move(image));
}

cl_mem CL_API_CALL clCreateImage(cl_context context, cl_mem_flags flags,
                                 const cl_image_format* format, const cl_image_desc* desc,
                                 void* host, cl_int* errcode) {
  return clCreateImageWithProperties(context, nullptr, flags, format, desc, host, errcode);
}

cl_mem CL_API_CALL clCreateImage2D(cl_context context, cl_mem_flags flags,
                                   const cl_image_format* format, size_t width, size_t height,
                                   size_t, void* host, cl_int* errcode) {
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE2D;
  desc.image_width = width;
  desc.image_height = height;
  return clCreateImage(context, flags, format, &desc, host, errcode);
}

cl_mem CL_API_CALL clCreateImage3D(cl_context context, cl_mem_flags flags,
                                   const cl_image_format* format, size_t width, size_t height,
                                   size_t depth, size_t, size_t, void* host, cl_int* errcode) {
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE3D;
  desc.image_width = width;
  desc.image_height = height;
  desc.image_depth = depth;
  return clCreateImage(context, flags, format, &desc, host, errcode);
}

cl_int CL_API_CALL clGetSupportedImageFormats(cl_context context, cl_mem_flags,
                                              cl_mem_object_type type, cl_uint entries,
                                              cl_image_format* formats, cl_uint* count) {
  if (!valid(context)) return CL_INVALID_CONTEXT;
  if (type < CL_MEM_OBJECT_IMAGE2D || type > CL_MEM_OBJECT_IMAGE1D_BUFFER) return CL_INVALID_VALUE;
  if (entries == 0 && formats != nullptr) return CL_INVALID_VALUE;
  constexpr cl_uint all = sizeof kFormats / sizeof kFormats[0];
  for (cl_uint i = 0; formats != nullptr && i < entries && i < all; ++i) formats[i] = kFormats[i];
  if (count != nullptr) *count = all;
  return CL_SUCCESS;
}

cl_int CL_API_CALL clGetImageInfo(cl_mem image, cl_image_info what, size_t size, void* value,
                                  size_t* needed) {
  if (!valid(image) || image->type == CL_MEM_OBJECT_BUFFER) return CL_INVALID_MEM_OBJECT;
  const Query query{size, value, needed};
  switch (what) {
    case CL_IMAGE_FORMAT:
      return query.one(image->format);
    case CL_IMAGE_ELEMENT_SIZE:
      return query.one(image->pixel);
    case CL_IMAGE_ROW_PITCH:
      return query.one(image->row);
    case CL_IMAGE_SLICE_PITCH:
      return query.one(image->extent[2] > 1 ? image->slice : std::size_t{0});
    case CL_IMAGE_WIDTH:
      return query.one(image->desc.image_width);
    case CL_IMAGE_HEIGHT:
      return query.one(image->desc.image_height);
    case CL_IMAGE_DEPTH:
      return query.one(image->desc.image_depth);
    case CL_IMAGE_ARRAY_SIZE:
      return query.one(image->desc.image_array_size);
    case CL_IMAGE_BUFFER:
      return query.one(image->parent.get());
    case CL_IMAGE_NUM_MIP_LEVELS:
    case CL_IMAGE_NUM_SAMPLES:
      return query.one(cl_uint{0});
    default:
      return CL_INVALID_VALUE;
  }
}

}  // extern "C"
