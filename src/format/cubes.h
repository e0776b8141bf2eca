#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/typed.h"

namespace callgate::format {

// Sets of calls as foreign formats can say them: "argument 0 masked with M is V, and argument 2 …".

// All calls whose registers have the given bits: (args[i] & mask[i]) == value[i].
struct Cube {
  std::array<std::uint64_t, 6> mask{};
  std::array<std::uint64_t, 6> value{};

  bool operator==(const Cube&) const = default;
};

// A union of cubes. Operations give up (nullopt) past kMaxCubes: what then is meant, no format says
// in a way that anybody could read.
using CubeSet = std::vector<Cube>;
inline constexpr std::size_t kMaxCubes = 512;

std::optional<CubeSet> Intersect(const CubeSet& a, const CubeSet& b);
// What is in `a` and not in `b`; the cubes are disjoint if those of `a` are.
std::optional<CubeSet> Subtract(const CubeSet& a, const CubeSet& b);

// The calls for which a predicate holds. nullopt: too many cubes, or it looks at the instruction
// pointer or at memory.
std::optional<CubeSet> CubesOf(const policy::Expr& expr);

// One action and the calls that get it.
struct ActionCubes {
  policy::PolicyAction action;
  CubeSet cubes;
};

// What a policy says about one number of one ABI.
struct FlatCall {
  std::int32_t nr = 0;
  std::string name;
  bool is_known = true;  // false: too complex to be taken apart, and the rest says nothing
  // Disjoint; distinct actions, none of them `rest`.
  std::vector<ActionCubes> parts;
  policy::PolicyAction rest;  // for what is in no part
};

// The cubes of all parts together.
CubeSet UnionOf(const std::vector<ActionCubes>& parts);
// Calls that two policies decide differently, by the two actions. nullopt: too complex to tell.
struct Difference {
  policy::PolicyAction before;
  policy::PolicyAction after;
};
std::optional<std::vector<Difference>> Differences(const FlatCall& before, const FlatCall& after);

struct FlatArch {
  abi::ArchId arch;
  std::vector<FlatCall> calls;  // every call of the tables and every number a rule names, by number
};

std::vector<FlatArch> Flatten(const policy::TypedPolicy& policy);

}  // namespace callgate::format
