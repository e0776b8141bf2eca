#include "report/html.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <string_view>

#include "fmt/format.h"
#include "report/page_parts.h"

namespace callgate::report {
namespace {

// Everything that comes from a file goes through here.
std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

struct KindStyle {
  std::string_view css;
  std::string_view sign;
  std::string_view name;
};
constexpr std::array<KindStyle, 5> kKinds{{
    {"allow", "✓", "allowed"},
    {"args", "±", "by argument"},
    {"errno", "−", "denied with an error"},
    {"kill", "✕", "killed"},
    {"other", "?", "logged, traced or asked"},
}};
const KindStyle& StyleOf(VerdictKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

std::string_view ChangeName(Change::Kind kind) {
  switch (kind) {
    case Change::Kind::kLooser:
      return "looser";
    case Change::Kind::kTighter:
      return "tighter";
    case Change::Kind::kOther:
      return "other";
  }
  return {};
}

std::string ChangeHtml(const Change& change) {
  return fmt::format(
      "<span class=\"change {0}\"><b>{0}</b> <code>{1}</code> "
      "<span class=soft>A</span> <code>{2}</code> <span class=soft>B</span> "
      "<code>{3}</code></span>",
      ChangeName(change.kind), Escape(change.witness), Escape(change.a), Escape(change.b));
}

std::string CallHtml(const CallEntry& call, std::string_view arch) {
  const KindStyle& style = StyleOf(call.kind);
  std::string has;
  if (!call.ids.empty()) has += " finding";
  if (call.is_uncached) has += " uncached";
  for (const Change& change : call.changes)
    has += fmt::format(" changed {}", ChangeName(change.kind));
  std::string words = call.name + " " + call.verdict;
  for (const ArgumentRule& rule : call.rules) words += " " + rule.when + " " + rule.then;
  for (const std::string& id : call.ids) words += " " + id;
  const bool is_wide = !call.rules.empty() || !call.changes.empty();
  std::string html = fmt::format(
      "<li class=\"call {}{}\" data-words=\"{}\" data-has=\"{}\" title=\"{} {}, number {}: {}\">{} "
      "{}",
      style.css, is_wide ? " wide" : "", Escape(Lower(words)), has, Escape(arch), Escape(call.name),
      call.nr, Escape(call.verdict), style.sign, Escape(call.name));
  if (call.is_uncached) {
    html +=
        " <span class=mark title=\"the kernel runs the filter on each of these "
        "calls\">uncached</span>";
  }
  for (const std::string& id : call.ids) {
    html += fmt::format(" <a class=mark href=\"#{0}\">{0}</a>", id);
  }
  if (!call.rules.empty()) {
    html += "<ol class=rules>";
    for (const ArgumentRule& rule : call.rules) {
      html += fmt::format("<li>{} <span class=then>→ {}</span></li>", Escape(rule.when),
                          Escape(rule.then));
    }
    html += "</ol>";
  }
  for (const Change& change : call.changes) html += ChangeHtml(change);
  return html + "</li>\n";
}

std::string CountsHtml(const AbiTable& table) {
  std::array<std::size_t, kKinds.size()> counts{};
  for (const CallGroup& group : table.groups) {
    for (const CallEntry& call : group.calls) ++counts[static_cast<std::size_t>(call.kind)];
  }
  std::string html = "<ul class=counts>";
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    html += fmt::format("<li class={}>{} {} {}</li>", kKinds[i].css, kKinds[i].sign, counts[i],
                        kKinds[i].name);
  }
  return html + "</ul>\n";
}

std::string TableHtml(const AbiTable& table) {
  std::string html = fmt::format(
      "<h2>{}</h2>\n{}<p class=soft>Numbers that no table has: "
      "<code>{}</code></p>\n",
      Escape(table.arch), CountsHtml(table), Escape(table.unknown));
  for (const CallGroup& group : table.groups) {
    html += fmt::format(
        "<section class=\"card group\"><h3>{}</h3><span class=soft>{}</span>\n"
        "<ul class=calls>\n",
        Escape(group.name), Escape(group.description));
    for (const CallEntry& call : group.calls) html += CallHtml(call, table.arch);
    html += "</ul></section>\n";
  }
  return html;
}

std::string FindingsHtml(const Side& side, std::string_view heading, bool has_anchors) {
  std::string html = fmt::format("<h2>{}</h2>\n", Escape(heading));
  if (side.findings.empty()) return html + "<p class=soft>callgate lint finds nothing.</p>\n";
  html += "<ul class=\"card findings\">\n";
  std::set<std::string> anchored;
  for (const FindingEntry& finding : side.findings) {
    const bool is_first = has_anchors && anchored.insert(finding.id).second;
    html += fmt::format("<li class={}{}><b>{}</b> <code>{}</code> {}", finding.severity,
                        is_first ? fmt::format(" id={}", finding.id) : "", finding.severity,
                        finding.id, Escape(finding.message));
    if (!finding.place.empty()) {
      html += fmt::format(" <span class=soft>{}</span>", Escape(finding.place));
    }
    if (!finding.witness.empty()) {
      html += fmt::format("<br><code>{}</code>", Escape(finding.witness));
    }
    html += fmt::format("<br><span class=soft>{}</span></li>\n", Escape(finding.title));
  }
  return html + "</ul>\n";
}

std::string SideHtml(const Side& side, std::string_view label) {
  return fmt::format("<p>{}<code>{}</code> <span class=soft>{} instructions</span></p>\n",
                     label.empty() ? "" : fmt::format("<b>{}</b> ", label), Escape(side.name),
                     side.instructions);
}

std::string RelationHtml(const Model& model) {
  std::array<std::size_t, 3> counts{};
  for (const AbiTable& table : model.abis) {
    for (const CallGroup& group : table.groups) {
      for (const CallEntry& call : group.calls) {
        for (const Change& change : call.changes) ++counts[static_cast<std::size_t>(change.kind)];
      }
    }
  }
  std::string html = fmt::format(
      "<h2>From A to B</h2>\n<section class=card><p><b>{}</b></p><p>{} calls looser, {} tighter, "
      "{} "
      "with another answer as strict. Each has a call that shows it; choose <i>changed</i> below "
      "to "
      "see them alone.</p>",
      Escape(model.relation->sentence), counts[0], counts[1], counts[2]);
  for (const Change& change : model.relation->elsewhere) html += ChangeHtml(change);
  return html + "</section>\n";
}

}  // namespace

std::string WritePage(const Model& model) {
  const std::string title =
      model.b ? fmt::format("{} and {}", model.a.name, model.b->name) : model.a.name;
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
      "<title>callgate: {0}</title>\n<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
      Escape(title), kStyle);
  html += SideHtml(model.a, model.b ? "A" : "");
  if (model.b) html += SideHtml(*model.b, "B");
  if (model.relation) html += RelationHtml(model);
  html += FindingsHtml(model.a, model.b ? "Findings in A" : "Findings", true);
  if (model.b) html += FindingsHtml(*model.b, "Findings in B", false);
  html +=
      "<div class=bar hidden><input id=search type=search aria-label=\"search\" "
      "placeholder=\"search calls, arguments, ids ( / )\">\n"
      "<select id=kind aria-label=\"which calls\"><option value=\"\">all calls</option>";
  for (const KindStyle& kind : kKinds) {
    html += fmt::format("<option value={}>{} {}</option>", kind.css, kind.sign, kind.name);
  }
  html += "<option value=finding>with findings</option><option value=uncached>uncached</option>";
  if (model.b) html += "<option value=changed>changed</option>";
  html += "</select></div>\n<p id=none hidden>No call is like that.</p>\n";
  for (const AbiTable& table : model.abis) html += TableHtml(table);
  html += fmt::format("<script>{}</script>\n</body>\n</html>\n", kScript);
  return html;
}

}  // namespace callgate::report
