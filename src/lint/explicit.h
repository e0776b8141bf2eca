#pragma once

#include <string_view>

#include "lint/subject.h"

namespace callgate::lint {

// What the author meant, as far as it can be seen.

// Is the call never allowed, and was that said of this call: by a clause of a policy; in a filter
// by another answer than unknown numbers and most denied calls get? Not if the answer is ENOSYS:
// that hides a call so that a sibling is used, and denies nothing.
bool IsDeniedOnPurpose(Subject& subject, abi::ArchId arch, std::string_view syscall);

// Is ENOSYS the answer to each call of this number?
bool IsHidden(Subject& subject, abi::ArchId arch, std::string_view syscall);

// The statement of the policy's text that a place belongs to. nullptr: none.
const policy::LoadedStatement* StatementAt(const Subject& subject, base::Span span);

// Does a rule that names this call allow it, with a comment at the rule? Somebody thought about it.
bool IsGrantedWithReason(const Subject& subject, const abi::Call& call);

// Is there a rule that names the call (not by group) on this ABI?
bool HasRuleByName(const Subject& subject, abi::ArchId arch, std::string_view syscall);

}  // namespace callgate::lint
