// SPDX-License-Identifier: Apache-2.0
#include "lease/layout.h"

#include <cstddef>

#include "lease/quota.h"

namespace tessera {
namespace {

struct Field {
  const char* name;
  std::size_t offset;
  std::size_t size;
};

#define PAGE(field)                                              \
  Field {                                                        \
#field, offsetof(QuotaPage, field), sizeof(QuotaPage::field) \
  }
#define GPU(field)                                                     \
  Field {                                                              \
    "gpus." #field, offsetof(GpuQuota, field), sizeof(GpuQuota::field) \
  }
#define SLOT(field)                                                           \
  Field {                                                                     \
    "slots." #field, offsetof(SessionSlot, field), sizeof(SessionSlot::field) \
  }

const Field kFields[] = {
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
  std::string json = "{";
  for (const auto& field : kFields) {
    json += json.size() > 1 ? ",\n \"" : "\n \"";
    json += field.name;
    json += "\": [" + std::to_string(field.offset) + ", " + std::to_string(field.size) + "]";
  }
  return json + "\n}\n";
}

}  // namespace tessera
