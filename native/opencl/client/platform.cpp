// SPDX-License-Identifier: Apache-2.0
#include <CL/cl_ext.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "generated/client_entries.h"
#include "opencl/client/device.h"
#include "opencl/client/info.h"
#include "opencl/client/log.h"
#include "opencl/client/platform_entries.h"
#include "opencl/client/session.h"
#include "transport/channel.h"

namespace tessera::client {
namespace {

constexpr std::size_t kCounters = 6;

// Once is enough: loaders and programs ask several times.
void say_why(const char* why) {
  static constinit std::atomic<bool> said{false};
  if (!said.exchange(true)) log(LogLevel::error, why);
}

// An extension of this driver: messages, round trips, bytes to the worker, bytes to the client,
// wakes and sleeps of this process's session, the first `count` of them.
cl_int CL_API_CALL get_session_counters(cl_platform_id platform, size_t count, cl_ulong* values) {
  return guarded([&] {
    require<Platform>(platform);
    ensure(values != nullptr && count != 0 && count <= kCounters, CL_INVALID_VALUE);
    const Session* session = Session::existing();
    const auto c = session != nullptr ? session->counters() : Session::Counters{};
    const cl_ulong all[kCounters] = {c.messages,        c.round_trips, c.bytes_to_worker,
                                     c.bytes_to_client, c.wakes,       c.sleeps};
    std::copy_n(all, count, values);
  });
}

void* extension_function(const char* name) {
  if (name == nullptr) return nullptr;
  const auto is = [name](const char* other) { return std::strcmp(name, other) == 0; };
  if (is("clIcdGetPlatformIDsKHR")) return reinterpret_cast<void*>(&get_platform_ids);
  if (is("clGetSessionCountersTESSERA")) return reinterpret_cast<void*>(&get_session_counters);
  // Extensions that became part of the standard with the same arguments.
  if (is("clCreateCommandQueueWithPropertiesKHR")) {
    return entry_point("clCreateCommandQueueWithProperties");
  }
  if (is("clCreateProgramWithILKHR")) return entry_point("clCreateProgramWithIL");
  if (is("clGetKernelSubGroupInfoKHR")) return entry_point(name);
  return function_of_extension(name);
}

}  // namespace

cl_int CL_API_CALL get_platform_ids(cl_uint num_entries, cl_platform_id* platforms,
                                    cl_uint* num_platforms) {
  if ((num_entries == 0) != (platforms == nullptr) ||
      (platforms == nullptr && num_platforms == nullptr)) {
    return CL_INVALID_VALUE;
  }
  try {
    Platform& platform = Platform::get();
    if (platforms != nullptr) platforms[0] = platform.handle();
    if (num_platforms != nullptr) *num_platforms = 1;
    return CL_SUCCESS;
  } catch (const ConnectError& error) {
    say_why(error.what());
  } catch (const ChannelClosed& error) {
    say_why(error.what());
  } catch (...) {
    return current_error();
  }
  if (num_platforms != nullptr) *num_platforms = 0;
  return CL_PLATFORM_NOT_FOUND_KHR;
}

namespace entry {

cl_int CL_API_CALL clGetPlatformIDs(cl_uint num_entries, cl_platform_id* platforms,
                                    cl_uint* num_platforms) {
  return get_platform_ids(num_entries, platforms, num_platforms);
}

cl_int CL_API_CALL clGetPlatformInfo(cl_platform_id platform, cl_platform_info param_name,
                                     size_t param_value_size, void* param_value,
                                     size_t* param_value_size_ret) {
  return guarded([&] {
    const Platform& object = require<Platform>(platform);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_PLATFORM_PROFILE:
        return info.text("FULL_PROFILE");
      case CL_PLATFORM_VERSION:
        return info.text(object.identity().version);
      case CL_PLATFORM_NUMERIC_VERSION:
        return info.value(object.identity().numeric_version);
      case CL_PLATFORM_NAME:
        return info.text(object.identity().name);
      case CL_PLATFORM_VENDOR:
        return info.text(object.identity().vendor);
      case CL_PLATFORM_EXTENSIONS:
        return info.text(object.extensions());
      case CL_PLATFORM_EXTENSIONS_WITH_VERSION: {
        const auto versions = object.extensions_with_version();
        return info.array(std::span(versions));
      }
      case CL_PLATFORM_ICD_SUFFIX_KHR:
        return info.text("TESSERA");
      case CL_PLATFORM_HOST_TIMER_RESOLUTION:
        return info.value(object.host_timer_resolution());
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

void* CL_API_CALL clGetExtensionFunctionAddress(const char* function_name) {
  return extension_function(function_name);
}

void* CL_API_CALL clGetExtensionFunctionAddressForPlatform(cl_platform_id platform,
                                                           const char* function_name) {
  const auto* object = reinterpret_cast<const Object*>(platform);
  if (object == nullptr || object->kind() != Kind::platform) return nullptr;
  return extension_function(function_name);
}

// A hint. The worker's compiler serves other programs of the lease too and is left as it is.
cl_int CL_API_CALL clUnloadCompiler() {
  return CL_SUCCESS;
}

cl_int CL_API_CALL clUnloadPlatformCompiler(cl_platform_id platform) {
  return guarded([&] { require<Platform>(platform); });
}

}  // namespace entry
}  // namespace tessera::client
