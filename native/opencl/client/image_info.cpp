// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "generated/client_entries.h"
#include "opencl/client/image.h"
#include "opencl/client/image_format.h"
#include "opencl/client/info.h"

namespace tessera::client {
namespace {

void tell(const Info& info, const Mem& image, cl_image_info what) {
  const ImageFacts& facts = image.image();
  const cl_image_desc& desc = facts.desc;
  switch (what) {
    case CL_IMAGE_FORMAT:
      return info.value(facts.format);
    case CL_IMAGE_ELEMENT_SIZE:
      return info.value(facts.element_size);
    case CL_IMAGE_ROW_PITCH:
      return info.value(desc.image_row_pitch);
    case CL_IMAGE_SLICE_PITCH:
      return info.value(desc.image_slice_pitch);
    case CL_IMAGE_WIDTH:
      return info.value(desc.image_width);
    case CL_IMAGE_HEIGHT:
      return info.value(desc.image_height);
    case CL_IMAGE_DEPTH:
      return info.value(desc.image_depth);
    case CL_IMAGE_ARRAY_SIZE:
      return info.value(desc.image_array_size);
    case CL_IMAGE_BUFFER: {
      Mem* parent = image.parent();
      return info.value(parent != nullptr && parent->is_buffer() ? parent->handle() : nullptr);
    }
    case CL_IMAGE_NUM_MIP_LEVELS:
    case CL_IMAGE_NUM_SAMPLES:
      return info.value(cl_uint{0});
    default:
      throw ApiError(CL_INVALID_VALUE);
  }
}

// The list that the flags ask for: by the access of kernels.
cl_mem_flags listed_access(cl_mem_flags flags) {
  constexpr cl_mem_flags kAccess =
      CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY | CL_MEM_KERNEL_READ_AND_WRITE;
  constexpr cl_mem_flags kOther = CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR |
                                  CL_MEM_COPY_HOST_PTR | CL_MEM_HOST_WRITE_ONLY |
                                  CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS;
  const cl_mem_flags both = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;
  ensure((flags & ~(kAccess | kOther)) == 0, CL_INVALID_VALUE);
  ensure(std::popcount(flags & both) <= 1, CL_INVALID_VALUE);
  if ((flags & CL_MEM_KERNEL_READ_AND_WRITE) != 0) return CL_MEM_KERNEL_READ_AND_WRITE;
  return (flags & both) == 0 ? CL_MEM_READ_WRITE : flags & both;
}

std::vector<cl_image_format> supported(const Context& context, cl_mem_flags access,
                                       cl_mem_object_type type) {
  std::vector<cl_image_format> all;
  if (!context.images()) return all;
  for (const ImageFormatList& list : context.devices()[0]->platform().image_formats()) {
    if (list.type != type || list.flags != access) continue;
    for (const cl_image_format& format : list.formats) {
      const bool known = std::any_of(all.begin(), all.end(), [&](const cl_image_format& each) {
        return same_format(each, format);
      });
      if (!known) all.push_back(format);
    }
  }
  return all;
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clGetImageInfo(cl_mem image, cl_image_info param_name, size_t param_value_size,
                                  void* param_value, size_t* param_value_size_ret) {
  return guarded([&] {
    const Mem& object = require<Mem>(image);
    ensure(object.is_image(), CL_INVALID_MEM_OBJECT);
    tell({param_value_size, param_value, param_value_size_ret}, object, param_name);
  });
}

cl_int CL_API_CALL clGetSupportedImageFormats(cl_context context, cl_mem_flags flags,
                                              cl_mem_object_type image_type, cl_uint num_entries,
                                              cl_image_format* image_formats,
                                              cl_uint* num_image_formats) {
  return guarded([&] {
    const Context& object = require<Context>(context);
    const cl_mem_flags access = listed_access(flags);
    ensure(is_image_type(image_type), CL_INVALID_VALUE);
    ensure(num_entries != 0 || image_formats == nullptr, CL_INVALID_VALUE);
    const std::vector<cl_image_format> formats = supported(object, access, image_type);
    if (image_formats != nullptr) {
      const std::size_t n = std::min<std::size_t>(num_entries, formats.size());
      std::copy_n(formats.begin(), n, image_formats);
    }
    if (num_image_formats != nullptr) *num_image_formats = static_cast<cl_uint>(formats.size());
  });
}

}  // namespace entry
}  // namespace tessera::client
