// CG0203, CG0204 and CG0206: what the text of a policy says and the policy does not do.

#include <algorithm>
#include <set>
#include <string>
#include <variant>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "lint/subject.h"

namespace callgate::lint {
namespace {

namespace ast = policy::ast;

// Calls `visit` for every test below.
template <typename Visit, typename VisitName>
void Walk(const ast::Expr& expr, Visit visit, VisitName visit_name) {
  if (expr.kind == ast::Expr::Kind::kName) visit_name(expr.name);
  if (expr.test) visit(*expr.test);
  for (const ast::Expr& child : expr.children) Walk(child, visit, visit_name);
}

// Every name that a policy uses: of lets, constants and groups alike.
class UsedNames {
 public:
  explicit UsedNames(const policy::LoadedPolicy& loaded) {
    for (const policy::LoadedStatement& entry : loaded.statements) Add(*entry.statement);
  }
  bool Contains(const std::string& name) const { return names_.contains(name); }

 private:
  void Add(const ast::Value& value) {
    for (const ast::Term& term : value.terms) {
      if (term.kind == ast::Term::Kind::kName) names_.insert(term.text);
    }
  }
  void Add(const std::vector<ast::SetElement>& set) {
    for (const ast::SetElement& element : set) {
      Add(element.low);
      Add(element.high);
    }
  }
  void Add(const ast::Expr& expr) {
    Walk(
        expr,
        [&](const ast::Test& test) {
          Add(test.mask);
          Add(test.value);
          Add(test.set);
        },
        [&](const std::string& name) { names_.insert(name); });
  }
  void Add(const std::vector<ast::Event>& events) {
    for (const ast::Event& event : events) {
      if (event.is_group) names_.insert(event.name);
    }
  }
  void Add(const ast::Statement& statement) {
    if (const auto* rule = std::get_if<ast::Rule>(&statement.body)) {
      Add(rule->events);
      for (const ast::Clause& clause : rule->clauses) {
        Add(clause.predicate);
        Add(clause.action.argument);
      }
    } else if (const auto* let = std::get_if<ast::Let>(&statement.body)) {
      Add(let->value);
      Add(let->set);
      Add(let->expr);
    } else if (const auto* group = std::get_if<ast::Group>(&statement.body)) {
      Add(group->members);
    } else if (const auto* use = std::get_if<ast::Use>(&statement.body)) {
      names_.insert(use->target);
    } else if (const auto* setting = std::get_if<ast::Setting>(&statement.body)) {
      Add(setting->action.argument);
    }
  }

  std::set<std::string> names_;
};

// The whole lines of a statement, if nothing else stands on them.
base::Span LinesOf(const PolicyText& text, base::Span span) {
  const std::string_view all = text.sources->text(span.file);
  std::size_t begin = span.begin, end = span.end;
  while (begin > 0 && all[begin - 1] != '\n') --begin;
  end = std::min(all.find('\n', end), all.size() - 1) + 1;
  return {span.file, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
}

void CheckNames(const Subject& subject, Findings& findings) {
  if (subject.is_fragment) return;  // whoever uses the file may use the name
  const PolicyText& text = *subject.text;
  const UsedNames used(*text.loaded);
  for (const policy::LoadedStatement& entry : text.loaded->statements) {
    if (entry.from_preset) continue;
    const auto* let = std::get_if<ast::Let>(&entry.statement->body);
    const auto* group = std::get_if<ast::Group>(&entry.statement->body);
    if (let == nullptr && group == nullptr) continue;
    const std::string& name = let != nullptr ? let->name : group->name;
    if (used.Contains(name)) continue;
    findings
        .AddAt(Id::kUnusedName, let != nullptr ? let->name_span : group->name_span,
               fmt::format("nothing uses '{}'", name))
        .fix.push_back({LinesOf(text, entry.statement->span), ""});
  }
}

void CheckReplaced(const Subject& subject, Findings& findings) {
  const PolicyText& text = *subject.text;
  std::vector<base::Span> deciding;
  for (const policy::ArchPolicy& arch : text.typed->arches) {
    for (const policy::Rule& rule : arch.rules) {
      for (const policy::ClauseList& list : rule.lists) {
        deciding.push_back(list.span);
        for (const policy::Clause& clause : list.clauses) deciding.push_back(clause.span);
      }
    }
  }
  std::ranges::sort(deciding, {}, [](base::Span s) { return std::pair(s.file, s.begin); });
  for (const policy::LoadedStatement& entry : text.loaded->statements) {
    const auto* rule = std::get_if<ast::Rule>(&entry.statement->body);
    const auto* use = std::get_if<ast::Use>(&entry.statement->body);
    if (entry.from_preset || (rule == nullptr && use == nullptr)) continue;
    const base::Span span = entry.statement->span;
    const auto next =
        std::ranges::lower_bound(deciding, std::pair(span.file, span.begin), {},
                                 [](base::Span s) { return std::pair(s.file, s.begin); });
    if (next != deciding.end() && next->file == span.file && next->begin < span.end) continue;
    findings.AddAt(Id::kReplacedRule, span, "this rule decides about no call");
  }
}

void CheckOrder(const Subject& subject, Findings& findings) {
  if (subject.arches.size() < 2) return;
  for (const policy::LoadedStatement& entry : subject.text->loaded->statements) {
    const auto* rule = std::get_if<ast::Rule>(&entry.statement->body);
    if (rule == nullptr) continue;
    std::set<std::string> done;
    auto look = [&](const ast::Test& test) {
      const std::string& field = test.field.front();
      const bool is_position = test.field.size() == 1 && field.size() == 4 &&
                               field.starts_with("arg") && field[3] >= '0' && field[3] <= '5';
      if (!is_position) return;
      for (const ast::Event& event : rule->events) {
        if (event.is_group || !event.prefix.empty()) continue;
        std::string first;
        for (const abi::ArchId arch : subject.arches) {
          const auto signature = abi::SignatureOf(arch, event.name);
          const auto slot = static_cast<std::size_t>(field[3] - '0');
          if (!signature || slot >= signature->size()) continue;
          const std::string name((*signature)[slot].name);
          if (first.empty()) first = name;
          if (name == first || !done.insert(event.name).second) continue;
          findings.AddAt(
              Id::kArgumentOrder, test.field_span,
              fmt::format("{} of {} is '{}' on {} and '{}' on {}", field, event.name, first,
                          abi::ArchOf(subject.home()).name, name, abi::ArchOf(arch).name));
        }
      }
    };
    for (const ast::Clause& clause : rule->clauses) {
      Walk(clause.predicate, look, [](const std::string&) {});
    }
  }
}

}  // namespace

void CheckText(Subject& subject, Findings& findings) {
  if (!subject.text) return;
  CheckNames(subject, findings);
  CheckReplaced(subject, findings);
  CheckOrder(subject, findings);
}

}  // namespace callgate::lint
