#include "callgate/agent.h"

#include <memory>
#include <optional>
#include <utility>

#include "agent/agent.h"
#include "api/answer.h"
#include "api/impl.h"
#include "api/policy_actions.h"
#include "fmt/format.h"
#include "kernel/kernel.h"

namespace callgate {
namespace {

std::unexpected<base::Error> Refuse(std::string reason, std::string advice) {
  return base::Fail({.operation = "read",
                     .subject = {},
                     .errno_value = 0,
                     .reason = std::move(reason),
                     .advice = std::move(advice)});
}

// In one line: what is wrong first, and how to see the rest.
std::string Summary(const Diagnostics& diagnostics) {
  const Diagnostic& first = diagnostics.all.front();
  if (first.line == 0) return first.message;
  return fmt::format("{}:{}:{}: {}", first.file, first.line, first.column, first.message);
}

base::Result<launch::Supervision> SupervisionBy(const std::string& path) {
  auto policy = Policy::FromFile(path);
  if (!policy) {
    const bool is_read = policy.error().all.front().line != 0;
    return Refuse(Summary(policy.error()),
                  is_read
                      ? fmt::format("'callgate check {}' shows all", path)
                      : "put a policy there, or name another in the profile's listenerMetadata");
  }
  std::optional<std::string> left;
  VisitActions(policy->impl().typed, [&](policy::PolicyAction action, base::Span span) {
    if (IsLeft(action) && !left) left = policy->impl().sources.LineLabel(span);
  });
  if (left) {
    return Refuse(fmt::format("{}: 'ask' and 'notify' leave a call to somebody outside, and an "
                              "agent has nobody",
                              *left),
                  "allow the call there, or use an errno");
  }
  auto engine = std::make_shared<supervise::Engine>(kernel::RealKernel());
  launch::Supervision supervision;
  supervision.explain = [layers = std::vector{*policy}](const abi::Call& call) {
    return Explain(JudgeLayers(layers, call, nullptr), call);
  };
  supervision.answer = AnswerBy({.engine = engine,
                                 .outside = nullptr,
                                 .layers = {*policy},
                                 .filter = Answering::Filter::kAnothers});
  supervision.at_end = [engine] { engine->EndHelpers(); };
  return supervision;
}

}  // namespace

Result<void> RunAgent(const AgentOptions& options) {
  agent::Setup setup{.socket = options.socket,
                     .folder = options.folder,
                     .format = options.format == ReportFormat::kJson ? launch::ReportFormat::kJson
                                                                     : launch::ReportFormat::kText,
                     .supervise = SupervisionBy};
  auto ran = agent::Run(kernel::RealKernel(), setup);
  if (!ran) return std::unexpected(Error{ran.error().ToString(), ran.error().errno_value});
  return {};
}

}  // namespace callgate
