#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/diagnostic.h"
#include "base/source.h"
#include "gtest/gtest.h"
#include "policy/call_text.h"
#include "policy/suggest.h"
#include "policy/typecheck.h"

namespace callgate::policy {

// For tests: a policy text, read.

inline constexpr abi::ArchId kHome = abi::ArchId::kX86_64;

struct Read {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  std::optional<TypedPolicy> policy;

  explicit Read(std::string text, std::map<std::string, std::string> files = {},
                abi::ArchId native = kHome, const std::string& name = "t.cg") {
    MemoryReader reader(std::move(files));
    policy = ReadPolicyText(name, std::move(text), reader, native, sources, diagnostics);
  }

  std::string Messages() const { return base::Render(diagnostics, sources, base::Color::kNo); }

  // "allow", "errno(EPERM)", …
  std::string Of(std::string_view call) const {
    EXPECT_TRUE(policy) << Messages();
    auto pattern = ParseCall(call, kHome);
    EXPECT_TRUE(pattern) << pattern.error().ToString();
    if (!policy || !pattern) return "?";
    return ToString(Judge(*policy, pattern->call).action, kHome);
  }

  Suggestion SuggestionFor(std::string_view call) const {
    auto pattern = ParseCall(call, kHome);
    return Suggest(*policy, pattern->call, Judge(*policy, pattern->call), sources);
  }
};

}  // namespace callgate::policy
