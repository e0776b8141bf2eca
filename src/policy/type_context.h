#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "fmt/format.h"
#include "policy/limits.h"
#include "policy/report.h"
#include "policy/resolve.h"

namespace callgate::policy {

// What all of typing one policy may cost; see limits.h.
class TypeBudget {
 public:
  // False, and one error, when it is used up.
  bool TakeNode(base::Span span, Report& report) {
    return Take(nodes_, kMaxTypedNodes, span, report);
  }
  bool TakeTerm(base::Span span, Report& report) {
    return Take(terms_, kMaxTypedTerms, span, report);
  }
  bool used_up() const { return used_up_; }

 private:
  bool Take(std::size_t& used, std::size_t limit, base::Span span, Report& report) {
    if (used_up_) return false;
    if (++used <= limit) return true;
    used_up_ = true;
    report.Error(span, "this policy is too large once its groups, lets and ABIs are written out",
                 {{fmt::format("checking stopped here, after {} tests or values", limit), {}}});
    return false;
  }

  std::size_t nodes_ = 0;
  std::size_t terms_ = 0;
  bool used_up_ = false;
};

// Where an expression is typed: for which call, on which ABI, with which lets in scope.
struct TypeContext {
  abi::ArchId arch;
  std::string_view call;
  std::optional<abi::Signature> signature;
  const Lets& lets;
  std::size_t statement;  // lets of earlier statements are in scope
  Report& report;
  TypeBudget& budget;

  // nullptr: no such let, or it is defined further down (which is reported).
  const ast::Let* FindLet(std::string_view name, base::Span use) const {
    auto found = lets.find(name);
    if (found == lets.end()) return nullptr;
    if (found->second.statement < statement) return found->second.let;
    report.Error(use, fmt::format("'{}' is defined further down", name),
                 {{"here; a `let` stands above its first use", found->second.let->name_span}});
    return nullptr;
  }
  bool KnowsLet(std::string_view name) const { return lets.contains(name); }
};

}  // namespace callgate::policy
