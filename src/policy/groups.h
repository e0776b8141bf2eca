#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "base/diagnostic.h"
#include "policy/ast.h"

namespace callgate::policy {

// The groups a policy can name at one point of its text: those of the tables, and its own, which
// come first. A group is defined before it is used, so no group can hold itself.
class GroupTable {
 public:
  explicit GroupTable(base::Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void Define(const ast::Group& group);
  bool Has(std::string_view name) const;
  // Calls of a group on one ABI, sorted by number, each once. The reference stays good until the
  // group is defined anew. The group must exist.
  const std::vector<const abi::Syscall*>& CallsOf(std::string_view name, abi::ArchId arch);

  void ReportUnknown(const ast::Event& event) const;
  // For a name no ABI has.
  static void ReportUnknownCall(const ast::Event& event, base::Diagnostics& diagnostics);

 private:
  struct Member {
    std::string name;
    std::string prefix;  // an ABI's name, or empty
  };
  struct Own {
    base::Span span;
    std::vector<Member> members;
  };

  base::Diagnostics& diagnostics_;
  std::map<std::string, Own, std::less<>> own_;
  std::map<std::pair<std::string, abi::ArchId>, std::vector<const abi::Syscall*>> calls_;
};

}  // namespace callgate::policy
