#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"
#include "callgate/policy.h"
#include "callgate/program.h"

// Policy::Compile with everything that can be asked of the compiler.

namespace callgate {

// One step of the compiler; each keeps what the filter decides and can be left out.
struct PassInfo {
  std::string name;
  std::string summary;
};
CALLGATE_EXPORT std::vector<PassInfo> ListPasses();

struct CompileOptions {
  // How often the program makes which calls, one `[ABI.]CALL COUNT` a line, `#` comments; an ABI
  // that is not named is the policy's first. Hot calls that the kernel will not cache come first.
  std::string profile;
  std::vector<std::string> without;  // passes to leave out
};

// The filter of several layers: for every call the strictest of their actions, as if each were
// installed on its own, the last one last.
CALLGATE_EXPORT Result<Program> CompileFused(std::span<const Policy> layers,
                                             const CompileOptions& options = {});

enum class GraphFormat : std::uint8_t {
  kText,  // one node a line
  kDot,   // a Graphviz digraph: solid edges for yes, dashed for no
};
// The decision graph after a pass; `after` empty: as it goes to the last one.
CALLGATE_EXPORT Result<std::string> DumpGraph(std::span<const Policy> layers,
                                              const CompileOptions& options, std::string_view after,
                                              GraphFormat format);

// What a filter costs. Paths are counted in instructions that run, over the numbers of an ABI's
// table with zero arguments.
struct CompileReport {
  std::size_t instructions = 0;
  std::size_t instruction_limit = 0;
  std::size_t converted = 0;  // as the kernel counts it against the limit of a task's stack
  std::size_t converted_limit = 0;
  std::size_t longest_path = 0;  // through the program, whatever the call

  // A call that can be allowed, but runs the filter each time.
  struct Uncached {
    std::string call;
    std::string reason;               // "arg0 (domain) decides"
    std::vector<std::string> places;  // its rules, one a layer that has one: "app.cg:12"
  };
  struct Abi {
    std::string name;
    std::size_t numbers = 0;
    double mean_path = 0;
    std::size_t worst_path = 0;
    std::size_t worst_uncached_path = 0;
    std::size_t allowed = 0;  // calls that can be allowed
    std::size_t cached = 0;   // of these, never run the filter once it is installed (Linux 5.11)
    std::vector<Uncached> uncached;
  };
  std::vector<Abi> abis;

  double estimated_install_us = 0;  // machines differ by a factor of two
  std::optional<double> measured_install_us;

  struct Pass {
    std::string name;
    std::size_t nodes = 0;  // of the decision graph behind it
  };
  std::vector<Pass> passes;
};

enum class InstallTime : std::uint8_t { kEstimate, kMeasure };

// kMeasure installs the filter in a few child processes, which end at once.
CALLGATE_EXPORT Result<CompileReport> ReportOn(std::span<const Policy> layers,
                                               const CompileOptions& options,
                                               InstallTime install_time);

}  // namespace callgate
