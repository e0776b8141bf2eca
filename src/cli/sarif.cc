// Static Analysis Results Interchange Format, OASIS standard 2.1.0. Rules are listed once and
// results refer to them by index. A place in a policy is a region; a filter has no lines, so an
// instruction is a logical location within the file.

#include "cli/sarif.h"

#include <algorithm>
#include <string_view>

#include "callgate/system.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace callgate::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string_view LevelOf(LintSeverity severity) {
  switch (severity) {
    case LintSeverity::kInfo:
      return "note";
    case LintSeverity::kWarning:
      return "warning";
    case LintSeverity::kError:
      return "error";
  }
  return "none";
}

// A relative reference as RFC 3986 has it.
std::string UriOf(std::string_view path) {
  std::string uri;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') ||
                          std::string_view("-._~/@+").find(c) != std::string_view::npos;
    uri += is_plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return uri;
}

Json RuleJson(const LintRule& rule) {
  return {{"id", rule.id},
          {"shortDescription", {{"text", rule.title}}},
          {"fullDescription", {{"text", rule.reason}}},
          {"help", {{"text", rule.advice}}},
          {"defaultConfiguration", {{"level", LevelOf(rule.severity)}}},
          {"properties", {{"canFix", rule.can_fix}}}};
}

Json ResultJson(const LintFinding& finding, std::size_t rule_index) {
  Json physical = {{"artifactLocation", {{"uri", UriOf(finding.file)}}}};
  if (finding.line > 0) {
    physical["region"] = {{"startLine", finding.line},
                          {"startColumn", finding.column},
                          {"endLine", finding.end_line},
                          {"endColumn", finding.end_column}};
  }
  Json location = {{"physicalLocation", physical}};
  if (finding.instruction) {
    location["logicalLocations"] = Json::array(
        {{{"fullyQualifiedName", fmt::format("instruction {}", *finding.instruction)}}});
  }
  std::string text = finding.message;
  if (!finding.witness.empty()) text += "\nWitness: " + finding.witness;
  for (const std::string& note : finding.notes) text += "\nBeside: " + note;
  Json result = {{"ruleId", finding.id},
                 {"ruleIndex", rule_index},
                 {"level", LevelOf(finding.severity)},
                 {"message", {{"text", text}}},
                 {"locations", Json::array({location})}};
  if (finding.is_suppressed) result["suppressions"] = Json::array({{{"kind", "inSource"}}});
  return result;
}

}  // namespace

std::string FindingsSarif(const std::vector<LintFinding>& findings) {
  const std::vector<LintRule> rules = LintRules();
  Json rules_json = Json::array(), results = Json::array();
  for (const LintRule& rule : rules) rules_json.push_back(RuleJson(rule));
  for (const LintFinding& finding : findings) {
    const auto rule = std::ranges::find(rules, finding.id, &LintRule::id);
    results.push_back(ResultJson(finding, static_cast<std::size_t>(rule - rules.begin())));
  }
  const Json driver = {{"name", "callgate"}, {"version", Version()}, {"rules", rules_json}};
  const Json run = {
      {"tool", {{"driver", driver}}}, {"columnKind", "unicodeCodePoints"}, {"results", results}};
  const Json log = {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                    {"version", "2.1.0"},
                    {"runs", Json::array({run})}};
  return log.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace callgate::cli
