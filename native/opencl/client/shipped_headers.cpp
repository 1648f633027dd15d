// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/shipped_headers.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "opencl/client/header_file.h"
#include "opencl/client/include_options.h"
#include "opencl/client/include_scan.h"
#include "opencl/client/log.h"
#include "opencl/shipped_texts.h"
#include "transport/channel.h"

namespace tessera::client {
namespace {

struct Text {
  std::string path{};  // empty: a program's source
  std::string own{};
  std::string_view text{};
  FileIdentity file{};
  IncludeScan scan{};
  // The files that it includes, by their names with the opening delimiter; 0: none is sent.
  std::map<std::string, std::uint32_t> found{};
};

// Puts texts together, as parts of the wire.
class Writer {
 public:
  explicit Writer(ShippedHeaders& into) : into_(into) {}

  void literal(std::string_view text) {
    into_.bytes.append(text);
    size_ += text.size();
  }
  void path_of(std::uint32_t file) {
    into_.part_sizes.push_back(static_cast<std::uint32_t>(std::exchange(size_, 0)));
    into_.part_files.push_back(file);
  }
  void end() {
    path_of(0);
    into_.text_ends.push_back(static_cast<std::uint32_t>(into_.part_sizes.size()));
  }

 private:
  ShippedHeaders& into_;
  std::size_t size_ = 0;
};

// As #line takes it, which ends with its line.
std::string quoted(std::string_view path) {
  std::string result = "\"";
  for (const char c : path) {
    if (c == '"' || c == '\\') result += '\\';
    result += c == '\n' ? '?' : c;
  }
  return result + '"';
}

class Shipment {
 public:
  Shipment(std::span<const std::string_view> sources, std::string_view options,
           std::span<const std::string_view> taken)
      : sources_(sources.size()), options_(include_options(options)) {
    for (const std::string_view name : taken) taken_.emplace(name);
    for (auto& folder : options_.folders) {
      while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    }
    for (const std::string_view source : sources) {
      texts_.emplace_back();
      texts_.back().text = source;
      texts_.back().scan = scan_includes(source);
      bytes_ += source.size();
    }
  }

  ShippedHeaders run() {
    // The list grows meanwhile; a file is in it once, so circles end.
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      for (const Mention& mention : texts_[i].scan.mentions) {
        if (mention.form != Mention::Form::macro) find(i, mention.form, mention.name);
      }
      if (i + 1 == texts_.size()) find_by_macros();
    }
    if (texts_.size() == sources_) return {};
    ShippedHeaders result;
    for (std::size_t i = 0; i < texts_.size(); ++i) write(i, result);
    if (result.part_sizes.size() <= kMaxShippedParts && result.bytes.size() <= kMaxBulk)
      return result;
    too_much("the sources");
    return {};
  }

 private:
  using Key = std::pair<FileIdentity, FileIdentity>;

  static std::string key(Mention::Form form, const std::string& name) {
    return (form == Mention::Form::quoted ? '"' : '<') + name;
  }

  // The number of the file that text `i` includes under this name; 0: none is sent.
  std::uint32_t find(std::size_t i, Mention::Form form, const std::string& name) {
    if (taken_.contains(name)) return 0;
    const auto [at, first] = texts_[i].found.try_emplace(key(form, name));
    if (!first) return at->second;
    for (const std::string& path : candidates(texts_[i], form, name)) {
      if (const auto number = open(path)) return at->second = *number;
    }
    return 0;
  }

  std::vector<std::string> candidates(const Text& from, Mention::Form form,
                                      const std::string& name) const {
    if (name.starts_with('/')) return {name};
    std::vector<std::string> paths;
    if (form == Mention::Form::quoted && !from.path.empty()) {
      paths.push_back(from.path.substr(0, from.path.rfind('/') + 1) + name);
    }
    paths.push_back("./" + name);
    for (const auto& folder : options_.folders) {
      paths.push_back((folder.ends_with('/') ? folder : folder + '/') + name);
    }
    return paths;
  }

  // Nothing for what is not there; 0 for what is there and cannot be sent, so that no other file
  // takes its place.
  std::optional<std::uint32_t> open(const std::string& path) {
    const auto [known, unseen] = by_path_.try_emplace(path);
    if (!unseen) return known->second;
    bool too_long = false;
    auto file = read_header(path, kMaxBulk - std::min(bytes_, kMaxBulk), too_long);
    if (!file && !too_long) return std::nullopt;
    if (!file || texts_.size() - sources_ == kMaxShippedFiles) {
      too_much(path);
      return known->second = 0;
    }
    const auto [same, first] = by_identity_.try_emplace(Key(file->file, file->folder));
    if (first) same->second = add(path, std::move(*file));
    return known->second = same->second;
  }

  std::uint32_t add(const std::string& path, HeaderFile file) {
    Text& text = texts_.emplace_back();
    text.path = path;
    text.own = std::move(file.text);
    text.text = text.own;
    text.file = file.file;
    text.scan = scan_includes(text.text);
    bytes_ += text.text.size();
    const auto number = static_cast<std::uint32_t>(texts_.size() - sources_);
    numbers_of_[text.file].push_back(number);
    return number;
  }

  // The name that guards a file which says `#pragma once` and has two numbers, which are two files
  // for the compiler; else empty.
  std::string guard_of(const Text& text) const {
    const auto numbers = numbers_of_.find(text.file);
    if (!text.scan.once || numbers == numbers_of_.end() || numbers->second.size() == 1) return {};
    return "tessera_once_" + std::to_string(numbers->second.front());
  }

