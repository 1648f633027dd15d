// SPDX-License-Identifier: Apache-2.0
//
// A session: what one client process has on the devices of its lease.
//
// Two rights, not to be confused. The *token* (receiver.h) is the right to receive messages. The
// *lock* is the right to touch the session's tables and is held while a message is handled. A
// handler that waits in the driver gives both up (`blocking`), and has the lock again afterwards:
// it then uses only what it copied or retained before (never a span of the message, never a
// reference into the table without a shared pointer).
//
// Callbacks of the driver may run inside a driver call of a thread that holds the lock. So they
// never take it: they use the entry that they were given, the channel and the quota.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "generated/messages_buffer.h"
#include "generated/messages_command_buffer.h"
#include "generated/messages_context.h"
#include "generated/messages_device.h"
#include "generated/messages_event.h"
#include "generated/messages_image.h"
#include "generated/messages_kernel.h"
#include "generated/messages_program.h"
#include "generated/messages_queue.h"
#include "generated/messages_sampler.h"
#include "generated/messages_session.h"
#include "generated/messages_svm.h"
#include "lease/quota.h"
#include "opencl/argument_kind.h"
#include "opencl/long_message.h"
#include "opencl/worker/answer.h"
#include "opencl/worker/blocked_commands.h"
#include "opencl/worker/callbacks.h"
#include "opencl/worker/completions.h"
#include "opencl/worker/ended_queues.h"
#include "opencl/worker/gate.h"
#include "opencl/worker/landing.h"
#include "opencl/worker/memory_account.h"
#include "opencl/worker/nap_length.h"
#include "opencl/worker/object_table.h"
#include "opencl/worker/object_watch.h"
#include "opencl/worker/output.h"
#include "opencl/worker/pause.h"
#include "opencl/worker/pinned_bulk.h"
#include "opencl/worker/receiver.h"
#include "opencl/worker/state.h"
#include "opencl/worker/svm_memory.h"
#include "opencl/worker/window_share.h"
#include "transport/channel.h"

namespace tessera::worker {

struct ArgFacts;  // kernel_facts.h
struct NumberedDevice;
class HeaderTexts;  // header_texts.h

// What an argument of a kernel is to be set to.
struct NewArgument {
  ArgumentKind kind = ArgumentKind::value;
  std::uint32_t index = 0;
  std::uint64_t number = 0;  // object: its id or 0; local: bytes; svm, pointer: the address or 0
  wire::Blob value{};
  bool may_be_gone = false;  // what it names may have been released
};

// A device of the lease, whose place in the list is its number on the wire and its bit in a
// gpu_mask; or a part of one.
struct Device {
  cl_platform_id platform;
  cl_device_id id;
};

class Session {
 public:
  struct Setup {
    Channel* channel;
    Quota* quota;
    std::size_t slot;
    std::vector<Device> devices;
    // By the device's number; null for a device that is not shared by an arbiter.
    std::vector<std::unique_ptr<Gate>> gates;
    UniqueFd output;  // reading end of the standard output's pipe; may be none
    // Called when the session is over, by any thread; ends the process in a real worker. Where it
    // returns, serve() returns too.
    std::function<void(const char* reason)> on_end;
  };

  explicit Session(Setup setup);
  ~Session();

  // Handles messages until the client is gone.
  void serve();

  // ---- for one controlling thread; the lock is not held ----
  // What a suspend would keep. Throws StateError, named for why the session cannot be suspended.
  StateNeeds check_suspend();
  // Bytes that records of live objects have. Any thread.
  std::size_t bytes_of_records() {
    const std::lock_guard lock(lock_);
    return objects_.record_bytes();
  }
  // Copies the session's state into `place` and gives back everything that it holds of the driver.
  // The client waits from here on. Throws StateError; the session then goes on as it was.
  StateNeeds suspend(const StatePlace& place);
  // Makes the session anew, from where suspend() put it, on these devices (empty: on the ones that
  // it had) behind these gates, and goes on. Throws StateError; the session then is suspended as
  // before.
  void resume(std::vector<Device> devices, std::vector<std::unique_ptr<Gate>> gates = {});

  // ---- for handlers; the lock is held ----
  ObjectTable& objects() { return objects_; }
  Answers& answers() { return answers_; }
  MemoryAccount& memory() { return memory_; }
  Callbacks& callbacks() { return callbacks_; }
  Completions& completions() { return completions_; }
  PinnedBulk& pinned() { return pinned_; }
  WindowShare& landing_share() { return landing_share_; }
  SessionSlot& slot() { return slot_; }
  Output& output() { return output_; }

