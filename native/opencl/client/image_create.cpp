// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "generated/client_entries.h"
#include "generated/messages_image.h"
#include "opencl/client/image.h"
#include "opencl/client/session.h"
#include "opencl/client/transfer.h"
#include "transport/bulk_copy.h"

namespace tessera::client {
namespace {

// What the image's own bytes take of the lease; nothing for an image over another object's.
Charge charge_for(Context& context, const ImagePlan& plan) {
  if (plan.parent != nullptr) return {};
  ensure(plan.bytes <= context.max_alloc(), CL_MEM_OBJECT_ALLOCATION_FAILURE);
  return {context.session().account(), context.gpus(), plan.bytes};
}

Ref<Mem> make_image(Context& context, const ImagePlan& plan, void* host_ptr,
                    std::vector<cl_mem_properties> properties, Charge charge) {
  Mem::Parts parts;
  parts.type = plan.shape.type;
  parts.flags = with_access(plan.flags);
  parts.size = plan.bytes;
  parts.host_ptr = (plan.flags & CL_MEM_USE_HOST_PTR) != 0 ? host_ptr : nullptr;
  parts.shadow_size = plan.shadow_bytes;
  parts.properties = std::move(properties);
  parts.image = plan.facts;
  Ref<Mem> parent = plan.parent == nullptr ? Ref<Mem>() : Ref<Mem>(*plan.parent);
  return make<Mem>(context, std::move(parts), std::move(parent), std::move(charge));
}

wire::CreateImage creation(const Context& context, const Mem& image, const ImagePlan& plan) {
  const cl_image_desc& desc = plan.facts.desc;
  const bool plane_over_parent = plan.parent != nullptr && plan.shape.type == CL_MEM_OBJECT_IMAGE2D;
  wire::CreateImage message;
  message.image = image.id();
  message.context = context.id();
  message.flags = wire_flags(image.flags());
  message.channel_order = plan.facts.format.image_channel_order;
  message.channel_type = plan.facts.format.image_channel_data_type;
  message.image_type = plan.shape.type;
  message.extent = {desc.image_width, desc.image_height, desc.image_depth};
  message.array_size = desc.image_array_size;
  message.row_pitch = plane_over_parent ? desc.image_row_pitch : 0;
  message.buffer = plan.parent == nullptr ? 0 : plan.parent->id();
  return message;
}

// The first contents, cut into pieces from the program's memory.
class Contents {
 public:
  Contents(const ImagePlan& plan, const void* host_ptr)
      : pixel_(plan.shape.pixel), cutting_(plan.shape.limits(), pixel_) {
    const wire::Id3 limits = plan.shape.limits();
    whole_ = {.at = static_cast<const std::byte*>(host_ptr),
              .row_bytes = limits[0] * pixel_,
              .rows = limits[1],
              .slices = limits[2],
              .row_pitch = plan.host.row,
              .slice_pitch = plan.host.slice};
  }
  // They travel with the image's creation.
  bool fit_one_message() const { return cutting_.count() == 1; }
  Bulk piece(Session& session, std::size_t index) const {
    const WriteBox part = part_of(whole_, cutting_.at(index), pixel_);
    Bulk bulk = session.reserve(part.bytes());
    pack(bulk.data(), part, whole_.bytes() >= kPastCaches);
    return bulk;
  }
  void send(const Mem& image) const {
    for (std::size_t i = 0; i < cutting_.count(); ++i) {
      wire::InitializeImage message;
      message.image = image.id();
      message.origin = cutting_.at(i).offset;
      message.region = cutting_.at(i).region;
      image.session().post(message, piece(image.session(), i));
    }
  }

 private:
  std::size_t pixel_;
  Cutting cutting_;
  WriteBox whole_;
};

std::vector<cl_mem_properties> copied(const cl_mem_properties* properties) {
  if (properties == nullptr) return {};
  ensure(*properties == 0, CL_INVALID_PROPERTY);
  return {0};
}

cl_mem create(cl_context handle, const cl_mem_properties* properties, cl_mem_flags flags,
              const cl_image_format* format, const cl_image_desc* desc, void* host_ptr) {
  Context& context = require<Context>(handle);
  std::vector<cl_mem_properties> copy = copied(properties);
  const ImagePlan plan = plan_image(context, flags, format, desc, host_ptr);
  Session& session = context.session();
  Charge charge = charge_for(context, plan);
  const bool certain = plan.parent != nullptr || (session.alone() && charge.fits());
  Ref<Mem> image = make_image(context, plan, host_ptr, std::move(copy), std::move(charge));
  wire::CreateImage message = creation(context, *image, plan);
  std::optional<Contents> contents;
  if (host_ptr != nullptr) contents.emplace(plan, host_ptr);
  const bool together = contents && contents->fit_one_message();
  Bulk pixels = together ? contents->piece(session, 0) : Bulk();
  if (certain) {
    session.create(*image, message, std::move(pixels));
  } else {
    message.confirm = 1;
    ensure_success(session.create_call(*image, message, std::move(pixels)).status);
  }
  if (contents && !together) contents->send(*image);
  return give_handle(std::move(image));
}

// The calls of OpenCL 1.1 know one error for everything about sizes.
cl_mem create_old(cl_context context, cl_mem_flags flags, const cl_image_format* format,
                  const cl_image_desc& desc, void* host_ptr) {
  try {
    return create(context, nullptr, flags, format, &desc, host_ptr);
  } catch (const ApiError& error) {
    if (error.code() != CL_INVALID_IMAGE_DESCRIPTOR) throw;
    throw ApiError(CL_INVALID_IMAGE_SIZE);
  }
}

}  // namespace

namespace entry {

cl_mem CL_API_CALL clCreateImage(cl_context context, cl_mem_flags flags,
                                 const cl_image_format* image_format,
                                 const cl_image_desc* image_desc, void* host_ptr,
                                 cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    return create(context, nullptr, flags, image_format, image_desc, host_ptr);
  });
}

cl_mem CL_API_CALL clCreateImageWithProperties(cl_context context,
                                               const cl_mem_properties* properties,
                                               cl_mem_flags flags,
                                               const cl_image_format* image_format,
                                               const cl_image_desc* image_desc, void* host_ptr,
                                               cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    return create(context, properties, flags, image_format, image_desc, host_ptr);
  });
}

cl_mem CL_API_CALL clCreateImage2D(cl_context context, cl_mem_flags flags,
                                   const cl_image_format* image_format, size_t image_width,
                                   size_t image_height, size_t image_row_pitch, void* host_ptr,
                                   cl_int* errcode_ret) {
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE2D;
  desc.image_width = image_width;
  desc.image_height = image_height;
  desc.image_row_pitch = image_row_pitch;
  return guarded_create(errcode_ret,
                        [&] { return create_old(context, flags, image_format, desc, host_ptr); });
}

cl_mem CL_API_CALL clCreateImage3D(cl_context context, cl_mem_flags flags,
                                   const cl_image_format* image_format, size_t image_width,
                                   size_t image_height, size_t image_depth, size_t image_row_pitch,
                                   size_t image_slice_pitch, void* host_ptr, cl_int* errcode_ret) {
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE3D;
  desc.image_width = image_width;
  desc.image_height = image_height;
  desc.image_depth = image_depth;
  desc.image_row_pitch = image_row_pitch;
  desc.image_slice_pitch = image_slice_pitch;
  return guarded_create(errcode_ret,
                        [&] { return create_old(context, flags, image_format, desc, host_ptr); });
}

}  // namespace entry
}  // namespace tessera::client
