// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "tests/conformance/harness.h"
#include "tests/conformance/world.h"

namespace tessera::conformance {

std::string code_name(cl_int code) {
#define NAME(c) \
  { c, #c }
  static const std::map<cl_int, const char*> names = {
      NAME(CL_SUCCESS),
      NAME(CL_DEVICE_NOT_FOUND),
      NAME(CL_DEVICE_NOT_AVAILABLE),
      NAME(CL_COMPILER_NOT_AVAILABLE),
      NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE),
      NAME(CL_OUT_OF_RESOURCES),
      NAME(CL_OUT_OF_HOST_MEMORY),
      NAME(CL_PROFILING_INFO_NOT_AVAILABLE),
      NAME(CL_MEM_COPY_OVERLAP),
      NAME(CL_IMAGE_FORMAT_MISMATCH),
      NAME(CL_IMAGE_FORMAT_NOT_SUPPORTED),
      NAME(CL_BUILD_PROGRAM_FAILURE),
      NAME(CL_MAP_FAILURE),
      NAME(CL_MISALIGNED_SUB_BUFFER_OFFSET),
      NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
      NAME(CL_COMPILE_PROGRAM_FAILURE),
      NAME(CL_LINKER_NOT_AVAILABLE),
      NAME(CL_LINK_PROGRAM_FAILURE),
      NAME(CL_DEVICE_PARTITION_FAILED),
      NAME(CL_KERNEL_ARG_INFO_NOT_AVAILABLE),
      NAME(CL_INVALID_VALUE),
      NAME(CL_INVALID_DEVICE_TYPE),
      NAME(CL_INVALID_PLATFORM),
      NAME(CL_INVALID_DEVICE),
      NAME(CL_INVALID_CONTEXT),
      NAME(CL_INVALID_QUEUE_PROPERTIES),
      NAME(CL_INVALID_COMMAND_QUEUE),
      NAME(CL_INVALID_HOST_PTR),
      NAME(CL_INVALID_MEM_OBJECT),
      NAME(CL_INVALID_IMAGE_FORMAT_DESCRIPTOR),
      NAME(CL_INVALID_IMAGE_SIZE),
      NAME(CL_INVALID_SAMPLER),
      NAME(CL_INVALID_BINARY),
      NAME(CL_INVALID_BUILD_OPTIONS),
      NAME(CL_INVALID_PROGRAM),
      NAME(CL_INVALID_PROGRAM_EXECUTABLE),
      NAME(CL_INVALID_KERNEL_NAME),
      NAME(CL_INVALID_KERNEL_DEFINITION),
      NAME(CL_INVALID_KERNEL),
      NAME(CL_INVALID_ARG_INDEX),
      NAME(CL_INVALID_ARG_VALUE),
      NAME(CL_INVALID_ARG_SIZE),
      NAME(CL_INVALID_KERNEL_ARGS),
      NAME(CL_INVALID_WORK_DIMENSION),
      NAME(CL_INVALID_WORK_GROUP_SIZE),
      NAME(CL_INVALID_WORK_ITEM_SIZE),
      NAME(CL_INVALID_GLOBAL_OFFSET),
      NAME(CL_INVALID_EVENT_WAIT_LIST),
      NAME(CL_INVALID_EVENT),
      NAME(CL_INVALID_OPERATION),
      NAME(CL_INVALID_GL_OBJECT),
      NAME(CL_INVALID_BUFFER_SIZE),
      NAME(CL_INVALID_MIP_LEVEL),
      NAME(CL_INVALID_GLOBAL_WORK_SIZE),
      NAME(CL_INVALID_PROPERTY),
      NAME(CL_INVALID_IMAGE_DESCRIPTOR),
      NAME(CL_INVALID_COMPILER_OPTIONS),
      NAME(CL_INVALID_LINKER_OPTIONS),
      NAME(CL_INVALID_DEVICE_PARTITION_COUNT),
      NAME(CL_INVALID_PIPE_SIZE),
      NAME(CL_INVALID_DEVICE_QUEUE),
      NAME(CL_INVALID_SPEC_ID),
      NAME(CL_MAX_SIZE_RESTRICTION_EXCEEDED),
      NAME(CL_INVALID_GL_SHAREGROUP_REFERENCE_KHR),
      NAME(CL_INVALID_EGL_OBJECT_KHR),
      NAME(CL_EGL_RESOURCE_NOT_ACQUIRED_KHR)};
#undef NAME
  const auto found = names.find(code);
  return found == names.end() ? std::to_string(code) : found->second;
}

bool Want::has(cl_int code) const {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

std::string Want::text() const {
  std::string all;
  for (const cl_int code : codes) all += (all.empty() ? "" : "|") + code_name(code);
  return all;
}

std::string place(const char* text, const char* file, int line) {
  const std::string path = file;
  return std::string(text) + " at " + path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
}

void require_code(cl_int got, const Want& want, const char* text, const char* file, int line) {
  if (!want.has(got)) throw Failure(code_name(got), want.text(), place(text, file, line));
}

void require(bool holds, const char* text, const char* file, int line) {
  if (!holds) throw Failure("false", "true", place(text, file, line));
}

void require_entry(const World& world, bool present, const char* entry) {
  if (present) return;
  if (world.tessera) throw Failure("no entry", entry, "the dispatch table");
  throw Skip(std::string(entry) + " is not in the driver's table");
}

}  // namespace tessera::conformance
