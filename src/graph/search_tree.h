#pragma once

#include <cstdint>
#include <span>

#include "graph/graph.h"
#include "graph/steps.h"

namespace callgate::graph {

// What a good tree is. The price of a tree is
//     tests * test_price * (sum of weights) / 64  +  sum of weight * path length over the steps.
struct TreePrice {
  // How often each step is looked for, one number a step; empty: all alike.
  std::span<const std::uint64_t> weights = {};
  // What one test in the program is worth, in 64ths of a test on the mean path.
  std::uint32_t test_price = 128;
};

// The value of the word decides as `steps` say, by a balanced tree of >=: quick to build, and what
// later passes read the steps back from.
NodeId RangeTree(Pool& pool, std::uint8_t word, std::span<const Step> steps);

// The value of (word & mask) decides as `steps` say, by a cheap tree of >= and ==. See
// search_tree.cc. Cost: O(n) for long lists.
NodeId SearchTree(Pool& pool, std::uint8_t word, std::uint32_t mask, std::span<const Step> steps,
                  const TreePrice& price = {});

}  // namespace callgate::graph
