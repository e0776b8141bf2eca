#pragma once

#include <string_view>

#include "base/diagnostic.h"
#include "base/source.h"

namespace callgate::policy {

bool IsValidUtf8(std::string_view text);
// UTF-8 that a reader sees in the order in which it is stored.
bool ReadsAsStored(std::string_view text);

// A policy is UTF-8 text of at most kMaxFileBytes without control characters, and without the
// characters that reorder what a reader sees (a rule must be what it looks like). One error for the
// first thing that is not; false then.
bool CheckIsText(std::string_view text, base::FileId file, base::Diagnostics& diagnostics);

}  // namespace callgate::policy
