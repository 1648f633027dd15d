// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "generated/client_entries.h"
#include "opencl/client/command.h"
#include "opencl/client/host_work.h"
#include "opencl/client/svm.h"

namespace tessera::client {
namespace {

struct Free {
  Ref<Queue> queue;
  std::vector<void*> pointers;
  tessera_svm_free_callback function;
  void* user_data;

  void operator()() {
    if (function != nullptr) {
      function(queue->handle(), static_cast<cl_uint>(pointers.size()), pointers.data(), user_data);
      return;
    }
    for (void* pointer : pointers) entry::clSVMFree(queue->context().handle(), pointer);
  }
};

}  // namespace

namespace entry {

cl_int CL_API_CALL clEnqueueSVMFree(cl_command_queue command_queue, cl_uint num_svm_pointers,
                                    void** svm_pointers, tessera_svm_free_callback pfn_free_func,
                                    void* user_data, cl_uint num_events_in_wait_list,
                                    const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Queue& queue = require<Queue>(command_queue);
    ensure(some_device_has_svm(queue.context()), CL_INVALID_OPERATION);
    ensure(num_svm_pointers != 0 && svm_pointers != nullptr, CL_INVALID_VALUE);
    std::vector<void*> pointers(svm_pointers, svm_pointers + num_svm_pointers);
    enqueue_host_work(command_queue, CL_COMMAND_SVM_FREE, num_events_in_wait_list, event_wait_list,
                      event,
                      Free{Ref<Queue>(queue), std::move(pointers), pfn_free_func, user_data});
  });
}

}  // namespace entry
}  // namespace tessera::client
