// Some ABIs (i386, s390, ppc, …) have a second door to the socket and System V calls: socketcall
// and ipc take the number of the call they stand for in their first argument, and its arguments
// behind a pointer or moved by one. A policy that denies `socket` and forgets socketcall has denied
// nothing, where its default allows.
//
// So where a policy rules such a call and has no rule for the multiplexer, the multiplexer gets
// one, with a clause for each call it stands for:
//
//     socket: 0;                      →  socketcall: call == 1 -> (what socket is given)
//
// What the split call's rule decides without looking at arguments, the clause decides too. A rule
// that looks at arguments cannot be applied: a filter does not see behind the pointer. Then the
// strictest action that the rule can give is taken, for every argument. So the multiplexer never
// allows what the split call would not: fail closed. Split calls without a rule get the default, as
// they do when made directly, which is what no clause matching means.
//
// A call that an ABI only has through its multiplexer (i386: accept, send, recv, semop) is ruled by
// the call that can do the same and more (accept4, sendto, recvfrom, semtimedop).
//
// A policy that names socketcall or ipc has said what it wants of it, and is taken at its word. A
// group that has it among many others has not: then clauses go in front of the group's for the
// calls that are ruled more strictly than it.
// Sources: net/socket.c (SYSCALL_DEFINE2(socketcall)), ipc/syscall.c (ksys_ipc), linux/net.h,
// linux/ipc.h.

#include "policy/multiplex.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "abi/syscalls.h"

namespace callgate::policy {
namespace {

struct Branch {
  std::uint32_t number;       // in the multiplexer's first argument
  std::string_view names[3];  // the first that the ABI has; unused ones are empty
};

constexpr Branch kSocketBranches[] = {
    {1, {"socket"}},
    {2, {"bind"}},
    {3, {"connect"}},
    {4, {"listen"}},
    {5, {"accept", "accept4"}},
    {6, {"getsockname"}},
    {7, {"getpeername"}},
    {8, {"socketpair"}},
    {9, {"send", "sendto"}},
    {10, {"recv", "recvfrom"}},
    {11, {"sendto"}},
    {12, {"recvfrom"}},
    {13, {"shutdown"}},
    {14, {"setsockopt"}},
    {15, {"getsockopt"}},
    {16, {"sendmsg"}},
    {17, {"recvmsg"}},
    {18, {"accept4"}},
    {19, {"recvmmsg", "recvmmsg_time64"}},
    {20, {"sendmmsg"}},
};
constexpr Branch kIpcBranches[] = {
    {1, {"semop", "semtimedop", "semtimedop_time64"}},
    {2, {"semget"}},
    {3, {"semctl"}},
    {4, {"semtimedop", "semtimedop_time64"}},
    {11, {"msgsnd"}},
    {12, {"msgrcv"}},
    {13, {"msgget"}},
    {14, {"msgctl"}},
    {21, {"shmat"}},
    {22, {"shmdt"}},
    {23, {"shmget"}},
    {24, {"shmctl"}},
};

struct Multiplexer {
  std::string_view name;
  std::uint32_t number_mask;  // ipc has a version in the upper half
  std::span<const Branch> branches;
};
constexpr Multiplexer kMultiplexers[] = {
    {"socketcall", UINT32_MAX, kSocketBranches},
    {"ipc", 0xffff, kIpcBranches},
};

Rule* FindRule(ArchPolicy& policy, std::int32_t nr) {
  const auto rule = std::ranges::find(policy.rules, nr, &Rule::nr);
  return rule == policy.rules.end() ? nullptr : &*rule;
}

// The rule of the first of the names that the ABI has; nullptr: no rule.
const Rule* FindRule(ArchPolicy& policy, const Branch& branch) {
  for (const std::string_view name : branch.names) {
    const abi::Syscall* syscall = name.empty() ? nullptr : abi::FindSyscall(policy.arch, name);
    if (syscall != nullptr) return FindRule(policy, syscall->nr);
  }
  return nullptr;
}

const PolicyAction& Stricter(const PolicyAction& a, const PolicyAction& b) {
  return KernelAction(b).Outranks(KernelAction(a)) ? b : a;
}

// The strictest action that a list can give.
PolicyAction StrictestOf(const ClauseList& list, const PolicyAction& default_action) {
  std::optional<PolicyAction> strictest;
  for (const Clause& clause : list.clauses) {
    const bool is_constant = clause.predicate.kind == Expr::Kind::kConstant;
    if (is_constant && !clause.predicate.truth) continue;
    strictest = strictest ? Stricter(*strictest, clause.action) : clause.action;
    if (is_constant) return *strictest;  // the clauses behind it are never reached
  }
  return strictest ? Stricter(*strictest, default_action) : default_action;
}

Clause ClauseFor(const Multiplexer& multiplexer, const Branch& branch, const Rule& rule,
                 const PolicyAction& default_action) {
  Clause clause;
  clause.predicate.kind = Expr::Kind::kCompare;
  clause.predicate.operand.bits = 32;
  clause.predicate.operand.name = "call";
  clause.predicate.mask = multiplexer.number_mask;
  clause.predicate.constant = branch.number;
  clause.predicate.span = rule.lists.front().span;
  clause.span = rule.lists.front().span;
  clause.action = StrictestOf(rule.lists.front(), default_action);
  for (const ClauseList& list : rule.lists) {
    clause.action = Stricter(clause.action, StrictestOf(list, default_action));
  }
  return clause;
}

void Cover(ArchPolicy& policy, const Multiplexer& multiplexer, const PolicyAction& default_action) {
  const abi::Syscall* syscall = abi::FindSyscall(policy.arch, multiplexer.name);
  if (syscall == nullptr) return;
  Rule* by_group = FindRule(policy, syscall->nr);
  if (by_group != nullptr && !by_group->by_group) return;
  ClauseList list;
  for (const Branch& branch : multiplexer.branches) {
    const Rule* rule = FindRule(policy, branch);
    if (rule == nullptr) continue;
    Clause clause = ClauseFor(multiplexer, branch, *rule, default_action);
    if (by_group != nullptr) {
      const PolicyAction groups = StrictestOf(by_group->lists.front(), default_action);
      if (!KernelAction(clause.action).Outranks(KernelAction(groups))) continue;
    }
    list.clauses.push_back(std::move(clause));
  }
  if (list.clauses.empty()) return;
  if (by_group != nullptr) {
    std::vector<Clause>& clauses = by_group->lists.front().clauses;
    clauses.insert(clauses.begin(), std::make_move_iterator(list.clauses.begin()),
                   std::make_move_iterator(list.clauses.end()));
    return;
  }
  list.span = list.clauses.front().span;
  Rule added{std::string(multiplexer.name), syscall->nr, {std::move(list)}};
  const auto place = std::ranges::lower_bound(policy.rules, added.nr, {}, &Rule::nr);
  policy.rules.insert(place, std::move(added));
}

}  // namespace

void CoverMultiplexers(TypedPolicy& policy) {
  for (ArchPolicy& arch_policy : policy.arches) {
    for (const Multiplexer& multiplexer : kMultiplexers) {
      Cover(arch_policy, multiplexer, policy.default_action);
    }
  }
}

}  // namespace callgate::policy
