#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "abi/arch.h"
#include "abi/syscalls.h"

namespace callgate::format {

// What the readers of foreign formats make: for every number of every ABI what happens, in the
// words of the policy language. WritePolicy turns it into a policy file.

// A predicate as policy text. True and false are known as such, so that `x < 0` and what follows
// from it never reach a policy (which refuses tests that say nothing).
class Predicate {
 public:
  static Predicate True() { return Predicate(Kind::kTrue, "1"); }
  static Predicate False() { return Predicate(Kind::kFalse, "0"); }
  static Predicate Test(std::string text) { return Predicate(Kind::kTest, std::move(text)); }

  bool is_true() const { return kind_ == Kind::kTrue; }
  bool is_false() const { return kind_ == Kind::kFalse; }
  const std::string& text() const { return text_; }

  // The first is appended to: `any = Or(std::move(any), one)` is linear in what is read.
  friend Predicate And(Predicate a, const Predicate& b);
  friend Predicate Or(Predicate a, const Predicate& b);
  friend Predicate Not(const Predicate& a);

 private:
  enum class Kind : std::uint8_t { kTrue, kFalse, kTest, kAnd, kOr };
  Predicate(Kind kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  std::string Within(Kind outer) const;
  void Append(Kind kind, std::string_view sign, const Predicate& other);

  Kind kind_;
  std::string text_;
};

enum class Relation : std::uint8_t { kEq, kNe, kLt, kLe, kGt, kGe };

// (low `bits` bits of argument `index` & mask) relation value, unsigned, on one call of one ABI.
// Names of arguments and constants are used where they say exactly that.
struct Comparison {
  int index = 0;
  int bits = 64;
  std::uint64_t mask = UINT64_MAX;
  Relation relation = Relation::kEq;
  std::uint64_t value = 0;
};
Predicate Compare(abi::ArchId arch, std::int32_t nr, const Comparison& comparison);
// `value` is one of `values`; the same otherwise.
Predicate IsOneOf(abi::ArchId arch, std::int32_t nr, int index, int bits,
                  const std::vector<std::uint64_t>& values);

// "errno(EPERM)"; a number without a name, or too large for the kernel, as the kernel reads it.
std::string ErrnoAction(abi::ArchId arch, std::uint64_t number);

// Clauses in order; the first that holds decides.
struct Body {
  std::vector<std::pair<Predicate, std::string>> clauses;

  void Add(Predicate predicate, std::string action) {
    clauses.emplace_back(std::move(predicate), std::move(action));
  }
};

struct ForeignArch {
  abi::ArchId arch;
  std::map<std::int32_t, Body> bodies;  // by number; absent: default, or unknown if no table has it
};

// The numbers from first to last of one ABI, and what they get.
struct ForeignRange {
  abi::ArchId arch;
  std::int32_t first = 0;
  std::int32_t last = 0;
  std::string action;
};

struct Foreign {
  std::vector<ForeignArch> arches;
  std::string default_action = "kill";
  std::string unknown_action;  // empty: the default
  std::string bad_arch_action = "kill";
  std::vector<ForeignRange> ranges;  // what a body says about a number goes first
  std::vector<std::string> header;   // comment lines on top, without '#'
};

// Policy text; the printer's canonical form of it is for the caller to make.
std::string WritePolicy(const Foreign& foreign);

}  // namespace callgate::format
