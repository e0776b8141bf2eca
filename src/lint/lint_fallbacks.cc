// CG0401, CG0402, CG0701 and CG0702: calls that go together. A C library reaches a function of the
// kernel by the newest call it knows and falls back to older ones if the kernel lacks it, so a
// policy that was complete for one version of the library is not for the next.

#include <array>
#include <string>
#include <string_view>

#include "abi/constants.h"
#include "fmt/format.h"
#include "lint/explicit.h"
#include "lint/subject.h"

namespace callgate::lint {
namespace {

using Op = ArgumentTest::Op;

// The library calls `newer` first, and `older` only if that fails with ENOSYS.
struct FallsBack {
  std::string_view older;
  std::string_view newer;
  std::string_view who;
};
constexpr auto kFallsBack = std::to_array<FallsBack>({
    {"clone", "clone3", "pthread_create of glibc 2.34"},
    {"faccessat", "faccessat2", "faccessat of glibc 2.33"},
    {"fchmodat", "fchmodat2", "fchmodat of glibc 2.39"},
});

// Without ENOSYS as an excuse: the library has no older way, or uses the newer one alone.
struct Sibling {
  std::string_view older;
  std::string_view newer;
  std::string_view who;
};
constexpr auto kSiblings = std::to_array<Sibling>({
    {"open", "openat", "open of glibc 2.26"},
    {"stat", "newfstatat", "stat of glibc 2.33"},
    {"lstat", "newfstatat", "lstat of glibc 2.33"},
    {"stat64", "fstatat64", "stat of glibc 2.33"},
    {"fork", "clone", "fork of every glibc"},
    {"nanosleep", "clock_nanosleep", "nanosleep of glibc 2.31"},
    {"getrlimit", "prlimit64", "getrlimit of glibc 2.13"},
    {"setrlimit", "prlimit64", "setrlimit of glibc 2.13"},
    {"eventfd", "eventfd2", "eventfd of glibc 2.8"},
    {"signalfd", "signalfd4", "signalfd of glibc 2.8"},
    {"futex", "futex_time64", "a C library with 64-bit time"},
    {"clock_gettime", "clock_gettime64", "a C library with 64-bit time"},
    {"clock_nanosleep", "clock_nanosleep_time64", "a C library with 64-bit time"},
    {"ppoll", "ppoll_time64", "a C library with 64-bit time"},
    {"pselect6", "pselect6_time64", "a C library with 64-bit time"},
    {"utimensat", "utimensat_time64", "a C library with 64-bit time"},
});

// What is allowed by the pattern cannot do its work unless one of the needed is allowed.
struct Need {
  CallPattern have;         // no name: always
  std::string_view needed;  // with '|' between alternatives
  std::string_view why;
};
constexpr auto kNeeds = std::to_array<Need>({
    {{}, "exit_group|exit", "no program can end"},
    {{"rt_sigaction"}, "rt_sigreturn|sigreturn", "a signal handler cannot return"},
    {{"poll"}, "restart_syscall", "a poll that was stopped and continued fails"},
    {{"nanosleep"}, "restart_syscall", "a sleep that was stopped and continued fails"},
    {{"clock_nanosleep"}, "restart_syscall", "a sleep that was stopped and continued fails"},
    {{"mmap"}, "munmap", "memory that is mapped cannot be given back"},
    {{"mmap2"}, "munmap", "memory that is mapped cannot be given back"},
    {{"clone", {{{"clone_flags", Op::kHasAll, "CLONE_THREAD"}}}},
     "futex|futex_time64",
     "threads cannot wait for each other"},
    {{"clone", {{{"clone_flags", Op::kHasAll, "CLONE_THREAD"}}}}, "exit", "a thread cannot end"},
    {{"clone", {{{"clone_flags", Op::kHasAll, "CLONE_THREAD"}}}},
     "mprotect",
     "the stack of a new thread gets no guard page"},
});

// Applies `visit` to each name between the bars that the ABI has.
template <typename Visit>
void ForEachName(abi::ArchId arch, std::string_view names, Visit visit) {
  while (!names.empty()) {
    const std::size_t bar = std::min(names.find('|'), names.size());
    const std::string_view name = names.substr(0, bar);
    names.remove_prefix(std::min(bar + 1, names.size()));
    if (abi::FindSyscall(arch, name) != nullptr) visit(name);
  }
}

class FallbackChecker {
 public:
  FallbackChecker(Subject& subject, Findings& findings)
      : subject_(subject), decisions_(subject.decisions), findings_(findings) {}

  void CheckNewer(abi::ArchId arch) {
    for (const FallsBack& row : kFallsBack) {
      if (!IsAllowed(arch, row.older)) continue;
      if (!decisions_.Always(arch, row.newer, Outcome::kDenied)) continue;
      if (IsHidden(subject_, arch, row.newer)) continue;
      const auto denied =
          decisions_.Find(arch, CallPattern{.syscall = row.newer}, Outcome::kDenied);
      if (!denied) continue;
      Finding& finding = findings_.Add(
          Id::kNotEnosys, *denied,
          fmt::format("{} is allowed, and {} calls {} first", row.older, row.who, row.newer));
      // Where the text speaks of the call, a machine does not know better.
      if (!subject_.text || HasRuleByName(subject_, arch, row.newer)) continue;
      const auto older =
          decisions_.Find(arch, CallPattern{.syscall = row.older}, Outcome::kAllowed);
      if (older) finding.span = findings_.PlaceOf(*older);
      AppendRule(finding, fmt::format("{}: else -> errno(ENOSYS)", row.newer));
    }
  }

