#include <bit>
#include <utility>

#include "abi/action.h"
#include "abi/syscalls.h"
#include "api/compile.h"
#include "api/impl.h"
#include "bpf/interpret.h"
#include "callgate/policy.h"
#include "fmt/format.h"
#include "policy/call_text.h"
#include "policy/lower.h"
#include "policy/suggest.h"

namespace callgate {
namespace {

VerdictSource ToPublic(policy::Reason reason) {
  switch (reason) {
    case policy::Reason::kClause:
      return VerdictSource::kClause;
    case policy::Reason::kNoMatch:
      return VerdictSource::kNoMatch;
    case policy::Reason::kNoRule:
      return VerdictSource::kNoRule;
    case policy::Reason::kUnknown:
      return VerdictSource::kUnknown;
    case policy::Reason::kBadArch:
      return VerdictSource::kBadArch;
    case policy::Reason::kLook:
      return VerdictSource::kLook;
  }
  std::unreachable();
}

bool Allows(std::uint32_t ret_value) {
  std::uint32_t action = ret_value & 0xffff0000;  // SECCOMP_RET_ACTION_FULL
  return action == static_cast<std::uint32_t>(abi::ActionKind::kAllow) ||
         action == static_cast<std::uint32_t>(abi::ActionKind::kLog);
}

}  // namespace

bool Verdict::allowed() const { return Allows(ret_value); }

Verdict Policy::Evaluate(const Call& call) const {
  abi::Call internal = ToInternal(call);
  return Describe(*impl_, policy::Judge(impl_->typed, internal), internal);
}

Verdict Describe(const Policy::Impl& policy, const policy::Verdict& verdict,
                 const abi::Call& call) {
  Verdict described;
  abi::ArchId arch = verdict.arch.value_or(policy.typed.arches.front().arch);
  described.action = policy::ToString(verdict.action, arch);
  described.ret_value = policy::KernelAction(verdict.action).value();
  described.source = ToPublic(verdict.reason);
  described.place = policy.sources.LineLabel(verdict.span);
  const abi::Syscall* syscall = verdict.arch ? abi::FindSyscall(arch, call.nr) : nullptr;
  std::string name =
      syscall != nullptr ? std::string(syscall->name) : fmt::format("number {}", call.nr);
  switch (verdict.reason) {
    case policy::Reason::kClause:
      described.rule = policy.sources.text(verdict.span);
      break;
    case policy::Reason::kNoMatch:
      described.rule = "default " + described.action;
      described.reason = fmt::format("no clause of the rule for {} matches", name);
      break;
    case policy::Reason::kNoRule:
      described.rule = "default " + described.action;
      described.reason = fmt::format("no rule mentions {}", name);
      break;
    case policy::Reason::kUnknown:
      described.rule = "unknown " + described.action;
      described.reason =
          syscall != nullptr && policy.typed.as_of
              ? fmt::format("{} is newer than linux {}", name, abi::ToString(*policy.typed.as_of))
              : fmt::format("the tables of {} have no {}", abi::ArchOf(arch).name, name);
      break;
    case policy::Reason::kLook:
      described.rule = policy.sources.text(verdict.span);
      described.reason = "the registers do not decide it: the supervisor looks behind them";
      break;
    case policy::Reason::kBadArch:
      described.rule = "bad_arch " + described.action;
      described.reason =
          verdict.arch ? fmt::format("the policy does not speak for {}", abi::ArchOf(arch).name)
                       : "the policy does not speak for this ABI";
      break;
  }
  policy::Suggestion suggestion = policy::Suggest(policy.typed, call, verdict, policy.sources);
  described.suggestion = std::move(suggestion.line);
  described.suggestion_note = std::move(suggestion.note);
  return described;
}

Result<Evaluation> Policy::EvaluateText(std::string_view text) const {
  abi::ArchId home = impl_->typed.arches.front().arch;
  base::Result<policy::CallPattern> pattern = policy::ParseCall(text, home);
  if (!pattern) return std::unexpected(Error{pattern.error().ToString()});
  base::Result<bpf::Program> program = CompileValidated(policy::Lower(impl_->typed));
  if (!program) return std::unexpected(Error{program.error().ToString()});

  Evaluation evaluation;
  evaluation.call = policy::FormatPattern(*pattern, home);
  policy::PatternVerdicts verdicts = policy::JudgePattern(impl_->typed, *pattern);
  for (const policy::PatternVerdicts::Case& one : verdicts.cases) {
    std::endian order = abi::ArchOf(pattern->arch).endian;
    bpf::Trace trace = bpf::InterpretWithTrace(*program, abi::WordsOf(one.call, order));
    Verdict verdict = Describe(*impl_, one.verdict, one.call);
    if (trace.ret_value != verdict.ret_value) {
      return std::unexpected(Error{
          fmt::format("internal error: the policy says {} for {}, its filter {}", verdict.action,
                      policy::FormatCall(one.call, home), abi::RetValueToString(trace.ret_value))});
    }
    if (verdicts.cases.size() == 1) {
      evaluation.verdict = verdict;
      evaluation.path = std::move(trace.path);
    } else {
      evaluation.cases.push_back({policy::FormatCall(one.call, home), std::move(verdict)});
    }
  }
  return evaluation;
}

}  // namespace callgate
