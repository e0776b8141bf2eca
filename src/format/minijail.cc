// minijail policy text, in both dialects:
//
//   C, read by `minijail0 -S`               Python, compiled by compile_seccomp_policy
//   read: 1                                 read: allow
//   socket: arg0 == AF_UNIX; return EPERM   {socket, bind}: { arg0 == 1, arg0 == 2; return 5, trap
//   }
//
// They differ in what stands behind `;`: in C it is for calls that match nothing, in Python for
// those that match. A line with braces is Python's; any other is read as C's, with a note where it
// matters. `@denylist` (Python) allows what is not named. Comparisons are unsigned in the width of
// a register: 64 bits on 64-bit ABIs. `&` is "any of these bits", `in` "no other bits". A call that
// is stated twice (in included files) has all of the expressions, as in Python; behind an
// unconditional one nothing counts, as in a C parser that was built to take duplicates (Android's).
// Others refuse both.
//
// The filter checks the ABI but not x32's bit, so x32's numbers match nothing and get the default.

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <set>

#include "abi/constants.h"
#include "fmt/format.h"
#include "format/reading.h"

namespace callgate::format {
namespace {

constexpr int kMaxIncludes = 16;
// Tokens of a rule that are read again for each of its names.
constexpr std::size_t kMaxTokens = 1U << 20;

struct Token {
  std::string_view text;
  base::Span span;
};

bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '/' || c == '@' || c == '+';
}

class MinijailReader {
 public:
  explicit MinijailReader(Reading& reading)
      : reading_(reading),
        arch_(reading.Native()),
        bits_(abi::ArchOf(arch_).bits == 64 ? 64 : 32) {}

  std::optional<Foreign> Run() {
    if (!ReadFile(reading_.file, 0)) return std::nullopt;
    Foreign foreign;
    foreign.default_action = default_action_;
    if (!has_default_) {
      reading_.Note(
          "no @default: calls that match nothing kill the process, as minijail's newer "
          "versions do; older ones kill the thread");
    }
    ForeignArch arch{arch_, {}};
    for (auto& [nr, body] : bodies_) arch.bodies[nr] = std::move(body);
    foreign.arches.push_back(std::move(arch));
    if (arch_ == abi::ArchId::kX86_64) foreign.arches.push_back({abi::ArchId::kX32, {}});
    return foreign;
  }

 private:
  bool Fail(base::Span span, std::string message, std::string hint = {}) {
    reading_.Fail(span, std::move(message), std::move(hint));
    return false;
  }

  // One statement a line; a backslash at the end continues it, and so do open braces.
  bool ReadFile(base::FileId file, int depth) {
    std::string_view text = reading_.sources.text(file);
    std::size_t at = 0;
    bool ok = true;
    while (at < text.size()) {
      std::vector<Token> line;
      bool more = true;
      while (more && at < text.size()) {
        std::size_t end = std::min(text.find('\n', at), text.size());
        more = TokenizeLine(text, at, end, file, line);
        if (broken_) return false;
        at = end + 1;
        auto count = [&](std::string_view what) {
          return std::ranges::count_if(line, [&](const Token& t) { return t.text == what; });
        };
        more |= count("{") > count("}");
      }
      if (line.empty()) continue;
      tokens_ = std::move(line);
      position_ = 0;
      ok &= Statement(file, depth);
      if (reading_.diagnostics.IsFull()) return false;
    }
    return ok;
  }

  // True: the line ends with a backslash.
  bool TokenizeLine(std::string_view text, std::size_t at, std::size_t end, base::FileId file,
                    std::vector<Token>& tokens) {
    static constexpr std::string_view kTwo[] = {"==", "!=", "<=", ">=", "&&", "||"};
    auto span = [&](std::size_t from, std::size_t to) {
      return base::Span{file, static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to)};
    };
    while (at < end) {
      char c = text[at];
      if (c == '#') return false;
      if (c == ' ' || c == '\t' || c == '\r') {
        ++at;
        continue;
      }
      if (c == '\\' &&
          text.substr(at + 1, end - at - 1).find_first_not_of(" \t\r") == std::string_view::npos) {
        return true;
      }
      std::size_t size = 1;
      if (IsWordChar(c)) {
        while (at + size < end && IsWordChar(text[at + size])) ++size;
      } else if (std::ranges::find(kTwo, text.substr(at, 2)) != std::end(kTwo)) {
        size = 2;
      } else if (std::string_view(":;,{}[]()<>&|~=").find(c) == std::string_view::npos) {
        broken_ = true;
        Fail(span(at, at + 1), "this character has no place in a minijail policy");
        return false;
      }
      tokens.push_back({text.substr(at, size), span(at, at + size)});
      at += size;
    }
    return false;
  }

