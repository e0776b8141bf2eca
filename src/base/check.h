#pragma once

// Broken invariants abort: a policy engine that has lost track of itself must not go on and answer.
// Users' mistakes are Diagnostics, failed operations are Errors; neither comes here.

namespace callgate::base {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace callgate::base

#define CG_CHECK(condition)                            \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::callgate::base::CheckFailed(__FILE__, __LINE__, #condition))
