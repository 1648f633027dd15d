// SPDX-License-Identifier: Apache-2.0
#include "lease/layout.h"

#include <cstddef>

#include "base/layout_json.h"
#include "lease/quota.h"

namespace tessera {
namespace {

#define PAGE(field)                                              \
  LayoutField {                                                  \
#field, offsetof(QuotaPage, field), sizeof(QuotaPage::field) \
  }
#define GPU(field)                                                     \
  LayoutField {                                                        \
    "gpus." #field, offsetof(GpuQuota, field), sizeof(GpuQuota::field) \
  }
#define SLOT(field)                                                           \
  LayoutField {                                                               \
    "slots." #field, offsetof(SessionSlot, field), sizeof(SessionSlot::field) \
  }

const LayoutField kFields[] = {
    PAGE(magic),
    PAGE(version),
    PAGE(gpu_count),
    PAGE(lease_id),
    PAGE(live_sessions),
    PAGE(session_capacity),
    PAGE(sessions_total),
    PAGE(resizes),
    PAGE(gpus),
    PAGE(mutex),
    PAGE(slots),
    GPU(limit),
    GPU(used),
    GPU(peak),
    GPU(refused),
    SLOT(state),
    SLOT(transport),
    SLOT(worker_pid),
    SLOT(client_pid),
    SLOT(started_ns),
    SLOT(used),
    SLOT(messages),
    SLOT(round_trips),
    SLOT(bytes_to_worker),
    SLOT(bytes_to_client),
    SLOT(commands),
    SLOT(objects),
    SLOT(reserved),
};

#undef PAGE
#undef GPU
#undef SLOT

}  // namespace

std::string quota_layout_json() {
  return layout_json(kFields);
}

}  // namespace tessera
