// A launcher for the tests of this folder, with a policy on its command line instead of a file:
//
//   launch_driver [OPTION…] [CALL=VERDICT…] -- COMMAND…
//
// CALL is a system call of x86_64, or i386.NAME; VERDICT is allow, kill, kill_thread, trap or an
// errno name. "default=VERDICT" judges all others (allow if not given). The filters are written by
// hand here, so that what is tested is the launch alone.
//
// --plain: no supervisor. --json, --status-fd N: as in callgate run. --layer CALL=VERDICT: an older
// filter of its own. --spawn: as a child; exits with its status.

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "abi/arch.h"
#include "abi/constants.h"
#include "abi/syscalls.h"
#include "bpf/program.h"
#include "fmt/format.h"
#include "kernel/kernel.h"
#include "launch/launch.h"

namespace {

using namespace callgate;  // NOLINT(google-build-using-namespace): a test program

struct TestPolicy {
  std::map<std::pair<std::uint32_t, std::int32_t>, abi::Action> rules;  // by AUDIT_ARCH, number
  abi::Action default_action = abi::kAllow;
};

[[noreturn]] void Usage(std::string_view text) {
  fmt::print(stderr, "launch_driver: bad argument: {}\n", text);
  std::exit(2);
}

abi::Action ParseVerdict(std::string_view text) {
  if (text == "allow") return abi::kAllow;
  if (text == "kill") return abi::kKillProcess;
  if (text == "kill_thread") return {abi::ActionKind::kKillThread, 0};
  if (text == "trap") return {abi::ActionKind::kTrap, 3};
  auto number = abi::ErrnoValue(abi::NativeArch(), text);
  if (!number) Usage(text);
  return {abi::ActionKind::kErrno, static_cast<std::uint16_t>(*number)};
}

void AddRule(TestPolicy& policy, std::string_view text) {
  std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) Usage(text);
  std::string_view name = text.substr(0, equals);
  abi::Action action = ParseVerdict(text.substr(equals + 1));
  if (name == "default") {
    policy.default_action = action;
    return;
  }
  abi::ArchId arch = abi::ArchId::kX86_64;
  if (name.starts_with("i386.")) {
    arch = abi::ArchId::kI386;
    name.remove_prefix(5);
  }
  const abi::Syscall* syscall = abi::FindSyscall(arch, name);
  if (syscall == nullptr) Usage(text);
  policy.rules[{abi::ArchOf(arch).audit_arch, syscall->nr}] = action;
}

std::uint32_t FilterValue(abi::Action action, bool reporting) {
  if (reporting && action.kind == abi::ActionKind::kErrno) return SECCOMP_RET_USER_NOTIF;
  return action.value();
}

bpf::Program Assemble(const TestPolicy& policy, bool reporting) {
  bpf::Program program;
  for (const auto& [where, action] : policy.rules) {
    program.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, 4});
    program.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 3, where.first});
    program.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, 0});
    program.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<std::uint32_t>(where.second)});
    program.push_back({BPF_RET | BPF_K, 0, 0, FilterValue(action, reporting)});
  }
  program.push_back({BPF_RET | BPF_K, 0, 0, FilterValue(policy.default_action, reporting)});
  return program;
}

launch::Explanation Explain(const TestPolicy& policy, const abi::Call& call) {
  auto rule = policy.rules.find({call.arch, call.nr});
  launch::Explanation why;
  bool is_default = rule == policy.rules.end();
  why.verdict = is_default ? policy.default_action : rule->second;
  why.place = is_default ? "test.cg:1" : "test.cg:2";
  why.rule = is_default ? "default" : "rule";
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  if (syscall != nullptr) {
    why.reason = fmt::format("no rule mentions {}", syscall->name);
    why.add = std::string(syscall->name);
  }
  return why;
}

}  // namespace

int main(int argc, char** argv) {
  TestPolicy policy;
  launch::LaunchPlan plan;
  launch::Supervision supervision;
  bool plain = false;
  bool spawn = false;
  int i = 1;
  for (; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    std::string_view argument = argv[i];
    if (argument == "--plain") {
      plain = true;
    } else if (argument == "--spawn") {
      spawn = true;
    } else if (argument == "--json") {
      supervision.format = launch::ReportFormat::kJson;
    } else if (argument == "--status-fd" && i + 1 < argc) {
      supervision.status_fd = std::atoi(argv[++i]);
    } else if (argument == "--layer" && i + 1 < argc) {
      TestPolicy layer;
      AddRule(layer, argv[++i]);
      plan.stack.filters.push_back(Assemble(layer, false));
    } else {
      AddRule(policy, argument);
    }
  }
  for (++i; i < argc; ++i) plan.argv.emplace_back(argv[i]);

  bool has_errno = policy.default_action.kind == abi::ActionKind::kErrno;
  bool has_death = policy.default_action.kind < abi::ActionKind::kErrno ||
                   policy.default_action == abi::kKillProcess;
  for (const auto& [where, action] : policy.rules) {
    has_errno |= action.kind == abi::ActionKind::kErrno;
    has_death |= action.Outranks({abi::ActionKind::kErrno, 0});
  }
  plan.stack.filters.push_back(Assemble(policy, !plain && has_errno));
  if (!plain) {
    if (has_errno) plan.stack.listening = plan.stack.filters.size() - 1;
    supervision.explain_deaths = has_death;
    supervision.explain = [policy](const abi::Call& call) { return Explain(policy, call); };
    plan.supervision = supervision;
  }
  launch::LaunchFailure failure;
  if (spawn) {
    auto pid = launch::Spawn(plan, kernel::RealKernel());
    if (pid) {
      int status = 0;
      waitpid(*pid, &status, 0);
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    failure = pid.error();
  } else {
    failure = launch::Exec(plan, kernel::RealKernel());
  }
  fmt::print(stderr, "callgate: {}\n", failure.error.ToString());
  return failure.exit_code;
}
