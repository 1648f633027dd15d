// SPDX-License-Identifier: Apache-2.0
//
// What the embedded device (PoCL 3.1) is known to get wrong. Where the standard is clear, the case
// is demanded through a lease only; `--deviations` runs it on the bare device too, and a test sees
// to it that every row still deviates, so that the table does not outlive the faults.
#include "tests/conformance/deviations.h"

#include "tests/conformance/harness.h"

namespace tessera::conformance {
namespace {

constexpr const char* kAccepts = "takes it without a word";
constexpr const char* kCrashes = "reads through the null pointer";
constexpr const char* kAborts = "ends the process: not implemented";
constexpr const char* kOtherCode = "refuses it with another code";
constexpr const char* kHangs = "never comes back";
constexpr const char* kSucceeds = "says that it succeeded";
constexpr const char* kWhole = "names the device that the sub-devices are parts of";
constexpr const char* kKind = "looks at a handle's value only, not at what it stands for";

}  // namespace

const std::map<std::string, const char*>& deviations() {
  static const std::map<std::string, const char*> table = {
      {"clBuildProgram.null_device", kCrashes},
      {"clCommandBarrierWithWaitListKHR.holds_back_nothing_else_in_its_queue",
       "holds back all of the queue"},
      {"clCommandCopyBufferToImageKHR.region_outside", kAccepts},
      {"clCommandCopyImageKHR.region_outside", kAccepts},
      {"clCommandNDRangeKernelKHR.arguments_not_set", kCrashes},
      {"clCommandNDRangeKernelKHR.no_dimension", kCrashes},
      {"clCommandNDRangeKernelKHR.null_kernel", kCrashes},
      {"clCommandNDRangeKernelKHR.property_given", kAccepts},
      {"clCommandNDRangeKernelKHR.sync_points_null", kCrashes},
      {"clCommandNDRangeKernelKHR.sync_points_without_count", kCrashes},
      {"clCommandNDRangeKernelKHR.takes_the_arguments_of_when_it_was_recorded",
       "takes those of when it is launched"},
      {"clCommandNDRangeKernelKHR.unknown_sync_point", kCrashes},
      {"clCompileProgram.headers_without_names", kCrashes},
      {"clCompileProgram.names_without_headers", "does not compare the count with the names"},
      {"clCreateCommandBufferKHR.null_queue", kCrashes},
      {"clCreateCommandBufferKHR.property_twice", kAccepts},
      {"clCreateCommandBufferKHR.without_properties", "tells a list of one byte"},
      {"clCreateCommandQueueWithProperties.device_queue_that_is_in_order", kAborts},
      {"clCreateCommandQueueWithProperties.device_queue_where_there_are_none", kAborts},
      {"clCreateCommandQueueWithProperties.size_of_a_host_queue", kAccepts},
      {"clCreateContext.bad_interop_value", kAccepts},
      {"clCreateContext.in_a_forked_child_answers_or_refuses", "its threads are not in the child"},
      {"clCreateContextFromType.bad_type", "gives an object together with the error"},
      {"clCreateContextFromType.none_of_that_type", "gives an object together with the error"},
      {"clCreateFromGLBuffer.is_refused", kAborts},
      {"clCreateFromGLBuffer.null_handle", kAborts},
      {"clCreateFromGLRenderbuffer.is_refused", kAborts},
      {"clCreateFromGLRenderbuffer.null_handle", kAborts},
      {"clCreateImage.bad_channel_order", kOtherCode},
      {"clCreateImage.bad_channel_type", kOtherCode},
      {"clCreateImage.bad_type", kOtherCode},
      {"clCreateImage.mip_levels", kAborts},
      {"clCreateImage.no_height", kOtherCode},
      {"clCreateImage.no_width", kOtherCode},
      {"clCreateImage.pitch_smaller_than_a_row", kAccepts},
      {"clCreateImage.pitch_that_cuts_a_pixel", kOtherCode},
      {"clCreateImage.pitch_without_data", kAccepts},
      {"clCreateImage.plain_image_with_a_buffer", kOtherCode},
      {"clCreateImage.rgb_of_bytes", kOtherCode},
      {"clCreateImage.samples", kAborts},
      {"clCreateImage.slice_smaller_than_an_image", kAccepts},
      {"clCreateImage.too_many_layers", kOtherCode},
      {"clCreateImage.too_wide", kOtherCode},
      {"clCreateImage2D.no_width", kOtherCode},
      {"clCreateImage3D.no_height", kOtherCode},
      {"clCreateProgramWithBinary.null_binaries", kCrashes},
      {"clCreateProgramWithIL.refused_where_the_device_takes_none", kOtherCode},
      {"clCreateProgramWithSource.null_list", kCrashes},
      {"clCreateSampler.bad_addressing", kAccepts},
      {"clCreateSampler.bad_filter", kAccepts},
      {"clCreateSamplerWithProperties.bad_addressing", kAccepts},
      {"clCreateSamplerWithProperties.bad_filter", kAccepts},
      {"clCreateSamplerWithProperties.defaults", "wants a list where none means the defaults"},
      {"clCreateSubBuffer.offset_that_wraps_around", kAccepts},
      {"clCreateSubDevices.contexts_tell_their_own", kWhole},
      {"clCreateSubDevices.only_asks_how_many", "wants no room where it gives no list"},
      {"clCreateSubDevices.programs_tell_their_own", kWhole},
      {"clEnqueueAcquireGLObjects.null_handle", kOtherCode},
      {"clEnqueueCommandBufferKHR.fails_with_its_list", "ends the process"},
      {"clEnqueueCommandBufferKHR.its_times_are_those_of_all_its_commands",
       "tells the times of a marker behind them"},
      {"clEnqueueCommandBufferKHR.without_commands_waits_for_its_list", "does not wait"},
      {"clEnqueueCopyBufferRect.null_source", kCrashes},
      {"clEnqueueCopyImageToBuffer.null_buffer", kCrashes},
      {"clEnqueueFillBuffer.in_a_forked_child_answers_or_refuses",
       "its threads are not in the child"},
      {"clEnqueueMapBuffer.blocking_behind_a_failed_event", kSucceeds},
      {"clEnqueueMapBuffer.invalidate_and_read", kAccepts},
      {"clEnqueueMapBuffer.unknown_flag", kAccepts},
      {"clEnqueueMapImage.unknown_flag", kAccepts},
      {"clEnqueueNDRangeKernel.group_of_no_items", kAccepts},
      {"clEnqueueNDRangeKernel.null_kernel", kCrashes},
      {"clEnqueueNDRangeKernel.null_queue", kCrashes},
      {"clEnqueueNDRangeKernel.offset_that_wraps_around", kAccepts},
      {"clEnqueueNDRangeKernel.wait_list_null", kCrashes},
      {"clEnqueueNDRangeKernel.wait_list_of_another_context", kAccepts},
      {"clEnqueueNDRangeKernel.wait_list_with_a_null_event", kAccepts},
      {"clEnqueueNDRangeKernel.wait_list_without_count", kAccepts},
      {"clEnqueueReadBuffer.blocking_behind_a_failed_event", kHangs},
      {"clEnqueueReadBuffer.blocking_behind_a_failed_event", kSucceeds},
      {"clEnqueueReadBuffer.of_an_image", kAccepts},
      {"clEnqueueReadImage.origin_that_wraps_around", kAccepts},
      {"clEnqueueReadImage.row_pitch_too_small", kAccepts},
      {"clEnqueueReadImage.slice_pitch_of_a_flat_image", kAccepts},
      {"clEnqueueReleaseGLObjects.null_handle", kOtherCode},
      {"clEnqueueSVMMap.unknown_flag", kAccepts},
      {"clEnqueueSVMMemFill.bad_patterns", kCrashes},
      {"clEnqueueTask.gives_an_event", "calls the command an ND-range"},
      {"clEnqueueTask.null_kernel", kCrashes},
      {"clEnqueueTask.null_queue", kCrashes},
      {"clEnqueueTask.wait_list_null", kCrashes},
      {"clEnqueueTask.wait_list_of_another_context", kAccepts},
      {"clEnqueueTask.wait_list_with_a_null_event", kAccepts},
      {"clEnqueueTask.wait_list_without_count", kAccepts},
      {"clEnqueueWaitForEvents.holds_back_what_follows", kAborts},
      {"clEnqueueWaitForEvents.none", kAborts},
      {"clEnqueueWriteBuffer.blocking_behind_a_failed_event", kSucceeds},
      {"clEnqueueWriteBuffer.of_an_image", kAccepts},
      {"clEnqueueWriteImage.empty_region", kAccepts},
      {"clEnqueueWriteImage.row_pitch_too_small", kAccepts},
      {"clFinalizeCommandBufferKHR.twice", kAccepts},
      {"clGetCommandBufferInfoKHR.sizes", "does not compare the room with the size"},
      {"clGetCommandBufferInfoKHR.tells_what_it_was_made_with",
       "tells the address of its own list"},
      {"clGetContextInfo.null_context", kOtherCode},
      {"clGetDeviceIDs.bad_type", kOtherCode},
      {"clGetDeviceIDs.zero_type", kOtherCode},
      {"clGetEventInfo.null_event", kOtherCode},
      {"clGetEventProfilingInfo.null_event", kOtherCode},
      {"clGetGLObjectInfo.is_refused", kAborts},
      {"clGetGLObjectInfo.null_handle", kAborts},
      {"clGetGLTextureInfo.is_refused", kAborts},
      {"clGetGLTextureInfo.null_handle", kAborts},
      {"clGetImageInfo.of_a_buffer", kAccepts},
      {"clGetKernelWorkGroupInfo.the_whole_of_its_sub_devices", kAccepts},
      {"clGetPlatformIDs.driver_nothing_asked", kAccepts},
      {"clLinkProgram.null_program", kCrashes},
      {"clSetEventCallback.on_the_error_of_a_user_event", "does not call it"},
      {"clSetKernelArg.buffer_as_image", kAccepts},
      {"clSetKernelArg.null_sampler", kAccepts},
      {"clSetKernelArg.other_object_as_memory", kAccepts},
      {"clSetKernelExecInfo.null_value", kAccepts},
      {"clSetKernelExecInfo.system_memory_where_there_is_none", kAccepts},
      {"clSetKernelExecInfo.unknown_parameter", kAccepts},
      {"clSetProgramSpecializationConstant.refused_for_a_source_program", kAborts},
  };
  return table;
}

const char* bare_deviation(const std::string& case_name) {
  // What a foreign handle does is a matter of luck, so these are in no row that has to stay true.
  if (case_name.find(".wrong_kind") != std::string::npos) return kKind;
  const auto found = deviations().find(case_name);
  return found == deviations().end() ? nullptr : found->second;
}

}  // namespace tessera::conformance
