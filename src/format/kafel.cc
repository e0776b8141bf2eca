// Kafel. Policies have names and use each other; one USE says which of them the filter is made of.
// Statements are tried in order and the first that matches decides. Arguments have the names that a
// rule gives them, or the kernel's; one that is 32 bits wide is compared in 32 bits. All numbers
// are unsigned. Calls of another ABI kill the thread; the filter does not know x32's bit, so x32's
// numbers match nothing.
//
// Comparing two arguments with each other is refused: a policy has no such test.

#include <algorithm>
#include <set>

#include "fmt/format.h"
#include "format/kafel_lexer.h"
#include "format/reading.h"

namespace callgate::format {
namespace {

constexpr int kMaxIncludes = 16;
constexpr int kMaxDepth = 64;
// Policies that use policies twice each grow without end. A filter of 4096 instructions is said in
// a hundredth of this.
constexpr std::size_t kMaxUsedBytes = 16U << 20;

struct KafelRule {
  std::int32_t nr;
  Predicate predicate;
  std::string action;
};

class KafelReader {
 public:
  explicit KafelReader(Reading& reading) : reading_(reading), arch_(reading.Native()) {}

  std::optional<Foreign> Run() {
    if (!ReadFile(reading_.file)) return std::nullopt;
    if (!has_main_) {
      return reading_.Fail({reading_.file, 0, 0},
                           "this file defines policies and uses none: there is no 'USE name'",
                           "it is meant to be included by another");
    }
    Foreign foreign;
    foreign.default_action = default_;
    foreign.bad_arch_action = "kill_thread";
    ForeignArch arch{arch_, {}}, x32{abi::ArchId::kX32, {}};
    for (KafelRule& rule : main_) {
      bool is_x32 = abi::ArchOfCall(abi::ArchOf(arch_).audit_arch, rule.nr) != arch_;
      auto& bodies = is_x32 ? x32.bodies : arch.bodies;
      bodies[rule.nr].Add(std::move(rule.predicate), std::move(rule.action));
    }
    foreign.arches.push_back(std::move(arch));
    if (arch_ == abi::ArchId::kX86_64) foreign.arches.push_back(std::move(x32));
    return foreign;
  }

 private:
  using Kind = KafelToken::Kind;

  const KafelToken& Peek(std::size_t ahead = 0) const {
    return tokens_[std::min(position_ + ahead, tokens_.size() - 1)];
  }
  bool At(std::string_view text) const {
    return Peek().kind != Kind::kString && Peek().text == text && !text.empty();
  }
  void Take() {
    if (position_ + 1 < tokens_.size()) ++position_;
  }
  bool TryTake(std::string_view text) {
    if (!At(text)) return false;
    Take();
    return true;
  }
  bool Fail(base::Span span, std::string message, std::string hint = {}) {
    reading_.Fail(span, std::move(message), std::move(hint));
    return false;
  }
  bool FailExpected(std::string_view what) {
    if (Peek().kind == Kind::kEnd) {
      return Fail(Peek().span, fmt::format("the file ends where {} should be", what));
    }
    return Fail(Peek().span,
                fmt::format("expected {}, found '{}'", what, Peek().text.substr(0, 60)));
  }
  bool Expect(std::string_view sign) {
    return TryTake(sign) || FailExpected(fmt::format("'{}'", sign));
  }

  bool ReadFile(base::FileId file) {
    auto tokens = LexKafel(reading_, file);
    if (!tokens) return false;
    auto saved = std::exchange(tokens_, std::move(*tokens));
    std::size_t position = std::exchange(position_, 0);
    bool ok = true;
    while (ok && Peek().kind != Kind::kEnd) ok = TopLevel(file);
    tokens_ = std::move(saved);
    position_ = position;
    return ok;
  }

