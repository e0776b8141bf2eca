#include "policy/load.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <variant>

#include "fmt/format.h"
#include "policy/limits.h"
#include "policy/parser.h"
#include "policy/presets.h"

namespace callgate::policy {
namespace {

std::string DirectoryOf(const std::string& path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

// "a//./b.cg" → "a/b.cg", so that one file has one name. nullopt: absolute, empty or with a "..".
std::optional<std::string> CleanPath(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::string clean;
  while (!path.empty()) {
    std::size_t slash = std::min(path.find('/'), path.size());
    std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part == "..") return std::nullopt;
    if (part.empty() || part == ".") continue;
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  if (clean.empty()) return std::nullopt;
  return clean;
}

class Loader {
 public:
  Loader(const FileReader& reader, base::SourceMap& sources, base::Diagnostics& diagnostics)
      : reader_(reader), sources_(sources), diagnostics_(diagnostics) {}

  void Paste(const std::string& name, std::string text, bool is_preset) {
    base::FileId file = sources_.Add(is_preset ? "<preset " + name + ">" : name, std::move(text));
    seen_.insert(name);
    chain_.push_back(name);
    policy_.files.push_back(Parse(sources_, file, diagnostics_));
    for (const ast::Statement& statement : policy_.files.back().statements) {
      if (const auto* use = std::get_if<ast::Use>(&statement.body)) {
        if (!Follow(*use, statement.span, DirectoryOf(name), is_preset)) {
          policy_.statements.push_back({&statement, is_preset});
        }
        continue;
      }
      if (const auto* setting = std::get_if<ast::Setting>(&statement.body);
          setting != nullptr && chain_.size() > 1) {
        diagnostics_
            .Error(setting->name_span,
                   fmt::format("the setting '{}' stands in a file that is used by another",
                               setting->name))
            .notes.push_back(
                {fmt::format("settings belong to the policy that is run: move it to {}, "
                             "or run both files as layers",
                             chain_.front()),
                 {}});
        continue;
      }
      policy_.statements.push_back({&statement, is_preset});
    }
    chain_.pop_back();
  }

  LoadedPolicy Finish() {
    if (policy_.statements.size() > kMaxRules) {
      diagnostics_.Error(policy_.statements[kMaxRules].statement->span,
                         fmt::format("a policy has at most {} rules", kMaxRules));
      policy_.statements.resize(kMaxRules);
    }
    return std::move(policy_);
  }

 private:
  void Fail(base::Span span, std::string message, std::string note = {}) {
    auto& error = diagnostics_.Error(span, std::move(message));
    if (!note.empty()) error.notes.push_back({std::move(note), {}});
  }

  // False: the name is no preset, so it is left to be a group.
  bool Follow(const ast::Use& use, base::Span span, const std::string& directory, bool in_preset) {
    if (!use.is_file) {
      const Preset* preset = FindPreset(use.target);
      if (preset == nullptr) return false;
      if (MayPaste(use.target, span)) Paste(use.target, std::string(preset->text), true);
      return true;
    }
    std::optional<std::string> path = CleanPath(use.target);
    if (!path || in_preset) {
      Fail(use.target_span, fmt::format("'{}' is not a file beside or below this one", use.target),
           "a policy uses files by a relative path without '..'");
      return true;
    }
    std::string full = directory + *path;
    if (!MayPaste(full, span)) return true;
    base::Result<std::string> text = reader_.Read(full);
    if (!text) {
      Fail(use.target_span, text.error().ToString());
      return true;
    }
    Paste(full, std::move(*text), false);
    return true;
  }

  bool MayPaste(const std::string& name, base::Span span) {
    auto begin = std::ranges::find(chain_, name);
    if (begin != chain_.end()) {
      std::string path;
      for (auto it = begin; it != chain_.end(); ++it) path += *it + " → ";
      Fail(span, fmt::format("{} uses itself: {}{}", name, path, name),
           "remove one `use` of the chain");
      return false;
    }
    if (seen_.contains(name)) return false;
    if (chain_.size() > static_cast<std::size_t>(kMaxUseDepth)) {
      Fail(span, fmt::format("files use each other more than {} deep", kMaxUseDepth));
      return false;
    }
    if (policy_.files.size() >= kMaxFiles) {
      Fail(span, fmt::format("a policy has at most {} files", kMaxFiles));
      return false;
    }
    return true;
  }

  const FileReader& reader_;
  base::SourceMap& sources_;
  base::Diagnostics& diagnostics_;
  LoadedPolicy policy_;
  std::vector<std::string> chain_;  // files being pasted, outermost first
  std::set<std::string> seen_;
};

}  // namespace

LoadedPolicy Load(const std::string& path, const FileReader& reader, base::SourceMap& sources,
                  base::Diagnostics& diagnostics) {
  base::Result<std::string> text = reader.Read(path);
  if (!text) {
    diagnostics.Error({}, text.error().ToString());
    return {};
  }
  return LoadText(path, std::move(*text), reader, sources, diagnostics);
}

LoadedPolicy LoadText(const std::string& name, std::string text, const FileReader& reader,
                      base::SourceMap& sources, base::Diagnostics& diagnostics) {
  Loader loader(reader, sources, diagnostics);
  loader.Paste(name, std::move(text), false);
  return loader.Finish();
}

}  // namespace callgate::policy
