#include "testing/random_policy.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "abi/syscalls.h"
#include "fmt/format.h"

namespace callgate::testing {
namespace {

// Few calls, so that rules meet (override, restrict, groups); chosen so that every kind of operand
// occurs: 16, 32 and 64 bits, signed and unsigned, pairs on 32-bit ABIs, flags, enums, modes, six
// arguments.
constexpr std::array<const char*, 14> kCalls{"read",        "openat", "lseek",  "socket", "mmap2",
                                             "mmap",        "fchmod", "kill",   "futex",  "pread64",
                                             "ftruncate64", "ioctl",  "sendto", "mremap"};

std::string Pick(std::mt19937_64& random, std::initializer_list<const char*> words) {
  return *(words.begin() + random() % words.size());
}

}  // namespace

std::string RandomPolicy::Blank() {
  if (!options_.untidy) return " ";
  switch (Below(8)) {
    case 0:
      return "  ";
    case 1:
      return "\t ";
    case 2:
      return "\n    ";
    case 3:
      return "  # remark\n  ";
    default:
      return " ";
  }
}

std::string RandomPolicy::Wrong(std::string right, const char* wrong) {
  return Chance(options_.percent_wrong) ? std::string(wrong) : std::move(right);
}

RandomPolicy::Target RandomPolicy::PickTarget() {
  while (true) {
    Target target{kCalls[Below(kCalls.size())], {}};
    bool everywhere = true;
    std::set<std::string> common;
    for (std::size_t a = 0; a < options_.arches.size(); ++a) {
      abi::ArchId arch = options_.arches[a];
      everywhere &= abi::FindSyscall(arch, target.name) != nullptr;
      auto signature = abi::SignatureOf(arch, target.name);
      std::set<std::string> names;
      for (std::size_t i = 0; signature && i < signature->size(); ++i) {
        const abi::Argument& argument = (*signature)[i];
        if (argument.kind == abi::ArgKind::kUnused) continue;
        names.emplace(argument.partner >= 0 ? argument.pair_name : argument.name);
      }
      if (a == 0) {
        common = names;
      } else {
        std::erase_if(common, [&](const std::string& name) { return !names.contains(name); });
      }
    }
    if (!everywhere || common.empty()) continue;
    target.arguments.assign(common.begin(), common.end());
    return target;
  }
}

std::string RandomPolicy::Action() {
  switch (Below(9)) {
    case 0:
      return "allow";
    case 1:
      return "deny";
    case 2:
      return fmt::format("errno({})", Wrong(fmt::format("{}", Below(4096)), "70000"));
    case 3:
      return fmt::format("errno({})", Wrong(Pick(random_, {"EPERM", "EACCES", "ENOSYS"}), "EPREM"));
    case 4:
      return "kill";
    case 5:
      return "kill_thread";
    case 6:
      return fmt::format("trap({})", Below(65536));
    case 7:
      return fmt::format("trace({})", Below(65536));
    default:
      return Wrong("log", "lgo");
  }
}

// Boundaries of the type, small numbers, and anything; spelt so that the type checker takes it.
std::string RandomPolicy::Number(int bits, bool is_signed, bool strictly_inside) {
  if (Chance(options_.percent_wrong)) return "0x1ffffffffffffffff";
  std::uint64_t all = bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << bits) - 1;
  std::uint64_t value = 0;
  switch (Below(6)) {
    case 0:
      value = Below(4);
      break;
    case 1:
      value = all / 2 - Below(2);
      break;
    case 2:
      value = all - Below(2);
      break;
    case 3:
      value = std::uint64_t{1} << Below(static_cast<std::uint64_t>(bits));
      break;
    case 4:
      value = UINT32_MAX + Below(3) - 1;
      break;
    default:
      value = random_();
  }
  value &= all;
  if (is_signed) {
    int unused = 64 - bits;
    auto number = static_cast<std::int64_t>(value << unused) >> unused;
    auto highest = static_cast<std::int64_t>(all / 2);
    if (strictly_inside) number = std::clamp(number, -highest, highest - 1);
    return fmt::format("{}", number);
  }
  if (strictly_inside) value = std::clamp<std::uint64_t>(value, 1, all - 1);
  return Chance(50) ? fmt::format("{}", value) : fmt::format("{:#x}", value);
}

