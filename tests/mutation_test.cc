// Who checks the checkers? Each of the faults in faults.txt is switched on in a copy of optimiser
// and emitter, one after the other. The proof of a compile must refuse some program because of it,
// and random calls must meet a wrong verdict; and no program with a wrong verdict may be proved.
//
//   CALLGATE_RANDOM_COUNT  how many graphs and policies each fault is given (default 300)

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <random>
#include <vector>

#include "analyse/compare.h"
#include "bpf/interpret.h"
#include "codegen/compile.h"
#include "graph/graph.h"
#include "policy/lower.h"
#include "testing/random_program.h"
#include "testing/random_typed_policy.h"

namespace callgate {

// Read by the mutated sources; 0: no fault.
int active_fault = 0;

namespace {

constexpr const char* kFaultNames[] = {
#include "fault_names.inc"
};
constexpr int kFaultCount = std::size(kFaultNames);
static_assert(kFaultCount >= 10);

using graph::NodeId;

constexpr std::uint32_t kLongRow = 300;

// Over few words and numbers, so that tests decide each other; a third of them masked.
graph::Graph RandomGraph(std::mt19937_64& random) {
  graph::Graph graph;
  std::vector<NodeId> nodes = {graph.pool.Leaf(0), graph.pool.Leaf(1 << 16),
                               graph.pool.Leaf(2 << 16)};
  for (std::size_t i = 0; i < 30; ++i) {
    constexpr std::uint8_t kWords[] = {0, 4, 5};
    auto any = [&] {
      return nodes[nodes.size() - 1 - random() % std::min<std::size_t>(nodes.size(), 8)];
    };
    graph::Predicate predicate;
    predicate.word = kWords[random() % 3];
    predicate.op = static_cast<graph::Op>(random() % 4);
    predicate.mask = random() % 3 != 0 ? UINT32_MAX : static_cast<std::uint32_t>(random() % 16);
    if (predicate.op != graph::Op::kAnyBit) {
      predicate.constant = static_cast<std::uint32_t>(random() % 16);
    }
    nodes.push_back(graph.pool.Test(predicate, any(), any()));
  }
  graph.root = nodes.back();
  return graph;
}

// Longer than a jump reaches: a row of numbers, entered at many places.
graph::Graph LongGraph(std::mt19937_64& random) {
  graph::Graph graph;
  auto leaf = [&] { return graph.pool.Leaf(static_cast<std::uint32_t>(random() % 4) << 16); };
  std::vector<NodeId> row = {leaf()};
  for (std::uint32_t i = 0; i < kLongRow; ++i) {
    row.push_back(graph.pool.Test({4, graph::Op::kEqual, 0x7fffffff, i}, leaf(), row.back()));
  }
  graph.root = row.back();
  for (std::uint32_t i = 0; i < 18; ++i) {
    graph.root = graph.pool.Test({5, graph::Op::kEqual, UINT32_MAX, i}, row[random() % row.size()],
                                 graph.root);
  }
  return graph;
}

abi::CallWords RandomWords(std::mt19937_64& random) {
  abi::CallWords words{};
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random() % 18);
  return words;
}

struct Caught {
  std::uint64_t by_proof = 0;
  std::uint64_t by_calls = 0;
};

// Compiles with the fault and judges the program both ways.
void Judge(int fault, graph::Graph graph, const std::function<abi::CallWords()>& next_call,
           Caught& caught) {
  active_fault = fault;
  const base::Result<bpf::Program> program = codegen::Compile(graph);
  active_fault = 0;
  if (!program) return;  // too long for a filter
  bool is_wrong = false;
  for (int i = 0; i < 200 && !is_wrong; ++i) {
    const abi::CallWords words = next_call();
    is_wrong = bpf::Interpret(*program, words) != graph::Evaluate(graph.pool, graph.root, words);
  }
  const analyse::Comparison proof = analyse::CompareWithSource(graph, *program);
  ASSERT_NE(proof.equal, analyse::Answer::kUndecided) << proof.undecided;
  const bool is_refused = proof.equal == analyse::Answer::kFails;
  ASSERT_TRUE(is_refused || !is_wrong) << "a wrong program was proved right";
  if (is_refused) {
    const abi::CallWords& witness = proof.differences.front().witness;
    ASSERT_NE(bpf::Interpret(*program, witness), graph::Evaluate(graph.pool, graph.root, witness));
  }
  caught.by_proof += is_refused ? 1 : 0;
  caught.by_calls += is_wrong ? 1 : 0;
}

Caught Try(int fault) {
  // Not fewer under sanitizers: the rarest fault shows in one policy of a hundred.
  constexpr std::uint64_t kPolicies = 300;
  std::mt19937_64 random(fault);
  testing::RandomPolicyShape shape = testing::AnyPolicy();
  Caught caught;
  for (std::uint64_t i = 0; i < kPolicies; ++i) {
    Judge(fault, RandomGraph(random), [&] { return RandomWords(random); }, caught);
    if (i % 10 != 0) continue;
    auto call_of_row = [&] {
      abi::CallWords words = RandomWords(random);
      words[4] = static_cast<std::uint32_t>(random() % kLongRow);
      return words;
    };
    Judge(fault, LongGraph(random), call_of_row, caught);
    // Policies make programs that are long enough for far jumps.
    const policy::TypedPolicy policy = testing::RandomTypedPolicy(random, shape);
    auto next_call = [&] {
      const abi::Call call = testing::RandomCall(random, policy);
      const auto arch = abi::ArchOfCall(call.arch, call.nr);
      return abi::WordsOf(call, arch ? abi::ArchOf(*arch).endian : std::endian::little);
    };
    Judge(fault, policy::Lower(policy), next_call, caught);
  }
  return caught;
}

TEST(Mutation, WithoutAFaultNothingIsCaught) {
  const Caught caught = Try(0);
  EXPECT_EQ(caught.by_proof, 0);
  EXPECT_EQ(caught.by_calls, 0);
}

TEST(Mutation, EveryFaultIsCaughtByTheProofAndByRandomCalls) {
  for (int fault = 1; fault <= kFaultCount; ++fault) {
    const char* name = kFaultNames[fault - 1];
    const Caught caught = Try(fault);
    std::printf("%2d  proof %3lu  calls %3lu  %s\n", fault, caught.by_proof, caught.by_calls, name);
    EXPECT_GT(caught.by_proof, 0) << name;
    EXPECT_GT(caught.by_calls, 0) << name;
    EXPECT_GE(caught.by_proof, caught.by_calls) << name;
  }
}

}  // namespace
}  // namespace callgate