  bool TopLevel(base::FileId file) {
    if (TryTake(";")) return true;
    if (TryTake("#define")) return Define();
    if (At("#include")) return Include(file);
    if (TryTake("POLICY")) return Policy();
    if (Peek().kind == Kind::kDirective) {
      return Fail(Peek().span, fmt::format("unknown directive '{}'", Peek().text.substr(0, 60)));
    }
    // The filter itself: USE … or statements, and DEFAULT.
    if (has_main_) return FailExpected("POLICY, #define or #include");
    has_main_ = true;
    while (Peek().kind != Kind::kEnd && !At("DEFAULT")) {
      if (!Statement(main_)) return false;
      TryTake(",");
    }
    if (!TryTake("DEFAULT")) return true;
    auto action = Action();
    if (!action) return false;
    default_ = *action;
    return true;
  }

  bool Define() {
    if (Peek().kind != Kind::kName) return FailExpected("a name");
    std::string name = Peek().text;
    Take();
    auto value = Number();
    if (!value) return false;
    constants_[name] = *value;
    return true;
  }

  bool Include(base::FileId file) {
    Take();
    base::Span span = Peek().span;
    if (Peek().kind != Kind::kString) return FailExpected("a file name in quotes");
    std::string path = Peek().text;
    Take();
    // A file within itself is reported by the limit of depth; twice side by side, it counts once.
    if (includes_ == kMaxIncludes) {
      return Fail(span, fmt::format("files include each other more than {} deep", kMaxIncludes),
                  "one of them includes itself");
    }
    auto included = ReadIncluded(reading_, file, path, span);
    if (!included) return false;
    ++includes_;
    bool ok = ReadFile(*included);
    --includes_;
    return ok;
  }

  bool Policy() {
    if (Peek().kind != Kind::kName) return FailExpected("the name of the policy");
    std::string name = Peek().text;
    base::Span span = Peek().span;
    Take();
    if (!Expect("{")) return false;
    std::vector<KafelRule> rules;
    while (!TryTake("}")) {
      if (!Statement(rules)) return false;
      TryTake(",");
    }
    if (!policies_.emplace(name, std::move(rules)).second) {
      return Fail(span, fmt::format("a second policy '{}'", name));
    }
    return true;
  }

  bool Statement(std::vector<KafelRule>& rules) {
    if (TryTake("USE")) {
      do {
        auto used = policies_.find(Peek().text);
        if (used == policies_.end()) {
          return Fail(Peek().span,
                      fmt::format("there is no policy '{}' above", Peek().text.substr(0, 60)));
        }
        for (const KafelRule& rule : used->second) used_bytes_ += 64 + rule.predicate.text().size();
        if (used_bytes_ > kMaxUsedBytes) {
          return Fail(Peek().span, "policies use each other for more rules than a filter can hold");
        }
        rules.insert(rules.end(), used->second.begin(), used->second.end());
        Take();
        // `USE a, USE b` is two statements.
      } while (Peek(1).text != "USE" && TryTake(","));
      return true;
    }
    auto action = Action();
    if (!action) return false;
    if (!Expect("{")) return false;
    while (!TryTake("}")) {
      if (!CallRule(rules, *action)) return false;
      if (!At("}") && !TryTake(",")) return FailExpected("',' or '}'");
    }
    return true;
  }

  std::optional<std::string> Action() {
    const KafelToken token = Peek();
    static constexpr std::pair<std::string_view, std::string_view> kWords[] = {
        {"ALLOW", "allow"},
        {"LOG", "log"},
        {"KILL", "kill_thread"},
        {"DENY", "kill_thread"},
        {"KILL_THREAD", "kill_thread"},
        {"KILL_PROCESS", "kill"},
        {"USER_NOTIF", "notify"}};
    for (const auto& [word, policy] : kWords) {
      if (token.kind != Kind::kName || token.text != word) continue;
      Take();
      return std::string(policy);
    }
    if (!At("ERRNO") && !At("TRAP") && !At("TRACE")) {
      FailExpected(
          "an action (ALLOW, LOG, KILL, KILL_PROCESS, ERRNO(N), TRAP(N), TRACE(N), "
          "USER_NOTIF) or USE");
      return std::nullopt;
    }
    Take();
    if (!Expect("(")) return std::nullopt;
    auto value = Number();
    if (!value || !Expect(")")) return std::nullopt;
    if (token.text == "ERRNO") return ErrnoAction(arch_, *value);
    return fmt::format("{}({})", token.text == "TRAP" ? "trap" : "trace", *value & 0xFFFFU);
  }

