// A foreign filter as a policy file.
//
// Every number of every ABI has its clauses as text. Numbers with the same text become one line;
// a name that says the same on all ABIs of the policy stands without an ABI in front. So the three
// ABIs of a container profile make one list and a few exceptions.

#include "format/foreign.h"

#include <algorithm>
#include <optional>
#include <set>

#include "abi/constants.h"
#include "base/check.h"
#include "fmt/format.h"

namespace callgate::format {
namespace {

std::string Number(std::uint64_t value) {
  return value < 10 ? fmt::format("{}", value) : fmt::format("{:#x}", value);
}

std::string_view Spell(Relation relation) {
  switch (relation) {
    case Relation::kEq:
      return "==";
    case Relation::kNe:
      return "!=";
    case Relation::kLt:
      return "<";
    case Relation::kLe:
      return "<=";
    case Relation::kGt:
      return ">";
    case Relation::kGe:
      return ">=";
  }
  return "";
}

struct Subject {
  std::string text;
  const abi::Argument* argument = nullptr;  // the register's, if it has one
};

Subject SubjectOf(abi::ArchId arch, std::int32_t nr, const Comparison& comparison) {
  const abi::Syscall* call = abi::FindSyscall(arch, nr);
  std::optional<abi::Signature> signature;
  if (call != nullptr) signature = abi::SignatureOf(arch, call->name);
  auto index = static_cast<std::size_t>(comparison.index);
  Subject subject;
  int natural = abi::ArchOf(arch).bits;
  bool is_signed = false;
  subject.text = fmt::format("arg{}", index);
  if (signature && index < signature->size() && (*signature)[index].kind != abi::ArgKind::kUnused) {
    const abi::Argument& argument = (*signature)[index];
    natural = argument.bits;
    is_signed = argument.is_signed;
    if (argument.partner < 0) {
      subject.argument = &argument;
      subject.text = argument.name;
    }
  }
  bool is_equality = comparison.relation == Relation::kEq || comparison.relation == Relation::kNe;
  bool is_masked = comparison.mask != UINT64_MAX;
  bool sign_matters = is_signed && !is_equality && !is_masked;
  if (natural != comparison.bits || sign_matters) {
    subject.text += fmt::format(" as u{}", comparison.bits);
  }
  return subject;
}

// The constant's name where the tables have one for exactly this value of this argument.
std::string ValueText(abi::ArchId arch, const Subject& subject, int bits, std::uint64_t value) {
  const abi::Argument* argument = subject.argument;
  if (argument == nullptr || argument->set.empty()) return Number(value);
  std::string text;
  if (argument->kind == abi::ArgKind::kFlags) {
    text = abi::FormatFlags(arch, argument->set, value);
  } else if (auto name = abi::NameOfValue(arch, argument->set, value)) {
    text = *name;
  }
  // Negative constants, and names that another set gives another value, are not worth a doubt.
  std::optional<std::uint64_t> sum = std::uint64_t{0};
  for (std::size_t begin = 0; sum && begin <= text.size();) {
    std::size_t end = std::min(text.find('|', begin), text.size());
    std::string part = text.substr(begin, end - begin);
    auto one = abi::FindConstant(arch, part, argument->set);
    sum = one ? std::optional(*sum | *one) : std::nullopt;
    begin = end + 1;
  }
  bool fits = sum && *sum == value && (bits == 64 || value <= INT32_MAX);
  return fits && !text.empty() ? text : Number(value);
}

std::string BodyText(const Body& body, const std::string& default_action) {
  std::string text;
  for (const auto& [predicate, action] : body.clauses) {
    if (predicate.is_false()) continue;
    if (predicate.is_true() && action == default_action) break;
    if (!text.empty()) text += "; ";
    if (predicate.is_true()) {
      if (text.empty() && action == "allow") return "1";
      return text.append("else -> ").append(action);
    }
    text += predicate.text();
    if (action != "allow") text += " -> " + action;
  }
  return text.empty() ? "0" : text;
}

// Lines of a policy: the clauses, and the events they are for.
class PolicyWriter {
 public:
  explicit PolicyWriter(const Foreign& foreign) : foreign_(foreign) {}