  bool AtEnd() const { return position_ >= tokens_.size(); }
  std::string_view Text() const { return AtEnd() ? "" : tokens_[position_].text; }
  base::Span Here() const {
    if (!AtEnd()) return tokens_[position_].span;
    base::Span last = tokens_.back().span;
    return {last.file, last.end, last.end};
  }
  bool TryTake(std::string_view text) {
    if (AtEnd() || Text() != text) return false;
    ++position_;
    return true;
  }
  bool Expect(std::string_view text) {
    if (TryTake(text)) return true;
    return Fail(Here(), AtEnd() ? fmt::format("the statement ends where '{}' should be", text)
                                : fmt::format("expected '{}', found '{}'", text, Text()));
  }

  bool Statement(base::FileId file, int depth) {
    if (TryTake("@include")) return Include(file, depth);
    if (TryTake("@frequency")) {
      reading_.Note("@frequency orders the filter for speed; callgate finds an order by itself");
      return true;
    }
    if (TryTake("@denylist")) {
      if (has_default_) return Fail(tokens_.front().span, "@denylist and @default together");
      has_default_ = true;
      default_action_ = "allow";
      return EndOfStatement();
    }
    if (TryTake("@default")) {
      auto action = Action();
      if (!action) return false;
      if (has_default_) return Fail(tokens_.front().span, "a second @default");
      has_default_ = true;
      default_action_ = *action;
      if (*action == "allow" || *action == "log") {
        return Fail(tokens_.front().span, fmt::format("the default cannot be {}", *action),
                    "minijail refuses a filter that lets everything pass");
      }
      return EndOfStatement();
    }
    if (Text().starts_with('@')) {
      return Fail(Here(), fmt::format("unknown statement '{}'", Text()),
                  "they are @include, @default, @denylist and @frequency");
    }
    return Rule();
  }

  bool EndOfStatement() {
    return AtEnd() || Fail(Here(), fmt::format("'{}' is more than a statement holds", Text()));
  }

  bool Include(base::FileId file, int depth) {
    if (AtEnd()) return Fail(Here(), "@include of what?");
    std::string path(Text());
    base::Span span = Here();
    if (depth == kMaxIncludes) {
      return Fail(span, fmt::format("files include each other more than {} deep", kMaxIncludes));
    }
    auto included = ReadIncluded(reading_, file, path, span);
    if (!included) return false;
    auto saved = std::exchange(tokens_, {});
    std::size_t position = std::exchange(position_, 0);
    bool ok = ReadFile(*included, depth + 1);
    tokens_ = std::move(saved);
    position_ = position;
    return ok;
  }

  // name | {name, name}, each perhaps with [arch=x86_64]
  bool Rule() {
    std::vector<Token> names;
    bool braces = TryTake("{");
    do {
      Token name{Text(), Here()};
      ++position_;
      bool here = true;
      if (TryTake("[") && !Metadata(here)) return false;
      if (here) names.push_back(name);
    } while (braces && TryTake(","));
    if (braces && !Expect("}")) return false;
    if (!Expect(":")) return false;
    std::size_t begin = position_;
    if (names.size() > 1 && names.size() * (tokens_.size() - begin) > kMaxTokens) {
      return Fail(names.front().span, "names times conditions are more than a filter can hold");
    }
    for (const Token& name : names) {
      position_ = begin;
      if (!RuleFor(name)) return false;
    }
    return true;
  }

