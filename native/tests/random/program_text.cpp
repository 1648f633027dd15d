// SPDX-License-Identifier: Apache-2.0
//
// Plans as text: a line is a word and its fields, NAME=NUMBER or NAME=NUMBER,NUMBER. One list of
// fields serves both directions.
#include <sstream>
#include <stdexcept>
#include <type_traits>

#include "tests/random/program.h"

namespace tessera::random {
namespace {

template <class V>
void fields(Object& o, V&& v) {
  v("kind", o.kind), v("size", o.size), v("parent", o.parent), v("offset", o.offset);
  v("width", o.width), v("flags", o.flags), v("creator", o.creator);
  v("destructor", o.destructor);
}

template <class V>
void fields(Queue& q, V&& v) {
  v("unordered", q.unordered), v("profiling", q.profiling);
}

template <class V>
void fields(Step& s, V&& v) {
  v("op", s.op), v("thread", s.thread), v("queue", s.queue), v("blocking", s.blocking);
  v("has_event", s.has_event), v("rect", s.rect), v("from", s.from), v("to", s.to);
  v("from_offset", s.from_at.offset), v("from_pitch", s.from_at.pitch);
  v("to_offset", s.to_at.offset), v("to_pitch", s.to_at.pitch);
  v("row", s.row), v("rows", s.rows), v("value", s.value), v("pattern", s.pattern);
  v("kernel", s.kernel), v("mode", s.mode), v("spin", s.spin), v("target", s.target);
  v("sets", s.sets), v("state", s.state), v("drops", s.drops);
  v("waits", s.waits), v("after", s.after);
}

struct Head {
  std::uint64_t seed = 0;
  int threads = 1;
  bool rebuilds = false;
};

template <class V>
void fields(Head& h, V&& v) {
  v("seed", h.seed), v("threads", h.threads), v("rebuilds", h.rebuilds);
}

struct Writer {
  std::vector<std::string>& out;
  template <class T>
  void operator()(const char* name, const T& value) {
    std::ostringstream text;
    text << ' ' << name << '=';
    if constexpr (std::is_same_v<T, std::vector<int>>) {
      const char* comma = "";
      for (int one : value) text << comma << one, comma = ",";
    } else {
      text << static_cast<long long>(value);
    }
    out.push_back(text.str());
  }
};

struct Reader {
  const std::string& name;
  const std::string& text;
  bool found = false;
  template <class T>
  void operator()(const char* field, T& value) {
    if (name != field) return;
    found = true;
    if constexpr (std::is_same_v<T, std::vector<int>>) {
      std::istringstream words(text);
      for (std::string word; std::getline(words, word, ',');) value.push_back(std::stoi(word));
    } else {
      value = static_cast<T>(std::stoll(text));
    }
  }
};

template <class T>
std::vector<std::string> written(T part) {
  std::vector<std::string> list;
  fields(part, Writer{list});
  return list;
}

// What is as it is in every new part is left out.
template <class T>
void write_line(std::ostringstream& out, const char* word, const T& part) {
  const std::vector<std::string> all = written(part), usual = written(T{});
  out << word;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] != usual[i]) out << all[i];
  }
  out << '\n';
}

template <class T>
T read_line(std::istringstream& words) {
  T part{};
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) throw std::invalid_argument("not NAME=VALUE: " + word);
    const std::string name = word.substr(0, equals), text = word.substr(equals + 1);
    Reader reader{name, text};
    fields(part, reader);
    if (!reader.found) throw std::invalid_argument("no field '" + name + "'");
  }
  return part;
}

}  // namespace

std::string to_text(const Plan& plan) {
  std::ostringstream out;
  write_line(out, "program", Head{plan.seed, plan.threads, plan.rebuilds});
  for (const Queue& queue : plan.queues) write_line(out, "queue", queue);
  for (const Object& object : plan.objects) write_line(out, "object", object);
  for (const Step& step : plan.steps) write_line(out, "step", step);
  return out.str();
}

Plan from_text(const std::string& text) {
  Plan plan;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first.empty() || first[0] == '#') continue;
    if (first == "program") {
      const Head head = read_line<Head>(words);
      plan.seed = head.seed, plan.threads = head.threads, plan.rebuilds = head.rebuilds;
    } else if (first == "queue") {
      plan.queues.push_back(read_line<Queue>(words));
    } else if (first == "object") {
      plan.objects.push_back(read_line<Object>(words));
    } else if (first == "step") {
      plan.steps.push_back(read_line<Step>(words));
    } else {
      throw std::invalid_argument("no such part of a program: '" + first + "'");
    }
  }
  return plan;
}

}  // namespace tessera::random
