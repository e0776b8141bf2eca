// What runc and libseccomp make of a profile. Read in runc's libcontainer/seccomp and libseccomp's
// db.c and arch-x86.c, and compared with libseccomp 2.5.4 on random rules:
//
// - A rule whose action is the default's is dropped.
// - Conditions of one rule are joined by AND, unless two of them name the same argument: then each
//   becomes a rule of its own, so they are joined by OR, whatever the profile seems to say.
// - Several rules for a call: an unconditional one is the only one that counts, the first of them
//   if there are several; without one, a call matches if any rule matches.
// - Arguments are compared unsigned, in 64 bits on 64-bit ABIs and in the low 32 on the others.
// - Where calls are multiplexed, a rule for `socket` is one for `socketcall` as well: its first
//   condition is the call's number, and the conditions on arguments 1 to 5 stay, though socketcall
//   has other arguments there. The same for `ipc`.
// - runc puts a stub in front: numbers above the largest one that the profile names get ENOSYS,
//   unless the default is allow, log or trace. crun has no such stub.
// - Calls of any other ABI kill the thread.

#include <algorithm>
#include <set>

#include "fmt/format.h"
#include "format/multiplexed.h"
#include "format/oci.h"

namespace callgate::format {
namespace {

// How many numbers that no kernel has a policy names one by one to be exact.
constexpr std::int64_t kMaxGap = 4096;

bool ComparesLowWords(const abi::Arch& arch) {
  return arch.bits == 32 || arch.id == abi::ArchId::kX32 || arch.id == abi::ArchId::kMips64n32 ||
         arch.id == abi::ArchId::kMipsel64n32;
}

struct Alternative {
  std::vector<OciCondition> conditions;
  std::string action;
};

class Executor {
 public:
  Executor(const OciProfile& profile, Reading& reading) : profile_(profile), reading_(reading) {}

  Foreign Run() {
    foreign_.default_action = profile_.default_action;
    foreign_.bad_arch_action = "kill_thread";
    for (const OciRule& rule : profile_.rules) {
      if (!abi::IsKnownSyscallName(rule.name)) {
        reading_.Note(fmt::format("no kernel has a call '{}'; runtimes skip it", rule.name));
      }
      if (rule.action == profile_.default_action) ++dropped_;
    }
    if (dropped_ > 0) {
      reading_.Note(fmt::format("{} rule{} with the default's action {} dropped, as runtimes do",
                                dropped_, dropped_ == 1 ? "" : "s", dropped_ == 1 ? "is" : "are"));
    }
    for (abi::ArchId arch : profile_.arches) AddArch(abi::ArchOf(arch));
    if (!profile_.default_allows && StubCovers(abi::ArchId::kX86_64) && !Has(abi::ArchId::kX32)) {
      // The stub looks at numbers before libseccomp looks for x32's.
      foreign_.arches.push_back({abi::ArchId::kX32, {}});
      foreign_.ranges.push_back(
          {abi::ArchId::kX32, abi::kX32Bit, abi::kX32Bit + 1023, "errno(ENOSYS)"});
    }
    return std::move(foreign_);
  }

 private:
  bool Has(abi::ArchId arch) const {
    return std::ranges::find(profile_.arches, arch) != profile_.arches.end();
  }
  bool StubCovers(abi::ArchId arch) const { return Has(arch) && stubs_.contains(arch); }

  void AddArch(const abi::Arch& arch) {
    std::map<std::int32_t, std::vector<Alternative>> calls;
    std::int32_t largest = 0;
    for (const OciRule& rule : profile_.rules) {
      const abi::Syscall* direct = abi::FindSyscall(arch.id, rule.name);
      Multiplexed through = MultiplexerOf(arch, rule.name);
      // libseccomp resolves multiplexed calls to numbers of its own, below 0.
      if (direct != nullptr && through.call == nullptr) largest = std::max(largest, direct->nr);
      if (rule.action == profile_.default_action) continue;
      for (std::vector<OciCondition>& alternative : Alternatives(rule)) {
        if (through.call != nullptr) {
          calls[through.call->nr].push_back(
              {Multiplex(rule, alternative, through.number), rule.action});
        }
        if (direct != nullptr) calls[direct->nr].push_back({std::move(alternative), rule.action});
      }
    }
    ForeignArch result{arch.id, {}};
    for (auto& [nr, alternatives] : calls) result.bodies[nr] = BodyOf(arch, nr, alternatives);
    if (!profile_.default_allows && largest > 0) AddStub(arch, largest, result);
    foreign_.arches.push_back(std::move(result));
  }

