#include "codegen/compile.h"

#include <gtest/gtest.h>
#include <linux/audit.h>

#include <random>

#include "bpf/cache.h"
#include "bpf/interpret.h"
#include "graph/dump.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;

constexpr std::uint32_t kWhole = UINT32_MAX;

// Tests that no search tree can merge. Each is a jump and a return; before them a load and a mask,
// behind them a return.
Graph Chain(std::uint32_t tests, bool with_extra) {
  Graph graph;
  auto& pool = graph.pool;
  NodeId chain = pool.Leaf(abi::kKillProcess);
  if (with_extra) chain = pool.Test({6, Op::kAnyBit, 6, 0}, pool.Leaf(abi::kAllow), chain);
  for (std::uint32_t i = 0; i < tests; ++i) {
    const auto action = abi::ActionKind{0x00100000 + i};
    chain = pool.Test({4, Op::kEqual, 0x7fffffff, 8 * i + 4}, pool.Leaf({action, 0}), chain);
  }
  graph.root = chain;
  return graph;
}

TEST(Compile, ProgramOf4096InstructionsIsTheLongest) {
  const base::Result<bpf::Program> with_4095 = Compile(Chain(2046, false));
  ASSERT_TRUE(with_4095.has_value());
  EXPECT_EQ(with_4095->size(), 4095);
  const base::Result<bpf::Program> with_4096 = Compile(Chain(2045, true));
  ASSERT_TRUE(with_4096.has_value());
  EXPECT_EQ(with_4096->size(), 4096);
  const base::Result<bpf::Program> with_4097 = Compile(Chain(2047, false));
  ASSERT_FALSE(with_4097.has_value());
  EXPECT_EQ(with_4097.error().ToString(),
            "cannot compile filter (4097 instructions): the kernel's limit is 4096; split the "
            "policy into layers");
}

TEST(Compile, HundredThousandRulesAreAnErrorThatCountsThem) {
  const base::Result<bpf::Program> result = Compile(Chain(50'000, false));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().reason, "the kernel's limit is 4096");
}

// A random graph over a few words, with sharing, masks and all operators.
Graph RandomGraph(std::mt19937_64& random) {
  Graph graph;
  std::vector<NodeId> nodes = {graph.pool.Leaf(0), graph.pool.Leaf(1 << 16),
                               graph.pool.Leaf(2 << 16), graph.pool.Leaf(3 << 16)};
  const std::size_t count = random() % 10 == 0 ? 1'200 : 2 + random() % 40;
  auto any = [&] {
    const std::size_t recent = std::min<std::size_t>(nodes.size(), random() % 3 == 0 ? 400 : 6);
    return nodes[nodes.size() - 1 - random() % recent];
  };
  for (std::size_t i = 0; i < count; ++i) {
    constexpr std::uint8_t kWords[] = {0, 1, 4, 5, 6};
    graph::Predicate predicate;
    predicate.word = kWords[random() % 5];
    predicate.op = static_cast<Op>(random() % 4);
    predicate.mask = random() % 3 != 0 ? kWhole : static_cast<std::uint32_t>(random() % 64);
    predicate.constant =
        predicate.op == Op::kAnyBit ? 0 : static_cast<std::uint32_t>(random() % 64);
    nodes.push_back(graph.pool.Test(predicate, any(), any()));
  }
  graph.root = nodes.back();
  return graph;
}

TEST(Compile, FilterDecidesAsTheGraphOnRandomGraphs) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 2'000; ++round) {
    const Graph graph = RandomGraph(random);
    const base::Result<bpf::Program> program = Compile(graph);
    ASSERT_TRUE(program.has_value()) << program.error().ToString();
    for (int i = 0; i < 100; ++i) {
      abi::CallWords words{};
      for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random() % 66);
      ASSERT_EQ(bpf::Interpret(*program, words), graph::Evaluate(graph.pool, graph.root, words))
          << "round " << round << '\n'
          << DumpText(graph, std::endian::little);
    }
  }
}

TEST(Compile, NumberAllowedWhateverItsArgumentsStaysCacheable) {
  std::mt19937_64 random(13);
  for (int round = 0; round < 200; ++round) {
    Graph graph;
    auto& pool = graph.pool;
    const NodeId allow = pool.Leaf(abi::kAllow);
    const NodeId kill = pool.Leaf(abi::kKillProcess);
    std::vector<bool> always(300);
    NodeId dispatch = kill;
    for (std::uint32_t nr = 0; nr < always.size(); ++nr) {
      always[nr] = random() % 3 != 0;
      const NodeId by_argument = pool.Test({static_cast<std::uint8_t>(4 + random() % 4), Op::kEqual,
                                            kWhole, static_cast<std::uint32_t>(random() % 3)},
                                           allow, kill);
      dispatch = pool.Test({abi::kNrWord, Op::kEqual, kWhole, nr}, always[nr] ? allow : by_argument,
                           dispatch);
    }
    graph.root = pool.Test({abi::kArchWord, Op::kEqual, kWhole, AUDIT_ARCH_X86_64}, dispatch, kill);
    const base::Result<bpf::Program> program = Compile(graph);
    ASSERT_TRUE(program.has_value());
    for (std::uint32_t nr = 0; nr < always.size(); ++nr) {
      ASSERT_EQ(bpf::IsConstantAllow(*program, nr, AUDIT_ARCH_X86_64), always[nr])
          << "round " << round << " nr " << nr;
    }
  }
}

TEST(Compile, EveryPassCanBeLeftOut) {
  std::mt19937_64 random(14);
  for (int round = 0; round < 500; ++round) {
    const Graph graph = RandomGraph(random);
    std::vector<std::string> without;
    for (const Pass& pass : AllPasses()) {
      if (random() % 2 == 0) without.emplace_back(pass.name);
    }
    Options options;
    options.without = without;
    const base::Result<bpf::Program> program = Compile(graph, options);
    ASSERT_TRUE(program.has_value()) << program.error().ToString();
    for (int i = 0; i < 50; ++i) {
      abi::CallWords words{};
      for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random() % 66);
      ASSERT_EQ(bpf::Interpret(*program, words), graph::Evaluate(graph.pool, graph.root, words))
          << "round " << round;
    }
  }
}

TEST(Compile, PassesAreShownInTheirOrder) {
  const std::vector<std::string> without = {"masks"};
  std::vector<std::string> shown;
  Options options;
  options.without = without;
  options.after_pass = [&](std::string_view pass, const Graph&) { shown.emplace_back(pass); };
  ASSERT_TRUE(Compile(Chain(3, true), options).has_value());
  EXPECT_EQ(shown, (std::vector<std::string>{"", "simplify", "hoist", "share-runs", "search",
                                             "tidy", "sink-arch", "layout"}));
}

TEST(Compile, SameGraphGivesTheSameBytes) {
  std::mt19937_64 random(12);
  std::mt19937_64 again(12);
  for (int round = 0; round < 50; ++round) {
    EXPECT_EQ(*Compile(RandomGraph(random)), *Compile(RandomGraph(again)));
  }
}

}  // namespace
}  // namespace callgate::codegen
