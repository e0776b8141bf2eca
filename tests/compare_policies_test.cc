// Compare's answers about pairs of policies' filters, against calls that are tried and against a
// second prover that knows nothing of graphs: the two programs as formulas (analyse/formula.h,
// which shares nothing with lift and compare), and z3 is asked for a call that refutes the answer.
//
// A pair is a policy and itself compiled by other passes, itself with a small change, or any other.
//
//   CALLGATE_RANDOM_COUNT  how many pairs (default 100); z3 is asked about one in ten, 100 at most
//   CALLGATE_RANDOM_CALLS  how many calls are tried on a pair (default 200)

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analyse/compare.h"
#include "analyse/formula.h"
#include "base/check.h"
#include "bpf/interpret.h"
#include "codegen/compile.h"
#include "policy/lower.h"
#include "testing/random_program.h"
#include "testing/random_typed_policy.h"

namespace callgate {
namespace {

using analyse::Answer;
using policy::TypedPolicy;

constexpr int kPairsOfOneQuestion = 10;
constexpr std::size_t kMaxAnswers = 300;  // half a minute of z3's time for 50

// ---- Pairs ------------------------------------------------------------------------------------

TypedPolicy Changed(TypedPolicy policy, testing::Random& random, const TypedPolicy& other) {
  policy::ArchPolicy& arch = policy.arches[random() % policy.arches.size()];
  switch (random() % 4) {
    case 0:
      policy.default_action = other.default_action;
      break;
    case 1:
      policy.bad_arch_action = other.bad_arch_action;
      break;
    default: {
      if (arch.rules.empty()) break;
      const auto rule =
          arch.rules.begin() + static_cast<std::ptrdiff_t>(random() % arch.rules.size());
      policy::Clause& clause = rule->lists.front().clauses.front();
      if (random() % 2 == 0) {
        arch.rules.erase(rule);
      } else {
        clause.action = other.default_action;
      }
    }
  }
  return policy;
}

struct Pair {
  TypedPolicy a_policy;
  TypedPolicy b_policy;
  bpf::Program a;
  bpf::Program b;
};

std::optional<Pair> RandomPair(testing::Random& random, const testing::RandomPolicyShape& shape) {
  Pair pair;
  pair.a_policy = testing::RandomTypedPolicy(random, shape);
  const TypedPolicy other = testing::RandomTypedPolicy(random, shape);
  std::vector<std::string> without;
  switch (random() % 4) {
    case 0:
      pair.b_policy = other;
      break;
    case 1:
      pair.b_policy = pair.a_policy;
      for (const codegen::Pass& pass : codegen::AllPasses()) {
        if (random() % 2 == 0) without.emplace_back(pass.name);
      }
      break;
    default:
      pair.b_policy = Changed(pair.a_policy, random, other);
  }
  codegen::Options b_options;
  b_options.without = without;
  auto a = codegen::Compile(policy::Lower(pair.a_policy), {});
  auto b = codegen::Compile(policy::Lower(pair.b_policy), b_options);
  if (!a || !b) return std::nullopt;  // too long
  pair.a = *std::move(a);
  pair.b = *std::move(b);
  return pair;
}

// ---- A second prover ----------------------------------------------------------------------------

// What refutes each of the three answers.
std::string Questions(const Pair& pair) {
  std::string text = "(reset)\n" + analyse::Preamble();
  text += analyse::Definition(std::array{bpf::ProgramView(pair.a)}, "a");
  text += analyse::Definition(std::array{bpf::ProgramView(pair.b)}, "b");
  for (const char* refutation :
       {"(distinct a b)", "(bvsgt (rank a) (rank b))", "(bvsgt (rank b) (rank a))"}) {
    text += fmt::format("(push)(assert {})(check-sat)(pop)\n", refutation);
  }
  return text;
}

std::vector<std::string> LinesOf(const std::string& command) {
  std::vector<std::string> lines;
  std::FILE* output = popen(command.c_str(), "r");  // NOLINT(cert-env33-c): z3 is a program
  CG_CHECK(output != nullptr);
  std::array<char, 256> line{};
  while (std::fgets(line.data(), static_cast<int>(line.size()), output) != nullptr) {
    std::string text = line.data();
    if (text.ends_with('\n')) text.pop_back();
    lines.push_back(std::move(text));
  }
  CG_CHECK(pclose(output) == 0);
  return lines;
}

// ---- The test -----------------------------------------------------------------------------------

std::uint64_t CallCount() {
  const char* value = std::getenv("CALLGATE_RANDOM_CALLS");
  return value == nullptr ? 200 : std::strtoull(value, nullptr, 10);
}

bool IsStricter(std::uint32_t a, std::uint32_t b) {
  return abi::ActionFromValue(a)->Outranks(*abi::ActionFromValue(b));
}

// "" if no call that is tried contradicts the answers.
std::string Contradiction(const Pair& pair, const analyse::Comparison& comparison,
                          testing::Random& random, std::uint64_t calls) {
  if (!comparison.undecided.empty()) return "undecided: " + comparison.undecided;
  for (const analyse::Difference& one : comparison.differences) {
    const std::uint32_t a = bpf::Interpret(pair.a, one.witness);
    const std::uint32_t b = bpf::Interpret(pair.b, one.witness);
    if (a != one.a_value || b != one.b_value || a == b) return "a witness is not real";
  }
  const bool has_all = comparison.differences.size() < analyse::ProductLimits().max_meetings;
  for (std::uint64_t i = 0; i < calls; ++i) {
    const abi::Call call = testing::RandomCall(random, i % 2 == 0 ? pair.a_policy : pair.b_policy);
    const abi::CallWords words = abi::WordsOf(call, std::endian::little);
    const std::uint32_t a = bpf::Interpret(pair.a, words);
    const std::uint32_t b = bpf::Interpret(pair.b, words);
    if (a == b) continue;
    const std::string what = testing::Describe(call);
    if (comparison.equal == Answer::kHolds) return "not equal: " + what;
    if (comparison.a_within_b == Answer::kHolds && IsStricter(b, a)) return "A is looser: " + what;
    if (comparison.b_within_a == Answer::kHolds && IsStricter(a, b)) return "B is looser: " + what;
    const bool is_told = std::ranges::any_of(comparison.differences, [&](const auto& one) {
      return one.a_value == a && one.b_value == b && comparison.product.Contains(one.region, words);
    });
    if (has_all && !is_told) return "in no region of differences: " + what;
  }
  return "";
}

TEST(ComparePolicies, AnswersAgreeWithCallsAndWithZ3) {
  const std::uint64_t count = testing::RandomCount(100);
  const std::uint64_t first_seed = testing::RandomSeed();
  const std::uint64_t calls = CallCount();
  testing::RandomPolicyShape shape = testing::AnyPolicy();
  shape.max_rules = 30;
  std::uint64_t equal = 0;
  std::uint64_t within = 0;
  std::uint64_t compared = 0;
  std::string questions;
  std::vector<std::pair<std::uint64_t, Answer>> answers;  // seed, what z3 must not refute
  for (std::uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
    testing::Random random(seed);
    const std::optional<Pair> pair = RandomPair(random, shape);
    if (!pair) continue;
    ++compared;
    const analyse::Comparison comparison = analyse::ComparePrograms(pair->a, pair->b);
    ASSERT_EQ(Contradiction(*pair, comparison, random, calls), "") << "seed " << seed;
    if (comparison.equal == Answer::kHolds) ++equal;
    if (comparison.a_within_b == Answer::kHolds) ++within;
    if (seed % kPairsOfOneQuestion != 0 || answers.size() >= kMaxAnswers) continue;
    questions += Questions(*pair);
    for (const Answer answer : {comparison.equal, comparison.a_within_b, comparison.b_within_a}) {
      answers.emplace_back(seed, answer);
    }
  }
  const std::string path =
      CALLGATE_BINARY_DIR "/compare_policies." + std::to_string(first_seed) + ".smt2";
  std::ofstream(path) << questions;
  const std::vector<std::string> refuted = LinesOf("z3 " + path);
  ASSERT_EQ(refuted.size(), answers.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto& [seed, answer] = answers[i];
    EXPECT_EQ(refuted[i], answer == Answer::kHolds ? "unsat" : "sat")
        << "seed " << seed << ", answer " << i % 3;
  }
  std::printf("seed %lu: %lu pairs, %lu equal, %lu subsets; %zu answers given by z3 too\n",
              first_seed, compared, equal, within, answers.size());
  EXPECT_GT(equal * 10, compared);
  EXPECT_LT(equal * 2, compared);
}

}  // namespace
}  // namespace callgate