  std::vector<std::vector<OciCondition>> Alternatives(const OciRule& rule) {
    std::set<int> indices;
    bool repeats = false;
    for (const OciCondition& condition : rule.conditions) {
      repeats |= !indices.insert(condition.index).second;
    }
    if (!repeats) return {rule.conditions};
    reading_.Note(
        fmt::format("{}: several conditions on one argument are read as AND by people and "
                    "executed as OR by runtimes; the policy says OR",
                    rule.name));
    std::vector<std::vector<OciCondition>> each;
    for (const OciCondition& condition : rule.conditions) each.push_back({condition});
    return each;
  }

  std::vector<OciCondition> Multiplex(const OciRule& rule,
                                      const std::vector<OciCondition>& conditions,
                                      std::uint64_t number) {
    std::vector<OciCondition> result{{0, "EQ", number, 0}};
    for (const OciCondition& condition : conditions) {
      if (condition.index != 0) result.push_back(condition);
    }
    if (!conditions.empty()) {
      reading_.Note(
          fmt::format("{}: on ABIs with a multiplexer the conditions do not reach the "
                      "arguments, which lie in memory; the multiplexed call gets {}",
                      rule.name, rule.action));
    }
    return result;
  }

  Predicate PredicateOf(const abi::Arch& arch, std::int32_t nr, const OciCondition& condition) {
    const bool low = ComparesLowWords(arch);
    auto cut = [&](std::uint64_t value) { return low ? value & UINT32_MAX : value; };
    Comparison comparison{.index = condition.index, .bits = low ? 32 : 64};
    comparison.value = cut(condition.value);
    static constexpr std::pair<std::string_view, Relation> kRelations[] = {
        {"EQ", Relation::kEq}, {"NE", Relation::kNe}, {"LT", Relation::kLt},
        {"LE", Relation::kLe}, {"GT", Relation::kGt}, {"GE", Relation::kGe}};
    if (condition.op == "MASKED_EQ") {
      comparison.mask = cut(condition.value);
      comparison.value = cut(condition.value_two);
      return Compare(arch.id, nr, comparison);
    }
    for (const auto& [name, relation] : kRelations) {
      if (name == condition.op) comparison.relation = relation;
    }
    return Compare(arch.id, nr, comparison);
  }

  Body BodyOf(const abi::Arch& arch, std::int32_t nr,
              const std::vector<Alternative>& alternatives) {
    Body body;
    auto unconditional = std::ranges::find_if(
        alternatives, [](const Alternative& one) { return one.conditions.empty(); });
    if (unconditional != alternatives.end()) {
      body.Add(Predicate::True(), unconditional->action);
      return body;
    }
    NoteIfMerged(arch, nr, alternatives);
    for (std::size_t i = 0; i < alternatives.size();) {
      const std::string& action = alternatives[i].action;
      Predicate any = Predicate::False();
      std::vector<std::uint64_t> equal;  // values of one argument, a set rather than a chain of ||
      int equal_index = -1;
      auto flush = [&] {
        if (equal_index < 0) return;
        any = Or(std::move(any),
                 IsOneOf(arch.id, nr, equal_index, ComparesLowWords(arch) ? 32 : 64, equal));
        equal.clear();
        equal_index = -1;
      };
      for (; i < alternatives.size() && alternatives[i].action == action; ++i) {
        const std::vector<OciCondition>& conditions = alternatives[i].conditions;
        if (conditions.size() == 1 && conditions.front().op == "EQ") {
          if (equal_index != conditions.front().index) flush();
          equal_index = conditions.front().index;
          std::uint64_t value = conditions.front().value;
          equal.push_back(ComparesLowWords(arch) ? value & UINT32_MAX : value);
          continue;
        }
        flush();
        Predicate all = Predicate::True();
        for (const OciCondition& one : conditions)
          all = And(std::move(all), PredicateOf(arch, nr, one));
        any = Or(std::move(any), all);
      }
      flush();
      body.Add(any, action);
    }
    return body;
  }

