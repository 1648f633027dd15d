// SPDX-License-Identifier: Apache-2.0
//
// The objects of a session, by the ids that the client chose.
//
// An entry owns one reference of the driver's object; erasing it gives that reference back, and the
// driver's own counts keep what commands in flight still use. An entry whose creation failed stays,
// poisoned with the error, because the client posted the creation and may already have posted uses
// of it. Lookups throw ProtocolError for anything an honest client cannot send.
//
// Entries are shared pointers because a handler may lose the table's lock while it waits in the
// driver (Session::blocking), and an event's entry is also held by the driver's callback.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/id_table.h"
#include "opencl/allocation_kind.h"
#include "opencl/worker/fences.h"
#include "opencl/worker/flight.h"
#include "opencl/worker/record.h"
#include "opencl/worker/retained.h"
#include "opencl/worker/scrub.h"
#include "opencl/worker/usm_driver.h"
#include "opencl/worker/validate.h"
#include "wire/codec.h"

namespace tessera::worker {

using wire::Id;

inline constexpr std::size_t kMaxObjects = 1'000'000;              // live, of one session
inline constexpr std::size_t kMaxRecordBytes = 256 * 1024 * 1024;  // all records of one session

// The client sent what no client of this protocol sends: the session ends.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Kind : std::uint8_t {
  context,
  queue,
  mem,
  sampler,
  program,
  kernel,
  event,
  partition,
  command_buffer,
};

const char* kind_name(Kind kind);

struct Entry {
  Entry(Kind kind, Id id) : kind(kind), id(id) {}
  virtual ~Entry() = default;
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  const Kind kind;
  const Id id;
  // The place among all that was made in this session; what an object needs has a lower one.
  std::uint64_t serial = 0;
  // CL_SUCCESS, or the error with which the posted creation failed; then `handle` is null.
  cl_int poison = CL_SUCCESS;
  Record record;
};

// What an allocation costs besides its record: allocations have no ids, so kMaxObjects does not
// bound them, and this does.
inline constexpr std::size_t kAllocationCost = 256;  // bytes

// A block of shared virtual or unified shared memory.
struct SvmBlock {
  std::uint64_t size;  // bytes
  AllocationKind kind;
  // Frees the memory and gives its charge back when the last that lies over it is gone.
  std::shared_ptr<void> memory;
  Record record;
  std::size_t counted = 0;  // bytes, as ObjectTable::recount was told

  void* pointer() const { return memory.get(); }
};

class SubDevices;  // sub_devices.h

// The sub-devices of one call (opencl/sub_device.h).
struct PartitionEntry final : Entry {
  static constexpr Kind kKind = Kind::partition;
  explicit PartitionEntry(Id id) : Entry(kKind, id) {}

  std::shared_ptr<const SubDevices> sub_devices;
  std::uint32_t first = 0;                 // the number of the first of them
  std::uint32_t gpu = 0;                   // the lease's device that they are parts of
  std::shared_ptr<PartitionEntry> parent;  // null where that is what was partitioned
};

struct ContextEntry final : Entry {
  static constexpr Kind kKind = Kind::context;
  explicit ContextEntry(Id id) : Entry(kKind, id) {}
  ~ContextEntry() override;
  // A small buffer without contents, made when first needed; null on an error of the driver.
  cl_mem nothing(cl_int* status);

  cl_context handle = nullptr;
  std::vector<std::uint32_t> devices;   // as they are numbered on the wire
  std::uint32_t gpu_mask = 0;           // the lease's devices that they are or are parts of
  std::uint32_t gpu = 0;                // of them, that of the first device
  cl_device_id first_device = nullptr;  // the driver's
  std::vector<std::shared_ptr<PartitionEntry>> partitions;  // whose sub-devices it has
  // For initial contents and for zeros; in order, made when first needed.
  cl_command_queue internal_queue = nullptr;
  // What stands for events that had ended before a suspend; made when first needed.
  cl_event ended_event = nullptr;
  cl_mem nothing_ = nullptr;
  bool scrubs = false;  // what it allocates may hold another process's bytes
  Scrubbing scrubbing;
  Fences fences;
  std::map<std::uint64_t, SvmBlock> svm;  // by the address that the client knows
  UsmDriver usm;
};

