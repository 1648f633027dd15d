// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

cl_int with_properties(const World& w, const std::vector<cl_sampler_properties>& list) {
  cl_int e = 1;
  Sampler made(clCreateSamplerWithProperties(w.ctx, list.data(), &e));
  return creation_code(cl_sampler(made), e);
}

template <class T>
T fact(cl_sampler sampler, cl_sampler_info what) {
  T value{};
  OK(clGetSamplerInfo(sampler, what, sizeof value, &value, nullptr));
  return value;
}

USE(clCreateSampler, every_combination) {
  for (const cl_bool normalized : {CL_TRUE, CL_FALSE}) {
    for (const cl_addressing_mode mode :
         {CL_ADDRESS_NONE, CL_ADDRESS_CLAMP_TO_EDGE, CL_ADDRESS_CLAMP, CL_ADDRESS_REPEAT,
          CL_ADDRESS_MIRRORED_REPEAT}) {
      if (normalized == CL_FALSE &&
          (mode == CL_ADDRESS_REPEAT || mode == CL_ADDRESS_MIRRORED_REPEAT)) {
        continue;
      }
      for (const cl_filter_mode filter : {CL_FILTER_NEAREST, CL_FILTER_LINEAR}) {
        cl_int e = 1;
        Sampler made(clCreateSampler(w.ctx, normalized, mode, filter, &e));
        OK(e);
        SAME(fact<cl_addressing_mode>(made, CL_SAMPLER_ADDRESSING_MODE), mode);
        SAME(fact<cl_filter_mode>(made, CL_SAMPLER_FILTER_MODE), filter);
        SAME(fact<cl_bool>(made, CL_SAMPLER_NORMALIZED_COORDS), normalized);
      }
    }
  }
}
TABLE_FAULT_NEW(clCreateSampler, null_context, CL_INVALID_CONTEXT,
                (nullptr, CL_TRUE, CL_ADDRESS_NONE, CL_FILTER_NEAREST, &e))
FAULT_NEW(clCreateSampler, bad_addressing, CL_INVALID_VALUE,
          (w.ctx, CL_TRUE, 0x7777, CL_FILTER_NEAREST, &e))
FAULT_NEW(clCreateSampler, bad_filter, CL_INVALID_VALUE,
          (w.ctx, CL_TRUE, CL_ADDRESS_NONE, 0x7777, &e))
FAULT_NEW(clCreateSampler, bad_boolean, CL_INVALID_VALUE,
          (w.ctx, 7, CL_ADDRESS_NONE, CL_FILTER_NEAREST, &e))
FAULT_NEW(clCreateSampler, wrong_kind, CL_INVALID_CONTEXT,
          (as<cl_context>(w.buf), CL_TRUE, CL_ADDRESS_NONE, CL_FILTER_NEAREST, &e))

USE(clCreateSamplerWithProperties, defaults) {
  const cl_sampler_properties empty[] = {0};
  for (const cl_sampler_properties* list :
       {static_cast<const cl_sampler_properties*>(nullptr), empty}) {
    cl_int e = 1;
    Sampler made(clCreateSamplerWithProperties(w.ctx, list, &e));
    OK(e);
    SAME(fact<cl_bool>(made, CL_SAMPLER_NORMALIZED_COORDS), CL_TRUE);
    SAME(fact<cl_addressing_mode>(made, CL_SAMPLER_ADDRESSING_MODE),
         cl_addressing_mode{CL_ADDRESS_CLAMP});
    SAME(fact<cl_filter_mode>(made, CL_SAMPLER_FILTER_MODE), cl_filter_mode{CL_FILTER_NEAREST});
  }
}
USE(clCreateSamplerWithProperties, properties_come_back) {
  cl_sampler_properties back[9] = {};
  std::size_t size = 0;
  OK(clGetSamplerInfo(w.sampler, CL_SAMPLER_PROPERTIES, sizeof back, back, &size));
  SAME(size, 7 * sizeof(cl_sampler_properties));
  SAME(back[0], cl_sampler_properties{CL_SAMPLER_NORMALIZED_COORDS});
  SAME(back[3], cl_sampler_properties{CL_ADDRESS_CLAMP_TO_EDGE});
  SAME(back[6], cl_sampler_properties{0});
}
TABLE_FAULT_NEW(
    clCreateSamplerWithProperties, null_context, CL_INVALID_CONTEXT,
    (nullptr,
     std::vector<cl_sampler_properties>{CL_SAMPLER_FILTER_MODE, CL_FILTER_LINEAR, 0}.data(), &e))