  // libseccomp keeps one tree of conditions a call and shares its branches. Where rules differ in
  // action, or overlap in more than equalities, what its versions make of it differs from "any
  // rule matches" (seen with 2.5.4).
  void NoteIfMerged(const abi::Arch& arch, std::int32_t nr,
                    const std::vector<Alternative>& alternatives) {
    if (alternatives.size() < 2) return;
    bool all_single = true, all_equal = true, one_action = true;
    for (const Alternative& one : alternatives) {
      all_single &= one.conditions.size() == 1;
      one_action &= one.action == alternatives.front().action;
      for (const OciCondition& condition : one.conditions) all_equal &= condition.op == "EQ";
    }
    if (one_action && (all_single || all_equal)) return;
    reading_.Note(
        fmt::format("{}: libseccomp merges these rules into one tree, and versions of it "
                    "decide some calls otherwise; the policy says what the profile says",
                    abi::FindSyscall(arch.id, nr)->name));
  }

  // Above the largest number ENOSYS, below it the default also where no kernel has a call.
  void AddStub(const abi::Arch& arch, std::int32_t largest, ForeignArch& result) {
    stubs_.insert(arch.id);
    foreign_.unknown_action = "errno(ENOSYS)";
    std::int32_t next = static_cast<std::int32_t>(arch.nr_base);
    auto add_gap = [&](std::int32_t first, std::int32_t last) {
      if (first > last || profile_.default_action == foreign_.unknown_action) return;
      if (std::int64_t{last} - first >= kMaxGap) {
        reading_.Note(
            fmt::format("{}: numbers {} to {}, which no kernel has, get {} from the "
                        "runtime and errno(ENOSYS) from the policy",
                        arch.name, first, last, profile_.default_action));
        return;
      }
      foreign_.ranges.push_back({arch.id, first, last, profile_.default_action});
    };
    // The calls that exist above the largest one, as a range where it is not mostly holes.
    const std::int32_t last = abi::SyscallsOf(arch.id).back().nr;
    const bool as_range = std::int64_t{last} - largest <= kMaxGap;
    if (as_range && last > largest && profile_.default_action != foreign_.unknown_action) {
      foreign_.ranges.push_back({arch.id, largest + 1, last, "errno(ENOSYS)"});
    }
    for (const abi::Syscall& call : abi::SyscallsOf(arch.id)) {
      if (call.nr > largest) {
        // Also direct calls that libseccomp counts as multiplexed. WritePolicy names multiplexers.
        result.bodies.erase(call.nr);
        bool is_named = !as_range || call.name == "socketcall" || call.name == "ipc";
        if (is_named) result.bodies[call.nr].Add(Predicate::True(), "errno(ENOSYS)");
        continue;
      }
      add_gap(next, call.nr - 1);
      next = std::max(next, call.nr + 1);
    }
    // Where calls of many numbers come through 0, runc answers for those too.
    if (arch.id == abi::ArchId::kS390x || arch.id == abi::ArchId::kS390) {
      result.bodies[0].Add(Predicate::True(), "errno(ENOSYS)");
      std::erase_if(foreign_.ranges, [&](const ForeignRange& range) {
        return range.arch == arch.id && range.last == 0;
      });
    }
    reading_.Note(
        fmt::format("{}: numbers above {} ({}) get errno(ENOSYS), as runc does; crun "
                    "gives them the default",
                    arch.name, largest, abi::FindSyscall(arch.id, largest)->name));
  }

  const OciProfile& profile_;
  Reading& reading_;
  Foreign foreign_;
  std::set<abi::ArchId> stubs_;
  int dropped_ = 0;
};

}  // namespace

Foreign ExecuteOci(const OciProfile& profile, Reading& reading) {
  return Executor(profile, reading).Run();
}

}  // namespace callgate::format