struct EventEntry;

struct QueueEntry final : Entry {
  static constexpr Kind kKind = Kind::queue;
  explicit QueueEntry(Id id) : Entry(kKind, id) {}
  ~QueueEntry() override;

  cl_command_queue handle = nullptr;
  std::shared_ptr<ContextEntry> context;
  std::uint32_t device = 0;
  std::uint32_t gpu = 0;  // the lease's device that this is or is a part of
  bool profiling = false;
  bool out_of_order = false;
  // First failure of a posted command, until a finish or a blocking read reports it.
  cl_int deferred = CL_SUCCESS;
  std::uint64_t enqueued = 0;  // commands, ever
  std::uint64_t finished = 0;  // of them, known to be complete
  // Ends are answered by the driver's own threads (prompt_answers.h).
  bool prompt = false;
  // The last command of a prompt queue that has an order; one reference.
  cl_event last = nullptr;
  bool keeps_last() const { return prompt && !out_of_order; }
};

struct MemEntry final : Entry {
  static constexpr Kind kKind = Kind::mem;
  explicit MemEntry(Id id) : Entry(kKind, id) {}
  ~MemEntry() override;

  cl_mem handle = nullptr;
  std::shared_ptr<ContextEntry> context;
  MemShape shape;
  // Of a sub-buffer, or an image over a buffer.
  std::shared_ptr<MemEntry> parent;
  // The allocation that a buffer with CL_MEM_USE_HOST_PTR lies over.
  std::shared_ptr<void> svm;
  // Counts the objects that the client still holds (MemoryAccount::held); null where nothing is
  // charged.
  std::atomic<std::int64_t>* held = nullptr;
  // The client is told when the object is destroyed (object_watch.h).
  bool watched = false;
};

struct SamplerEntry final : Entry {
  static constexpr Kind kKind = Kind::sampler;
  explicit SamplerEntry(Id id) : Entry(kKind, id) {}
  ~SamplerEntry() override;

  cl_sampler handle = nullptr;
  std::shared_ptr<ContextEntry> context;
};

struct ProgramFacts;  // kernel_facts.h
struct KernelFacts;
struct ProgramEntry;

// A build, compilation or link, and what went into it: a replay makes those programs first.
struct Build {
  struct Header {
    Id id;
    std::uint64_t serial;
    Record record;
  };
  struct Input {
    std::shared_ptr<ProgramEntry> program;
    std::uint64_t builds;  // that it had then
  };
  Record message;
  bool unrecorded = false;  // a limit of the session kept the message out
  std::uint64_t serial = 0;
  std::map<std::uint32_t, Record> constants;  // ProgramEntry::constants at that time
  // Of a compilation. Only their texts matter, and two programs may be each other's header.
  std::vector<Header> headers;
  std::vector<Input> inputs;  // of a link
};

struct ProgramEntry final : Entry {
  static constexpr Kind kKind = Kind::program;
  explicit ProgramEntry(Id id) : Entry(kKind, id) {}
  ~ProgramEntry() override;

  cl_program handle = nullptr;
  std::shared_ptr<ContextEntry> context;
  std::vector<std::uint32_t> devices;
  // Of them, those with a build that succeeded, and those of the last build, as the driver was
  // given them.
  std::vector<std::uint32_t> built_for;
  std::vector<std::uint32_t> last_for;
  // A build runs without the session's lock: a second one, and kernels, are refused meanwhile.
  bool building = false;
  std::shared_ptr<const ProgramFacts> facts;  // null until built
  std::uint64_t builds = 0;                   // ever ended
  Build link;                                 // by which it came to be, if it did
  Build built;                                // the last that succeeded
  Build failed;                               // the last since then that did not
  std::map<std::uint32_t, Record> constants;  // by their ids, of an intermediate language
  // The driver's program has the text of a build that included files, not that of its record.
  bool with_files = false;
  std::size_t counted = 0;  // bytes of its builds, as ObjectTable::recount was told
  // Whether the device may keep values from one launch to the next that no buffer holds, and
  // whether something was launched since.
  bool has_variables = false;
  bool launched = false;
  // Each kernel that was made of it holds a copy.
  std::shared_ptr<const void> kernels = std::make_shared<char>();

