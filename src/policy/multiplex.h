#pragma once

#include "policy/typed.h"

namespace callgate::policy {

// Adds rules for socketcall and ipc where the policy rules calls that can be made through them, and
// says nothing of socketcall or ipc itself. See multiplex.cc.
void CoverMultiplexers(TypedPolicy& policy);

}  // namespace callgate::policy
