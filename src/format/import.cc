#include "format/import.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "fmt/format.h"
#include "format/reading.h"
#include "policy/parser.h"
#include "policy/print.h"
#include "policy/typecheck.h"

namespace callgate::format {
namespace {

struct FormatRow {
  ForeignFormat format;
  std::string_view name;
  std::optional<Foreign> (*read)(Reading& reading);  // nullptr: not read here
};

constexpr std::array<FormatRow, 8> kFormats{{
    {ForeignFormat::kOci, "oci", ReadOci},
    {ForeignFormat::kDocker, "docker", ReadOci},
    {ForeignFormat::kSpo, "spo", ReadSpo},
    {ForeignFormat::kFirecracker, "firecracker", ReadFirecracker},
    {ForeignFormat::kMinijail, "minijail", ReadMinijail},
    {ForeignFormat::kKafel, "kafel", ReadKafel},
    {ForeignFormat::kSystemd, "systemd", ReadSystemd},
    {ForeignFormat::kRaw, "raw", nullptr},
}};

const FormatRow& RowOf(ForeignFormat format) {
  const auto* row = std::ranges::find(kFormats, format, &FormatRow::format);
  CG_CHECK(row != kFormats.end());
  return *row;
}

// The first line that is neither empty nor a comment of any of the formats.
std::string_view FirstLine(std::string_view text) {
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == line.npos) continue;
    line.remove_prefix(begin);
    bool directive = line.starts_with("#define") || line.starts_with("#include");
    bool comment = line.starts_with("#") || line.starts_with("//") || line.starts_with(";");
    if (directive || !comment) return line;
  }
  return "";
}

bool HasLine(std::string_view text, std::string_view begin) {
  return text.starts_with(begin) || text.find("\n" + std::string(begin)) != text.npos;
}

// The text in canonical form, once it is certain that it is a policy. It is not where a file says
// more than a policy may hold; nothing is handed out then.
std::optional<std::string> Canonical(Reading& reading, std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add("imported.cg", std::move(text));
  std::string printed = policy::Print(policy::Parse(sources, file, diagnostics));
  if (!diagnostics.HasErrors()) {
    policy::ReadPolicyText("imported.cg", printed, reading.reader, reading.Native(), sources,
                           diagnostics);
  }
  if (!diagnostics.HasErrors()) return printed;
  for (const base::Diagnostic& one : diagnostics.all()) {
    if (one.severity != base::Severity::kError) continue;
    return reading.Fail({reading.file, 0, 0},
                        fmt::format("this cannot be said as a policy: {}", one.message),
                        fmt::format("the line is: {}",
                                    sources.LineAt(one.span.file, one.span.begin).substr(0, 200)));
  }
  return std::nullopt;
}

}  // namespace

std::string_view NameOf(ForeignFormat format) { return RowOf(format).name; }

std::optional<ForeignFormat> FormatNamed(std::string_view name) {
  for (const FormatRow& row : kFormats) {
    if (row.name == name && row.read != nullptr) return row.format;
  }
  return std::nullopt;
}

std::vector<std::string_view> ImportableFormats() {
  std::vector<std::string_view> names;
  for (const FormatRow& row : kFormats) {
    if (row.read != nullptr) names.push_back(row.name);
  }
  return names;
}

std::optional<ForeignFormat> Detect(std::string_view name, std::string_view bytes) {
  std::string_view line = FirstLine(bytes);
  // A policy of comments: everything gets the default.
  if (line.empty() && name.ends_with(".policy")) return ForeignFormat::kMinijail;
  if (line.empty()) return std::nullopt;
  // A struct sock_filter array: no text, and whole instructions.
  if (bytes.find('\0') != bytes.npos && bytes.size() % 8 == 0) return ForeignFormat::kRaw;
  // A brace opens a list of calls in minijail, whose names have no quotes.
  std::string_view text = bytes.substr(static_cast<std::size_t>(line.data() - bytes.data()));
  std::size_t second = text.find_first_not_of(" \t\r\n", 1);
  bool is_json =
      text.starts_with('{') && (second == text.npos || text[second] == '"' || text[second] == '}');
  if (is_json) {
    if (bytes.find("\"default_action\"") != bytes.npos) return ForeignFormat::kFirecracker;
    bool docker = bytes.find("\"archMap\"") != bytes.npos ||
                  bytes.find("\"includes\"") != bytes.npos ||
                  bytes.find("\"excludes\"") != bytes.npos;
    return docker ? ForeignFormat::kDocker : ForeignFormat::kOci;
  }
  if (bytes.find("SeccompProfile") != bytes.npos || line.starts_with("---") ||
      HasLine(bytes, "apiVersion:")) {
    return ForeignFormat::kSpo;
  }
  if (HasLine(bytes, "[Service]") || HasLine(bytes, "[Unit]") ||
      HasLine(bytes, "SystemCallFilter=") || name.ends_with(".service")) {
    return ForeignFormat::kSystemd;
  }
  if (line.starts_with("POLICY") || line.starts_with("#define") || line.starts_with("#include") ||
      line.starts_with("USE ") || HasLine(bytes, "POLICY ")) {
    return ForeignFormat::kKafel;
  }
  if (line.starts_with('@') || line.starts_with('{') || line.find(':') != line.npos) {
    return ForeignFormat::kMinijail;
  }
  return std::nullopt;
}

std::optional<Imported> Import(const std::string& name, std::string bytes,
                               const ImportOptions& options, const policy::FileReader& reader,
                               base::SourceMap& sources, base::Diagnostics& diagnostics) {
  auto format = options.format ? options.format : Detect(name, bytes);
  bool too_long = bytes.size() > kMaxForeignBytes;
  base::FileId file = sources.Add(name, too_long ? "" : std::move(bytes));
  Reading reading{options, reader, sources, file, diagnostics};
  base::Span start{file, 0, 0};
  if (too_long) {
    reading.Fail(start, fmt::format("the file is longer than {} MiB", kMaxForeignBytes >> 20U));
    return std::nullopt;
  }
  if (!format) {
    std::vector<std::string_view> names = ImportableFormats();
    reading.Fail(start, "this is no format that callgate knows",
                 fmt::format("-f names it: {}", fmt::join(names, ", ")));
    return std::nullopt;
  }
  const FormatRow& row = RowOf(*format);
  if (row.read == nullptr) {
    reading.Fail(start, "this is a filter program, not a policy");
    return std::nullopt;
  }
  std::optional<Foreign> foreign = row.read(reading);
  if (!foreign || diagnostics.HasErrors()) {
    CG_CHECK(diagnostics.HasErrors());
    return std::nullopt;
  }
  std::size_t slash = name.rfind('/');
  foreign->header.push_back(
      fmt::format("From {} ({}).", slash == name.npos ? name : name.substr(slash + 1), row.name));
  if (reading.more_notes > 0)
    reading.notes.push_back(fmt::format("and {} more", reading.more_notes));
  for (const std::string& note : reading.notes) foreign->header.push_back(note);
  auto text = Canonical(reading, WritePolicy(*foreign));
  if (!text) return std::nullopt;
  return Imported{*format, *std::move(text), std::move(reading.notes)};
}

}  // namespace callgate::format
