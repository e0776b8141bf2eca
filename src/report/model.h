#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bpf/program.h"
#include "lint/lint.h"
#include "lint/subject.h"

namespace callgate::report {

// What a page shows, in words. Everything is asked of the decision graph, so policies and filters
// of other tools look alike.

enum class VerdictKind : std::uint8_t {
  kAllow,
  kByArgument,
  kErrno,
  kKill,   // kill, kill_thread, trap
  kOther,  // log, trace, notify, or not understood
};

struct ArgumentRule {
  std::string when;  // "family == AF_UNIX"
  std::string then;  // "allow"
};

struct Change {
  enum class Kind : std::uint8_t { kLooser, kTighter, kOther };
  Kind kind = Kind::kOther;
  std::string witness;  // "socket(AF_VSOCK, 0, 0)"
  std::string a;        // what A says of it
  std::string b;
};

struct CallEntry {
  std::string name;
  std::int32_t nr = 0;
  VerdictKind kind = VerdictKind::kAllow;
  std::string verdict;              // "allow", "errno(EPERM)", "by argument"
  std::vector<ArgumentRule> rules;  // kByArgument; in order, the first that holds decides
  bool is_uncached = false;         // allowed at least sometimes, and the filter runs each time
  std::vector<std::string> ids;     // of lint findings about it
  std::vector<Change> changes;      // in B
};

struct CallGroup {
  std::string name;  // "@file-system"
  std::string description;
  std::vector<CallEntry> calls;  // sorted by name
};

struct AbiTable {
  std::string arch;
  std::string unknown;  // what numbers get that no table has
  std::vector<CallGroup> groups;
};

struct FindingEntry {
  std::string id;
  std::string severity;
  std::string title;
  std::string message;
  std::string place;  // "app.cg:12", "instruction 7"; empty: about the whole
  std::string witness;
};

struct Side {
  std::string name;
  std::size_t instructions = 0;
  std::vector<FindingEntry> findings;
};

// How the two decide on all calls of all ABIs.
struct Relation {
  std::string sentence;           // "B allows more than A" …
  std::vector<Change> elsewhere;  // on numbers and ABIs that no table here shows
};

struct Model {
  Side a;
  std::optional<Side> b;
  std::optional<Relation> relation;
  std::vector<AbiTable> abis;
};

// A policy or a filter, with the name it is shown by.
struct Source {
  std::string name;
  lint::Source what;
};

Model MakeModel(const Source& a, const Source* b);

}  // namespace callgate::report
