// SPDX-License-Identifier: Apache-2.0
//
// Entry points of other worlds: OpenGL, EGL, Direct3D, device fission, pipes. A driver without the
// extension either has no entry or refuses with one of the codes its extension lists; it never
// pretends.
#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

// What a refusal may be: the codes that these extensions list for things that are not theirs.
const Want kRefusal{CL_INVALID_OPERATION,
                    CL_INVALID_CONTEXT,
                    CL_INVALID_VALUE,
                    CL_INVALID_GL_OBJECT,
                    CL_INVALID_PLATFORM,
                    CL_INVALID_MEM_OBJECT,
                    CL_INVALID_EGL_OBJECT_KHR,
                    CL_INVALID_GL_SHAREGROUP_REFERENCE_KHR,
                    CL_INVALID_IMAGE_FORMAT_DESCRIPTOR,
                    CL_INVALID_PROPERTY,
                    CL_INVALID_DEVICE,
                    -1010 /* CL_INVALID_D3D11_DEVICE_KHR */,
                    -1006 /* CL_INVALID_D3D10_DEVICE_KHR */,
                    CL_DEVICE_NOT_FOUND,
                    CL_OUT_OF_HOST_MEMORY};

// Types that only Windows headers have: the entry is void* in the table, and takes at least these.
using Refused = cl_int (*)(void*, void*, void*, void*, void*, void*, void*, void*);
using RefusedNew = void* (*)(void*, cl_mem_flags, void*, void*, void*, void*, void*, void*);

const Want kNullContext{CL_INVALID_CONTEXT, CL_INVALID_OPERATION};
const Want kNullQueue{CL_INVALID_COMMAND_QUEUE, CL_INVALID_OPERATION};
const Want kNullMemory{CL_INVALID_MEM_OBJECT, CL_INVALID_OPERATION, CL_INVALID_GL_OBJECT};

