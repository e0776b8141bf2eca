#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "abi/arch.h"
#include "graph/graph.h"
#include "graph/steps.h"

namespace callgate::codegen {

// What one test in the program is worth against the mean path, as graph::TreePrice counts it;
// measured with bench/compile_table.cc.
inline constexpr std::uint32_t kTestPriceOfNumbers = 5;
inline constexpr std::uint32_t kTestPriceOfOtherAbis = 32;
inline constexpr std::uint32_t kTestPriceOfArguments = 16;
// For few steps size is all: a test that falls through takes a fifth of the time of one that jumps,
// so sixteen == in a row are no slower than a tree of them.
inline constexpr std::uint32_t kTestPriceOfFew = 4096;
inline constexpr std::size_t kFewSteps = 33;  // sixteen numbers among seventeen ranges

// How often a call was made, in some recording of a program.
struct CallCount {
  std::uint32_t audit_arch = 0;
  std::int32_t nr = 0;
  std::uint64_t count = 0;
};

// Which paths through a filter matter how much. See weights.cc.
class CallWeights {
 public:
  // `profile`: what the program does, if that is known.
  explicit CallWeights(std::span<const CallCount> profile = {});

  // One weight for each step of a decision by number; `arch` is the AUDIT_ARCH if it is certain.
  std::vector<std::uint64_t> Of(const graph::Pool& pool, const graph::Steps& steps,
                                std::optional<std::uint32_t> arch) const;
  // One call's; `decides` is the node that its number leads to.
  std::uint64_t OfCall(const graph::Node& decides, const abi::Arch& arch, std::int32_t nr) const;

 private:
  struct Scaled {
    std::uint32_t audit_arch;
    std::uint32_t nr;
    std::uint64_t weight;
  };
  // What the profile has for first..last of an AUDIT_ARCH.
  std::uint64_t FromProfile(std::uint32_t audit_arch, std::uint32_t first,
                            std::uint32_t last) const;

  std::vector<Scaled> profile_;  // sorted
};

}  // namespace callgate::codegen