  std::string Run() {
    for (const ForeignArch& arch : foreign_.arches) CollectArch(arch);
    for (const auto& [name, by_arch] : named_) PlaceName(name, by_arch);
    for (const ForeignRange& range : foreign_.ranges) {
      std::string numbers = range.first == range.last
                                ? fmt::format("nr({})", range.first)
                                : fmt::format("nr({}..{})", range.first, range.last);
      Body body;
      body.Add(Predicate::True(), range.action);
      // A range that has the default's action is there because `unknown` is another one.
      std::string text = range.action == "allow" ? "1" : "else -> " + range.action;
      Place(text, Prefix(range.arch) + numbers);
    }
    std::string out;
    for (const std::string& line : foreign_.header) out += "# " + Harmless(line) + "\n";
    out += Settings();
    // What is simply allowed comes first.
    if (auto allowed = lines_.find("1"); allowed != lines_.end()) {
      out += Join(allowed->second) + "\n";
    }
    for (const std::string& text : order_) {
      if (text != "1") out += fmt::format("{}: {}\n", Join(lines_[text]), text);
    }
    return out;
  }

 private:
  // A comment holds words of the foreign file, which must not end it or hide in it.
  static std::string Harmless(std::string line) {
    for (char& c : line) {
      if (c < 0x20 || c > 0x7E) c = '?';
    }
    return line;
  }

  void CollectArch(const ForeignArch& arch) {
    // A policy that says nothing of a multiplexer rules it by the calls it stands for; the foreign
    // filter does not.
    for (std::string_view name : {"socketcall", "ipc"}) {
      const abi::Syscall* call = abi::FindSyscall(arch.arch, name);
      if (call != nullptr) named_[std::string(name)][arch.arch] = "0";
    }
    for (const auto& [nr, body] : arch.bodies) {
      std::string text = BodyText(body, foreign_.default_action);
      const abi::Syscall* call = abi::FindSyscall(arch.arch, nr);
      if (call == nullptr) {
        // Not in any table: `unknown` if nothing is said, so even the default must be said.
        Place(text == "0" ? "else -> " + foreign_.default_action : text,
              Prefix(arch.arch) + fmt::format("nr({})", nr));
      } else if (text != "0") {
        named_[std::string(call->name)][arch.arch] = text;
      }
    }
  }

  void PlaceName(const std::string& name, const std::map<abi::ArchId, std::string>& by_arch) {
    bool everywhere = by_arch.size() == foreign_.arches.size();
    bool same = std::ranges::all_of(
        by_arch, [&](const auto& entry) { return entry.second == by_arch.begin()->second; });
    if (everywhere && same) return Place(by_arch.begin()->second, name);
    for (const ForeignArch& arch : foreign_.arches) {
      auto text = by_arch.find(arch.arch);
      if (text != by_arch.end()) {
        Place(text->second, std::string(abi::ArchOf(arch.arch).name) + "." + name);
      }
    }
  }

  void Place(const std::string& text, std::string event) {
    auto [place, is_new] = lines_.try_emplace(text);
    if (is_new) order_.push_back(text);
    place->second.push_back(std::move(event));
  }

  std::string Prefix(abi::ArchId arch) const {
    return foreign_.arches.size() == 1 ? "" : std::string(abi::ArchOf(arch).name) + ".";
  }

  static std::string Join(const std::vector<std::string>& events) {
    return fmt::format("{}", fmt::join(events, ", "));
  }

  std::string Settings() const {
    std::vector<std::string_view> names;
    for (const ForeignArch& arch : foreign_.arches) names.push_back(abi::ArchOf(arch.arch).name);
    const std::string& unknown =
        foreign_.unknown_action.empty() ? foreign_.default_action : foreign_.unknown_action;
    return fmt::format("arch: {}\ndefault: {}\nunknown: {}\nbad_arch: {}\n\n",
                       fmt::join(names, ", "), foreign_.default_action, unknown,
                       foreign_.bad_arch_action);
  }

