// Any bytes as a policy file: reading never crashes and always ends, a refused text has an error,
// an accepted one prints to a text that is accepted, prints the same and judges the same.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include "base/check.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "policy/parser.h"
#include "policy/print.h"
#include "policy/typecheck.h"
#include "testing/random_policy.h"

namespace callgate {
namespace {

struct Read {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  std::optional<policy::TypedPolicy> typed;

  explicit Read(std::string text) {
    // The text may use itself, a file that is there and one that is not.
    policy::MemoryReader reader({{"t.cg", text}, {"a.cg", "read\nuse \"b.cg\"\n"}});
    typed = policy::ReadPolicyText("t.cg", std::move(text), reader, abi::ArchId::kX86_64, sources,
                                   diagnostics);
    base::Render(diagnostics, sources, base::Color::kNo);
    CG_CHECK(typed.has_value() == !diagnostics.HasErrors());
  }
};

std::string Print(const std::string& text, bool& parsed) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add("t.cg", text);
  std::string printed = policy::Print(policy::Parse(sources, file, diagnostics));
  parsed = !diagnostics.HasErrors();
  return printed;
}

void Check(const std::string& text) {
  Read read(text);
  bool parsed = false;
  std::string once = Print(text, parsed);
  if (!parsed) return;
  bool again = false;
  CG_CHECK(Print(once, again) == once);
  CG_CHECK(again);
  Read printed(once);
  CG_CHECK(printed.typed.has_value() == read.typed.has_value());
  if (!read.typed) return;
  std::mt19937_64 random(text.size());
  for (const abi::Call& call : testing::BoundaryCalls(*read.typed, random, 3)) {
    policy::Verdict before = policy::Judge(*read.typed, call);
    policy::Verdict after = policy::Judge(*printed.typed, call);
    CG_CHECK(before.action == after.action && before.reason == after.reason);
  }
}

}  // namespace
}  // namespace callgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  callgate::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
