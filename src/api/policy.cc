#include "callgate/policy.h"

#include <utility>

#include "api/impl.h"
#include "base/diagnostic.h"
#include "codegen/compile.h"
#include "policy/file_reader.h"
#include "policy/lower.h"
#include "policy/parser.h"
#include "policy/print.h"
#include "policy/typecheck.h"

namespace callgate {
namespace {

std::vector<Diagnostic> ToPublic(const base::Diagnostics& diagnostics,
                                 const base::SourceMap& sources) {
  std::vector<Diagnostic> all;
  for (const base::Diagnostic& one : diagnostics.all()) {
    Diagnostic diagnostic;
    diagnostic.severity = one.severity == base::Severity::kError ? Diagnostic::Severity::kError
                                                                 : Diagnostic::Severity::kWarning;
    diagnostic.file = sources.name(one.span.file);
    if (one.span.valid()) {
      base::Position position = sources.PositionOf(one.span.file, one.span.begin);
      diagnostic.line = position.line;
      diagnostic.column = position.column;
    }
    diagnostic.message = one.message;
    for (const base::Note& note : one.notes) {
      std::string place = note.span.valid() ? sources.Label(note.span) + ": " : "";
      diagnostic.notes.push_back(place + note.message);
    }
    diagnostic.text = base::Render(one, sources, base::Color::kNo);
    diagnostic.color_text = base::Render(one, sources, base::Color::kYes);
    all.push_back(std::move(diagnostic));
  }
  if (diagnostics.error_count() > base::Diagnostics::kMaxErrors) {
    Diagnostic rest;
    rest.message = std::to_string(diagnostics.error_count() - base::Diagnostics::kMaxErrors) +
                   " more errors are not shown";
    rest.text = rest.color_text = "error: " + rest.message + "\n";
    all.push_back(std::move(rest));
  }
  return all;
}

template <typename Read>
std::expected<Policy, Diagnostics> MakePolicy(const std::string& name, Read read) {
  auto impl = std::make_shared<Policy::Impl>();
  base::Diagnostics diagnostics;
  std::optional<policy::TypedPolicy> typed = read(impl->sources, diagnostics);
  std::vector<Diagnostic> all = ToPublic(diagnostics, impl->sources);
  if (!typed) return std::unexpected(Diagnostics{std::move(all)});
  impl->name = name;
  impl->typed = std::move(*typed);
  impl->warnings = std::move(all);
  return Policy(std::move(impl));
}

}  // namespace

std::string Diagnostics::Render() const {
  std::string text;
  for (const Diagnostic& diagnostic : all) text += diagnostic.text;
  return text;
}

std::expected<Policy, Diagnostics> Policy::FromFile(const std::string& path) {
  return MakePolicy(path, [&](base::SourceMap& sources, base::Diagnostics& diagnostics) {
    return policy::ReadPolicy(path, policy::DiskReader(), abi::NativeArch(), sources, diagnostics);
  });
}

std::expected<Policy, Diagnostics> Policy::FromText(const std::string& name, std::string text) {
  return MakePolicy(name, [&](base::SourceMap& sources, base::Diagnostics& diagnostics) {
    return policy::ReadPolicyText(name, std::move(text), policy::DiskReader(), abi::NativeArch(),
                                  sources, diagnostics);
  });
}

const std::string& Policy::name() const { return impl_->name; }
const std::vector<Diagnostic>& Policy::warnings() const { return impl_->warnings; }

Result<Program> Policy::Compile() const {
  base::Result<bpf::Program> compiled = codegen::Compile(policy::Lower(impl_->typed));
  if (!compiled) return std::unexpected(Error{compiled.error().ToString()});
  std::vector<Instruction> instructions;
  instructions.reserve(compiled->size());
  for (const bpf::Instruction& insn : *compiled) {
    instructions.push_back({insn.code, insn.jt, insn.jf, insn.k});
  }
  return Program::FromInstructions(std::move(instructions));
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