  bool has_kernels() const { return kernels.use_count() > 1; }
};

struct KernelEntry final : Entry {
  static constexpr Kind kKind = Kind::kernel;
  explicit KernelEntry(Id id) : Entry(kKind, id) {}
  ~KernelEntry() override;

  // What an argument was last set to. The driver keeps no reference of an object that is an
  // argument, so an enqueue first looks whether the object still lives. Small, and without memory
  // of its own but for values: a program may set half a thousand of them for one step.
  struct Argument {
    enum class What : std::uint8_t { unset, value, object, local, svm, pointer };
    What what = What::unset;
    std::uint64_t number = 0;     // object: its id, 0 for NULL; local: bytes; pointer: the address
    std::weak_ptr<void> lives{};  // what has to be there at a launch: the object's Entry, the block
    Record value{};               // its bytes; missing past a limit of the session

    bool launchable() const {
      const bool names = what == What::svm || (what == What::object && number != 0);
      return what != What::unset && !(names && lives.expired());
    }
    // No driver can be asked for the same address again.
    bool is_address() const { return what == What::svm || what == What::pointer; }
    std::uint64_t local_size() const { return what == What::local ? number : 0; }
    // Null for anything else, and when it is gone.
    std::shared_ptr<Entry> object() const {
      return what == What::object ? std::static_pointer_cast<Entry>(lives.lock()) : nullptr;
    }
  };

  cl_kernel handle = nullptr;
  std::shared_ptr<ContextEntry> context;
  std::shared_ptr<ProgramEntry> program;
  std::shared_ptr<const void> attached;  // ProgramEntry::kernels
  std::shared_ptr<const ProgramFacts> program_facts;
  const KernelFacts* facts = nullptr;  // within program_facts
  std::vector<Argument> arguments;
  // What clSetKernelExecInfo was last given for each parameter.
  std::map<std::uint32_t, std::vector<std::uint64_t>> exec_info;
  std::shared_ptr<Cost> cost = std::make_shared<Cost>();  // of a work-item
};

// A command of a command buffer.
struct RecordedCommand {
  using Enqueue = std::function<cl_int(cl_command_queue queue, cl_uint count, const cl_event* list,
                                       cl_event* event)>;
  Enqueue enqueue;  // keeps what it names; empty for one that only orders others
  // Out of order: the places of the commands that it waits for; empty for one that waits for
  // nothing in its command buffer.
  std::vector<std::uint32_t> waits;
  std::shared_ptr<Cost> cost;  // null: a transfer's
  std::uint64_t units = 1;
  std::vector<std::shared_ptr<Entry>> uses;
  Record message;  // with all arguments of a kernel
  std::uint64_t serial = 0;
};

struct CommandBufferEntry final : Entry {
  static constexpr Kind kKind = Kind::command_buffer;
  explicit CommandBufferEntry(Id id) : Entry(kKind, id) {}
  void add(RecordedCommand command, bool barrier, std::span<const std::uint32_t> sync_points);
  // A launch is under way; in order, it stands for earlier ones in its queue.
  void add_launch(cl_event event, const QueueEntry& on);
  bool pending();

  std::shared_ptr<ContextEntry> context;
  std::shared_ptr<QueueEntry> queue;
  std::vector<RecordedCommand> commands;
  // Out of order: the commands that no other waits for, and the last barrier.
  std::set<std::uint32_t> last;
  std::optional<std::uint32_t> barrier;
  Record finalized;  // the message; empty before
  std::uint64_t finalized_serial = 0;
  std::set<std::shared_ptr<ProgramEntry>> programs;  // of its kernels
  std::size_t counted = 0;                           // bytes, as ObjectTable::recount was told
  // A limit of the session kept an argument's value out of the record, or it has no record.
  bool unrecorded = false;

