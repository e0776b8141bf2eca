#include "cli/json_output.h"

#include "nlohmann/json.hpp"

namespace callgate::cli {
namespace {

using Json = nlohmann::ordered_json;

// File names and messages may hold bytes that are not UTF-8; they are replaced, never a reason to
// fail.
std::string Dump(const Json& document) {
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string_view SourceName(VerdictSource source) {
  switch (source) {
    case VerdictSource::kClause:
      return "clause";
    case VerdictSource::kNoMatch:
      return "no-match";
    case VerdictSource::kNoRule:
      return "no-rule";
    case VerdictSource::kUnknown:
      return "unknown";
    case VerdictSource::kBadArch:
      return "bad-arch";
  }
  return "";
}

Json ToJson(const Verdict& verdict) {
  return {{"action", verdict.action},
          {"ret_value", verdict.ret_value},
          {"source", SourceName(verdict.source)},
          {"place", verdict.place},
          {"rule", verdict.rule},
          {"suggestion", verdict.suggestion},
          {"suggestion_note", verdict.suggestion_note}};
}

std::string_view StateName(Feature::State state) {
  switch (state) {
    case Feature::State::kWorks:
      return "works";
    case Feature::State::kMissing:
      return "missing";
    case Feature::State::kLimited:
      return "limited";
  }
  return "";
}

}  // namespace

std::string DiagnosticsJson(const std::vector<Diagnostic>& diagnostics) {
  Json all = Json::array();
  for (const Diagnostic& diagnostic : diagnostics) {
    bool is_error = diagnostic.severity == Diagnostic::Severity::kError;
    all.push_back({{"severity", is_error ? "error" : "warning"},
                   {"file", diagnostic.file},
                   {"line", diagnostic.line},
                   {"column", diagnostic.column},
                   {"message", diagnostic.message},
                   {"notes", diagnostic.notes}});
  }
  return Dump(all);
}

std::string EvaluationsJson(const std::vector<Evaluation>& evaluations) {
  Json all = Json::array();
  for (const Evaluation& evaluation : evaluations) {
    Json cases = Json::array();
    for (const Evaluation::Case& one : evaluation.cases) {
      cases.push_back({{"call", one.call}, {"verdict", ToJson(one.verdict)}});
    }
    all.push_back({{"call", evaluation.call},
                   {"verdict", evaluation.verdict ? ToJson(*evaluation.verdict) : Json()},
                   {"cases", cases},
                   {"path", evaluation.path}});
  }
  return Dump(all);
}

std::string FeaturesJson(const std::vector<Feature>& features) {
  Json all = Json::array();
  for (const Feature& feature : features) {
    all.push_back({{"name", feature.name},
                   {"state", StateName(feature.state)},
                   {"required", feature.required},
                   {"detail", feature.detail},
                   {"meaning", feature.meaning},
                   {"advice", feature.advice}});
  }
  return Dump(all);
}

std::string SyscallsJson(const std::vector<SyscallEntry>& entries) {
  Json all = Json::array();
  for (const SyscallEntry& entry : entries) {
    Json arguments = Json::array();
    for (const SyscallEntry::Argument& argument : entry.arguments) {
      arguments.push_back({{"name", argument.name},
                           {"type", argument.type},
                           {"values", argument.values},
                           {"bits", argument.bits},
                           {"signed", argument.is_signed}});
    }
    all.push_back({{"arch", entry.arch},
                   {"name", entry.name},
                   {"nr", entry.nr},
                   {"since", entry.since},
                   {"status", entry.status},
                   {"arguments", arguments},
                   {"groups", entry.groups}});
  }
  return Dump(all);
}

std::string GroupsJson(const std::vector<GroupEntry>& groups) {
  Json all = Json::array();
  for (const GroupEntry& group : groups) {
    all.push_back(
        {{"name", group.name}, {"description", group.description}, {"members", group.members}});
  }
  return Dump(all);
}

}  // namespace callgate::cli
