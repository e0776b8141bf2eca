#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bpf/program.h"
#include "graph/graph.h"

namespace callgate::analyse {

// Why a part of a program has no graph.
struct Undecided {
  std::size_t pc = 0;
  std::string reason;  // complete: "instruction 7, 'jeq x, l8, l9': compares …"
};

// The decision graph of a program, in the caller's pool.
struct Lifted {
  graph::NodeId root = 0;
  // Where a call comes to a place that no graph can express, the graph has a leaf whose value
  // stands for the i-th reason: first_undecided + i. No such value is returned by the program.
  std::uint32_t first_undecided = 0;
  std::vector<Undecided> undecided;

  bool IsUndecided(std::uint32_t value) const { return value - first_undecided < undecided.size(); }
  const Undecided& ReasonOf(std::uint32_t value) const {
    return undecided[value - first_undecided];
  }
};

// Total for programs that pass bpf::Verify: the graph gives for every call what bpf::Interpret
// gives, or an undecided leaf. Takes a fraction of a second whatever the program is, and
// microseconds an instruction if it computes nothing but masks.
Lifted Lift(bpf::ProgramView program, graph::Pool& pool);

}  // namespace callgate::analyse
