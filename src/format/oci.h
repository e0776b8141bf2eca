#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "abi/arch.h"
#include "base/source.h"
#include "format/foreign.h"
#include "format/reading.h"

namespace callgate::format {

// A seccomp profile as container runtimes take it, conditions of Docker's form already decided.
struct OciCondition {
  int index = 0;
  std::string op;  // without SCMP_CMP_
  std::uint64_t value = 0;
  std::uint64_t value_two = 0;
};

struct OciRule {
  std::string name;
  base::Span span;
  std::string action;  // policy text
  std::vector<OciCondition> conditions;
};

struct OciProfile {
  std::vector<abi::ArchId> arches;  // the native one first
  std::string default_action;
  bool default_allows = false;
  std::vector<OciRule> rules;
};

// What runc and libseccomp make of it.
Foreign ExecuteOci(const OciProfile& profile, Reading& reading);

// SCMP_ARCH_X86 → i386; nullopt: no such name.
std::optional<abi::ArchId> ArchOfScmp(std::string_view name);
// i386 → "SCMP_ARCH_X86"; empty: libseccomp has no name for it.
std::string_view ScmpOfArch(abi::ArchId arch);
// Docker's names of machines: amd64, arm64, … nullopt: no such name.
std::string_view DockerNameOf(abi::ArchId arch);

}  // namespace callgate::format