  // A number, a defined name, or either with a minus.
  std::optional<std::uint64_t> Number() {
    bool negative = TryTake("-");
    std::optional<std::uint64_t> value;
    if (Peek().kind == Kind::kNumber) value = Peek().number;
    if (auto known = constants_.find(Peek().text);
        Peek().kind == Kind::kName && known != constants_.end()) {
      value = known->second;
    }
    if (!value) {
      FailExpected("a number");
      return std::nullopt;
    }
    Take();
    return negative ? 0 - *value : *value;
  }

  // write, write(fd, buf) { … }, SYSCALL[400](a, b) { … }
  bool CallRule(std::vector<KafelRule>& rules, const std::string& action) {
    if (!CallName()) return false;
    names_.clear();
    if (TryTake("(")) {
      while (!TryTake(")")) {
        if (Peek().kind != Kind::kName || names_.size() == 6) {
          return FailExpected("the name of an argument");
        }
        names_.push_back(Peek().text);
        Take();
        if (!At(")") && !TryTake(",")) return FailExpected("',' or ')'");
      }
    }
    Predicate predicate = Predicate::True();
    if (TryTake("{")) {
      predicate = Predicate::False();
      // Expressions with commas between: any of them.
      do {
        auto one = Disjunction(0);
        if (!one) return false;
        predicate = Or(std::move(predicate), *one);
      } while (TryTake(","));
      if (!Expect("}")) return false;
    }
    rules.push_back({nr_, std::move(predicate), action});
    return true;
  }

  bool CallName() {
    const KafelToken name = Peek();
    if (name.kind != Kind::kName) return FailExpected("the name of a system call");
    std::optional<std::uint64_t> number;
    if (TryTake("SYSCALL")) {
      if (!Expect("[")) return false;
      number = Number();
      if (!number || !Expect("]")) return false;
    } else if (auto known = constants_.find(name.text); known != constants_.end()) {
      number = known->second;
      Take();
    } else {
      Take();
      const abi::Syscall* call = abi::FindSyscall(arch_, name.text);
      if (call == nullptr) {
        bool exists = abi::IsKnownSyscallName(name.text);
        return Fail(name.span,
                    exists
                        ? fmt::format("{} does not exist on {}", name.text, abi::ArchOf(arch_).name)
                        : fmt::format("unknown system call '{}'", name.text.substr(0, 60)),
                    exists ? "name the machine with --arch" : NearestCall(name.text));
      }
      nr_ = call->nr;
      return true;
    }
    auto as_signed = static_cast<std::int64_t>(*number);
    if (as_signed < INT32_MIN || as_signed > INT32_MAX) {
      return Fail(name.span, "this is no number of a system call");
    }
    nr_ = static_cast<std::int32_t>(as_signed);
    return true;
  }

  std::optional<Predicate> Disjunction(int depth) {
    if (depth > kMaxDepth) {
      return reading_.Fail(Peek().span,
                           fmt::format("expressions are nested more than {} deep", kMaxDepth));
    }
    Predicate any = Predicate::False();
    do {
      Predicate all = Predicate::True();
      do {
        auto one = Factor(depth);
        if (!one) return std::nullopt;
        all = And(std::move(all), *one);
      } while (TryTake("&&"));
      any = Or(std::move(any), all);
    } while (TryTake("||"));
    return any;
  }

  std::optional<Predicate> Factor(int depth) {
    if (TryTake("!")) {
      if (!At("(")) {
        FailExpected("'(' after '!'");
        return std::nullopt;
      }
      auto inner = Factor(depth + 1);
      if (!inner) return std::nullopt;
      return Not(*inner);
    }
    // ( fd & MASK ) is an operand, ( fd == 1 … ) an expression.
    bool masked = At("(") && Peek(1).kind == Kind::kName && Peek(2).text == "&";
    if (!masked && TryTake("(")) {
      auto inner = Disjunction(depth + 1);
      if (!inner || !Expect(")")) return std::nullopt;
      return inner;
    }
    return Test();
  }

