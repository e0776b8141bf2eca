#pragma once

#include <optional>
#include <vector>

#include "base/diagnostic.h"
#include "base/source.h"
#include "bpf/program.h"

namespace callgate::bpf {

struct Assembly {
  Program program;
  std::vector<base::Span> lines;  // lines[pc]: the text of instruction pc
};

// Reads filter assembly: what Disassemble writes, and the syntax of the kernel's bpf_asm, one
// instruction a line (assemble.cc describes it). nullopt: there were errors, all of them reported.
//
// The program is what the text says, verified or not: Assemble(Disassemble(p)) == p for every
// program p.
std::optional<Assembly> Assemble(const base::SourceMap& sources, base::FileId file,
                                 base::Diagnostics& diagnostics);

}  // namespace callgate::bpf
