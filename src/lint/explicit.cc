#include "lint/explicit.h"

#include <algorithm>
#include <map>
#include <variant>

#include "abi/action.h"
#include "abi/constants.h"

namespace callgate::lint {
namespace {

namespace ast = policy::ast;

bool Names(const ast::Rule& rule, abi::ArchId arch, std::string_view syscall) {
  return std::ranges::any_of(rule.events, [&](const ast::Event& event) {
    return !event.is_group && event.name == syscall &&
           (event.prefix.empty() || abi::FindArch(event.prefix) == arch);
  });
}

// A suppression speaks to lint of one id, not to the reader of the rule.
bool IsReason(std::string_view comment) {
  const std::size_t text = comment.find_first_not_of("# \t");
  return text != std::string_view::npos && !comment.substr(text).starts_with("lint:");
}

bool HasComment(const ast::Statement& statement) {
  auto is_reason = [](const ast::LeadingComment& comment) { return IsReason(comment.text); };
  if (IsReason(statement.trailing)) return true;
  if (std::ranges::any_of(statement.leading, is_reason)) return true;
  const auto* rule = std::get_if<ast::Rule>(&statement.body);
  return rule != nullptr && std::ranges::any_of(rule->clauses, [](const ast::Clause& clause) {
           return IsReason(clause.trailing) || std::ranges::any_of(clause.comments, IsReason);
         });
}

// What most denied calls of the ABI get: in a list of what is allowed, the answer to those it
// leaves out, where that is another than for unknown numbers.
graph::NodeId UsualDenial(Subject& subject, abi::ArchId arch) {
  std::map<graph::NodeId, std::size_t> counts;
  for (const abi::Syscall& syscall : abi::SyscallsOf(arch)) {
    const graph::NodeId body = subject.decisions.BodyOf(arch, syscall);
    const graph::Node& node = subject.decisions.pool()[body];
    const bool is_denied =
        node.is_leaf && subject.decisions.OutcomeOf(node.ret_value) == Outcome::kDenied;
    if (is_denied) ++counts[body];
  }
  // Asked about a call that is denied, so there is one.
  return std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })
      ->first;
}

}  // namespace

bool IsHidden(Subject& subject, abi::ArchId arch, std::string_view name) {
  const abi::Syscall* syscall = abi::FindSyscall(arch, name);
  const auto enosys = abi::ErrnoValue(arch, "ENOSYS");
  if (syscall == nullptr || !enosys) return false;
  const graph::Node& body = subject.decisions.pool()[subject.decisions.BodyOf(arch, *syscall)];
  const abi::Action hidden{abi::ActionKind::kErrno, static_cast<std::uint16_t>(*enosys)};
  return body.is_leaf && body.ret_value == hidden.value();
}

bool IsDeniedOnPurpose(Subject& subject, abi::ArchId arch, std::string_view name) {
  const abi::Syscall* syscall = abi::FindSyscall(arch, name);
  if (syscall == nullptr || IsHidden(subject, arch, name)) return false;
  if (!subject.decisions.Always(arch, name, Outcome::kDenied)) return false;
  if (!subject.text) {
    const graph::NodeId body = subject.decisions.BodyOf(arch, *syscall);
    return body != subject.decisions.UnknownBody(arch) &&
           (!subject.is_allowlist || body != UsualDenial(subject, arch));
  }
  const abi::Call call = CallOf({}, arch, syscall->nr);
  return policy::Judge(*subject.text->typed, call).reason == policy::Reason::kClause;
}

const policy::LoadedStatement* StatementAt(const Subject& subject, base::Span span) {
  if (!subject.text || !span.valid()) return nullptr;
  for (const policy::LoadedStatement& entry : subject.text->loaded->statements) {
    const base::Span all = entry.statement->span;
    if (all.file == span.file && all.begin <= span.begin && span.begin < all.end) return &entry;
  }
  return nullptr;
}

bool IsGrantedWithReason(const Subject& subject, const abi::Call& call) {
  if (!subject.text) return false;
  const policy::Verdict verdict = policy::Judge(*subject.text->typed, call);
  if (verdict.reason != policy::Reason::kClause || !verdict.arch) return false;
  const policy::LoadedStatement* entry = StatementAt(subject, verdict.span);
  if (entry == nullptr) return false;
  const auto* rule = std::get_if<ast::Rule>(&entry->statement->body);
  return rule != nullptr && Names(*rule, *verdict.arch, verdict.rule->syscall) &&
         HasComment(*entry->statement);
}

bool HasRuleByName(const Subject& subject, abi::ArchId arch, std::string_view syscall) {
  if (!subject.text) return false;
  return std::ranges::any_of(subject.text->loaded->statements,
                             [&](const policy::LoadedStatement& entry) {
                               const auto* rule = std::get_if<ast::Rule>(&entry.statement->body);
                               return rule != nullptr && Names(*rule, arch, syscall);
                             });
}

}  // namespace callgate::lint