std::string RandomPolicy::Test(const Target& target) {
  std::string name = target.arguments[Below(target.arguments.size())];
  // The narrowest of the ABIs, so that numbers fit all of them.
  int bits = 64;
  bool is_signed = false;
  for (abi::ArchId arch : options_.arches) {
    auto found = abi::FindArgument(*abi::SignatureOf(arch, target.name), name);
    bits = std::min<int>(bits, found->bits);
    is_signed |= found->is_signed;
  }
  if (is_signed && options_.arches.size() > 1) bits = std::min(bits, 31);
  std::string operand = Wrong(name, "nonsense");
  if (Chance(10) && options_.arches.size() == 1) {
    bool wide = Chance(50);
    is_signed = Chance(50);
    bits = wide ? 64 : 32;
    operand += fmt::format(" as {}{}", is_signed ? 's' : 'u', bits);
  }
  std::string space = Blank();
  switch (Below(9)) {
    case 0:
      return fmt::format("{} & {}", operand, Number(bits, false, true));
    case 1: {
      std::uint64_t mask = random_() & (bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << bits) - 1);
      mask |= 1;
      return fmt::format("{} & {:#x}{}== {:#x}", operand, mask, space, random_() & mask);
    }
    case 2:
      return fmt::format("{} has{}{}", operand, space, Number(bits, false, true));
    case 3:
      return fmt::format("{} only{}{}", operand, space, Number(bits, false, true));
    case 4:
    case 5: {
      std::string set;
      std::uint64_t size = 1 + Below(4);
      for (std::uint64_t i = 0; i < size; ++i) {
        set += fmt::format("{}{}", i == 0 ? "" : ",", Number(bits, is_signed, true));
        // From small to large: bounds that cannot cross.
        if (Chance(25)) set += fmt::format(",{}..{}", 2 + Below(9), 20 + Below(90));
      }
      return fmt::format("{}{}in{}{{{}}}", operand, Chance(50) ? " " : " not ", space, set);
    }
    case 6:
      return fmt::format("{}{}{} {}", operand, space, Pick(random_, {"<", "<=", ">", ">="}),
                         Number(bits, is_signed, true));
    default:
      return fmt::format("{} {}{}{}", operand, Pick(random_, {"==", "!="}), space,
                         Number(bits, is_signed, false));
  }
}

std::string RandomPolicy::Predicate(const Target& target, int depth) {
  std::uint64_t choice = depth > 0 ? Below(6) : 3 + Below(3);
  if (choice == 0) return fmt::format("!({})", Predicate(target, depth - 1));
  if (choice <= 2) {
    const char* join = choice == 1 ? "&&" : "||";
    std::string text;
    std::uint64_t width =
        2 + Below(static_cast<std::uint64_t>(std::max(1, options_.max_width - 1)));
    for (std::uint64_t i = 0; i < width; ++i) {
      if (i > 0) text += fmt::format("{}{} ", Blank(), join);
      text += fmt::format("({}{}", Predicate(target, depth - 1), Wrong(")", ""));
    }
    return text;
  }
  if (Below(20) == 0) return Chance(50) ? "1" : "0";
  std::string test = Test(target);
  return options_.untidy && Chance(20) ? fmt::format("({})", test) : test;
}

