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
    case VerdictSource::kLook:
      return "look";
    case VerdictSource::kFilter:
      return "filter";
  }
  return "";
}

std::string_view SeverityName(LintSeverity severity) {
  switch (severity) {
    case LintSeverity::kInfo:
      return "info";
    case LintSeverity::kWarning:
      return "warning";
    case LintSeverity::kError:
      return "error";
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

std::string_view AnswerName(Answer answer) {
  switch (answer) {
    case Answer::kHolds:
      return "holds";
    case Answer::kFails:
      return "fails";
    case Answer::kUndecided:
      return "undecided";
  }
  return "";
}

std::string_view KindName(Difference::Kind kind) {
  switch (kind) {
    case Difference::Kind::kLooser:
      return "looser";
    case Difference::Kind::kTighter:
      return "tighter";
    case Difference::Kind::kOther:
      return "other";
  }
  return "";
}

Json WitnessJson(const Call& call, std::string_view text) {
  return {
      {"text", text}, {"nr", call.nr}, {"arch", call.arch}, {"ip", call.ip}, {"args", call.args}};
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
                   {"undecided", evaluation.undecided},
                   {"path", evaluation.path}});
  }
  return Dump(all);
}

std::string LogRecordsJson(const std::vector<LogRecord>& records) {
  Json all = Json::array();
  for (const LogRecord& record : records) {
    all.push_back({{"call", record.call},
                   {"action", record.action},
                   {"pid", record.pid},
                   {"comm", record.comm},
                   {"exe", record.exe},
                   {"signal", record.signal},
                   {"nr", record.registers.nr},
                   {"arch", record.registers.arch},
                   {"ip", record.registers.ip}});
  }
  return Dump(all);
}

std::string LastRunJson(const LastRun& run) {
  Json denials = Json::array();
  for (const Denial& denial : run.denials) {
    denials.push_back({{"call", denial.call},
                       {"outcome", denial.outcome},
                       {"pid", denial.pid},
                       {"tid", denial.tid},
                       {"process", denial.process},
                       {"thread", denial.thread},
                       {"place", denial.place},
                       {"rule", denial.rule},
                       {"reason", denial.reason},
                       {"add", denial.add},
                       {"group", denial.group},
                       {"repeats", denial.repeats},
                       {"registers", WitnessJson(denial.registers, denial.call)}});
  }
  return Dump({{"command", run.command},
               {"pid", run.pid},
               {"status", run.status ? Json(*run.status) : Json()},
               {"denials", denials}});
}

std::string ComparisonJson(const Subject& a, const Subject& b, const Comparison& comparison) {
  Json differences = Json::array();
  for (const Difference& one : comparison.differences) {
    differences.push_back({{"kind", KindName(one.kind)},
                           {"arch", one.arch},
                           {"call", one.call},
                           {"every_argument", one.every_argument},
                           {"a_action", one.a_action},
                           {"b_action", one.b_action},
                           {"witness", WitnessJson(one.witness, one.witness_text)},
                           {"live", one.live}});
  }
  return Dump({{"a", a.name()},
               {"b", b.name()},
               {"equal", AnswerName(comparison.equal)},
               {"a_within_b", AnswerName(comparison.a_within_b)},
               {"b_within_a", AnswerName(comparison.b_within_a)},
               {"undecided", comparison.undecided},
               {"z3", comparison.z3},
               {"arches", comparison.arches},
               {"differences", differences}});
}

std::string ProofsJson(const std::vector<Proof>& proofs) {
  Json all = Json::array();
  for (const Proof& proof : proofs) {
    const bool fails = proof.answer == Answer::kFails;
    all.push_back({{"statement", proof.statement},
                   {"answer", AnswerName(proof.answer)},
                   {"witness", fails ? WitnessJson(proof.witness, proof.witness_text) : Json()},
                   {"action", proof.action},
                   {"live", proof.live},
                   {"undecided", proof.undecided},
                   {"z3", proof.z3}});
  }
  return Dump(all);
}

std::string PlanJson(const std::vector<PlannedRule>& rules) {
  Json all = Json::array();
  for (const PlannedRule& rule : rules) {
    Json clauses = Json::array();
    for (const PlannedRule::Clause& clause : rule.clauses) {
      clauses.push_back({{"place", clause.place},
                         {"text", clause.text},
                         {"action", clause.action},
                         {"soundness", clause.soundness},
                         {"layer", clause.layer}});
    }
    all.push_back({{"arch", rule.arch},
                   {"call", rule.call},
                   {"place", rule.place},
                   {"clauses", clauses},
                   {"performed", rule.performed},
                   {"cost", rule.cost},
                   {"guarantee", rule.guarantee}});
  }
  return Dump(all);
}

std::string ReportJson(const CompileReport& report) {
  Json abis = Json::array();
  for (const CompileReport::Abi& abi : report.abis) {
    Json uncached = Json::array();
    for (const CompileReport::Uncached& call : abi.uncached) {
      uncached.push_back({{"call", call.call}, {"reason", call.reason}, {"places", call.places}});
    }
    abis.push_back({{"name", abi.name},
                    {"numbers", abi.numbers},
                    {"mean_path", abi.mean_path},
                    {"worst_path", abi.worst_path},
                    {"worst_uncached_path", abi.worst_uncached_path},
                    {"allowed", abi.allowed},
                    {"cached", abi.cached},
                    {"uncached", uncached}});
  }
  Json passes = Json::array();
  for (const CompileReport::Pass& pass : report.passes) {
    passes.push_back({{"name", pass.name}, {"nodes", pass.nodes}});
  }
  return Dump({{"instructions", report.instructions},
               {"instruction_limit", report.instruction_limit},
               {"converted", report.converted},
               {"converted_limit", report.converted_limit},
               {"longest_path", report.longest_path},
               {"estimated_install_us", report.estimated_install_us},
               {"measured_install_us",
                report.measured_install_us ? Json(*report.measured_install_us) : Json()},
               {"abis", abis},
               {"passes", passes}});
}

std::string FindingsJson(const std::vector<LintFinding>& findings) {
  Json all = Json::array();
  for (const LintFinding& finding : findings) {
    all.push_back({{"id", finding.id},
                   {"severity", SeverityName(finding.severity)},
                   {"message", finding.message},
                   {"file", finding.file},
                   {"line", finding.line},
                   {"column", finding.column},
                   {"instruction", finding.instruction ? Json(*finding.instruction) : Json()},
                   {"witness", finding.witness},
                   {"notes", finding.notes},
                   {"can_fix", finding.can_fix},
                   {"suppressed", finding.is_suppressed}});
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
