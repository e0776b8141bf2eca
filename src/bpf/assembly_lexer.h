#pragma once

#include <cstdint>
#include <vector>

#include "base/diagnostic.h"
#include "base/source.h"

namespace callgate::bpf {

struct AssemblyToken {
  enum class Kind : std::uint8_t {
    kWord,     // jeq, l3, x, M, .insn
    kNumber,   // 10, 0x1f, 017, 0b101
    kMark,     // one of : , # % [ ] ( ) + - * &
    kNewline,  // end of a line that holds tokens; never two in a row
    kEnd,      // of the file; always last
  };

  Kind kind = Kind::kEnd;
  char mark = 0;            // kMark
  std::uint32_t value = 0;  // kNumber
  base::Span span;
};

// Splits filter assembly into tokens. Comments run from ';' to the end of the line, from a '#' that
// is a line's first byte likewise, and from /* to */. Bad characters and numbers are reported and
// left out; a file that is not text gives one error and no tokens.
std::vector<AssemblyToken> LexAssembly(const base::SourceMap& sources, base::FileId file,
                                       base::Diagnostics& diagnostics);

}  // namespace callgate::bpf