  bool has_macro_mentions() const {
    return std::ranges::any_of(texts_, [](const Text& text) {
      return std::ranges::any_of(text.scan.mentions, [](const Mention& mention) {
        return mention.form == Mention::Form::macro;
      });
    });
  }

  void find_by_macros() {
    if (!has_macro_mentions()) return;
    std::set<std::string> opaque;
    std::map<std::string, std::vector<const MacroDefinition*>> definitions;
    const auto add = [&](const MacroDefinition& definition) {
      definitions[definition.macro].push_back(&definition);
      if (definition.form == Mention::Form::macro) opaque.insert(definition.macro);
    };
    std::ranges::for_each(options_.definitions, add);
    for (const Text& text : texts_) std::ranges::for_each(text.scan.definitions, add);
    by_macro_.clear();  // a file found since may define one of them in another way
    const std::size_t known = texts_.size();
    const auto find_all = [&](std::size_t i, const Mention& mention) {
      const auto defined = definitions.find(mention.name);
      if (defined == definitions.end() || opaque.contains(mention.name)) return;
      by_macro_[mention.name].insert(i);
      for (const MacroDefinition* each : defined->second) find(i, each->form, each->name);
    };
    for (std::size_t i = 0; i < known; ++i) {
      for (const Mention& mention : texts_[i].scan.mentions) {
        if (mention.form == Mention::Form::macro) find_all(i, mention);
      }
    }
  }

  static std::string companion(std::size_t text, const std::string& macro) {
    return "tessera_header_" + std::to_string(text) + "_" + macro;
  }

  // The second macros of a definition, one for each text that includes by it.
  void define_companions(Writer& out, const MacroDefinition& definition) {
    const auto users = by_macro_.find(definition.macro);
    if (users == by_macro_.end()) return;
    for (const std::size_t text : users->second) {
      const std::string name = companion(text, definition.macro);
      out.literal("#undef " + name + "\n#define " + name + " ");
      const std::uint32_t file = find(text, definition.form, definition.name);
      file != 0 ? out.path_of(file) : out.literal(definition.value);
      out.literal("\n");
    }
  }

  void write_prologue(std::size_t i, Writer& out) {
    const Text& text = texts_[i];
    if (i >= sources_) {
      const std::string guard = guard_of(text);
      if (!guard.empty()) out.literal("#ifndef " + guard + "\n#define " + guard + "\n");
      out.literal("#line 1 " + quoted(text.path) + "\n");
    } else if (i == 0) {
      const bool any = std::ranges::any_of(
          options_.definitions, [&](const auto& each) { return by_macro_.contains(each.macro); });
      if (!any) return;
      for (const auto& definition : options_.definitions) define_companions(out, definition);
      out.literal("#line 1\n");
    }
  }

  void write(std::size_t i, ShippedHeaders& into) {
    const Text& text = texts_[i];
    Writer out(into);
    write_prologue(i, out);
    std::size_t at = 0;
    const auto copy_to = [&](std::size_t end) {
      out.literal(text.text.substr(at, end - at));
      at = end;
    };
    auto definition = text.scan.definitions.begin();
    const auto define_before = [&](std::size_t place) {
      for (; definition != text.scan.definitions.end() && definition->line_end <= place;
           ++definition) {
        if (!by_macro_.contains(definition->macro)) continue;
        copy_to(definition->line_end);
        out.literal("\n");
        define_companions(out, *definition);
        out.literal("#line " + std::to_string(definition->next_line));
      }
    };
    for (const Mention& mention : text.scan.mentions) {
      define_before(mention.begin);
      if (mention.form == Mention::Form::macro) {
        const auto users = by_macro_.find(mention.name);
        if (users == by_macro_.end()) continue;
        copy_to(mention.begin);
        out.literal(companion(i, mention.name));
      } else {
        const std::uint32_t file = find(i, mention.form, mention.name);
        if (file == 0) continue;
        copy_to(mention.begin);
        out.path_of(file);
      }
      at = mention.end;
    }
    define_before(text.text.size());
    copy_to(text.text.size());
    if (!guard_of(text).empty()) out.literal("\n#endif\n");
    out.end();
  }

  void too_much(const std::string& what) {
    if (std::exchange(told_, true)) return;
    log(LogLevel::warn,
        what + " with the files that they include are more than a build can send: " +
            std::to_string(kMaxShippedFiles) + " files, " + std::to_string(kMaxBulk >> 20) +
            " MiB; the compiler will not find those left out");
  }

  const std::size_t sources_;
  IncludeOptions options_;
  std::set<std::string> taken_;
  std::deque<Text> texts_;  // the sources, then the files by their numbers
  std::map<std::string, std::optional<std::uint32_t>> by_path_;
  std::map<Key, std::uint32_t> by_identity_;
  std::map<FileIdentity, std::vector<std::uint32_t>> numbers_of_;
  std::map<std::string, std::set<std::size_t>> by_macro_;  // texts that include by the macro
  std::size_t bytes_ = 0;
  bool told_ = false;
};

bool may_include(std::string_view source) {
  return source.find("include") != source.npos || source.find("import") != source.npos;
}

}  // namespace

ShippedHeaders ship_headers(std::span<const std::string_view> sources, std::string_view options,
                            std::span<const std::string_view> taken) {
  if (std::ranges::none_of(sources, may_include)) return {};
  return Shipment(sources, options, taken).run();
}

}  // namespace tessera::client