  // A device or sub-device by its number on the wire. Throws ProtocolError for a number that the
  // session does not have.
  Device device(std::uint32_t number) const;
  // The place in the lease of what it is or is a part of. Throws ProtocolError.
  std::uint32_t gpu_of(std::uint32_t number) const;
  // The context has this device, too. Throws ProtocolError.
  void add_device(ContextEntry& context, std::uint32_t number);
  // What stands before the lease's device; null where it is not shared by an arbiter.
  Gate* gate(std::uint32_t gpu) const { return gpu < gates_.size() ? gates_[gpu].get() : nullptr; }
  // Commands may have ended.
  void settle_gates();
  // Runs `call(event)`, which enqueues a command for the lease's device `gpu` on a queue of the
  // session's own and waits for it, when the lease may use the device.
  cl_int metered(std::uint32_t gpu, const std::function<cl_int(cl_event*)>& call);
  // The same for a call that does not block, on `queue`: flushed, and its event, one reference, in
  // `*under_way`. Call settle_gates() after its end.
  cl_int start_metered(std::uint32_t gpu, cl_command_queue queue,
                       const std::function<cl_int(cl_event*)>& call, cl_event* under_way);
  const std::shared_ptr<Cost>& transfer_cost() const { return transfer_cost_; }
  std::size_t device_count() const { return devices_.size(); }
  // The driver's handles of numbers of the wire; empty stays empty. Throws ProtocolError for a
  // number that `context` does not have, or that comes twice.
  std::vector<cl_device_id> devices_of(const ContextEntry& context,
                                       std::span<const std::uint32_t> numbers) const;

  // Runs `call`, which may take long in the driver, without the lock and without the token.
  template <class F>
  auto blocking(F&& call) {
    receiver_.give_up();
    return unlocked(std::forward<F>(call));
  }
  // Runs `call` without the lock, but no later message is handled meanwhile.
  template <class F>
  auto unlocked(F&& call) {
    const Pause::Working here(pause_);
    return call();
  }
  // Like blocking(), for a `call` that a later message may have to end: as long as `held_back` says
  // so, which is asked with the lock held. A suspend may end it then, and what it returned means
  // nothing (cut_short).
  template <class Held, class F>
  auto wait_in_driver(const Held& held_back, F&& call) {
    receiver_.give_up();
    const Pause::Waiting here(pause_, held_back);
    return call();
  }
  std::uint64_t epoch() const { return pause_.epoch(); }
  // Whether the session was suspended since `epoch`, and its objects are gone: who waited for them
  // lets go of all that it holds of the driver's, waits until the session is active, and looks them
  // up again.
  bool cut_short(std::uint64_t epoch) const { return pause_.epoch() != epoch; }
  void wait_until_active() { pause_.wait_until_active(); }
  // Whether a wait would leave somebody to receive; where not, refuse with CL_OUT_OF_RESOURCES.
  bool may_block() { return receiver_.can_give_up(); }

  // A posted creation failed: `entry` is kept poisoned and the client is told.
  void poison(Entry& entry, cl_int status, wire::Opcode opcode);
  // Memory on each device of the mask; null when the lease has none, even after waiting for
  // releases that the driver still holds back. `answered`: the client waits for the answer, so that
  // later messages may be handled meanwhile.
  std::unique_ptr<Charge> charge_memory(std::uint32_t gpus, std::uint64_t bytes, bool answered);
  // The fresh memory of the object in `entry` becomes the client's: scrubbed, unless it is `filled`
  // with contents of the client's, and `charge` tied to it. On an error the object is released and
  // `handle` null.
  void hand_over(MemEntry& entry, std::unique_ptr<Charge> charge, bool filled, cl_int* status);
  // Whether the driver copies these initial contents while it makes their object.
  static bool driver_copies(const Bulk& contents);
  // Runs `create`, in which the driver copies initial contents of an object of `context`, when the
  // lease may use the device.
  template <class F>
  void copying(const ContextEntry& context, F&& create) {
    Gate* const before = gate(context.gpu);
    const std::uint64_t estimate_ns = before != nullptr ? transfer_cost_->estimate(1) : 0;
    if (before != nullptr && !before->try_enter(estimate_ns)) {
      unlocked([&] { before->enter(estimate_ns); });
    }
    create();
    if (before != nullptr) before->left();
  }
  // Has `fill` enqueue zeros where fresh memory of `context` may hold another process's bytes.
  cl_int scrub(ContextEntry& context,
               const std::function<cl_int(cl_command_queue, cl_event*)>& fill);
  // The queue through which `context` gets its initial contents; null on an error of the driver.
  cl_command_queue internal_queue(ContextEntry& context, cl_int* status);
  // An event of `context` that has ended well, for one that did so before a suspend.
  cl_event ended_event(ContextEntry& context, cl_int* status);
  // A command was enqueued: the device is busy until the queue is known to be finished.
  void count_command(QueueEntry& queue);
  // Every command up to number `upto` (QueueEntry::enqueued) is complete.
  void count_finished(QueueEntry& queue, std::uint64_t upto);
  // Whether the driver's threads may answer for the queue (session_prompt.cpp).
  bool is_prompt(const QueueEntry& queue) const { return queue.prompt && !may_fail_later(); }
  // Of such a thread, when it has answered.
  void ended_promptly(EndedQueues::Ended ended);
  // A command enqueued now may have to wait for a user event: then it may fail later, because the
  // event is set to an error, and a suspend has to know about it.
  bool may_fail_later() const { return open_user_events_ != 0 || blocked_.any(); }
  BlockedCommands& blocked() { return blocked_; }
  // Sets the arguments that a launch brings. The first error; the client has been told of each.
  cl_int set_arguments(KernelEntry& kernel, const wire::EnqueueNdRange& m);
  // A copy of the message that is being handled, without its bulk.
  Record current_message() const { return Record(current_->opcode, current_->fields); }
  // A blocking read that a suspend took off the device, and a resume has enqueued again.
  struct HeldRead {
    std::shared_ptr<QueueEntry> queue;
    std::shared_ptr<EventEntry> entry;  // null where the client has no event of it
    std::shared_ptr<Retained<cl_event>> event;
    std::weak_ptr<Blocked> command;  // empty when it can run
    std::uint64_t number = 0;        // in its queue
    std::uint64_t position = 0;      // among completions: behind what it waits for
    std::unique_ptr<Landing> landing;
  };
  // A thread goes on to wait for the read with this ticket after the resume.
  void claim_read(std::uint64_t ticket) { claimed_reads_.insert(ticket); }
  bool is_claimed(std::uint64_t ticket) const { return claimed_reads_.contains(ticket); }
  void hold_read(std::uint64_t ticket, HeldRead read) {
    held_reads_.insert_or_assign(ticket, std::move(read));
  }
  // Empty if the resume did not enqueue it.
  HeldRead take_read(std::uint64_t ticket);
  // No command of this session is known to be unfinished on `queue`.
  static bool idle(const QueueEntry& queue) { return queue.enqueued == queue.finished; }

#define TESSERA_HANDLES(Message) void handle(const wire::Message& m, Incoming& incoming)
  TESSERA_HANDLES(OpenSession);
  TESSERA_HANDLES(Release);
  TESSERA_HANDLES(GetDeviceAndHostTimer);
  TESSERA_HANDLES(CreateSubDevices);
  TESSERA_HANDLES(CountSubDevices);
  TESSERA_HANDLES(CreateContext);
  TESSERA_HANDLES(CreateQueue);
  TESSERA_HANDLES(FlushQueue);
  TESSERA_HANDLES(FinishQueue);
  TESSERA_HANDLES(CreateBuffer);
  TESSERA_HANDLES(InitializeBuffer);
  TESSERA_HANDLES(CreateSubBuffer);
  TESSERA_HANDLES(ReadBuffer);
  TESSERA_HANDLES(WriteBuffer);
  TESSERA_HANDLES(ReadBufferRect);
  TESSERA_HANDLES(WriteBufferRect);
  TESSERA_HANDLES(FillBuffer);
  TESSERA_HANDLES(CopyBuffer);
  TESSERA_HANDLES(CopyBufferRect);
  TESSERA_HANDLES(MigrateMemObjects);
  TESSERA_HANDLES(CreateImage);
  TESSERA_HANDLES(InitializeImage);
  TESSERA_HANDLES(ReadImage);
  TESSERA_HANDLES(WriteImage);
  TESSERA_HANDLES(FillImage);
  TESSERA_HANDLES(CopyImage);
  TESSERA_HANDLES(CopyImageToBuffer);
  TESSERA_HANDLES(CopyBufferToImage);
  TESSERA_HANDLES(CreateSampler);
  TESSERA_HANDLES(CreateProgramWithSource);
  TESSERA_HANDLES(CreateProgramWithBinary);
  TESSERA_HANDLES(CreateProgramWithIl);
  TESSERA_HANDLES(CreateProgramWithBuiltinKernels);
  TESSERA_HANDLES(BuildProgram);
  TESSERA_HANDLES(CompileProgram);
  TESSERA_HANDLES(LinkProgram);
  TESSERA_HANDLES(SetSpecializationConstant);
  TESSERA_HANDLES(GetProgramBinary);
  TESSERA_HANDLES(UnloadCompiler);
  TESSERA_HANDLES(CreateKernel);
  TESSERA_HANDLES(CloneKernel);
  TESSERA_HANDLES(SetKernelArgValue);
  TESSERA_HANDLES(SetKernelArgObject);
  TESSERA_HANDLES(SetKernelArgLocal);
  TESSERA_HANDLES(SetKernelArgSvm);
  TESSERA_HANDLES(SetKernelArgPointer);
  TESSERA_HANDLES(SetKernelExecInfo);
  TESSERA_HANDLES(GetSuggestedLocalSize);
  TESSERA_HANDLES(GetKernelSubGroupInfo);
  TESSERA_HANDLES(EnqueueNdRange);
  TESSERA_HANDLES(CreateUserEvent);
  TESSERA_HANDLES(SetUserEventStatus);
  TESSERA_HANDLES(SubscribeEvent);
  TESSERA_HANDLES(WaitForEvents);
  TESSERA_HANDLES(EnqueueMarker);
  TESSERA_HANDLES(EnqueueBarrier);
  TESSERA_HANDLES(EnqueueNothing);
  TESSERA_HANDLES(WatchObject);
  TESSERA_HANDLES(SvmAlloc);
  TESSERA_HANDLES(UsmAlloc);
  TESSERA_HANDLES(SvmFree);
  TESSERA_HANDLES(SvmMemcpy);
  TESSERA_HANDLES(SvmMemfill);
  TESSERA_HANDLES(SvmRead);
  TESSERA_HANDLES(SvmWrite);
  TESSERA_HANDLES(CreateCommandBuffer);
  TESSERA_HANDLES(RecordCommand);
  TESSERA_HANDLES(FinalizeCommandBuffer);
  TESSERA_HANDLES(EnqueueCommandBuffer);
  TESSERA_HANDLES(GetCommandBufferState);
  TESSERA_HANDLES(LongMessagePiece);
  TESSERA_HANDLES(LongMessage);
#undef TESSERA_HANDLES

 private:
  // Tells the client what a driver says about one of its contexts.
  struct Notifier {
    Answers& answers;
    Id context;
    static void CL_CALLBACK notify(const char* text, const void*, std::size_t, void* notifier);
  };

  friend class Saver;
  friend class Restorer;

  void dispatch(Incoming& incoming);
  void hand_over(Incoming& incoming);
  void quiesce();
  void drain();
  void report_ended();
  std::set<Id> needed_objects() const;
  void give_devices_back();
  void wait_for_freed_memory();
  void end(const char* reason);
  // What the driver's threads have answered is counted and charged. With the lock; without it.
  void note_ended();
  void look_for_ended();
  // False: a thread of ours has to wait.
  bool finish_promptly(std::uint64_t sequence, const std::shared_ptr<QueueEntry>& queue);
  bool wait_promptly(std::uint64_t sequence, std::span<const Id> ids);
  bool wait_for_events(std::uint64_t sequence, std::span<const Id> ids);
  bool finish(std::uint64_t sequence, Id queue, std::uint64_t upto, std::uint64_t position);
  void fail_user_events();
  cl_int set_user_event(EventEntry& event, cl_int status);
  void let_end_what_is_awaited_beside(const EventEntry& event);
  void enter_all(const std::vector<Gate*>& gates);
  // The gate that has to know of the command when it can run; null where there is none.
  Gate* gate_of(const Blocked& command) const {
    return command.flights.empty() ? nullptr : gate(command.queue->gpu);
  }
  std::chrono::nanoseconds nap_length();
  void abandon(std::shared_ptr<EventEntry> event);
  std::vector<Retained<cl_command_queue>> retain_queues() const;
  void create_buffer(MemEntry& entry, const wire::CreateBuffer& m, const Bulk& contents);
  void create_image(MemEntry& entry, const wire::CreateImage& m, const MemEntry* parent,
                    const Bulk& contents);
  cl_int lay_over_svm(MemEntry& entry, const wire::CreateBuffer& m);
  cl_int allocate(MemEntry& entry, const wire::CreateBuffer& m, const Bulk& contents);
  // Puts contents into a part of an object that nothing has used yet, and waits for them.
  cl_int initialize(const MemEntry& buffer, std::uint64_t offset, const Bulk& bytes);
  cl_int initialize(const MemEntry& image, const wire::Id3& origin, const wire::Id3& region,
                    const Bulk& pixels);
  // False: the driver refuses, and the memory must not become the client's.
  bool scrub_svm(ContextEntry& context, AllocationKind kind, std::uint64_t size,
                 const std::shared_ptr<void>& memory);
  bool scrub_on(std::uint32_t device, ContextEntry& context, std::uint64_t size,
                const std::shared_ptr<void>& memory);
  // Answers with the address.
  void keep_allocation(ContextEntry& context, std::uint64_t sequence, SvmMemory made,
                       SvmBlock block);
  // The partition that the sub-device of this number belongs to. Throws ProtocolError.
  std::shared_ptr<PartitionEntry> partition_of(std::uint32_t number) const;
  void require_new_numbers(const wire::CreateSubDevices& m) const;
  std::vector<NumberedDevice> numbered(std::span<const std::uint32_t> devices) const;
  // The other devices of the program that are, or are parts of, the same devices of the lease.
  std::vector<std::uint32_t> related_to(const ProgramEntry& program,
                                        const std::vector<std::uint32_t>& built) const;
  static cl_int may_build(const ProgramEntry& program, std::span<const std::uint32_t> devices);
  // Calls the driver for a program whose included files lie in `folder`; may give it another
  // handle.
  using Translate = std::function<cl_int(cl_program& handle, const std::string& folder)>;
  // Ends with build_done: at once if `status` says so, else when `translate`, which calls the
  // driver for `devices`, has returned.
  void build(const std::shared_ptr<ProgramEntry>& program, std::uint64_t ticket, cl_int status,
             Build build, const HeaderTexts* texts, std::vector<std::uint32_t> devices,
             const Translate& translate);
  void keep(ProgramEntry& program, bool succeeded, Build build);
  // Sets an argument; on an error it stays as it was.
  cl_int set_argument(KernelEntry& kernel, const NewArgument& to);
  cl_int set_svm_argument(KernelEntry& kernel, const NewArgument& to, const ArgFacts& arg);
  cl_int set_pointer_argument(KernelEntry& kernel, const NewArgument& to, const ArgFacts& arg);
  void keep_argument(KernelEntry& kernel, std::uint32_t index, KernelEntry::Argument argument);
  void tell_argument(const KernelEntry& kernel, cl_int status, wire::Opcode opcode);

  Channel& channel_;
  Quota& quota_;
  SessionSlot& slot_;
  const std::size_t slot_index_;
  std::vector<Device> devices_;
  std::vector<std::unique_ptr<Gate>> gates_;
  const std::shared_ptr<Cost> transfer_cost_ = std::make_shared<Cost>();
  const std::function<void(const char*)> on_end_;
  // What callbacks of the driver use comes first: it must be there until Callbacks has waited for
  // them.
  MemoryAccount memory_;
  Output output_;
  Answers answers_;
  WindowShare landing_share_;
  Completions completions_;
  ObjectWatch object_watch_;
  PinnedBulk pinned_;
  EndedQueues ended_queues_;
  std::deque<Notifier> notifiers_;
  Callbacks callbacks_;
  std::mutex lock_;
  Pause pause_{lock_};
  ObjectTable objects_;
  std::map<std::uint32_t, Id> partitions_;  // by the number of the first sub-device
  const std::shared_ptr<std::atomic<std::size_t>> live_sub_devices_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  BlockedCommands blocked_;
  const Incoming* current_ = nullptr;  // what is being handled
  LongReceiver long_messages_;
  std::set<std::uint64_t> claimed_reads_;
  std::map<std::uint64_t, HeldRead> held_reads_;
  SavedState saved_;
  bool opened_ = false;
  std::size_t open_user_events_ = 0;
  // Released before they were set: by the standard whatever waits for them waits on, until the
  // session ends.
  std::vector<std::shared_ptr<EventEntry>> abandoned_;
  // Queues with commands that are not known to be finished; read without the lock by the receiver.
  std::atomic<std::int64_t> busy_queues_{0};
  NapLength nap_;
  Receiver receiver_;
};

}  // namespace tessera::worker
