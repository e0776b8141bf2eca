#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "format/cubes.h"
#include "format/import.h"
#include "policy/typed.h"

namespace callgate::format {

// A policy in a foreign format.
//
// What is written is read back by this project's own reader of the format, which models the
// runtime, and compared call by call with the policy. So a writer may be naive: what it, or the
// format, does not carry is found, named, and refused, unless an approximation was asked for and
// goes the way that was asked for. Compared are the calls of the policy's own ABIs; numbers that no
// kernel has, and other ABIs, get what the runtime gives them, which is a note.

enum class Approximate : std::uint8_t {
  kNo,
  kTighter,  // every call may only be decided as strictly as the policy does, or more
  kLooser,
};

struct ExportOptions {
  Approximate approximate = Approximate::kNo;
  std::string name = "callgate";  // of the SPO object, the Firecracker thread, the Kafel policy
  // OCI: the agent's socket, and `name` is what it is told. Empty: no agent is asked.
  std::string listener = {};
};

struct Exported {
  std::string text;
  std::vector<std::string> notes;
};

// Fails with one error whose reason lists every call that cannot be said, up to a limit.
base::Result<Exported> Export(const policy::TypedPolicy& policy, ForeignFormat format,
                              const ExportOptions& options);

// For the writers: a policy flattened, with what each call gets already brought into the form
// "these cubes get this action, the rest the default".
struct Listed {
  std::string name;
  CubeSet cubes;  // one cube without bits: always
  policy::PolicyAction action;

  bool Always() const { return cubes.size() == 1 && cubes.front() == Cube{}; }
};

struct ExportArch {
  abi::ArchId arch;
  std::vector<Listed> calls;  // by number; calls that always get the default are absent
};

struct ExportInput {
  const policy::TypedPolicy& policy;
  const ExportOptions& options;
  std::vector<ExportArch> arches;
};

// One writer a format. They say nothing about losses: what is lost is found by reading back.
std::string WriteOci(const ExportInput& input);
std::string WriteDocker(const ExportInput& input);
std::string WriteSpo(const ExportInput& input);
std::string WriteFirecracker(const ExportInput& input);
std::string WriteMinijail(const ExportInput& input);
std::string WriteKafel(const ExportInput& input);
std::string WriteSystemd(const ExportInput& input);

}  // namespace callgate::format
