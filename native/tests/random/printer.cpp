// SPDX-License-Identifier: Apache-2.0
//
// Programs as readable C: what OpenCL is asked, without the checks. h3 is host memory, b3 a buffer
// or image, s3 shared virtual memory; e5 is the event of step 5, m5 its mapping.
#include <sstream>

#include "tests/random/model.h"
#include "tests/random/program.h"

namespace tessera::random {
namespace {

std::string name_of(const Plan& plan, int object) {
  if (object < 0) return "NULL";
  const char* letter = "b";
  if (plan.objects[object].kind == ObjectKind::host) letter = "h";
  if (plan.objects[object].kind == ObjectKind::svm) letter = "s";
  if (plan.objects[object].kind == ObjectKind::image) letter = "i";
  return letter + std::to_string(object);
}

class Printer {
 public:
  explicit Printer(const Plan& plan) : plan_(plan) {}

  std::string object(int i) const {
    const Object& o = plan_.objects[i];
    std::ostringstream out;
    const std::string parent = name_of(plan_, o.parent);
    out << name_of(plan_, i) << " = ";
    switch (o.kind) {
      case ObjectKind::host:
        out << "malloc(" << o.size << ")";
        break;
      case ObjectKind::buffer: {
        const char* flags[] = {"COPY_HOST_PTR", "USE_HOST_PTR", "ALLOC_HOST_PTR | COPY_HOST_PTR"};
        out << "clCreateBuffer(" << flags[o.flags] << ", " << o.size << ")";
        break;
      }
      case ObjectKind::sub_buffer:
        out << "clCreateSubBuffer(" << parent << ", " << o.offset << ", " << o.size << ")";
        break;
      case ObjectKind::image:
        out << "clCreateImage(2D, RGBA, UNSIGNED_INT8, " << o.width << " x " << o.size / o.pitch()
            << ", COPY_HOST_PTR)";
        break;
      case ObjectKind::buffer_image:
        out << "clCreateImage(1D_BUFFER, RGBA, UNSIGNED_INT8, " << o.width << ", over " << parent
            << ")";
        break;
      case ObjectKind::svm:
        out << "clSVMAlloc(" << o.size << ")";
        break;
      case ObjectKind::svm_buffer:
        out << "clCreateBuffer(USE_HOST_PTR, " << o.size << ", " << parent << ")";
        break;
    }
    if (o.destructor) out << " with a destructor callback";
    return out.str();
  }

  std::string step(int i) const {
    const Step& s = plan_.steps[i];
    std::ostringstream out;
    if (makes_event(s)) out << "e" << i << " = ";
    if (s.op == Op::map) out << "m" << i << " = ";
    if (is_command(s.op)) {
      command(out, s);
    } else {
      host(out, i, s);
    }
    return out.str();
  }

 private:
  std::string place(int object, const Place& at, const Step& s) const {
    std::ostringstream out;
    out << name_of(plan_, object) << "[" << at.offset << "..+" << s.row;
    if (s.rows > 1) out << " x " << s.rows << ", pitch " << at.pitch;
    out << "]";
    return out.str();
  }

  static std::string events(const std::vector<int>& list) {
    std::string out;
    for (int one : list) out += (out.empty() ? "e" : ", e") + std::to_string(one);
    return "{" + out + "}";
  }

  void command(std::ostringstream& out, const Step& s) const {
    const char* rect = s.rect && s.op != Op::kernel ? "Rect" : "";
    out << entry(s) << rect << "(q" << s.queue;
    if (s.blocking) out << ", CL_TRUE";
    if (s.op == Op::map) {
      const char* modes[] = {"READ", "WRITE", "READ|WRITE", "WRITE_INVALIDATE_REGION"};
      out << ", " << modes[static_cast<int>(s.mode)];
    }
    if (s.op == Op::kernel) {
      const char* names[] = {"add", "mix_in", "say", "image_add"};
      out << ", " << names[static_cast<int>(s.kernel)];
    }
    if (s.op == Op::unmap) {
      out << ", " << name_of(plan_, s.to) << ", m" << s.target;
    } else {
      if (s.to >= 0) out << ", " << place(s.to, s.to_at, s);
      if (s.from >= 0) out << " <- " << place(s.from, s.from_at, s);
    }
    if (s.op == Op::kernel) out << ", " << static_cast<std::uint32_t>(s.value) << "u";
    if (s.spin > 0) out << ", computes " << s.spin;
    if (s.op == Op::fill) out << ", pattern of " << s.pattern;
    if (!s.waits.empty()) out << ", waits " << events(s.waits);
    out << ")";
    if (s.op == Op::kernel && s.rect) out << "; clReleaseKernel";
  }

