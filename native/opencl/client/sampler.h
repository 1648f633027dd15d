// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "opencl/client/context.h"
#include "opencl/client/object.h"

namespace tessera::client {

struct SamplerState {
  cl_bool normalized = CL_TRUE;
  cl_addressing_mode addressing = CL_ADDRESS_CLAMP;
  cl_filter_mode filter = CL_FILTER_NEAREST;
};

class Sampler final : public Typed<Sampler> {
 public:
  // `properties`: as the program gave them, with the closing 0, or empty.
  Sampler(Context& context, const SamplerState& state,
          std::vector<cl_sampler_properties> properties)
      : Typed(&context.session()),
        context_(context),
        state_(state),
        properties_(std::move(properties)) {}

  Context& context() const { return *context_; }
  const SamplerState& state() const { return state_; }
  const std::vector<cl_sampler_properties>& properties() const { return properties_; }

 private:
  Ref<Context> context_;
  SamplerState state_;
  std::vector<cl_sampler_properties> properties_;
};

}  // namespace tessera::client
