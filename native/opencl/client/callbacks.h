// SPDX-License-Identifier: Apache-2.0
//
// The function pointers of the API under names of their own: the standard's header spells them out
// in each prototype, and the generated prototypes must match them exactly.
#pragma once

#include <CL/cl.h>

extern "C" {
using tessera_context_callback = void(CL_CALLBACK*)(const char* notice, const void* private_info,
                                                    size_t size, void* user_data);
using tessera_context_release_callback = void(CL_CALLBACK*)(cl_context context, void* user_data);
using tessera_program_callback = void(CL_CALLBACK*)(cl_program program, void* user_data);
using tessera_event_callback = void(CL_CALLBACK*)(cl_event event, cl_int status, void* user_data);
using tessera_mem_callback = void(CL_CALLBACK*)(cl_mem memobj, void* user_data);
using tessera_native_function = void(CL_CALLBACK*)(void* args);
using tessera_svm_free_callback = void(CL_CALLBACK*)(cl_command_queue queue, cl_uint count,
                                                     void* pointers[], void* user_data);
}
