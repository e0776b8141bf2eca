#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/source.h"

namespace callgate::policy::ast {

// The policy as it is written: names are not looked up, nothing is multiplied out, comments are
// kept. The parser makes it, the printer writes it back, resolve and typecheck give it meaning.
// Plain values; a generator may build one without any text, all spans then point nowhere.

struct Term {
  enum class Kind : std::uint8_t {
    kNumber,   // text: as canonically spelt, number: its bits (negative: two's complement)
    kName,     // constant or let
    kDevice,   // dev(major, minor); text: "1,3", number: as the kernel encodes it in a dev_t
    kString,   // text: the bytes meant
    kAddress,  // text: IP address or network
  };
  Kind kind = Kind::kNumber;
  bool is_negative = false;
  // Hexadecimal and octal are read as bit patterns, decimal as a quantity.
  bool is_decimal = true;
  std::uint64_t number = 0;
  std::string text;
  base::Span span;
};

// One term, or several or-ed: A|B|0x10.
struct Value {
  std::vector<Term> terms;
  base::Span span;
};

struct SetElement {
  Value low;
  Value high;  // no terms: a single value, not a range
  base::Span span;
};

enum class Operator : std::uint8_t {
  kNonZero,  // nothing behind the operand: `mode & 0o022`
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kHas,
  kOnly,
  kIn,
  kNotIn,
  kGlob,
  kUnder,
};

// operand [as TYPE] [& mask] operator right side
struct Test {
  std::vector<std::string> field;  // dotted name: {"addr", "ip"}
  base::Span field_span;
  std::string as_type;  // "u64"; empty: the argument's own
  base::Span as_span;
  Value mask;  // no terms: none
  Operator op = Operator::kNonZero;
  Value value;                  // every operator but kNonZero; kIn and kNotIn: see set
  std::vector<SetElement> set;  // kIn, kNotIn; kGlob and kUnder in place of value
  bool in_braces = true;        // `in {…}`; else `in 1..5` or `in NAME`
};

struct Expr {
  enum class Kind : std::uint8_t {
    kTruth,  // 1 or 0
    kName,   // a let
    kTest,
    kAnd,  // two or more children; no child of an And is an And, the same for Or
    kOr,
    kNot,
  };
  Kind kind = Kind::kTruth;
  bool truth = false;
  std::string name;
  std::unique_ptr<Test> test;
  std::vector<Expr> children;
  base::Span span;
};

struct Action {
  std::string name;  // "errno"
  Value argument;    // no terms: none
  base::Span span;
};

struct Clause {
  std::vector<std::string> comments;  // lines above it, with their '#'
  std::string trailing;               // behind it on its last line
  bool is_else = false;
  Expr predicate;           // unless is_else
  bool has_action = false;  // else: allow
  Action action;
  base::Span span;
};

// nr(335), nr(335..423): calls by number, as seccomp_data.nr holds it. Both ends are in.
struct Numbers {
  std::int32_t low = 0;
  std::int32_t high = 0;
};

struct Event {
  std::string prefix;  // "i386", "fs", "trace"; empty: none
  std::string name;    // without sys_; a group with its @; empty: see numbers
  bool is_group = false;
  base::Span span;
  std::optional<Numbers> numbers = {};
};

// A line above a statement.
struct LeadingComment {
  std::string text;
  bool blank_before = false;
};

// arch, default, unknown, as_of, bad_arch, on_next_syscall; the name says which member counts.
struct Setting {
  std::string name;
  base::Span name_span;
  std::vector<Event> arches;
  Action action;
  std::string version;  // as_of: "6.1"
  base::Span value_span;
  bool flag = false;  // on_next_syscall
};

struct Use {
  std::string target;  // path, or preset with its @
  bool is_file = false;
  base::Span target_span;
};

struct Let {
  enum class Kind : std::uint8_t { kValue, kSet, kExpr };
  std::string name;
  base::Span name_span;
  Kind kind = Kind::kValue;
  Value value;
  std::vector<SetElement> set;
  Expr expr;
};

struct Group {
  std::string name;  // with its @
  base::Span name_span;
  std::vector<Event> members;
};

struct Rule {
  enum class Mode : std::uint8_t { kPlain, kOverride, kRestrict };
  Mode mode = Mode::kPlain;
  std::vector<Event> events;
  std::vector<Clause> clauses;  // none: bare names, allow always
};

struct Statement {
  std::vector<LeadingComment> leading;
  std::string trailing;  // comment behind it on its last line
  bool blank_before = false;
  base::Span span;
  std::variant<Rule, Setting, Use, Let, Group> body;
};

struct File {
  std::vector<Statement> statements;
  std::vector<LeadingComment> trailing;  // comments below the last statement
};

// dev_t as mknod(2) takes it (linux/kdev_t.h, new_encode_dev). major ≤ 4095, minor ≤ 1048575.
constexpr std::uint64_t EncodeDevice(std::uint64_t major, std::uint64_t minor) {
  return (minor & 0xFFU) | (major << 8U) | ((minor & ~std::uint64_t{0xFF}) << 12U);
}

}  // namespace callgate::policy::ast