  bool Metadata(bool& here) {
    if (!TryTake("arch") || !Expect("=")) return Fail(Here(), "expected arch=NAME");
    bool found = false;
    do {
      found |= abi::FindArch(Text()) == arch_;
      ++position_;
    } while (TryTake(","));
    here = found;
    return Expect("]");
  }

  bool RuleFor(const Token& name) {
    // Names of the kernel's headers on ARM.
    std::string_view bare = name.text;
    if (bare.starts_with("ARM_")) bare.remove_prefix(4);
    const abi::Syscall* call = abi::FindSyscall(arch_, bare);
    if (call == nullptr) {
      bool known = abi::IsKnownSyscallName(bare);
      return Fail(name.span,
                  known ? fmt::format("{} does not exist on {}", bare, abi::ArchOf(arch_).name)
                        : fmt::format("unknown system call '{}'", bare.substr(0, 60)),
                  known ? "name the machine with --arch" : NearestCall(bare));
    }
    nr_ = call->nr;
    Body unheard;  // what counts for nothing is still read
    Body& stated = bodies_[nr_];
    bool is_final = !stated.clauses.empty() && stated.clauses.back().first.is_true();
    Body& body = is_final ? unheard : stated;
    if (is_final) {
      reading_.Note(
          fmt::format("{} is stated again after a rule without a condition; that counts "
                      "for nothing, and most versions of minijail refuse it",
                      bare));
    } else if (!stated.clauses.empty()) {
      reading_.Note(
          fmt::format("{} is stated twice; compile_seccomp_policy tries one after the "
                      "other, minijail0 -S refuses it",
                      bare));
    }
    if (!TryTake("{")) return SingleFilter(body, bare, false) && EndOfStatement();
    do {
      if (!SingleFilter(body, bare, true)) return false;
    } while (TryTake(","));
    return Expect("}") && EndOfStatement();
  }

  bool SingleFilter(Body& body, std::string_view name, bool python) {
    if (!Text().starts_with("arg")) {
      auto action = Action();
      if (!action) return false;
      body.Add(Predicate::True(), *action);
      return true;
    }
    auto predicate = Disjunction();
    if (!predicate) return false;
    if (!TryTake(";")) {
      body.Add(*predicate, "allow");
      return true;
    }
    auto action = Action();
    if (!action) return false;
    if (python) {
      body.Add(*predicate, *action);
      return true;
    }
    reading_.Note(
        fmt::format("{}: '; {}' is for arguments that match nothing, as minijail0 -S reads "
                    "it; compile_seccomp_policy reads it the other way round",
                    name, *action));
    body.Add(*predicate, "allow");
    body.Add(Predicate::True(), *action);
    return true;
  }

  std::optional<std::string> Action() {
    base::Span span = Here();
    std::string_view word = Text();
    ++position_;
    static constexpr std::pair<std::string_view, std::string_view> kWords[] = {
        {"1", "allow"},
        {"allow", "allow"},
        {"kill-process", "kill"},
        {"kill", "kill"},
        {"kill-thread", "kill_thread"},
        {"trap", "trap(0)"},
        {"trace", "trace(0)"},
        {"log", "log"},
        {"user-notify", "notify"}};
    for (const auto& [known, policy] : kWords) {
      if (word == known) return std::string(policy);
    }
    if (word != "return") {
      return reading_.Fail(span, fmt::format("'{}' is no action", word.substr(0, 60)),
                           "they are allow, 1, return ERRNO, kill-process, kill-thread, trap, "
                           "trace, log and user-notify");
    }
    span = Here();
    if (auto number = abi::ErrnoValue(arch_, Text())) {
      ++position_;
      return ErrnoAction(arch_, *number);
    }
    auto value = Constant();
    if (!value) return std::nullopt;
    if (*value > 4095) return reading_.Fail(span, "an error number is 0 to 4095");
    return ErrnoAction(arch_, *value);
  }

  std::optional<Predicate> Disjunction() {
    Predicate any = Predicate::False();
    do {
      Predicate all = Predicate::True();
      do {
        auto atom = Atom();
        if (!atom) return std::nullopt;
        all = And(std::move(all), *atom);
      } while (TryTake("&&"));
      any = Or(std::move(any), all);
    } while (TryTake("||"));
    return any;
  }