#define REFUSED_CALL(entry, object, null_code, ...)      \
  USE(entry, is_refused) {                               \
    require_entry(w, w.table->entry != nullptr, #entry); \
    CODE(w.table->entry(object, __VA_ARGS__), kRefusal); \
  }                                                      \
  TABLE_FAULT(entry, null_handle, null_code, (nullptr, __VA_ARGS__))
#define REFUSED_NEW(entry, ...)                          \
  USE(entry, is_refused) {                               \
    require_entry(w, w.table->entry != nullptr, #entry); \
    cl_int e = 1;                                        \
    auto made = w.table->entry(w.ctx, __VA_ARGS__, &e);  \
    CODE(creation_code(made, e), kRefusal);              \
  }                                                      \
  TABLE_FAULT_NEW(entry, null_handle, kNullContext, (nullptr, __VA_ARGS__, &e))

REFUSED_NEW(clCreateFromGLBuffer, CL_MEM_READ_WRITE, 1)
REFUSED_NEW(clCreateFromGLTexture, CL_MEM_READ_WRITE, 0x0DE1, 0, 1)
REFUSED_NEW(clCreateFromGLTexture2D, CL_MEM_READ_WRITE, 0x0DE1, 0, 1)
REFUSED_NEW(clCreateFromGLTexture3D, CL_MEM_READ_WRITE, 0x806F, 0, 1)
REFUSED_NEW(clCreateFromGLRenderbuffer, CL_MEM_READ_WRITE, 1)
REFUSED_CALL(clGetGLObjectInfo, w.buf, kNullMemory, nullptr, nullptr)
REFUSED_CALL(clGetGLTextureInfo, w.image, kNullMemory, CL_GL_TEXTURE_TARGET, 0, nullptr, nullptr)
REFUSED_CALL(clEnqueueAcquireGLObjects, w.queue, kNullQueue, 1, w.buf.at(), 0, nullptr, nullptr)
REFUSED_CALL(clEnqueueReleaseGLObjects, w.queue, kNullQueue, 1, w.buf.at(), 0, nullptr, nullptr)
REFUSED_NEW(clCreateEventFromGLsyncKHR, nullptr)
TABLE_FAULT(clGetGLContextInfoKHR, null_handle, kRefusal,
            (nullptr, CL_CURRENT_DEVICE_FOR_GL_CONTEXT_KHR, 0, nullptr, nullptr))
USE(clGetGLContextInfoKHR, finds_no_device) {
  require_entry(w, w.table->clGetGLContextInfoKHR != nullptr, "clGetGLContextInfoKHR");
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM,
                                        reinterpret_cast<cl_context_properties>(w.platform), 0};
  cl_device_id device = nullptr;
  std::size_t size = 99;
  const cl_int code = w.table->clGetGLContextInfoKHR(list, CL_CURRENT_DEVICE_FOR_GL_CONTEXT_KHR,
                                                     sizeof device, &device, &size);
  if (code == CL_SUCCESS)
    SAME(size, std::size_t{0});
  else
    CODE(code, kRefusal);
}

REFUSED_NEW(clCreateFromEGLImageKHR, nullptr, nullptr, CL_MEM_READ_WRITE, nullptr)
REFUSED_CALL(clEnqueueAcquireEGLObjectsKHR, w.queue, kNullQueue, 1, w.buf.at(), 0, nullptr, nullptr)
REFUSED_CALL(clEnqueueReleaseEGLObjectsKHR, w.queue, kNullQueue, 1, w.buf.at(), 0, nullptr, nullptr)
REFUSED_NEW(clCreateEventFromEGLSyncKHR, nullptr, nullptr)

// Direct3D: a driver that is not on Windows has no such device to be asked about.
cl_int refuse(void* entry, void* object) {
  return reinterpret_cast<Refused>(entry)(object, nullptr, nullptr, nullptr, nullptr, nullptr,
                                          nullptr, nullptr);
}

#define REFUSED_FOREIGN(entry, object)                                                    \
  USE(entry, is_refused) {                                                                \
    require_entry(w, w.table->entry != nullptr, #entry);                                  \
    CODE(refuse(reinterpret_cast<void*>(w.table->entry), object), kRefusal);              \
  }                                                                                       \
  FAULT_BODY(entry, null_handle) {                                                        \
    require_entry(w, w.table->entry != nullptr, #entry);                                  \
    const Want want{CL_INVALID_COMMAND_QUEUE, CL_INVALID_PLATFORM, CL_INVALID_OPERATION}; \
    CODE(refuse(reinterpret_cast<void*>(w.table->entry), nullptr), want);                 \
  }

// Where the room for the code stands differs between them and cannot be had from the types.
cl_int refuse_new(void* entry, void* context, std::size_t code_place) {
  cl_int e = 1;
  void* places[6] = {};
  places[code_place] = &e;
  void* made = reinterpret_cast<RefusedNew>(entry)(context, CL_MEM_READ_WRITE, places[2], places[3],
                                                   places[4], places[5], nullptr, nullptr);
  return creation_code(made, e);
}
#define REFUSED_FOREIGN_NEW(entry, code_place)                                                    \
  USE(entry, is_refused) {                                                                        \
    require_entry(w, w.table->entry != nullptr, #entry);                                          \
    CODE(refuse_new(reinterpret_cast<void*>(w.table->entry), cl_context(w.ctx), code_place),      \
         kRefusal);                                                                               \
  }                                                                                               \
  FAULT_BODY(entry, null_handle) {                                                                \
    require_entry(w, w.table->entry != nullptr, #entry);                                          \
    CODE(refuse_new(reinterpret_cast<void*>(w.table->entry), nullptr, code_place), kNullContext); \
  }

REFUSED_FOREIGN(clGetDeviceIDsFromD3D10KHR, w.platform)
REFUSED_FOREIGN_NEW(clCreateFromD3D10BufferKHR, 3)
REFUSED_FOREIGN_NEW(clCreateFromD3D10Texture2DKHR, 4)
REFUSED_FOREIGN_NEW(clCreateFromD3D10Texture3DKHR, 4)
REFUSED_FOREIGN(clEnqueueAcquireD3D10ObjectsKHR, cl_command_queue(w.queue))
REFUSED_FOREIGN(clEnqueueReleaseD3D10ObjectsKHR, cl_command_queue(w.queue))
REFUSED_FOREIGN(clGetDeviceIDsFromD3D11KHR, w.platform)
REFUSED_FOREIGN_NEW(clCreateFromD3D11BufferKHR, 3)
REFUSED_FOREIGN_NEW(clCreateFromD3D11Texture2DKHR, 4)
REFUSED_FOREIGN_NEW(clCreateFromD3D11Texture3DKHR, 4)
REFUSED_FOREIGN(clEnqueueAcquireD3D11ObjectsKHR, cl_command_queue(w.queue))
REFUSED_FOREIGN(clEnqueueReleaseD3D11ObjectsKHR, cl_command_queue(w.queue))
REFUSED_FOREIGN(clGetDeviceIDsFromDX9MediaAdapterKHR, w.platform)
REFUSED_FOREIGN_NEW(clCreateFromDX9MediaSurfaceKHR, 5)
REFUSED_FOREIGN(clEnqueueAcquireDX9MediaSurfacesKHR, cl_command_queue(w.queue))
REFUSED_FOREIGN(clEnqueueReleaseDX9MediaSurfacesKHR, cl_command_queue(w.queue))

// cl_ext_device_fission: its retain and release stand in the table also where partitioning does
// not.
USE(clCreateSubDevicesEXT, is_refused) {
  require_entry(w, w.table->clCreateSubDevicesEXT != nullptr, "clCreateSubDevicesEXT");
  cl_uint count = 0;
  CODE(w.table->clCreateSubDevicesEXT(w.device, nullptr, 0, nullptr, &count), kRefusal);
}
TABLE_FAULT(clCreateSubDevicesEXT, null_device,
            ANY(CL_INVALID_DEVICE, CL_INVALID_OPERATION, CL_INVALID_VALUE),
            (nullptr, nullptr, 0, nullptr, nullptr))
USE(clRetainDeviceEXT, of_a_root_device) {
  require_entry(w, w.table->clRetainDeviceEXT != nullptr, "clRetainDeviceEXT");
  CODE(w.table->clRetainDeviceEXT(w.device),
       ANY(CL_SUCCESS, CL_INVALID_DEVICE, CL_INVALID_OPERATION));
}
TABLE_FAULT(clRetainDeviceEXT, null_device, ANY(CL_INVALID_DEVICE, CL_INVALID_OPERATION), (nullptr))
USE(clReleaseDeviceEXT, of_a_root_device) {
  require_entry(w, w.table->clReleaseDeviceEXT != nullptr, "clReleaseDeviceEXT");
  CODE(w.table->clReleaseDeviceEXT(w.device),
       ANY(CL_SUCCESS, CL_INVALID_DEVICE, CL_INVALID_OPERATION));
}
TABLE_FAULT(clReleaseDeviceEXT, null_device, ANY(CL_INVALID_DEVICE, CL_INVALID_OPERATION),
            (nullptr))

bool has_pipes(const World& w) {
  return device_fact<cl_bool>(w, CL_DEVICE_PIPE_SUPPORT) == CL_TRUE;
}
USE(clCreatePipe, refused_where_there_are_none) {
  if (has_pipes(w)) throw Skip("the device has pipes");
  cl_int e = 1;
  CODE(creation_code(clCreatePipe(w.ctx, 0, 16, 16, nullptr, &e), e), CL_INVALID_OPERATION);
}
TABLE_FAULT_NEW(clCreatePipe, null_context, ANY(CL_INVALID_CONTEXT, CL_INVALID_OPERATION),
                (nullptr, 0, 16, 16, nullptr, &e))
FAULT_NEW(clCreatePipe, packet_of_no_bytes, ANY(CL_INVALID_PIPE_SIZE, CL_INVALID_OPERATION),
          (w.ctx, 0, 0, 16, nullptr, &e))
USE(clGetPipeInfo, of_a_buffer) {
  CODE(clGetPipeInfo(w.buf, CL_PIPE_PACKET_SIZE, 0, nullptr, nullptr),
       ANY(CL_INVALID_MEM_OBJECT, CL_INVALID_OPERATION));
}
TABLE_FAULT(clGetPipeInfo, null_pipe, ANY(CL_INVALID_MEM_OBJECT, CL_INVALID_OPERATION),
            (nullptr, CL_PIPE_PACKET_SIZE, 0, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance
