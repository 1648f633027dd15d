// SPDX-License-Identifier: Apache-2.0
//
// What is determined and what is a race, for programs small enough to tell by hand.
#include "tests/random/rules.h"

#include "tests/check.h"
#include "tests/random/generator.h"
#include "tests/random/model.h"

namespace tessera::random {
namespace {

constexpr std::size_t kSize = 64;

Step command(Op op, int queue, int to) {
  Step s;
  s.op = op;
  s.queue = queue;
  s.to = to;
  s.row = kSize;
  s.from_at = s.to_at = {0, kSize};
  return s;
}

Step about(Op op, int target) {
  Step s;
  s.op = op;
  s.target = target;
  return s;
}

// Memory of the host and a buffer; two queues.
Plan two_queues() {
  Plan plan;
  plan.queues.resize(2);
  plan.objects.resize(2);
  plan.objects[0].kind = ObjectKind::host;
  for (Object& object : plan.objects) object.size = kSize;
  return plan;
}

Plan write_then_fill(bool blocking) {
  Plan plan = two_queues();
  Step write = command(Op::write, 0, 1);
  write.from = 0;
  write.blocking = blocking;
  plan.steps = {write, command(Op::fill, 1, 1)};
  return plan;
}

void two_queues_have_no_order() {
  CHECK(fault_in(write_then_fill(false), Kinds::usual()) != "");
}

void a_blocking_call_orders_every_queue() {
  CHECK(fault_in(write_then_fill(true), Kinds::usual()) == "");
}

void an_event_orders_two_queues() {
  Plan plan = write_then_fill(false);
  plan.steps[1].waits = {0};
  CHECK(fault_in(plan, Kinds::usual()) == "");
}

void one_queue_has_the_order_of_its_calls_unless_it_says_otherwise() {
  Plan plan = write_then_fill(false);
  plan.steps[1].queue = 0;
  CHECK(fault_in(plan, Kinds::usual()) == "");
  plan.queues[0].unordered = true;
  CHECK(fault_in(plan, Kinds::usual()) != "");
}

void a_thread_does_not_see_what_another_waited_for() {
  Plan plan = write_then_fill(true);
  plan.threads = 2;
  plan.steps[1].thread = 1;
  CHECK(fault_in(plan, Kinds::usual()) != "");
  plan.steps[1].after = {0};
  CHECK(fault_in(plan, Kinds::usual()) == "");
}

void who_waits_for_an_event_that_it_sets_later_waits_for_ever() {
  Plan plan = two_queues();
  Step event, wait;
  event.op = Op::user_event;
  wait.op = Op::wait;
  wait.waits = {1};
  Step fill = command(Op::fill, 0, 1);
  fill.waits = {0};
  plan.steps = {event, fill, wait, about(Op::set_user_event, 0)};
  CHECK(fault_in(plan, Kinds::usual()) != "");
  std::swap(plan.steps[2], plan.steps[3]);
  CHECK(fault_in(plan, Kinds::usual()) == "");
}

void nobody_reads_what_is_mapped_for_writing() {
  Plan plan = two_queues();
  Step map = command(Op::map, 0, 1);
  map.mode = MapMode::write;
  Step unmap = about(Op::unmap, 0);
  unmap.queue = 0, unmap.to = 1;
  Step read = command(Op::read, 0, 0);
  read.from = 1;
  plan.steps = {map, unmap, read};
  CHECK(fault_in(plan, Kinds::usual()) == "");
  plan.steps = {map, read, unmap};
  CHECK(fault_in(plan, Kinds::usual()) != "");
}

void a_command_behind_a_failed_event_does_nothing() {
  Plan plan = two_queues();
  Step event;
  event.op = Op::user_event;
  event.state = -5;
  Step fill = command(Op::fill, 0, 1);
  fill.waits = {0};
  plan.steps = {event, fill, about(Op::set_user_event, 0)};
  const Order order(plan);
  CHECK(order.is_failing(1));
  CHECK(expected_of(plan, order).contents[1] == first_contents(plan, 1));
  CHECK((expected_of(plan, order).moment[2].complete == std::vector<int>{0}));
}

void what_a_wait_waited_for_is_complete() {
  Plan plan = write_then_fill(false);
  plan.steps[1].waits = {0};
  Step wait;
  wait.op = Op::wait;
  wait.waits = {1};
  plan.steps.push_back(wait);
  const Expected expected = expected_of(plan, Order(plan));
  CHECK((expected.moment[2].complete == std::vector<int>{0, 1}));
}

void a_generated_program_is_determined_and_survives_a_file() {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Plan plan = generate(seed, Kinds::usual());
    CHECK(fault_in(plan, Kinds::usual()) == "");
    const Plan again = from_text(to_text(plan));
    CHECK(to_text(again) == to_text(plan));
    CHECK(as_code(again) == as_code(plan));
  }
}

}  // namespace
}  // namespace tessera::random

int main() {
  using namespace tessera::random;
  two_queues_have_no_order();
  a_blocking_call_orders_every_queue();
  an_event_orders_two_queues();
  one_queue_has_the_order_of_its_calls_unless_it_says_otherwise();
  a_thread_does_not_see_what_another_waited_for();
  who_waits_for_an_event_that_it_sets_later_waits_for_ever();
  nobody_reads_what_is_mapped_for_writing();
  a_command_behind_a_failed_event_does_nothing();
  what_a_wait_waited_for_is_complete();
  a_generated_program_is_determined_and_survives_a_file();
}
