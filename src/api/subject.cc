// The one place that opens whatever a question may be about and tells formats apart.
//
// Raw filters are known by a NUL byte, which no text has and every filter holds (the code of each
// instruction has an upper half of 0). Hex, JSON and listings are known by how they begin, foreign
// policies by what is in them; what assembles is assembly; all else is a policy, and its reader
// says what is wrong with it. A minijail policy looks like one of callgate's, so there the file's
// name decides.

#include "api/subject.h"

#include <bit>
#include <cctype>
#include <fstream>
#include <iterator>
#include <span>
#include <utility>

#include "analyse/stack.h"
#include "api/compile.h"
#include "api/impl.h"
#include "base/check.h"
#include "bpf/dump.h"
#include "bpf/encode.h"
#include "bpf/stack.h"
#include "bpf/verify.h"
#include "callgate/convert.h"
#include "fmt/format.h"
#include "format/import.h"
#include "kernel/kernel.h"
#include "kernel/read_filters.h"
#include "policy/file_reader.h"
#include "policy/lower.h"

namespace callgate {
namespace {

std::unexpected<Diagnostics> Refuse(const std::string& name, const std::string& message) {
  Diagnostic diagnostic;
  diagnostic.file = name;
  diagnostic.message = message;
  diagnostic.text = diagnostic.color_text = fmt::format("error: {}: {}\n", name, message);
  return std::unexpected(Diagnostics{{std::move(diagnostic)}});
}

bool IsHexListing(std::string_view text) {
  // "0020 00 00 00000004": a policy's line never begins with two numbers.
  std::size_t at = text.find_first_not_of(" \t\r\n");
  for (int number = 0; number < 2; ++number) {
    const std::size_t begin = at;
    while (at < text.size() && std::isxdigit(static_cast<unsigned char>(text[at])) != 0) ++at;
    if (begin == std::string_view::npos || at == begin) return false;
    const std::size_t next = text.find_first_not_of(" \t", at);
    if (next == at || next == std::string_view::npos) return false;
    at = next;
  }
  return true;
}

// A listing of `compile` or `disasm` labels its first instruction.
bool IsListing(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text.substr(first).starts_with("l0:");
}

bool IsDump(std::string_view bytes) {
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  const bool is_json = first != std::string_view::npos && bytes[first] == '[';
  return is_json || bytes.find('\0') != std::string_view::npos || IsHexListing(bytes);
}

Subject MakeSubject(std::string name, std::vector<bpf::Program> filters,
                    std::optional<Policy> policy = std::nullopt) {
  auto impl = std::make_shared<Subject::Impl>();
  impl->name = std::move(name);
  impl->filters = std::move(filters);
  impl->policy = std::move(policy);
  return Subject(std::move(impl));
}

bool IsForeign(std::string_view name, std::string_view bytes) {
  const auto found = format::Detect(name, bytes);
  return found && *found != format::ForeignFormat::kRaw && !name.ends_with(".cg") &&
         (*found != format::ForeignFormat::kMinijail || name.ends_with(".policy"));
}

std::expected<Policy, Diagnostics> ReadForeign(const std::string& name, std::string_view bytes) {
  auto imported = ImportPolicy(name, std::string(bytes));
  if (!imported) return std::unexpected(std::move(imported.error()));
  return Policy::FromText(name, std::move(imported->policy));
}

template <typename ReadPolicy>
std::expected<Subject, Diagnostics> ReadSubject(const std::string& name, std::string_view bytes,
                                                ReadPolicy read_policy) {
  if (IsListing(bytes)) {
    auto filter = Program::FromAssembly(name, std::string(bytes));
    if (!filter) return std::unexpected(std::move(filter.error()));
    return MakeSubject(name, {ToInternal(filter->instructions())});
  }
  if (IsDump(bytes)) {
    base::Result<bpf::Program> filter = bpf::DecodeDump(bytes);
    if (!filter) return Refuse(name, filter.error().ToString());
    if (auto verified = bpf::Verify(*filter); !verified) {
      return Refuse(name, "not a seccomp filter: " + verified.error().message);
    }
    return MakeSubject(name, {*std::move(filter)});
  }
  const bool is_foreign = IsForeign(name, bytes);
  // Other assembly has no mark, but no policy is assembly without a mistake.
  if (!is_foreign) {
    if (auto filter = Program::FromAssembly(name, std::string(bytes))) {
      return MakeSubject(name, {ToInternal(filter->instructions())});
    }
  }
  std::expected<Policy, Diagnostics> policy = is_foreign ? ReadForeign(name, bytes) : read_policy();
  if (!policy) return std::unexpected(std::move(policy.error()));
  auto subject = Subject::FromPolicy(*policy);
  if (!subject) return Refuse(name, subject.error().message);
  if (!is_foreign) return *std::move(subject);
  auto impl = std::make_shared<Subject::Impl>(subject->impl());
  impl->is_imported = true;
  return Subject(std::move(impl));
}

}  // namespace

analyse::Lifted Subject::Impl::LiftInto(graph::Pool& pool) const {
  return analyse::LiftStack(filters, pool);
}

std::uint32_t Subject::Impl::Run(const abi::CallWords& words) const {
  const std::vector<bpf::ProgramView> views(filters.begin(), filters.end());
  return bpf::InterpretStack(views, words).ret_value;
}

const std::string& Subject::name() const { return impl_->name; }
bool Subject::is_policy() const { return impl_->policy.has_value(); }
bool Subject::is_imported() const { return impl_->is_imported; }

std::expected<Subject, Diagnostics> Subject::FromFile(const std::string& path) {
  const base::Result<std::string> bytes = policy::DiskReader().Read(path);
  // A policy that cannot be read says so best itself.
  return ReadSubject(path, bytes ? *bytes : "", [&] { return Policy::FromFile(path); });
}

std::expected<Subject, Diagnostics> Subject::FromBytes(const std::string& name, std::string bytes) {
  return ReadSubject(name, bytes, [&] { return Policy::FromText(name, bytes); });
}

Result<Subject> Subject::FromPolicy(const Policy& policy) {
  if (auto error = NeedsMoreThanAFilter(policy)) return std::unexpected(*error);
  base::Result<bpf::Program> filter = CompileValidated(policy::Lower(policy.impl().typed));
  if (!filter) return std::unexpected(Error{filter.error().ToString()});
  return MakeSubject(policy.name(), {*std::move(filter)}, policy);
}

Result<Subject> Subject::FromStack(const std::string& name, const std::vector<Program>& filters) {
  if (filters.empty()) return std::unexpected(Error{fmt::format("{} has no filters", name)});
  std::vector<bpf::Program> programs;
  for (const Program& filter : filters) programs.push_back(ToInternal(filter.instructions()));
  return MakeSubject(name, std::move(programs));
}

Result<Subject> Subject::FromProcess(pid_t pid) {
  const auto filters = kernel::FiltersOf(kernel::RealKernel(), pid);
  if (!filters) return std::unexpected(Error{filters.error().ToString()});
  const std::string name = fmt::format("process {}", pid);
  if (filters->empty()) return std::unexpected(Error{name + " has no seccomp filter"});
  std::vector<bpf::Program> programs;
  for (const std::vector<std::byte>& filter : *filters) {
    const std::string_view bytes(reinterpret_cast<const char*>(filter.data()), filter.size());
    auto program = bpf::DecodeRaw(bytes, std::endian::native);
    CG_CHECK(program && bpf::Verify(*program));  // the kernel has taken it
    programs.push_back(*std::move(program));
  }
  return MakeSubject(name, std::move(programs));
}

std::vector<Program> Subject::filters() const {
  std::vector<Program> programs;
  for (const bpf::Program& filter : impl_->filters) {
    auto program = Program::FromInstructions(ToPublic(filter));
    CG_CHECK(program.has_value());
    programs.push_back(*std::move(program));
  }
  return programs;
}

}  // namespace callgate
