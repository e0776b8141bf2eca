#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"
#include "base/source.h"

namespace callgate::format {

// What JSON and YAML have in common, with the place of every value, so that a message about the
// meaning of a file can point into it. (nlohmann-json forgets places, hence an own JSON reader.)
struct Tree {
  enum class Kind : std::uint8_t { kNull, kBool, kNumber, kString, kList, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  // kString: the text. kBool, kNumber: as it is written. In YAML a plain word such as 40 is a
  // kNumber only if it reads as one.
  std::string text;
  std::vector<Tree> items;     // kList
  std::vector<Entry> entries;  // kMap, in file order; keys are distinct
  base::Span span;

  // nullptr if this is no map or has no such key.
  const Tree* Find(std::string_view key) const;
};

struct Tree::Entry {
  std::string key;
  base::Span key_span;
  Tree value;
};

// Limits of a foreign file. The largest profile in public use is 60 KiB.
inline constexpr std::size_t kMaxForeignBytes = 8U << 20;
inline constexpr int kMaxTreeDepth = 64;
// Values of a tree, aliases of YAML multiplied out: a file of a few lines can otherwise name
// billions ("YAML bomb").
inline constexpr std::size_t kMaxTreeNodes = 1U << 19;

// One JSON text (RFC 8259). nullopt after an error with its place: bad syntax, a key twice, too
// deep, too many values, text after the end.
std::optional<Tree> ReadJson(const base::SourceMap& sources, base::FileId file,
                             base::Diagnostics& diagnostics);

// All documents of a YAML stream; empty ones are left out. nullopt after an error.
std::optional<std::vector<Tree>> ReadYaml(const base::SourceMap& sources, base::FileId file,
                                          base::Diagnostics& diagnostics);

}  // namespace callgate::format
