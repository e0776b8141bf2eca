#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "api/impl.h"
#include "api/outside.h"
#include "launch/launch.h"
#include "policy/evaluate.h"
#include "supervise/engine.h"

namespace callgate {

// What policies say about calls that wait, for whoever answers them (launch/answer.h).

struct LayerVerdict {
  const Policy::Impl* layer = nullptr;
  policy::Verdict verdict;
};

// By the layer that wins: the strictest action, the newest layer's on a tie.
LayerVerdict JudgeLayers(const std::vector<Policy>& layers, const abi::Call& call,
                         const policy::LookFunction& look);
launch::Explanation Explain(const LayerVerdict& winner, const abi::Call& call);

struct Answering {
  std::shared_ptr<supervise::Engine> engine;
  std::shared_ptr<Outside> outside;  // nullptr: no policy leaves anything to somebody outside
  std::vector<Policy> layers;
  // Whose is the filter that asks? One of ours asks only about what it does not decide itself.
  enum class Filter : std::uint8_t { kOurs, kAnothers };
  Filter filter = Filter::kOurs;
  bool audits = false;
};

// Decides and performs what registers do not decide. Where the filter is another's it may ask about
// calls that registers allow: the caller goes on with those, as after a filter's "allow".
launch::AnswerFunction AnswerBy(Answering answering);

// Judges once more what a caller was let make, by asking the engine in one of its ways.
using AskEngine = std::function<supervise::Outcome(const supervise::DecideFunction&)>;
std::optional<launch::RefusedLater> JudgeLater(const std::vector<Policy>& layers, bool audits,
                                               const AskEngine& ask);

}  // namespace callgate
