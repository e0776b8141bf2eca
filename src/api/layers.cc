#include "api/layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>

#include "abi/syscalls.h"
#include "api/compile.h"
#include "api/impl.h"
#include "base/check.h"
#include "base/nearest.h"
#include "graph/combine.h"
#include "graph/dump.h"
#include "policy/lower.h"

namespace callgate {
namespace {

base::Result<void> CheckPassName(std::string_view name) {
  base::NearestName nearest(name);
  for (const codegen::Pass& pass : codegen::AllPasses()) {
    if (pass.name == name) return {};
    nearest.Offer(pass.name);
  }
  const auto best = nearest.Best();
  return base::Fail({.operation = "find pass",
                     .subject = fmt::format("'{}'", name),
                     .reason = "there is none of that name",
                     .advice = best ? fmt::format("did you mean '{}'?", *best)
                                    : "callgate compile --help lists them"});
}

std::string_view NextWord(std::string_view& line) {
  const std::size_t begin = std::min(line.find_first_not_of(" \t\r"), line.size());
  line.remove_prefix(begin);
  const std::size_t end = std::min(line.find_first_of(" \t\r"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

std::optional<codegen::CallCount> ReadCount(std::string_view line, abi::ArchId arch) {
  std::string_view name = NextWord(line);
  const std::string_view number = NextWord(line);
  if (const std::size_t dot = name.find('.'); dot != std::string_view::npos) {
    const auto named = abi::FindArch(name.substr(0, dot));
    if (!named) return std::nullopt;
    arch = *named;
    name.remove_prefix(dot + 1);
  }
  const abi::Syscall* syscall = abi::FindSyscall(arch, name);
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), count);
  const bool is_number = error == std::errc() && end == number.data() + number.size();
  if (syscall == nullptr || !is_number || !NextWord(line).empty()) return std::nullopt;
  return codegen::CallCount{abi::ArchOf(arch).audit_arch, syscall->nr, count};
}

}  // namespace

abi::ArchId HomeOf(std::span<const Policy> layers) {
  return layers.front().impl().typed.arches.front().arch;
}

graph::Graph FuseLayers(std::span<const Policy> layers) {
  CG_CHECK(!layers.empty());
  graph::Graph all = policy::Lower(layers.front().impl().typed);
  for (const Policy& newer : layers.subspan(1)) {
    all = graph::StrictestOf(all, policy::Lower(newer.impl().typed));
  }
  return all;
}

base::Result<std::vector<codegen::CallCount>> ReadProfile(std::string_view text, abi::ArchId home) {
  std::vector<codegen::CallCount> counts;
  for (std::size_t line_number = 1; !text.empty(); ++line_number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = line.substr(0, line.find('#'));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto count = ReadCount(line, home);
    if (!count) {
      return base::Fail({.operation = "read profile",
                         .subject = fmt::format("line {}", line_number),
                         .reason = fmt::format("'{}' is not '[ABI.]CALL COUNT'", line),
                         .advice = ""});
    }
    counts.push_back(*count);
  }
  return counts;
}

base::Result<codegen::Options> ToInternal(const CompileOptions& options, abi::ArchId home,
                                          std::vector<codegen::CallCount>& profile) {
  auto counts = ReadProfile(options.profile, home);
  if (!counts) return std::unexpected(counts.error());
  profile = std::move(*counts);
  for (const std::string& name : options.without) {
    if (auto known = CheckPassName(name); !known) return std::unexpected(known.error());
  }
  codegen::Options internal;
  internal.profile = profile;
  internal.without = options.without;
  return internal;
}

std::vector<PassInfo> ListPasses() {
  std::vector<PassInfo> passes;
  for (const codegen::Pass& pass : codegen::AllPasses()) {
    passes.push_back({std::string(pass.name), std::string(pass.summary)});
  }
  return passes;
}

Result<Program> CompileFused(std::span<const Policy> layers, const CompileOptions& options) {
  for (const Policy& layer : layers) {
    if (auto error = NeedsMoreThanAFilter(layer)) return std::unexpected(*error);
  }
  std::vector<codegen::CallCount> profile;
  const auto internal = ToInternal(options, HomeOf(layers), profile);
  if (!internal) return std::unexpected(Error{internal.error().ToString()});
  auto program = CompileValidated(FuseLayers(layers), *internal);
  if (!program) return std::unexpected(Error{program.error().ToString()});
  return Program::FromInstructions(ToPublic(*program));
}

Result<std::string> DumpGraph(std::span<const Policy> layers, const CompileOptions& options,
                              std::string_view after, GraphFormat format) {
  for (const Policy& layer : layers) {
    if (auto error = NeedsMoreThanAFilter(layer)) return std::unexpected(*error);
  }
  std::vector<codegen::CallCount> profile;
  auto internal = ToInternal(options, HomeOf(layers), profile);
  if (!internal) return std::unexpected(Error{internal.error().ToString()});
  if (!after.empty()) {
    if (auto known = CheckPassName(after); !known) {
      return std::unexpected(Error{known.error().ToString()});
    }
  }
  const std::endian order = abi::ArchOf(HomeOf(layers)).endian;
  std::string dump;
  internal->after_pass = [&](std::string_view pass, const graph::Graph& graph) {
    if (!after.empty() && pass != after) return;
    dump =
        format == GraphFormat::kDot ? graph::DumpDot(graph, order) : graph::DumpText(graph, order);
  };
  if (auto program = CompileValidated(FuseLayers(layers), *internal); !program) {
    return std::unexpected(Error{program.error().ToString()});
  }
  if (dump.empty()) return std::unexpected(Error{fmt::format("pass '{}' was left out", after)});
  return dump;
}

}  // namespace callgate
