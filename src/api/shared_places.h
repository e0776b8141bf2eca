#pragma once

#include "callgate/policy.h"

namespace callgate {

// A layer under which no process shares its working and root directory with another one. Where a
// rule judges where a caller has come to, nobody else must be able to use that before
// (supervise/perform_move.cc).
Policy SharedPlacesGuard();

}  // namespace callgate
