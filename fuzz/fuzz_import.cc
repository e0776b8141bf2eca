// Any bytes as a foreign policy: reading never crashes and always ends, what is refused has an
// error, what is accepted is a policy in canonical form that typechecks.
//
// The first byte chooses the format, or detection.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "format/import.h"
#include "policy/parser.h"
#include "policy/print.h"
#include "policy/typecheck.h"

namespace callgate {
namespace {

void Check(std::string input) {
  if (input.empty()) return;
  std::vector<std::string_view> names = format::ImportableFormats();
  std::size_t choice = static_cast<unsigned char>(input[0]) % (names.size() + 1);
  input.erase(0, 1);
  format::ImportOptions options;
  if (choice < names.size()) options.format = format::FormatNamed(names[choice]);
  options.arch = abi::ArchId::kX86_64;

  base::SourceMap sources;
  base::Diagnostics diagnostics;
  // The text may include itself, a file that is there and one that is not.
  policy::MemoryReader reader({{"t", input}, {"a", "read: 1\n"}});
  auto imported = format::Import("t", std::move(input), options, reader, sources, diagnostics);
  base::Render(diagnostics, sources, base::Color::kNo);
  CG_CHECK(imported.has_value() == !diagnostics.HasErrors());
  if (!imported) return;

  base::FileId file = sources.Add("t.cg", imported->policy);
  policy::ast::File parsed = policy::Parse(sources, file, diagnostics);
  CG_CHECK(!diagnostics.HasErrors());
  CG_CHECK(policy::Print(parsed) == imported->policy);
  auto typed = policy::ReadPolicyText("t.cg", imported->policy, reader, abi::ArchId::kX86_64,
                                      sources, diagnostics);
  CG_CHECK(typed.has_value());
}

}  // namespace
}  // namespace callgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  callgate::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
