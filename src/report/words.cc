// From a graph of tests to sentences.
//
// A path through the graph is a conjunction of tests and a verdict. Paths are listed in the order
// of the tests, so a test that failed need not be said again: who reads "family == AF_UNIX → allow"
// and then "family == AF_INET → allow" knows that the second is for what the first left over. Only
// the tests that hold are written, and a path on which none holds is "otherwise". That is exact as
// long as the list is read from top to bottom: a call takes the first path whose written tests
// hold, because every earlier path contains a test that the call fails.
//
// For that to be so, the yes side of each test is listed before its no side.

#include "report/words.h"

#include <string>

#include "abi/constants.h"
#include "fmt/format.h"

namespace callgate::report {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;

constexpr std::size_t kMaxRules = 24;

class Describer {
 public:
  Describer(const graph::Pool& pool, abi::ArchId arch, const abi::Syscall& syscall,
            const VerdictText& verdict_text)
      : pool_(pool),
        arch_(arch),
        signature_(abi::SignatureOf(arch, syscall.name)),
        verdict_text_(verdict_text) {}

  std::vector<ArgumentRule> Run(NodeId body) {
    Walk(body, "");
    if (is_cut_) rules_.push_back({"more tests follow", "see the filter's listing"});
    return std::move(rules_);
  }

 private:
  // Recursion is as deep as a reader's patience: kMaxRules paths, and each test on the no side is a
  // loop.
  void Walk(NodeId id, std::string when) {
    while (!is_cut_) {
      const Node& node = pool_[id];
      if (node.is_leaf) {
        Add(std::move(when), verdict_text_(node.ret_value));
        return;
      }
      if (rules_.size() >= kMaxRules || depth_ > kMaxRules) {
        is_cut_ = true;
        return;
      }
      ++depth_;
      Walk(node.yes, when.empty() ? TestText(node.predicate)
                                  : fmt::format("{} and {}", when, TestText(node.predicate)));
      --depth_;
      id = node.no;
    }
  }

  void Add(std::string when, std::string then) {
    if (when.empty()) when = "otherwise";
    rules_.push_back({std::move(when), std::move(then)});
  }

  std::string TestText(const graph::Predicate& predicate) const {
    const std::endian order = abi::ArchOf(arch_).endian;
    if (predicate.word < 4) {
      return fmt::format("instruction pointer {}", Comparison(predicate, nullptr));
    }
    const int index = (predicate.word - 4) / 2;
    const bool is_high = predicate.word == abi::ArgHighWord(index, order);
    const abi::Argument* argument = nullptr;
    if (signature_ && static_cast<std::size_t>(index) < signature_->size()) {
      argument = &(*signature_)[static_cast<std::size_t>(index)];
    }
    std::string name = argument != nullptr && !argument->name.empty() ? std::string(argument->name)
                                                                      : fmt::format("arg{}", index);
    if (is_high) name = "upper half of " + name;
    return fmt::format("{} {}", name, Comparison(predicate, is_high ? nullptr : argument));
  }

  std::string Comparison(const graph::Predicate& predicate, const abi::Argument* argument) const {
    const std::string mask = predicate.mask == UINT32_MAX
                                 ? ""
                                 : fmt::format("& {} ", Value(predicate.mask, argument, true));
    const std::string value = Value(predicate.constant, argument, false);
    switch (predicate.op) {
      case Op::kEqual:
        return fmt::format("{}== {}", mask, value);
      case Op::kGreater:
        return fmt::format("{}> {}", mask, value);
      case Op::kAtLeast:
        return fmt::format("{}>= {}", mask, value);
      case Op::kAnyBit:
        return fmt::format("has any of {}", Value(predicate.mask, argument, true));
    }
    return {};
  }

  std::string Value(std::uint32_t value, const abi::Argument* argument, bool is_mask) const {
    using enum abi::ArgKind;
    if (argument != nullptr && argument->kind == kFlags) {
      return abi::FormatFlags(arch_, argument->set, value);
    }
    if (argument != nullptr && argument->kind == kEnum && !is_mask) {
      return abi::FormatEnum(arch_, argument->set, argument->flags_set, value);
    }
    if (argument != nullptr && argument->kind == kMode) return fmt::format("{:#o}", value);
    if (argument != nullptr && argument->is_signed && !is_mask) {
      return fmt::format("{}", static_cast<std::int32_t>(value));
    }
    return value < 4096 && !is_mask ? fmt::format("{}", value) : fmt::format("{:#x}", value);
  }

  const graph::Pool& pool_;
  abi::ArchId arch_;
  std::optional<abi::Signature> signature_;
  const VerdictText& verdict_text_;
  std::vector<ArgumentRule> rules_;
  std::size_t depth_ = 0;
  bool is_cut_ = false;
};

}  // namespace

std::vector<ArgumentRule> DescribeBody(const graph::Pool& pool, NodeId body, abi::ArchId arch,
                                       const abi::Syscall& syscall,
                                       const VerdictText& verdict_text) {
  return Describer(pool, arch, syscall, verdict_text).Run(body);
}

}  // namespace callgate::report