  void CheckClone3(abi::ArchId arch) {
    const auto open = decisions_.Find(arch, CallPattern{.syscall = "clone3"}, Outcome::kAllowed);
    if (!open || !decisions_.IsConditional(arch, "clone")) return;
    const auto denied = decisions_.Find(arch, CallPattern{.syscall = "clone"}, Outcome::kDenied);
    if (!denied) return;
    Finding& finding =
        findings_.Add(Id::kClone3Open, *open, "what the rule for clone denies, clone3 does");
    finding.notes.push_back(findings_.WitnessText(*denied));
    if (subject_.text && !HasRuleByName(subject_, arch, "clone3")) {
      AppendRule(finding, "clone3: else -> errno(ENOSYS)");
    }
  }

  void CheckSiblings(abi::ArchId arch) {
    for (const Sibling& row : kSiblings) {
      const auto older =
          decisions_.Find(arch, CallPattern{.syscall = row.older}, Outcome::kAllowed);
      if (!older || !decisions_.Always(arch, row.newer, Outcome::kDenied)) continue;
      if (IsHidden(subject_, arch, row.newer)) continue;
      const auto denied =
          decisions_.Find(arch, CallPattern{.syscall = row.newer}, Outcome::kDenied);
      if (!denied) continue;
      Finding& finding =
          findings_.Add(Id::kSiblingMissing, *denied,
                        fmt::format("{} is allowed, and {} is {}", row.older, row.who, row.newer));
      finding.span = findings_.PlaceOf(*older);
    }
  }

  void CheckNeeds(abi::ArchId arch) {
    std::string_view told;
    for (const Need& row : kNeeds) {
      const bool is_always = row.have.syscall.empty();
      std::optional<abi::Call> have;
      if (!is_always) have = decisions_.Find(arch, row.have, Outcome::kAllowed);
      if ((!is_always && !have) || row.needed == told) continue;
      std::optional<abi::Call> denied;
      bool is_met = false;
      ForEachName(arch, row.needed, [&](std::string_view name) {
        const auto call = decisions_.Find(arch, CallPattern{.syscall = name}, Outcome::kDenied);
        if (!decisions_.Always(arch, name, Outcome::kDenied)) is_met = true;
        if (!denied) denied = call;
      });
      if (is_met || !denied) continue;
      told = row.needed;
      Finding& finding = findings_.Add(
          Id::kFloorMissing, *denied,
          fmt::format("{}: {} is denied", row.why, abi::FindSyscall(arch, denied->nr)->name));
      if (have) finding.span = findings_.PlaceOf(*have);
    }
  }

 private:
  bool IsAllowed(abi::ArchId arch, std::string_view syscall) {
    return decisions_.Sometimes(arch, syscall, Outcome::kAllowed);
  }

  void AppendRule(Finding& finding, std::string rule) const {
    const std::string_view text = subject_.text->sources->text(kOwnFile);
    const auto end = static_cast<std::uint32_t>(text.size());
    std::string line = text.ends_with('\n') ? "" : "\n";
    finding.fix.push_back({{kOwnFile, end, end}, line + std::move(rule) + "\n"});
  }

  Subject& subject_;
  Decisions& decisions_;
  Findings& findings_;
};

}  // namespace

void CheckFallbacks(Subject& subject, Findings& findings) {
  FallbackChecker checker(subject, findings);
  for (const abi::ArchId arch : subject.arches) {
    checker.CheckClone3(arch);
    if (subject.is_fragment || !subject.is_allowlist) continue;
    checker.CheckNewer(arch);
    checker.CheckSiblings(arch);
    checker.CheckNeeds(arch);
  }
}

void CheckCompleteness(Subject& subject, Findings& findings) {
  if (!subject.text || subject.is_fragment) return;
  const policy::TypedPolicy& typed = *subject.text->typed;
  if (typed.as_of) return;
  // What the tables of this version know stays what it is; what comes later gets ENOSYS.
  abi::KernelVersion newest;
  for (const abi::Syscall& syscall : abi::SyscallsOf(subject.home())) {
    if (syscall.since) newest = std::max(newest, *syscall.since);
  }
  // Behind the last setting; a policy that is no fragment has one.
  base::Span last;
  for (const auto& statement : subject.text->loaded->files.front().statements) {
    if (std::holds_alternative<policy::ast::Setting>(statement.body)) last = statement.span;
  }
  const std::string_view text = subject.text->sources->text(last.file);
  const auto line_end =
      static_cast<std::uint32_t>(std::min(text.find('\n', last.end), text.size()));
  if (subject.text->is_imported) return;
  findings.AddAt(Id::kNoAsOf, {}, "no as_of: the policy changes its meaning with each new kernel")
      .fix.push_back({{last.file, line_end, line_end},
                      fmt::format("\nas_of: linux {}", abi::ToString(newest))});
}

}  // namespace callgate::lint
