#pragma once

#include <string>

#include "abi/arch.h"
#include "graph/graph.h"

namespace callgate::graph {

// For people. Names of numbers are shown where the tests above fix the ABI; `order` says which word
// of an argument is its low half. Node numbers are counted from the leaves, so equal graphs built
// in other orders may be numbered differently.
//
//   n4  arch == 0xc000003e (x86_64) ? n3 : n0
//   n3  nr >= 231 (exit_group) ? n2 : n1
//   n0  kill
std::string DumpText(const Graph& graph, std::endian order);
// A Graphviz digraph: solid edges for yes, dashed for no.
std::string DumpDot(const Graph& graph, std::endian order);

// "arg1.low & 0x3 == 0x1", "nr >= 231".
std::string ToString(const Predicate& predicate, std::endian order);

}  // namespace callgate::graph
