#include "lint/rules.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "fmt/format.h"

namespace callgate::lint {
namespace {

using enum Severity;

constexpr bool kFix = true;
constexpr bool kByHand = false;

constexpr auto kRules = std::to_array<Rule>({
    {Id::kOtherAbiAllowed, kError, kByHand, "calls of another ABI are allowed",
     "A process can make calls of every ABI its kernel runs: on x86_64 also those of i386, where "
     "the "
     "same number is another call. A filter that does not look at the architecture, or lets others "
     "pass, decides about the wrong calls.",
     "Return kill for every architecture that the filter was not written for."},
    {Id::kX32Allowed, kError, kByHand, "an x32 number reaches a call that is denied on x86_64",
     "x32 calls come with the architecture of x86_64 and bit 30 of the number set. Kernels before "
     "5.4 also take 512 to 547 as x32 calls without the bit.",
     "Deny numbers from 0x40000000 on, and 512 to 547, or give x32 the same rules."},
    {Id::kUnknownAllowed, kWarning, kByHand, "calls that the author could not know are allowed",
     "Every kernel brings new calls. A list of what is denied lets each of them pass: so the mount "
     "calls of Linux 5.2 went past filters that deny mount (CVE-2021-41133).",
     "List what is allowed. If a list of denials it must be, give it as_of, so that newer calls "
     "get "
     "the unknown action."},
    {Id::kDeniedOnOneAbi, kWarning, kByHand, "a call is denied on one ABI and allowed on another",
     "A process chooses the ABI of each call, so what one ABI may not do is possible by the other.",
     "Give the call the same rule on every ABI, or deny the other ABI."},
    {Id::kMultiplexer, kError, kByHand, "a multiplexer carries calls that are restricted",
     "socketcall and ipc take the number of the real call as an argument and its arguments in "
     "memory, where a filter cannot look.",
     "Deny socketcall and ipc with ENOSYS; C libraries of the last ten years call directly."},
    {Id::kUndecided, kInfo, kByHand, "a part of the filter could not be understood",
     "The filter computes in a way that has no decision graph, so nothing is said about the calls "
     "that come there.",
     "Look at the instruction that the message names."},
    {Id::kDeadClause, kWarning, kByHand, "a clause never decides",
     "The clauses before it leave it no call, or it contradicts itself. What it says is not what "
     "the policy does.",
     "Remove it, or move it before the clause that hides it."},
    {Id::kSameAsDefault, kInfo, kByHand, "a rule says what the default says",
     "Without the rule every verdict would be the same, on every ABI.",
     "Remove it, unless it is there to guard against a later rule; then say so in a suppression."},
    {Id::kReplacedRule, kWarning, kByHand, "a rule has no effect: others replace it",
     "A rule by name wins over a rule by group, and override over what came before. Nothing is "
     "left "
     "for this one to say.",
     "Remove it, or the rule that replaces it."},
    {Id::kUnusedName, kWarning, kFix, "a name is defined and never used",
     "A definition without use is often a rule that was forgotten or misspelt.",
     "Use it or remove it."},
    {Id::kPointerByValue, kWarning, kByHand, "a pointer is compared by value",
     "A filter sees the address, not what it points to, and the caller chooses the address.",
     "Compare with 0 at most. What is pointed to is for a supervisor to look at."},
    {Id::kArgumentOrder, kWarning, kByHand,
     "an argument is named by position, and the order differs between the ABIs",
     "clone, sync_file_range, fadvise64 and others take their arguments in another order on some "
     "ABIs.",
     "Use the argument's name."},
    {Id::kDeadInstruction, kInfo, kByHand, "instructions are never reached",
     "No jump leads there. The kernel counts them, and the author thought they did something.",
     "Remove them, or find the jump that misses them."},
    {Id::kWideDenial, kError, kByHand,
     "a 32-bit argument is compared as 64 bits: a denied value passes",
     "The kernel looks at the low 32 bits of this argument. The filter compares all 64, so the "
     "same "
     "value with anything above is another one to it (CVE-2019-7303, CVE-2019-10063).",
     "Compare the low word only: mask with 0xffffffff, or write a policy, which knows the width."},
    {Id::kWideAllow, kInfo, kByHand,
     "a 32-bit argument is compared as 64 bits: an allowed value may be denied",
     "The upper half of the register is not part of the argument and may hold anything. Compilers "
     "mostly clear it, so this shows rarely and is hard to find when it does.",
     "Compare the low word only."},
    {Id::kNarrowTest, kWarning, kByHand, "a 64-bit argument is tested by its low half only",
     "The kernel looks at all 64 bits, so a value with something above passes as if it were small.",
     "Compare both words."},
    {Id::kUnsignedOrder, kWarning, kByHand, "a signed argument is ordered as unsigned",
     "Filters compare unsigned: -1 is the largest number. A limit from below lets every negative "
     "value pass.",
     "Test the sign bit first, or write a policy, which knows the sign."},
    {Id::kNotEnosys, kWarning, kFix,
     "a newer call is not denied with ENOSYS, so there is no fall-back",
     "The C library tries the newer call first and uses the older one only if the kernel seems to "
     "lack the newer: ENOSYS. Another error is taken as the answer, a kill ends the program.",
     "Allow the newer call, or deny it with errno(ENOSYS)."},
    {Id::kClone3Open, kError, kFix, "clone3 is allowed beside a filtered clone",
     "clone3 has its flags in memory, where a filter cannot look: every flag that the rule for "
     "clone "
     "denies is possible by clone3.",
     "Deny clone3 with errno(ENOSYS); C libraries then use clone."},
    {Id::kKillThread, kWarning, kFix, "kill_thread ends one thread and leaves the rest",
     "A thread that dies keeps its locks, so the process hangs or goes on in a state nobody wrote.",
     "Use kill, which ends the process."},
    {Id::kFakeSuccess, kWarning, kByHand, "errno(0) tells the caller that the call succeeded",
     "Nothing was done, and the caller goes on as if it were: descriptors that do not exist, "
     "privileges that were not dropped.",
     "Return an error the caller handles; suppress this with the reason if success is safe here."},
    {Id::kErrnoTooLarge, kWarning, kByHand, "an error number above 4095",
     "The kernel returns 4095 instead.", "Use the number of an error."},
    {Id::kNeedsTracer, kInfo, kByHand, "trace needs a tracer",
     "Without a tracer that asked for it the call fails with ENOSYS.",
     "See that the program is always started by its tracer."},
    {Id::kNeedsListener, kInfo, kByHand, "notification needs a listener",
     "Without a listener the call fails with ENOSYS; with one that died, too.",
     "See that the filter is installed with a listener."},
    {Id::kDefaultIsLog, kWarning, kByHand, "the default is log: nothing is denied",
     "log allows the call and writes to the kernel log. It is for finding out what a program "
     "needs.",
     "Use kill or errno once the policy is complete."},
    {Id::kUnknownAction, kWarning, kByHand, "the filter returns an action that no kernel knows",
     "The kernel kills the process for it.", "Return one of the SECCOMP_RET_* values."},
    {Id::kNotCached, kInfo, kByHand, "calls that are always allowed run the filter each time",
     "The kernel lets a number pass without running the filter if that looks at nothing but the "
     "number and the architecture on the way to allow (5.11 and newer).",
     "Decide by the number before anything else is loaded."},
    {Id::kUnknownNotEnosys, kWarning, kFix, "calls newer than the policy do not get ENOSYS",
     "Programs try new calls and use the old ones if the kernel seems to lack the new. Another "
     "error "
     "makes them fail after an upgrade of the C library.",
     "unknown: errno(ENOSYS)"},
    {Id::kTiocsti, kWarning, kByHand, "ioctl TIOCSTI is allowed",
     "It types into the terminal, so a confined program gives commands to the shell that started "
     "it "
     "(CVE-2017-5226).",
     "Allow the requests that are needed, or deny TIOCSTI."},
    {Id::kTioclinux, kWarning, kByHand, "ioctl TIOCLINUX is allowed",
     "On a virtual console it pastes into the terminal, which has the effect of TIOCSTI "
     "(CVE-2023-28100).",
     "Allow the requests that are needed, or deny TIOCLINUX."},
    {Id::kIoUring, kWarning, kByHand, "io_uring does what the filter denies",
     "Its operations (open, connect, send, unlink and many more) are no system calls, so no filter "
     "sees them.",
     "Deny io_uring_setup with errno(ENOSYS)."},
    {Id::kOtherProcesses, kWarning, kByHand, "other processes can be read or changed",
     "What a process outside may do can then be done through it.",
     "Deny these calls, or write the reason as a comment at a rule that names them."},
    {Id::kUserNamespace, kWarning, kByHand, "new user namespaces can be made",
     "In a new user namespace a process has every capability over what it creates, which opens "
     "parts of the kernel that are otherwise for root.",
     "Deny CLONE_NEWUSER in clone and unshare, and clone3 with ENOSYS."},
    {Id::kSocketFamily, kWarning, kByHand, "a list of denied socket families leaves some out",
     "The rule denies families by name and lets every other pass.",
     "List the families that are needed."},
    {Id::kWritableCode, kWarning, kByHand, "memory can become writable and executable after all",
     "One call refuses memory that is writable and executable, another makes it.",
     "use @no-writable-code"},
    {Id::kPrctl, kInfo, kByHand, "prctl is allowed whatever it does",
     "It is many calls in one; some let others trace the process, move its memory maps or keep "
     "capabilities.",
     "List the options that are needed."},
    {Id::kKernelSurface, kWarning, kByHand, "calls with a history of kernel exploits are allowed",
     "Few programs need them, and each was the way into the kernel more than once.",
     "Deny these calls, or write the reason as a comment at a rule that names them."},
    {Id::kMachine, kWarning, kByHand, "the machine can be controlled",
     "These calls load code into the kernel, reach hardware, or change what every process sees; "
     "with "
     "privilege, the sandbox ends there.",
     "Deny these calls, or write the reason as a comment at a rule that names them."},
    {Id::kNewMountApi, kError, kByHand, "mount is denied and the new mount calls are not",
     "Since Linux 5.2 fsopen, fsmount, open_tree, move_mount and their relatives mount as well "
     "(CVE-2021-41133).",
     "Deny them as mount is denied."},
    {Id::kReadOnlyCreates, kWarning, kByHand, "a rule for reading lets files be created or emptied",
     "O_RDONLY can be combined with O_CREAT, which makes a file, and with O_TRUNC, which empties "
     "one.",
     "Add: && !(flags & (O_CREAT|O_TRUNC))"},
    {Id::kEquivalentOpen, kWarning, kByHand, "a call is denied and one that does the same is not",
     "Denying one way to do something changes nothing while another is open.",
     "Deny the others too, or restrict them by the same arguments."},
    {Id::kFloorMissing, kWarning, kByHand,
     "what is allowed cannot work without a call that is denied",
     "The program fails where nobody looks for it: when a signal arrives, a thread ends, or the "
     "process is stopped and goes on.",
     "Allow the missing call."},
    {Id::kSiblingMissing, kWarning, kByHand,
     "the call by which newer C libraries do the same is denied",
     "A function of the C library is another system call after an upgrade, and the program breaks.",
     "Allow the sibling by the same rule, or deny it with errno(ENOSYS) where the library falls "
     "back."},
    {Id::kNoAsOf, kInfo, kFix, "the policy does not say for which kernel it was written",
     "Without as_of, groups and presets grow with each version of callgate, and calls newer than "
     "the "
     "author get the default instead of ENOSYS.",
     "as_of: linux VERSION"},
    {Id::kUnusedSuppression, kWarning, kFix, "a suppression suppresses nothing",
     "What it spoke of is gone, or stands elsewhere.", "Remove it."},
    {Id::kNoReason, kError, kByHand, "a suppression without a reason",
     "The next reader must see why the finding is right to ignore.", "# lint: allow CG0301 REASON"},
    {Id::kUnknownId, kError, kByHand, "a suppression of no finding there is",
     "It suppresses nothing.", "callgate-lint(7) lists the ids."},
});

}  // namespace

std::span<const Rule> AllRules() { return kRules; }

const Rule& RuleOf(Id id) {
  const auto* found = std::ranges::find(kRules, id, &Rule::id);
  CG_CHECK(found != kRules.end());
  return *found;
}

std::optional<Id> FindRule(std::string_view name) {
  const auto* found =
      std::ranges::find_if(kRules, [&](const Rule& rule) { return ToString(rule.id) == name; });
  if (found == kRules.end()) return std::nullopt;
  return found->id;
}

std::string ToString(Id id) { return fmt::format("CG{:04}", static_cast<unsigned>(id)); }

std::string_view ToString(Severity severity) {
  switch (severity) {
    case kInfo:
      return "info";
    case kWarning:
      return "warning";
    case kError:
      return "error";
  }
  return {};
}

}  // namespace callgate::lint