  std::optional<Predicate> Test() {
    bool parens = TryTake("(");
    auto argument = Argument();
    if (!argument) return std::nullopt;
    Comparison comparison{.index = argument->index, .bits = argument->bits};
    if (TryTake("&")) {
      auto mask = Value();
      if (!mask) return std::nullopt;
      comparison.mask = *mask;
    }
    if (parens && !Expect(")")) return std::nullopt;
    static constexpr std::pair<std::string_view, Relation> kRelations[] = {
        {"==", Relation::kEq}, {"!=", Relation::kNe}, {"<", Relation::kLt},
        {"<=", Relation::kLe}, {">", Relation::kGt},  {">=", Relation::kGe}};
    for (const auto& [text, relation] : kRelations) {
      if (!TryTake(text)) continue;
      auto value = Value();
      if (!value) return std::nullopt;
      comparison.relation = relation;
      comparison.value = *value;
      return Compare(arch_, nr_, comparison);
    }
    FailExpected("a comparison");
    return std::nullopt;
  }

  // The right side; an argument there is what a policy cannot say.
  std::optional<std::uint64_t> Value() {
    if (Peek().kind == Kind::kName && !constants_.contains(Peek().text) && Find(Peek().text)) {
      return reading_.Fail(Peek().span,
                           fmt::format("'{}' is an argument; a policy compares arguments with "
                                       "constants only",
                                       Peek().text),
                           "this file cannot be imported");
    }
    auto value = Number();
    while (value && TryTake("|")) {
      auto more = Number();
      value = more ? std::optional(*value | *more) : std::nullopt;
    }
    return value;
  }

  struct Operand {
    int index;
    int bits;
  };

  std::optional<Operand> Find(std::string_view name) const {
    const abi::Syscall* call = abi::FindSyscall(arch_, nr_);
    std::optional<abi::Signature> signature;
    if (call != nullptr) signature = abi::SignatureOf(arch_, call->name);
    int index = -1;
    if (auto place = std::ranges::find(names_, name); place != names_.end()) {
      index = static_cast<int>(place - names_.begin());
    } else if (names_.empty() && signature) {
      auto found = abi::FindArgument(*signature, name);
      if (found && !found->high_slot) index = found->slot;
    }
    if (index < 0) return std::nullopt;
    int bits = abi::ArchOf(arch_).bits;
    if (signature && static_cast<std::size_t>(index) < signature->size() &&
        (*signature)[static_cast<std::size_t>(index)].bits <= 32) {
      bits = 32;
    }
    return Operand{index, bits};
  }

  std::optional<Operand> Argument() {
    if (Peek().kind != Kind::kName) {
      FailExpected("the name of an argument");
      return std::nullopt;
    }
    auto found = Find(Peek().text);
    if (!found) {
      return reading_.Fail(Peek().span,
                           fmt::format("'{}' is no argument here", Peek().text.substr(0, 60)));
    }
    Take();
    return found;
  }

  Reading& reading_;
  abi::ArchId arch_;
  std::vector<KafelToken> tokens_{{}};
  std::size_t position_ = 0;
  int includes_ = 0;
  std::map<std::string, std::uint64_t, std::less<>> constants_;
  std::map<std::string, std::vector<KafelRule>, std::less<>> policies_;
  std::size_t used_bytes_ = 0;
  bool has_main_ = false;
  std::vector<KafelRule> main_;
  std::string default_ = "kill_thread";
  std::int32_t nr_ = 0;             // the call whose rule is read
  std::vector<std::string> names_;  // its arguments, where the rule names them
};

}  // namespace

std::optional<Foreign> ReadKafel(Reading& reading) { return KafelReader(reading).Run(); }

}  // namespace callgate::format
