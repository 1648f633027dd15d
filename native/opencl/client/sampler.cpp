// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/sampler.h"

#include "generated/client_entries.h"
#include "generated/messages_sampler.h"
#include "opencl/client/info.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

bool wraps_around(cl_addressing_mode mode) {
  return mode == CL_ADDRESS_REPEAT || mode == CL_ADDRESS_MIRRORED_REPEAT;
}

void check_state(const SamplerState& state) {
  ensure(state.normalized == CL_TRUE || state.normalized == CL_FALSE, CL_INVALID_VALUE);
  ensure(state.addressing >= CL_ADDRESS_NONE && state.addressing <= CL_ADDRESS_MIRRORED_REPEAT,
         CL_INVALID_VALUE);
  ensure(state.filter == CL_FILTER_NEAREST || state.filter == CL_FILTER_LINEAR, CL_INVALID_VALUE);
  ensure(state.normalized == CL_TRUE || !wraps_around(state.addressing), CL_INVALID_VALUE);
}

cl_sampler create(cl_context context, const SamplerState& state,
                  std::vector<cl_sampler_properties> properties) {
  Context& owner = require<Context>(context);
  check_state(state);
  ensure(owner.images(), CL_INVALID_OPERATION);
  Ref<Sampler> sampler = make<Sampler>(owner, state, std::move(properties));
  wire::CreateSampler message;
  message.sampler = sampler->id();
  message.context = owner.id();
  message.normalized_coords = state.normalized;
  message.addressing_mode = state.addressing;
  message.filter_mode = state.filter;
  owner.session().create(*sampler, message);
  return give_handle(std::move(sampler));
}

void set(SamplerState& state, cl_sampler_properties key, cl_sampler_properties value) {
  switch (key) {
    case CL_SAMPLER_NORMALIZED_COORDS:
      state.normalized = static_cast<cl_bool>(value);
      break;
    case CL_SAMPLER_ADDRESSING_MODE:
      state.addressing = static_cast<cl_addressing_mode>(value);
      break;
    case CL_SAMPLER_FILTER_MODE:
      state.filter = static_cast<cl_filter_mode>(value);
      break;
    default:
      throw ApiError(CL_INVALID_VALUE);
  }
}

// Also copies the list, with its closing 0. A key may be given once.
SamplerState parse(const cl_sampler_properties* from, std::vector<cl_sampler_properties>& copy) {
  SamplerState state;
  if (from == nullptr) return state;
  for (; *from != 0; from += 2) {
    for (std::size_t i = 0; i < copy.size(); i += 2) {
      ensure(copy[i] != from[0], CL_INVALID_VALUE);
    }
    set(state, from[0], from[1]);
    copy.insert(copy.end(), {from[0], from[1]});
  }
  copy.push_back(0);
  return state;
}

}  // namespace

namespace entry {

cl_sampler CL_API_CALL clCreateSampler(cl_context context, cl_bool normalized_coords,
                                       cl_addressing_mode addressing_mode,
                                       cl_filter_mode filter_mode, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    return create(context, {normalized_coords, addressing_mode, filter_mode}, {});
  });
}

cl_sampler CL_API_CALL clCreateSamplerWithProperties(
    cl_context context, const cl_sampler_properties* sampler_properties, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    require<Context>(context);
    std::vector<cl_sampler_properties> copy;
    const SamplerState state = parse(sampler_properties, copy);
    return create(context, state, std::move(copy));
  });
}

cl_int CL_API_CALL clGetSamplerInfo(cl_sampler sampler, cl_sampler_info param_name,
                                    size_t param_value_size, void* param_value,
                                    size_t* param_value_size_ret) {
  return guarded([&] {
    Sampler& object = require<Sampler>(sampler);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_SAMPLER_REFERENCE_COUNT:
        return info.value(object.references());
      case CL_SAMPLER_CONTEXT:
        return info.value(object.context().handle());
      case CL_SAMPLER_NORMALIZED_COORDS:
        return info.value(object.state().normalized);
      case CL_SAMPLER_ADDRESSING_MODE:
        return info.value(object.state().addressing);
      case CL_SAMPLER_FILTER_MODE:
        return info.value(object.state().filter);
      case CL_SAMPLER_PROPERTIES:
        return info.array(std::span(object.properties()));
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

}  // namespace entry
}  // namespace tessera::client
