#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "abi/arch.h"
#include "abi/call.h"
#include "policy/typed.h"

namespace callgate::testing {

// Random policy *text*, for campaigns that go through the whole front end: every operator, masks,
// sets, ranges, lets, groups, several clauses and actions, restrict and override, one or more ABIs.
// The same seed gives the same texts.
struct RandomPolicyOptions {
  std::vector<abi::ArchId> arches{abi::ArchId::kX86_64};  // more than one: an arch line is written
  int max_rules = 6;
  int max_clauses = 4;
  int max_depth = 3;  // of && || ! and brackets
  int max_width = 3;  // operands of one && or ||
  // Chance in percent that a word is replaced by a wrong one: unknown names, constants that do not
  // fit, missing brackets. 0: the text is well typed but for rare contradictions of chance.
  int percent_wrong = 0;
  // Random white space, comments and redundant brackets.
  bool untidy = false;
};

class RandomPolicy {
 public:
  RandomPolicy(std::uint64_t seed, RandomPolicyOptions options)
      : random_(seed), options_(std::move(options)) {}

  std::string Text();

 private:
  struct Target {
    std::string name;
    std::vector<std::string> arguments;  // names usable on every ABI
  };

  std::uint64_t Below(std::uint64_t n) { return random_() % n; }
  bool Chance(int percent) { return Below(100) < static_cast<std::uint64_t>(percent); }
  std::string Blank();
  std::string Wrong(std::string right, const char* wrong);
  Target PickTarget();
  std::string Action();
  std::string Predicate(const Target& target, int depth);
  std::string Test(const Target& target);
  std::string Number(int bits, bool is_signed, bool strictly_inside);

  std::mt19937_64 random_;
  RandomPolicyOptions options_;
};

// Calls at which a policy may change its mind: for every call it rules, and a few it does not,
// registers at and next to the constants of its tests, with garbage in the halves nobody looks at.
std::vector<abi::Call> BoundaryCalls(const policy::TypedPolicy& policy, std::mt19937_64& random,
                                     int calls_per_rule);

}  // namespace callgate::testing
