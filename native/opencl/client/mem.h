// SPDX-License-Identifier: Apache-2.0
//
// Buffers, sub-buffers and images.
//
// The bytes live in the worker. A map hands out a shadow in this process: the program's own memory
// where it gave some (CL_MEM_USE_HOST_PTR), else pages reserved at the first map and touched only
// where they are used. A sub-buffer maps into the shadow of its buffer, so that overlapping maps
// agree.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "opencl/client/account.h"
#include "opencl/client/callbacks.h"
#include "opencl/client/context.h"
#include "opencl/client/object.h"

namespace tessera::client {

class Command;
struct ReadState;  // transfer.h

// One clEnqueueMap* that is not yet unmapped.
struct Mapping {
  void* pointer = nullptr;
  cl_map_flags flags = 0;
  wire::Id3 origin{};  // buffers: offset in bytes
  wire::Id3 region{};  // buffers: size in bytes, 1, 1
  std::size_t row_pitch = 0;
  std::size_t slice_pitch = 0;
  std::shared_ptr<const ReadState> read{};  // that brings the contents; null where none does
  // Its bytes have not come, so the program has not looked at the region, nor written to it.
  bool untouched() const;
  bool writes() const { return (flags & (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION)) != 0; }
};

// What an image has beyond a buffer.
struct ImageFacts {
  cl_image_format format{};
  cl_image_desc desc{};  // as it turned out: pitches of the shadow, never 0 where they matter
  std::size_t element_size = 0;  // bytes of a pixel
};

// Pages of this process that nothing uses yet.
class Pages {
 public:
  Pages() = default;
  // Throws std::bad_alloc.
  explicit Pages(std::size_t size);
  Pages(Pages&& other) noexcept : at_(std::exchange(other.at_, nullptr)), size_(other.size_) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Pages();
  std::byte* at() const { return static_cast<std::byte*>(at_); }

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
};

class Mem final : public Typed<Mem> {
 public:
  struct Parts {
    cl_mem_object_type type = CL_MEM_OBJECT_BUFFER;
    cl_mem_flags flags = 0;                     // as CL_MEM_FLAGS tells them
    std::size_t size = 0;                       // CL_MEM_SIZE
    void* host_ptr = nullptr;                   // of CL_MEM_USE_HOST_PTR only
    std::size_t shadow_size = 0;                // bytes that a map of everything needs
    std::size_t offset = 0;                     // of a sub-buffer
    std::vector<cl_mem_properties> properties;  // with the closing 0, or empty
    std::optional<ImageFacts> image;
    bool svm = false;  // host_ptr came from clSVMAlloc
  };
  // `parent`: the buffer of a sub-buffer or of an image over a buffer, else empty.
  Mem(Context& context, Parts parts, Ref<Mem> parent, Charge charge);
  ~Mem();

  Context& context() const { return *context_; }
  cl_mem_object_type type() const { return parts_.type; }
  bool is_buffer() const { return parts_.type == CL_MEM_OBJECT_BUFFER; }
  bool is_image() const { return parts_.image.has_value(); }
  cl_mem_flags flags() const { return parts_.flags; }
  std::size_t size() const { return parts_.size; }
  std::size_t offset() const { return parts_.offset; }
  void* host_ptr() const { return parts_.host_ptr; }
  bool svm() const { return parts_.svm; }
  const std::vector<cl_mem_properties>& properties() const { return parts_.properties; }
  const ImageFacts& image() const { return *parts_.image; }
  Mem* parent() const { return parent_.get(); }

  // Where the object's first byte is mapped. Throws std::bad_alloc.
  std::byte* shadow();
  // The shadow is the object's own memory: what kernels write there is seen without a read.
  bool shares_memory() const;
  void add_mapping(const Mapping& mapping);
  // Takes out the newest mapping with this pointer. Throws ApiError(CL_INVALID_VALUE).
  Mapping take_mapping(void* pointer);
  cl_uint map_count();

  void on_destroy(tessera_mem_callback function, void* user_data);
  // The program has given its last reference back: from now on somebody has to receive what the
  // destructor callbacks wait for.
  void expect_destruction();
  bool has_destructors();

 private:
  Ref<Context> context_;
  Parts parts_;
  Ref<Mem> parent_;
  Charge charge_;
  std::mutex mutex_;
  Pages shadow_;
  std::vector<Mapping> mappings_;
  std::vector<std::pair<tessera_mem_callback, void*>> destructors_;
  bool expected_ = false;  // by the callback thread
};

// CL_MEM_READ_WRITE and its like: at most one of each group, and nothing unknown. `allowed` names
// the flags of the call. Throws ApiError(CL_INVALID_VALUE).
void ensure_mem_flags(cl_mem_flags flags, cl_mem_flags allowed);
// USE_HOST_PTR and COPY_HOST_PTR want a pointer, all else none. Throws
// ApiError(CL_INVALID_HOST_PTR).
void ensure_host_ptr(cl_mem_flags flags, const void* host_ptr);
// The flags without *_HOST_PTR, as the worker gets them.
cl_mem_flags wire_flags(cl_mem_flags flags);
// CL_MEM_READ_WRITE added where no access was given.
cl_mem_flags with_access(cl_mem_flags flags);

// The write-back of an image's mapping that clEnqueueUnmapMemObject ends; posts with `command`.
// In the files of images.
void unmap_image(Command& command, Mem& image, const Mapping& mapping);

}  // namespace tessera::client