FAULT_BODY(clCreateSamplerWithProperties, unknown_property) {
  CODE(with_properties(w, {0x7777, 1, 0}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSamplerWithProperties, property_twice) {
  CODE(with_properties(w, {CL_SAMPLER_FILTER_MODE, CL_FILTER_LINEAR, CL_SAMPLER_FILTER_MODE,
                           CL_FILTER_LINEAR, 0}),
       CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSamplerWithProperties, bad_addressing) {
  CODE(with_properties(w, {CL_SAMPLER_ADDRESSING_MODE, 0x7777, 0}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSamplerWithProperties, bad_filter) {
  CODE(with_properties(w, {CL_SAMPLER_FILTER_MODE, 0x7777, 0}), CL_INVALID_VALUE);
}

USE(clRetainSampler, counts) {
  cl_int e = 1;
  Sampler made(clCreateSampler(w.ctx, CL_TRUE, CL_ADDRESS_NONE, CL_FILTER_NEAREST, &e));
  OK(e);
  OK(clRetainSampler(made));
  SAME(reference_count(clGetSamplerInfo, cl_sampler(made), CL_SAMPLER_REFERENCE_COUNT), 2u);
  OK(clReleaseSampler(made));
  SAME(reference_count(clGetSamplerInfo, cl_sampler(made), CL_SAMPLER_REFERENCE_COUNT), 1u);
}
TABLE_FAULT(clRetainSampler, null_sampler, CL_INVALID_SAMPLER, (nullptr))
FAULT(clRetainSampler, wrong_kind, CL_INVALID_SAMPLER, (as<cl_sampler>(w.queue)))
USE(clReleaseSampler, drops_one_reference) {
  cl_int e = 1;
  Sampler made(clCreateSampler(w.ctx, CL_TRUE, CL_ADDRESS_NONE, CL_FILTER_NEAREST, &e));
  OK(e);
  OK(clRetainSampler(made));
  OK(clReleaseSampler(made));
  SAME(fact<cl_context>(made, CL_SAMPLER_CONTEXT), cl_context(w.ctx));
}
TABLE_FAULT(clReleaseSampler, null_sampler, CL_INVALID_SAMPLER, (nullptr))
FAULT(clReleaseSampler, wrong_kind, CL_INVALID_SAMPLER, (as<cl_sampler>(w.ctx)))

USE(clGetSamplerInfo, every_parameter) {
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetSamplerInfo(w.sampler, what, n, to, size); },
             {{CL_SAMPLER_REFERENCE_COUNT, 4},
              {CL_SAMPLER_CONTEXT, 8},
              {CL_SAMPLER_NORMALIZED_COORDS, 4},
              {CL_SAMPLER_ADDRESSING_MODE, 4},
              {CL_SAMPLER_FILTER_MODE, 4},
              {CL_SAMPLER_PROPERTIES, 0}});
}
TABLE_FAULT(clGetSamplerInfo, null_sampler, CL_INVALID_SAMPLER,
            (nullptr, CL_SAMPLER_CONTEXT, 0, nullptr, nullptr))
FAULT(clGetSamplerInfo, unknown_parameter, CL_INVALID_VALUE, (w.sampler, 0x1, 0, nullptr, nullptr))
FAULT(clGetSamplerInfo, wrong_kind, CL_INVALID_SAMPLER,
      (as<cl_sampler>(w.ctx), CL_SAMPLER_CONTEXT, 0, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance
