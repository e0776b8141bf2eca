#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "policy/typed.h"

namespace callgate::supervise {

// What one call is about, in words: everything behind its registers that the policy language has a
// name for ("filename", "addr.port", "how.flags", "argv[0]", "fd.path").
struct Fact {
  std::string name;
  std::variant<std::uint64_t, std::string> value;

  bool operator==(const Fact&) const = default;
};
using Facts = std::vector<Fact>;

// In the order of the registers. What the call does not have (the port of an AF_UNIX address) is
// left out. `look` is asked as a policy would ask it: what it fails at the call must not be allowed
// for.
Facts FactsOf(const abi::Call& call, const policy::LookFunction& look);

}  // namespace callgate::supervise