std::string RandomPolicy::Text() {
  std::string text;
  if (options_.arches.size() > 1 || options_.arches.front() != abi::NativeArch()) {
    text += "arch: ";
    for (std::size_t i = 0; i < options_.arches.size(); ++i) {
      text += fmt::format("{}{}", i == 0 ? "" : ", ", abi::ArchOf(options_.arches[i]).name);
    }
    text += "\n";
  }
  if (Chance(70)) text += fmt::format("default: {}\n", Action());
  if (Chance(20)) text += "as_of: linux 5.4\n";
  if (Chance(20)) text += "unknown: kill\n";
  std::set<std::string> ruled;
  bool group = false;
  auto rules = 1 + Below(static_cast<std::uint64_t>(options_.max_rules));
  for (std::uint64_t i = 0; i < rules; ++i) {
    if (options_.untidy && Chance(30)) text += Chance(50) ? "\n" : "# a line\n";
    if (Chance(8)) text += Wrong("@timer\n", "@tiemr\n");
    if (!group && Chance(8)) {
      group = true;
      text += "group @own = getpid, gettid, @io-event\n@own\n";
    }
    Target target = PickTarget();
    bool again = !ruled.insert(target.name).second;
    if (again) {
      text += Chance(50) ? "override " : "restrict ";
    } else if (Chance(5)) {
      text += "restrict ";
    }
    text += (Chance(20) ? "sys_" : "") + Wrong(target.name, "raed") + ":";
    auto clauses = 1 + Below(static_cast<std::uint64_t>(options_.max_clauses));
    for (std::uint64_t c = 0; c < clauses; ++c) {
      if (c > 0) text += ";";
      text += Blank() + Predicate(target, static_cast<int>(Below(
                                              static_cast<std::uint64_t>(options_.max_depth) + 1)));
      if (Chance(50)) text += " -> " + Action();
    }
    if (Chance(20)) text += "; else -> " + Action();
    text += "\n";
  }
  return text;
}

namespace {

using policy::Expr;

void CollectValues(const Expr& expr, std::array<std::vector<std::uint64_t>, 6>& values) {
  for (const Expr& child : expr.children) CollectValues(child, values);
  bool is_test = expr.kind == Expr::Kind::kCompare || expr.kind == Expr::Kind::kIn;
  if (!is_test || expr.operand.field != policy::Operand::Field::kArgument) return;
  auto note = [&](std::uint64_t value) {
    for (std::uint64_t near : {value - 1, value, value + 1, value ^ 1U << 31U, ~value}) {
      values[expr.operand.slot].push_back(near);
      if (expr.operand.high_slot) {
        values[*expr.operand.high_slot].push_back(near >> 32U);
        values[*expr.operand.high_slot].push_back(near);
      }
    }
  };
  note(expr.constant);
  note(expr.mask);
  for (const policy::Range& range : expr.ranges) {
    note(range.low);
    note(range.high);
  }
}

}  // namespace

std::vector<abi::Call> BoundaryCalls(const policy::TypedPolicy& policy, std::mt19937_64& random,
                                     int calls_per_rule) {
  std::vector<abi::Call> calls;
  auto below = [&](std::uint64_t n) { return random() % n; };
  for (const policy::ArchPolicy& arch : policy.arches) {
    const abi::Arch& facts = abi::ArchOf(arch.arch);
    std::uint64_t register_mask = facts.bits == 64 ? UINT64_MAX : UINT32_MAX;
    for (const policy::Rule& rule : arch.rules) {
      std::array<std::vector<std::uint64_t>, 6> values;
      for (auto& slot : values) {
        slot = {0, 1, UINT32_MAX, std::uint64_t{1} << 31U, std::uint64_t{1} << 32U, UINT64_MAX};
      }
      bool tests = false;
      for (const policy::ClauseList& list : rule.lists) {
        for (const policy::Clause& clause : list.clauses) {
          CollectValues(clause.predicate, values);
          tests |= clause.predicate.kind != Expr::Kind::kConstant;
        }
      }
      for (int i = 0; i < (tests ? calls_per_rule : 1); ++i) {
        abi::Call call{.nr = rule.nr, .arch = facts.audit_arch, .ip = random(), .args = {}};
        for (std::size_t slot = 0; slot < 6; ++slot) {
          std::uint64_t value = values[slot][below(values[slot].size())];
          if (below(8) == 0) value = random();
          // Garbage above the 32 bits the kernel looks at.
          if (below(4) == 0) value ^= random() << 32U;
          call.args[slot] = value & register_mask;
        }
        calls.push_back(call);
      }
    }
    for (std::int32_t nr : {-1, 0, 39, 467, 0x3fffffff, 0x40000000, 0x40000001,
                            std::numeric_limits<std::int32_t>::min()}) {
      calls.push_back({.nr = nr, .arch = facts.audit_arch, .ip = 0, .args = {}});
    }
  }
  calls.push_back({.nr = 1, .arch = 0x12345678, .ip = 0, .args = {}});
  return calls;
}

}  // namespace callgate::testing