  std::optional<Predicate> Atom() {
    std::string_view word = Text();
    if (word.size() != 4 || !word.starts_with("arg") || word[3] < '0' || word[3] > '5') {
      return reading_.Fail(
          Here(),
          AtEnd() ? "the statement ends where arg0 to arg5 should be"
                  : fmt::format("'{}' is no argument: they are arg0 to arg5", word.substr(0, 60)));
    }
    Comparison comparison{.index = word[3] - '0', .bits = bits_};
    ++position_;
    std::string_view op = Text();
    base::Span op_span = Here();
    ++position_;
    auto value = Constant();
    if (!value) return std::nullopt;
    std::uint64_t all = bits_ == 64 ? UINT64_MAX : UINT32_MAX;
    comparison.value = *value & all;
    static constexpr std::pair<std::string_view, Relation> kRelations[] = {
        {"==", Relation::kEq}, {"!=", Relation::kNe}, {"<", Relation::kLt},
        {"<=", Relation::kLe}, {">", Relation::kGt},  {">=", Relation::kGe}};
    for (const auto& [text, relation] : kRelations) {
      if (text != op) continue;
      comparison.relation = relation;
      return Compare(arch_, nr_, comparison);
    }
    if (op == "&" || op == "in") {
      comparison.mask = op == "&" ? comparison.value : ~comparison.value & all;
      comparison.value = 0;
      comparison.relation = op == "&" ? Relation::kNe : Relation::kEq;
      return Compare(arch_, nr_, comparison);
    }
    return reading_.Fail(op_span, fmt::format("'{}' is no comparison", op.substr(0, 60)),
                         "they are ==, !=, <, <=, >, >=, & and in");
  }

  // A|~B|(C|D)|0x10
  std::optional<std::uint64_t> Constant(int depth = 0) {
    std::uint64_t value = 0;
    do {
      bool inverted = false;
      while (TryTake("~")) inverted = !inverted;
      std::optional<std::uint64_t> one;
      if (depth < 16 && TryTake("(")) {
        one = Constant(depth + 1);
        if (one && !Expect(")")) return std::nullopt;
      } else {
        one = Single();
      }
      if (!one) return std::nullopt;
      value |= inverted ? ~*one : *one;
    } while (TryTake("|"));
    return value;
  }

  std::optional<std::uint64_t> Single() {
    std::string_view word = Text();
    base::Span span = Here();
    if (AtEnd()) return reading_.Fail(span, "the statement ends where a value should be");
    ++position_;
    std::string_view digits = word;
    bool negative = digits.starts_with('-');
    if (negative) digits.remove_prefix(1);
    if (!digits.empty() && digits.front() >= '0' && digits.front() <= '9') {
      // strtol's bases.
      int base = 10;
      if (digits.starts_with("0x") || digits.starts_with("0X")) {
        base = 16;
        digits.remove_prefix(2);
      } else if (digits.size() > 1 && digits.front() == '0') {
        base = 8;
      }
      std::uint64_t value = 0;
      const char* begin = std::to_address(digits.begin());
      const char* end = std::to_address(digits.end());
      auto [stop, error] = std::from_chars(begin, end, value, base);
      if (error == std::errc() && stop == end) return negative ? 0 - value : value;
      return reading_.Fail(span, fmt::format("'{}' is no number of 64 bits", word.substr(0, 40)));
    }
    if (auto value = abi::FindConstant(arch_, word)) return value;
    return reading_.Fail(span, fmt::format("'{}' is no constant of {}", word.substr(0, 60),
                                           abi::ArchOf(arch_).name));
  }

  Reading& reading_;
  abi::ArchId arch_;
  int bits_;
  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  bool broken_ = false;
  bool has_default_ = false;
  std::string default_action_ = "kill";
  std::int32_t nr_ = 0;  // the call whose rule is read
  std::map<std::int32_t, Body> bodies_;
};

}  // namespace

std::optional<Foreign> ReadMinijail(Reading& reading) { return MinijailReader(reading).Run(); }

}  // namespace callgate::format
