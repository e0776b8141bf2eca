#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/source.h"
#include "format/reading.h"

namespace callgate::format {

struct KafelToken {
  enum class Kind : std::uint8_t { kName, kNumber, kString, kDirective, kSign, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;          // kDirective: "#define", "#include"; kString: without quotes
  std::uint64_t number = 0;  // kNumber
  base::Span span;
};

// Comments are // and /* */. Ends with a kEnd token. nullopt after an error.
std::optional<std::vector<KafelToken>> LexKafel(Reading& reading, base::FileId file);

}  // namespace callgate::format