 private:
  struct Launch {
    Retained<cl_event> event;
    Id queue;  // 0 where it stands for no other
  };
  std::vector<Launch> launches_;
  std::size_t forget_at_ = 64;
};

struct Blocked;     // blocked_commands.h
struct Completion;  // completions.h

// Also what the driver's callback holds, so everything below `report` is guarded by it: a callback
// may run inside a driver call of a thread that holds the session's lock.
struct EventEntry final : Entry {
  static constexpr Kind kKind = Kind::event;
  explicit EventEntry(Id id) : Entry(kKind, id) {}
  ~EventEntry() override;

  cl_event handle = nullptr;
  // Of the first of several commands that have one event: tells when they began.
  std::shared_ptr<Retained<cl_event>> head;
  std::shared_ptr<ContextEntry> context;
  std::weak_ptr<QueueEntry> queue;  // empty for a user event
  std::uint64_t number = 0;         // the command's place in its queue (QueueEntry::enqueued)
  bool user = false;
  bool user_done = false;  // a user event whose status was set
  bool waited = false;     // commands or threads may wait for it
  bool profiling = false;
  bool watched = false;      // a callback for the end is set
  bool every_state = false;  // callbacks for the states before the end were asked for
  // Commands that wait for this user event, which is not set.
  std::vector<std::weak_ptr<Blocked>> gates;
  // The command of this event, as long as it cannot run.
  std::weak_ptr<Blocked> command;
  // As long as the client has not heard of the command's end.
  std::weak_ptr<Completion> completion;

  std::mutex report;
  cl_int told = CL_QUEUED;         // the last state that event_state told
  cl_int told_before = CL_QUEUED;  // the same, before a suspend
  bool reported = false;           // event_done was sent
  bool released = false;           // the client has forgotten the id
};

class ObjectTable {
 public:
  ObjectTable();

  // Makes an entry under a new id. Throws ProtocolError for an id that is 0 or taken.
  // Past kMaxObjects or kMaxRecordBytes the entry is made poisoned with CL_OUT_OF_HOST_MEMORY (its
  // creator looks at `poison` before it calls the driver); far past it the session ends.
  template <class E>
  std::shared_ptr<E> add(Id id, Record record = {}) {
    auto entry = std::make_shared<E>(id);
    entry->record = std::move(record);
    insert(entry);
    return entry;
  }

  // The entry of `id`. Throws ProtocolError when there is none or it is of another type.
  template <class E>
  E& get(Id id) const {
    return static_cast<E&>(*find(id, E::kKind));
  }
  template <class E>
  std::shared_ptr<E> share(Id id) const {
    return std::static_pointer_cast<E>(find(id, E::kKind));
  }
  std::shared_ptr<Entry> any(Id id) const;

  // Throws ProtocolError for an id that `add` would refuse.
  void require_new(Id id) const;
  // Takes the entry out; dropping it may call the driver. Throws ProtocolError for an unknown id.
  std::shared_ptr<Entry> take(Id id);
  // A record that belongs to no entry of its own (kernel arguments) counts too: `before` bytes are
  // replaced by `after`. False past kMaxRecordBytes; nothing is counted then.
  bool recount(std::size_t before, std::size_t after);

  std::uint64_t next_serial() { return next_serial_++; }
  std::size_t size() const { return entries_.size(); }
  std::size_t record_bytes() const { return record_bytes_; }

  template <class E, class F>
  void each(F&& visit) const {
    entries_.each([&](const std::shared_ptr<Entry>& entry) {
      if (entry->kind == E::kKind) visit(static_cast<E&>(*entry));
    });
  }
  template <class F>
  void each_of_any_kind(F&& visit) const {
    entries_.each(visit);
  }
  // Null where `any` would throw.
  std::shared_ptr<Entry> find_any(Id id) const { return entries_.find(id); }

 private:
  void insert(const std::shared_ptr<Entry>& entry);
  const std::shared_ptr<Entry>& find(Id id, Kind kind) const;

  IdTable<std::shared_ptr<Entry>, ForeignIds> entries_;
  std::size_t record_bytes_ = 0;
  std::uint64_t next_serial_ = 1;
};

}  // namespace tessera::worker
