// SPDX-License-Identifier: Apache-2.0
//
// cl_khr_command_buffer as a lease carries it: revisions 0.9.0 to 0.9.3.
//
// Revision 0.9.4 adds two functions for shared virtual memory and is announced as 0.9.3. From 0.9.5
// on the functions have the same names and other parameters, so a driver's later revision is not
// announced: a program would be called with what it does not expect.
#pragma once

#include <CL/cl.h>
#include <CL/cl_ext.h>

namespace tessera::command_buffer {

inline constexpr char kExtension[] = "cl_khr_command_buffer";
inline constexpr cl_version kMostAnnounced = CL_MAKE_VERSION(0, 9, 3);
inline constexpr cl_version kOtherParameters = CL_MAKE_VERSION(0, 9, 5);
inline constexpr cl_version kHasContextQuery = CL_MAKE_VERSION(0, 9, 2);

// Not in every version of the Khronos headers.
// CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR
inline constexpr cl_bitfield kCanSimultaneousUse = 1u << 2;
inline constexpr cl_bitfield kCanOutOfOrder = 1u << 3;
inline constexpr cl_bitfield kSimultaneousUse = 1u << 0;  // CL_COMMAND_BUFFER_FLAGS_KHR
inline constexpr cl_uint kContext = 0x1299;               // CL_COMMAND_BUFFER_CONTEXT_KHR
inline constexpr cl_uint kPending = 2;                    // CL_COMMAND_BUFFER_STATE_PENDING_KHR

}  // namespace tessera::command_buffer
