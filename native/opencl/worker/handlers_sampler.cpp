// SPDX-License-Identifier: Apache-2.0
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include "opencl/worker/session.h"

namespace tessera::worker {

void Session::handle(const wire::CreateSampler& m, Incoming& incoming) {
  const auto context = objects_.share<ContextEntry>(m.context);
  const auto entry =
      objects_.add<SamplerEntry>(m.sampler, Record(incoming.opcode, incoming.fields));
  entry->context = context;
  cl_int status = entry->poison;
  if (status == CL_SUCCESS) status = context->poison;
  const bool known = m.normalized_coords <= CL_TRUE && m.addressing_mode >= CL_ADDRESS_NONE &&
                     m.addressing_mode <= CL_ADDRESS_MIRRORED_REPEAT &&
                     (m.filter_mode == CL_FILTER_NEAREST || m.filter_mode == CL_FILTER_LINEAR);
  if (status == CL_SUCCESS && !known) status = CL_INVALID_VALUE;
  if (status != CL_SUCCESS) return poison(*entry, status, m.kOpcode);
  // Not clCreateSamplerWithProperties: drivers before OpenCL 2.0 do not have it.
  entry->handle = clCreateSampler(context->handle, m.normalized_coords, m.addressing_mode,
                                  m.filter_mode, &status);
  if (entry->handle == nullptr) poison(*entry, status, m.kOpcode);
}

}  // namespace tessera::worker
