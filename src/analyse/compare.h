#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/call.h"
#include "analyse/lift.h"
#include "analyse/product.h"
#include "bpf/program.h"
#include "graph/graph.h"

namespace callgate::analyse {

enum class Answer : std::uint8_t { kHolds, kFails, kUndecided };

// When do two return values count as one?
enum class Alike : std::uint8_t {
  kValue,   // they are one number
  kEffect,  // the kernel does the same: EffectOf() is one number
};

// The plainest value with the same effect on a call (kernel/seccomp.c, __seccomp_filter): unknown
// actions kill, only errno, trap and trace look at their data, and no errno is larger than 4095.
std::uint32_t EffectOf(std::uint32_t ret_value);

// How B decides where A and B differ.
enum class DifferenceKind : std::uint8_t {
  kLooser = 1,   // B's action is less strict
  kTighter = 2,  // B's action is stricter
  kOther = 3,    // as strict, with other data: another errno
};

struct Difference {
  DifferenceKind kind = DifferenceKind::kOther;
  std::uint32_t a_value = 0;
  std::uint32_t b_value = 0;
  abi::CallWords witness{};  // one call of the region
  Region region;             // of the comparison's product
};

struct Comparison {
  Answer equal = Answer::kHolds;       // the same value for every call
  Answer a_within_b = Answer::kHolds;  // for every call A's action is at least as strict as B's
  Answer b_within_a = Answer::kHolds;
  std::vector<Difference> differences;
  std::string undecided;  // why, if an answer is kUndecided
  Product product;
};

// Strictness is the kernel's precedence of actions (abi::Action::Outranks); an unknown action
// kills.
Comparison Compare(const graph::Pool& pool, const Lifted& a, const Lifted& b, Alike alike,
                   const ProductLimits& limits = {});

// Both pass bpf::Verify. Equal values are alike. Every witness has been interpreted under both.
Comparison ComparePrograms(bpf::ProgramView a, bpf::ProgramView b,
                           const ProductLimits& limits = {});

// Is the program what was asked for? Adds nodes to the source's pool; the first difference is
// enough. B is the program.
Comparison CompareWithSource(graph::Graph& source, bpf::ProgramView program);

}  // namespace callgate::analyse
