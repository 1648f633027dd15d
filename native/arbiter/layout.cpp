// SPDX-License-Identifier: Apache-2.0
#include "arbiter/layout.h"

#include <cstddef>

#include "arbiter/board.h"
#include "base/layout_json.h"

namespace tessera {
namespace {

const LayoutField kFields[] = {
    {"magic", offsetof(Board, magic), sizeof(Board::magic)},
    {"version", offsetof(Board, version), sizeof(Board::version)},
    {"arbiter_pid", offsetof(Board, arbiter_pid), sizeof(Board::arbiter_pid)},
    {"boot", offsetof(Board, boot), sizeof(Board::boot)},
    {"gpu", offsetof(Board, gpu), sizeof(Board::gpu)},
    {"policy", offsetof(Board, policy), sizeof(Board::policy)},
    {"slice_us", offsetof(Board, slice_us), sizeof(Board::slice_us)},
    {"doorbell", offsetof(Board, doorbell), sizeof(Board::doorbell)},
    {"contended", offsetof(Board, contended), sizeof(Board::contended)},
    {"started_ns", offsetof(Board, started_ns), sizeof(Board::started_ns)},
    {"device_ns", offsetof(Board, device_ns), sizeof(Board::device_ns)},
    {"idle_ns", offsetof(Board, idle_ns), sizeof(Board::idle_ns)},
    {"trace_count", offsetof(Board, trace_count), sizeof(Board::trace_count)},
    {"mutex", offsetof(Board, mutex), sizeof(Board::mutex)},
    {"tenants", offsetof(Board, tenants), sizeof(Board::tenants)},
    {"seats", offsetof(Board, seats), sizeof(Board::seats)},
    {"trace", offsetof(Board, trace), sizeof(Board::trace)},
    {"tenants.present", offsetof(Tenant, present), sizeof(Tenant::present)},
    {"tenants.weight", offsetof(Tenant, weight), sizeof(Tenant::weight)},
    {"tenants.share_ppm", offsetof(Tenant, share_ppm), sizeof(Tenant::share_ppm)},
    {"tenants.gatekeeper_pid", offsetof(Tenant, gatekeeper_pid), sizeof(Tenant::gatekeeper_pid)},
    {"tenants.lease_id", offsetof(Tenant, lease_id), sizeof(Tenant::lease_id)},
    {"tenants.grant", offsetof(Tenant, grant), sizeof(Tenant::grant)},
    {"tenants.overruns", offsetof(Tenant, overruns), sizeof(Tenant::overruns)},
    {"tenants.until_ns", offsetof(Tenant, until_ns), sizeof(Tenant::until_ns)},
    {"tenants.since_ns", offsetof(Tenant, since_ns), sizeof(Tenant::since_ns)},
    {"tenants.device_ns", offsetof(Tenant, device_ns), sizeof(Tenant::device_ns)},
    {"tenants.commands", offsetof(Tenant, commands), sizeof(Tenant::commands)},
    {"tenants.grants", offsetof(Tenant, grants), sizeof(Tenant::grants)},
    {"tenants.waits", offsetof(Tenant, waits), sizeof(Tenant::waits)},
    {"tenants.waited_ns", offsetof(Tenant, waited_ns), sizeof(Tenant::waited_ns)},
    {"tenants.wait_counts", offsetof(Tenant, wait_counts), sizeof(Tenant::wait_counts)},
    {"seats.worker_pid", offsetof(Seat, worker_pid), sizeof(Seat::worker_pid)},
    {"seats.tenant", offsetof(Seat, tenant), sizeof(Seat::tenant)},
    {"seats.wants", offsetof(Seat, wants), sizeof(Seat::wants)},
    {"seats.busy", offsetof(Seat, busy), sizeof(Seat::busy)},
    {"seats.poke", offsetof(Seat, poke), sizeof(Seat::poke)},
    {"seats.attended", offsetof(Seat, attended), sizeof(Seat::attended)},
    {"seats.ends_ns", offsetof(Seat, ends_ns), sizeof(Seat::ends_ns)},
    {"trace.begin_ns", offsetof(TraceEntry, begin_ns), sizeof(TraceEntry::begin_ns)},
    {"trace.end_ns", offsetof(TraceEntry, end_ns), sizeof(TraceEntry::end_ns)},
    {"trace.device_ns", offsetof(TraceEntry, device_ns), sizeof(TraceEntry::device_ns)},
    {"trace.tenant", offsetof(TraceEntry, tenant), sizeof(TraceEntry::tenant)},
    {"trace.grant", offsetof(TraceEntry, grant), sizeof(TraceEntry::grant)},
};

}  // namespace

std::string board_layout_json() {
  return layout_json(kFields);
}

}  // namespace tessera
