#include "callgate/policy.h"

#include <utility>

#include "api/compile.h"
#include "api/impl.h"
#include "base/diagnostic.h"
#include "policy/file_reader.h"
#include "policy/load.h"
#include "policy/lower.h"
#include "policy/parser.h"
#include "policy/print.h"
#include "policy/typecheck.h"

namespace callgate {
namespace {

template <typename Load>
std::expected<Policy, Diagnostics> MakePolicy(const std::string& name, Load load) {
  auto impl = std::make_shared<Policy::Impl>();
  base::Diagnostics diagnostics;
  const policy::DiskReader reader;
  impl->loaded = load(reader, impl->sources, diagnostics);
  std::optional<policy::TypedPolicy> typed =
      policy::Typecheck(impl->loaded, abi::NativeArch(), diagnostics);
  std::vector<Diagnostic> all = ToPublic(diagnostics, impl->sources);
  if (!typed) return std::unexpected(Diagnostics{std::move(all)});
  impl->name = name;
  impl->typed = std::move(*typed);
  impl->warnings = std::move(all);
  impl->files = reader.paths();
  return Policy(std::move(impl));
}

}  // namespace

std::expected<Policy, Diagnostics> Policy::FromFile(const std::string& path) {
  return MakePolicy(path, [&](const policy::FileReader& reader, base::SourceMap& sources,
                              base::Diagnostics& diagnostics) {
    return policy::Load(path, reader, sources, diagnostics);
  });
}

std::expected<Policy, Diagnostics> Policy::FromText(const std::string& name, std::string text) {
  return MakePolicy(name, [&](const policy::FileReader& reader, base::SourceMap& sources,
                              base::Diagnostics& diagnostics) {
    return policy::LoadText(name, std::move(text), reader, sources, diagnostics);
  });
}

const std::string& Policy::name() const { return impl_->name; }
const std::vector<Diagnostic>& Policy::warnings() const { return impl_->warnings; }
const std::vector<std::string>& Policy::files() const { return impl_->files; }

Result<Program> Policy::Compile() const {
  if (auto error = NeedsMoreThanAFilter(*this)) return std::unexpected(*error);
  base::Result<bpf::Program> compiled = CompileValidated(policy::Lower(impl_->typed));
  if (!compiled) return std::unexpected(Error{compiled.error().ToString()});
  return Program::FromInstructions(ToPublic(*compiled));
}

std::expected<std::string, Diagnostics> FormatPolicyText(const std::string& name,
                                                         std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add(name, std::move(text));
  policy::ast::File parsed = policy::Parse(sources, file, diagnostics);
  if (diagnostics.HasErrors()) return std::unexpected(Diagnostics{ToPublic(diagnostics, sources)});
  return policy::Print(parsed);
}

}  // namespace callgate
