#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "base/source.h"
#include "format/foreign.h"
#include "format/import.h"
#include "format/tree.h"
#include "policy/file_reader.h"

namespace callgate::format {

inline constexpr std::size_t kMaxNotes = 100;

// What every reader of a foreign format gets and leaves.
struct Reading {
  const ImportOptions& options;
  const policy::FileReader& reader;
  base::SourceMap& sources;
  base::FileId file;
  base::Diagnostics& diagnostics;
  std::vector<std::string> notes = {};
  std::size_t more_notes = 0;  // those past the limit

  void Note(std::string note);  // each once, at most kMaxNotes
  std::nullopt_t Fail(base::Span span, std::string message, std::string hint = {});
  abi::ArchId Native() const { return options.arch.value_or(abi::NativeArch()); }
};

// One reader a format. nullopt: the errors are in reading.diagnostics.
std::optional<Foreign> ReadOci(Reading& reading);  // Docker's form too
std::optional<Foreign> ReadSpo(Reading& reading);
std::optional<Foreign> ReadFirecracker(Reading& reading);
std::optional<Foreign> ReadMinijail(Reading& reading);
std::optional<Foreign> ReadKafel(Reading& reading);
std::optional<Foreign> ReadSystemd(Reading& reading);

// The seccomp object itself, wherever it came from.
std::optional<Foreign> ReadOciTree(Reading& reading, const Tree& profile);

// Fields of a tree, with an error for the wrong kind. A missing or null field is not an error.
struct Field {
  Reading& reading;
  const Tree& map;
  bool ok = true;

  const Tree* Get(std::string_view key, Tree::Kind kind);
  std::string Text(std::string_view key);
  std::vector<std::pair<std::string, base::Span>> Texts(std::string_view key);
  std::optional<std::uint64_t> Number(std::string_view key);
};

// 64-bit unsigned, decimal; negative numbers are an error unless `is_signed`, then two's
// complement.
std::optional<std::uint64_t> TreeNumber(Reading& reading, const Tree& tree);

// Adds the file that `including` names: in the folder of --include by the last part of its name if
// that was given, else beside the file that names it. nullopt: an error at `span`.
std::optional<base::FileId> ReadIncluded(Reading& reading, base::FileId including, std::string path,
                                         base::Span span);

// "did you mean 'x'?", or empty.
std::string NearestCall(std::string_view name);

}  // namespace callgate::format
