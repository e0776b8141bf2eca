#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "abi/arch.h"
#include "abi/call.h"
#include "abi/syscalls.h"
#include "analyse/lift.h"
#include "bpf/program.h"
#include "graph/graph.h"

namespace callgate::lint {

// A set of calls by their arguments: "ioctl with cmd TIOCSTI". Width and place of an argument and
// the value of a constant are those of each ABI.
struct ArgumentTest {
  enum class Op : std::uint8_t {
    kIs,      // equal, in the argument's own width
    kHasAll,  // every bit
    kHasAny,  // some bit
    kLacks,   // no bit
  };
  std::string_view argument;
  Op op = Op::kIs;
  std::string_view values;  // constants or numbers with '|' between them
};
struct CallPattern {
  std::string_view syscall;
  std::array<ArgumentTest, 2> tests = {};  // no argument name: no test
};

// What a decision amounts to. Whom the kernel asks, or what could not be understood, is neither.
enum class Outcome : std::uint8_t { kAllowed, kDenied, kOpen };

// The decision graph, asked about one number of one ABI at a time. Exact: a call is found if and
// only if there is one (analyse::Multiply).
class Decisions {
 public:
  // What a stack of filters decides, oldest first.
  static Decisions Of(std::span<const bpf::Program> filters);
  // Nodes are added to the pool; `lifted` names undecided leaves.
  Decisions(graph::Pool pool, analyse::Lifted lifted)
      : pool_(std::move(pool)), lifted_(std::move(lifted)) {}

  graph::Pool& pool() { return pool_; }
  const graph::Pool& pool() const { return pool_; }
  const analyse::Lifted& lifted() const { return lifted_; }
  graph::NodeId root() const { return lifted_.root; }
  Outcome OutcomeOf(std::uint32_t ret_value) const;

  // What is decided about this number, by arguments alone.
  graph::NodeId BodyOf(std::uint32_t audit_arch, std::uint32_t nr);
  graph::NodeId BodyOf(abi::ArchId arch, const abi::Syscall& syscall);
  // The same with word `word` known to be `value`.
  graph::NodeId WithWord(graph::NodeId body, std::uint8_t word, std::uint32_t value);

  // 1 for calls of the pattern, else 0. nullopt: no such call, argument or constant on this ABI.
  std::optional<graph::NodeId> Build(abi::ArchId arch, const CallPattern& pattern);

  // A call of the pattern with that outcome. nullopt: none, or the ABI lacks the call.
  std::optional<abi::Call> Find(abi::ArchId arch, const CallPattern& pattern, Outcome outcome);
  std::optional<abi::Call> Find(abi::ArchId arch, const abi::Syscall& syscall, graph::NodeId where,
                                Outcome outcome);
  // A call, whatever its number, in `where` for which `wanted` holds.
  template <typename Wanted>
  std::optional<abi::CallWords> FindIn(graph::NodeId body, graph::NodeId where, Wanted wanted) {
    return FindPair(body, where, [&](std::uint32_t value, std::uint32_t in) {
      return in == 1 && wanted(value);
    });
  }
  // Words for which the two graphs give values that are wanted together.
  std::optional<abi::CallWords> FindPair(graph::NodeId a, graph::NodeId b, auto wanted);

  // Is every call with this number allowed (denied)?
  bool Always(abi::ArchId arch, std::string_view syscall, Outcome outcome);
  // Is some call with this number allowed (denied)?
  bool Sometimes(abi::ArchId arch, std::string_view syscall, Outcome outcome);
  // By the number alone: allowed and denied both occur.
  bool IsConditional(abi::ArchId arch, std::string_view syscall);

  // Some question since the last time was not answered, because the graph interlocks too much. What
  // was then not found may be there all the same.
  bool TakeGaveUp() { return std::exchange(gave_up_, false); }

  // The verdict for a number that no table of the ABI has.
  graph::NodeId UnknownBody(abi::ArchId arch);

 private:
  std::optional<abi::CallWords> FindMeeting(
      graph::NodeId a, graph::NodeId b,
      const std::function<bool(std::uint32_t, std::uint32_t)>& wanted);

  graph::Pool pool_;
  analyse::Lifted lifted_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, graph::NodeId> bodies_;
  std::uint64_t steps_left_ = 1'000'000;  // of all questions together: some seconds at worst
  bool gave_up_ = false;
};

std::optional<abi::CallWords> Decisions::FindPair(graph::NodeId a, graph::NodeId b, auto wanted) {
  return FindMeeting(a, b, wanted);
}

// The call that these words are, with the number and architecture of an ABI's call put in.
abi::Call CallOf(abi::CallWords words, abi::ArchId arch, std::int32_t nr);

}  // namespace callgate::lint