  const Foreign& foreign_;
  std::map<std::string, std::map<abi::ArchId, std::string>> named_;  // clauses by name and ABI
  std::map<std::string, std::vector<std::string>> lines_;            // events by clauses
  std::vector<std::string> order_;
};

}  // namespace

std::string Predicate::Within(Kind outer) const {
  bool chain = kind_ == Kind::kAnd || kind_ == Kind::kOr;
  return chain && kind_ != outer ? "(" + text_ + ")" : text_;
}

void Predicate::Append(Kind kind, std::string_view sign, const Predicate& other) {
  if (kind_ != kind) text_ = Within(kind);
  kind_ = kind;
  text_ += sign;
  text_ += other.Within(kind);
}

Predicate And(Predicate a, const Predicate& b) {
  if (a.is_false() || b.is_true()) return a;
  if (b.is_false() || a.is_true()) return b;
  a.Append(Predicate::Kind::kAnd, " && ", b);
  return a;
}

Predicate Or(Predicate a, const Predicate& b) {
  if (a.is_true() || b.is_false()) return a;
  if (b.is_true() || a.is_false()) return b;
  a.Append(Predicate::Kind::kOr, " || ", b);
  return a;
}

Predicate Not(const Predicate& a) {
  if (a.is_true()) return Predicate::False();
  if (a.is_false()) return Predicate::True();
  return Predicate::Test("!(" + a.text() + ")");
}

Predicate Compare(abi::ArchId arch, std::int32_t nr, const Comparison& wanted) {
  Comparison c = wanted;
  const std::uint64_t all = c.bits == 64 ? UINT64_MAX : UINT32_MAX;
  const std::uint64_t mask = c.mask & all;
  auto truth = [](bool holds) { return holds ? Predicate::True() : Predicate::False(); };
  // What every value, or none, satisfies.
  if (mask == 0) {
    switch (c.relation) {
      case Relation::kEq:
      case Relation::kGe:
        return truth(c.value == 0);
      case Relation::kNe:
      case Relation::kLt:
        return truth(c.value != 0);
      case Relation::kLe:
        return Predicate::True();
      case Relation::kGt:
        return Predicate::False();
    }
  }
  switch (c.relation) {
    case Relation::kEq:
    case Relation::kNe:
      if ((c.value & ~mask) != 0) return truth(c.relation == Relation::kNe);
      break;
    case Relation::kLt:
      if (c.value == 0) return Predicate::False();
      if (c.value > mask) return Predicate::True();
      break;
    case Relation::kLe:
      if (c.value >= mask) return Predicate::True();
      break;
    case Relation::kGt:
      if (c.value >= mask) return Predicate::False();
      break;
    case Relation::kGe:
      if (c.value == 0) return Predicate::True();
      if (c.value > mask) return Predicate::False();
      break;
  }
  if (mask == all) c.mask = UINT64_MAX;
  Subject subject = SubjectOf(arch, nr, c);
  // A bound is a quantity, also where a constant happens to have its value.
  bool is_equality = c.relation == Relation::kEq || c.relation == Relation::kNe;
  std::string value = is_equality ? ValueText(arch, subject, c.bits, c.value) : Number(c.value);
  if (c.mask == UINT64_MAX) {
    return Predicate::Test(fmt::format("{} {} {}", subject.text, Spell(c.relation), value));
  }
  std::string mask_text = ValueText(arch, subject, c.bits, mask);
  if (c.value == 0 && c.relation == Relation::kNe) {
    return Predicate::Test(fmt::format("{} & ({})", subject.text, mask_text));
  }
  return Predicate::Test(
      fmt::format("{} & ({}) {} {}", subject.text, mask_text, Spell(c.relation), value));
}

Predicate IsOneOf(abi::ArchId arch, std::int32_t nr, int index, int bits,
                  const std::vector<std::uint64_t>& values) {
  Comparison comparison{.index = index, .bits = bits};
  Subject subject = SubjectOf(arch, nr, comparison);
  const std::uint64_t all = bits == 64 ? UINT64_MAX : UINT32_MAX;
  std::vector<std::string> texts;
  std::set<std::uint64_t> seen;
  for (std::uint64_t value : values) {
    if (value > all || !seen.insert(value).second) continue;
    texts.push_back(ValueText(arch, subject, bits, value));
  }
  if (texts.empty()) return Predicate::False();
  if (texts.size() == 1) {
    return Predicate::Test(fmt::format("{} == {}", subject.text, texts.front()));
  }
  return Predicate::Test(fmt::format("{} in {{{}}}", subject.text, fmt::join(texts, ", ")));
}

std::string ErrnoAction(abi::ArchId arch, std::uint64_t number) {
  // The kernel takes MAX_ERRNO for anything larger (kernel/seccomp.c).
  auto value = static_cast<std::uint32_t>(std::min<std::uint64_t>(number & 0xFFFFU, 4095));
  auto name = abi::ErrnoName(arch, value);
  return name ? fmt::format("errno({})", *name) : fmt::format("errno({})", value);
}

std::string WritePolicy(const Foreign& foreign) {
  CG_CHECK(!foreign.arches.empty());
  return PolicyWriter(foreign).Run();
}

}  // namespace callgate::format
