// SPDX-License-Identifier: Apache-2.0
//
// The names by which a loader gets at the driver; everything else goes through the dispatch table.
#include <CL/cl_icd.h>

#include "generated/client_entries.h"
#include "opencl/client/platform_entries.h"

extern "C" {

__attribute__((visibility("default"))) cl_int CL_API_CALL
clIcdGetPlatformIDsKHR(cl_uint num_entries, cl_platform_id* platforms, cl_uint* num_platforms) {
  return tessera::client::get_platform_ids(num_entries, platforms, num_platforms);
}

__attribute__((visibility("default"))) cl_int CL_API_CALL
clGetPlatformIDs(cl_uint num_entries, cl_platform_id* platforms, cl_uint* num_platforms) {
  return tessera::client::get_platform_ids(num_entries, platforms, num_platforms);
}

__attribute__((visibility("default"))) cl_int CL_API_CALL
clGetPlatformInfo(cl_platform_id platform, cl_platform_info param_name, size_t param_value_size,
                  void* param_value, size_t* param_value_size_ret) {
  return tessera::client::entry::clGetPlatformInfo(platform, param_name, param_value_size,
                                                   param_value, param_value_size_ret);
}

__attribute__((visibility("default"))) void* CL_API_CALL
clGetExtensionFunctionAddress(const char* function_name) {
  return tessera::client::entry::clGetExtensionFunctionAddress(function_name);
}

}  // extern "C"