  static const char* entry(const Step& s) {
    switch (s.op) {
      case Op::write:
        return "clEnqueueWrite";
      case Op::read:
        return "clEnqueueRead";
      case Op::copy:
        return "clEnqueueCopy";
      case Op::fill:
        return "clEnqueueFill";
      case Op::map:
        return "clEnqueueMap";
      case Op::unmap:
        return "clEnqueueUnmap";
      case Op::kernel:
        return "clEnqueueNDRangeKernel";
      case Op::marker:
        return "clEnqueueMarkerWithWaitList";
      case Op::barrier:
        return "clEnqueueBarrierWithWaitList";
      default:
        return "clEnqueueMigrateMemObjects";
    }
  }

  void host(std::ostringstream& out, int i, const Step& s) const {
    switch (s.op) {
      case Op::create:
        out << object(s.to);
        break;
      case Op::release:
        out << "clReleaseMemObject(" << name_of(plan_, s.to) << ")";
        break;
      case Op::user_event:
        out << "clCreateUserEvent()";
        break;
      case Op::set_user_event:
        out << "clSetUserEventStatus(e" << s.target << ", " << plan_.steps[s.target].state << ")";
        break;
      case Op::wait:
        out << "clWaitForEvents(" << events(s.waits) << ")";
        break;
      case Op::finish:
        out << "clFinish(q" << s.queue << ")";
        break;
      case Op::flush:
        out << "clFlush(q" << s.queue << ")";
        break;
      case Op::poll:
        out << "while (status of e" << s.target << " > CL_COMPLETE) sched_yield()";
        break;
      case Op::callback: {
        const char* states[] = {"CL_COMPLETE", "CL_RUNNING", "CL_SUBMITTED"};
        out << "clSetEventCallback(e" << s.target << ", " << states[s.state] << ", c" << i;
        if (s.sets >= 0) out << ", which sets e" << s.sets;
        if (s.drops) out << ", which gives back e" << s.target;
        out << ")";
        break;
      }
      case Op::wait_callback:
        out << "until c" << s.target << " was called";
        break;
      case Op::wait_destroyed:
        out << "until the destructor callback of " << name_of(plan_, plan_.steps[s.target].to)
            << " was called";
        break;
      case Op::release_event:
        out << "clReleaseEvent(e" << s.target << ")";
        break;
      case Op::host_fill:
        out << "write " << place(s.to, s.to_at, s);
        break;
      case Op::host_check:
        out << "look at " << place(s.from, s.from_at, s);
        break;
      default:
        out << "look at m" << s.target;
        if (s.row > 0) out << " and write " << s.row << " of its bytes";
        break;
    }
  }

  const Plan& plan_;
};

}  // namespace

std::string as_code(const Plan& plan, int step) {
  return Printer(plan).step(step);
}

std::string as_code(const Plan& plan) {
  const Printer printer(plan);
  std::ostringstream out;
  out << "// seed " << plan.seed << ", " << plan.threads << " threads";
  if (plan.rebuilds) out << ", and one that builds other programs meanwhile";
  out << "\n";
  for (std::size_t i = 0; i < plan.queues.size(); ++i) {
    out << "q" << i << " = clCreateCommandQueue("
        << (plan.queues[i].unordered ? "out of order" : "in order")
        << (plan.queues[i].profiling ? ", profiling" : "") << ")\n";
  }
  for (std::size_t i = 0; i < plan.objects.size(); ++i) {
    if (plan.objects[i].creator < 0) out << printer.object(static_cast<int>(i)) << "\n";
  }
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    out << "/* " << i << " */ ";
    if (plan.threads > 1) out << "thread " << step.thread << ": ";
    if (!step.after.empty()) {
      out << "[after";
      for (int other : step.after) out << " " << other;
      out << "] ";
    }
    out << printer.step(static_cast<int>(i)) << ";\n";
  }
  return out.str();
}

}  // namespace tessera::random
