// CG01xx: is every call judged that a process can make? The kernel asks the filter with an
// architecture and a number, and both are the caller's choice.

#include <algorithm>
#include <array>
#include <string_view>

#include "fmt/format.h"
#include "lint/explicit.h"
#include "lint/subject.h"

namespace callgate::lint {
namespace {

using graph::NodeId;

void CheckOtherAbis(Subject& subject, Findings& findings) {
  Decisions& decisions = subject.decisions;
  graph::Pool& pool = decisions.pool();
  // A filter that is one leaf decides nothing, whatever the ABI.
  if (pool[decisions.root()].is_leaf) return;
  NodeId others = pool.Leaf(1);
  for (const abi::ArchId arch : subject.arches) {
    others =
        pool.Test({abi::kArchWord, graph::Op::kEqual, UINT32_MAX, abi::ArchOf(arch).audit_arch},
                  pool.Leaf(0), others);
  }
  const auto words = decisions.FindIn(decisions.root(), others, [&](std::uint32_t value) {
    return decisions.OutcomeOf(value) == Outcome::kAllowed;
  });
  if (!words) return;
  const auto arch =
      abi::ArchOfCall((*words)[abi::kArchWord], static_cast<std::int32_t>((*words)[abi::kNrWord]));
  const abi::Call call =
      abi::CallOf(*words, arch ? abi::ArchOf(*arch).endian : std::endian::native);
  findings.Add(Id::kOtherAbiAllowed, call,
               subject.names_arch
                   ? "an ABI that the rules do not speak for is allowed to make calls"
                   : "the architecture is never looked at");
}

// x32 by the bit, and by the numbers that old kernels take without it.
void CheckX32(Subject& subject, Findings& findings) {
  if (std::ranges::find(subject.arches, abi::ArchId::kX86_64) == subject.arches.end()) return;
  Decisions& decisions = subject.decisions;
  const std::uint32_t audit_arch = abi::ArchOf(abi::ArchId::kX86_64).audit_arch;
  std::size_t count = 0;
  std::optional<abi::Call> first;
  std::string_view name;
  std::optional<abi::Call> counterpart;
  auto compare = [&](std::uint32_t nr, const abi::Syscall& syscall) {
    const abi::Syscall* same = abi::FindSyscall(abi::ArchId::kX86_64, syscall.name);
    if (same == nullptr) return;
    NodeId body = decisions.BodyOf(audit_arch, nr);
    NodeId plain = decisions.BodyOf(abi::ArchId::kX86_64, *same);
    if (body == plain) return;
    // What the kernel does not look at is no way round a denial.
    const abi::Arch& home = abi::ArchOf(abi::ArchId::kX86_64);
    const auto signature = abi::SignatureOf(home.id, syscall.name).value_or(abi::Signature{});
    for (std::size_t slot = 0; slot < signature.size(); ++slot) {
      if (signature[slot].bits > 32) continue;
      const std::uint8_t high = abi::ArgHighWord(static_cast<int>(slot), home.endian);
      body = decisions.WithWord(body, high, 0);
      plain = decisions.WithWord(plain, high, 0);
    }
    const auto words =
        decisions.FindPair(body, plain, [&](std::uint32_t x32, std::uint32_t x86_64) {
          return decisions.OutcomeOf(x32) == Outcome::kAllowed &&
                 decisions.OutcomeOf(x86_64) == Outcome::kDenied;
        });
    if (!words) return;
    if (count++ > 0) return;
    first = CallOf(*words, abi::ArchId::kX86_64, static_cast<std::int32_t>(nr));
    counterpart = CallOf(*words, abi::ArchId::kX86_64, same->nr);
    name = syscall.name;
  };
  for (const abi::Syscall& syscall : abi::SyscallsOf(abi::ArchId::kX32)) {
    const auto nr = static_cast<std::uint32_t>(syscall.nr);
    compare(nr, syscall);
    const std::uint32_t plain = nr & ~abi::kX32Bit;
    if (plain >= 512 && plain <= 547) compare(plain, syscall);
  }
  if (!first) return;
  Finding& finding =
      findings.Add(Id::kX32Allowed, *first,
                   fmt::format("{} is denied on x86_64 and allowed by its x32 number {:#x}{}", name,
                               static_cast<std::uint32_t>(first->nr),
                               count > 1 ? fmt::format(", and {} more", count - 1) : ""));
  finding.notes.push_back(findings.WitnessText(*counterpart));
}

void CheckUnknown(Subject& subject, Findings& findings) {
  Decisions& decisions = subject.decisions;
  for (const abi::ArchId arch : subject.arches) {
    const NodeId body = decisions.UnknownBody(arch);
    const auto words = decisions.FindIn(body, decisions.pool().Leaf(1), [&](std::uint32_t value) {
      return decisions.OutcomeOf(value) == Outcome::kAllowed;
    });
    if (!words) continue;
    const std::int32_t nr = abi::SyscallsOf(arch).back().nr + 200;
    findings.Add(Id::kUnknownAllowed, CallOf(*words, arch, nr),
                 "calls that no table knows yet are allowed");
    return;
  }
  if (!subject.text) return;
  const policy::TypedPolicy& typed = *subject.text->typed;
  if (typed.default_action.verb == policy::Verb::kAllow && !typed.as_of) {
    findings
        .AddAt(Id::kUnknownAllowed, typed.default_span,
               "the default allows, so calls that are new to you are allowed too")
        .notes.emplace_back("as_of gives calls newer than that kernel the unknown action");
  }
}

void CheckAcrossAbis(Subject& subject, Findings& findings) {
  Decisions& decisions = subject.decisions;
  std::size_t count = 0;
  std::optional<abi::Call> denied, allowed;
  for (const abi::ArchId one : subject.arches) {
    for (const abi::Syscall& syscall : abi::SyscallsOf(one)) {
      for (const abi::ArchId other : subject.arches) {
        if (one == other || other == abi::ArchId::kX32) continue;
        if (!IsDeniedOnPurpose(subject, one, syscall.name)) continue;
        const auto call =
            decisions.Find(other, CallPattern{.syscall = syscall.name}, Outcome::kAllowed);
        if (!call || count++ > 0) continue;
        allowed = call;
        denied = decisions.Find(one, CallPattern{.syscall = syscall.name}, Outcome::kDenied);
      }
    }
  }
  if (!allowed || !denied) return;
  const std::string more = count > 1 ? fmt::format(", and {} more", count - 1) : "";
  const auto on = [](const abi::Call& call) { return *abi::ArchOfCall(call.arch, call.nr); };
  findings
      .Add(Id::kDeniedOnOneAbi, *allowed,
           fmt::format("{} is denied on {} and allowed on {}{}",
                       abi::FindSyscall(on(*denied), denied->nr)->name,
                       abi::ArchOf(on(*denied)).name, abi::ArchOf(on(*allowed)).name, more))
      .notes.push_back(findings.WitnessText(*denied));
}

struct Multiplexed {
  CallPattern multiplexer;
  std::string_view syscall;
};
// The numbers are those of linux/net.h and linux/ipc.h.
constexpr auto kMultiplexed = std::to_array<Multiplexed>({
    {{"socketcall", {{{"call", ArgumentTest::Op::kIs, "1"}}}}, "socket"},
    {{"socketcall", {{{"call", ArgumentTest::Op::kIs, "2"}}}}, "bind"},
    {{"socketcall", {{{"call", ArgumentTest::Op::kIs, "3"}}}}, "connect"},
    {{"socketcall", {{{"call", ArgumentTest::Op::kIs, "4"}}}}, "listen"},
    {{"socketcall", {{{"call", ArgumentTest::Op::kIs, "14"}}}}, "setsockopt"},
    {{"ipc", {{{"call", ArgumentTest::Op::kIs, "21"}}}}, "shmat"},
    {{"ipc", {{{"call", ArgumentTest::Op::kIs, "23"}}}}, "shmget"},
});

void CheckMultiplexers(Subject& subject, Findings& findings) {
  Decisions& decisions = subject.decisions;
  std::string_view found;
  for (const abi::ArchId arch : subject.arches) {
    for (const Multiplexed& row : kMultiplexed) {
      if (row.multiplexer.syscall == found) continue;
      const auto open = decisions.Find(arch, row.multiplexer, Outcome::kAllowed);
      if (!open) continue;
      for (const abi::ArchId other : subject.arches) {
        const bool restricted = IsDeniedOnPurpose(subject, other, row.syscall) ||
                                decisions.IsConditional(other, row.syscall);
        if (!restricted) continue;
        const auto denied =
            decisions.Find(other, CallPattern{.syscall = row.syscall}, Outcome::kDenied);
        Finding& finding = findings.Add(
            Id::kMultiplexer, *open,
            fmt::format("{} is restricted, and {} does it with arguments that no filter sees",
                        row.syscall, row.multiplexer.syscall));
        finding.notes.push_back(findings.WitnessText(*denied));
        found = row.multiplexer.syscall;
        break;
      }
    }
  }
}

void CheckUndecided(Subject& subject, Findings& findings) {
  for (const analyse::Undecided& one : subject.decisions.lifted().undecided) {
    findings.AddAtInstruction(Id::kUndecided, one.pc, one.reason);
  }
}

}  // namespace

void CheckArches(Subject& subject, Findings& findings) {
  CheckUndecided(subject, findings);
  CheckOtherAbis(subject, findings);
  CheckX32(subject, findings);
  CheckUnknown(subject, findings);
  CheckAcrossAbis(subject, findings);
  CheckMultiplexers(subject, findings);
}

}  // namespace callgate::lint
