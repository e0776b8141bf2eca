#include "supervise/perform.h"

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "policy/performed.h"

namespace callgate::supervise {
namespace {

using Make = std::unique_ptr<Performer> (*)(std::string_view call);

struct Known {
  std::string_view name;
  Make make = nullptr;
};

Make FamilyOf(std::string_view call) {
  for (Make make : {MakeOpenPerformer, MakeParentPerformer, MakeFilePerformer, MakeSocketPerformer,
                    MakeAcceptPerformer, MakeSendPerformer, MakeTellPerformer, MakeExecPerformer,
                    MakeMovePerformer, MakeMountPerformer, MakeTaskPerformer, MakeEventPerformer,
                    MakeModulePerformer, MakeBpfPerformer}) {
    if (make(call) != nullptr) return make;
  }
  return nullptr;
}

Make FamilyOf(abi::ArchId arch, std::string_view call) {
  if (policy::PerformanceOf(arch, call) == policy::Performance::kNone) return nullptr;
  return FamilyOf(call);
}

// The calls of this machine's own ABI, by number.
std::vector<Known> NativeCalls() {
  std::vector<Known> calls;
  for (const abi::Syscall& call : abi::SyscallsOf(abi::NativeArch())) {
    const auto index = static_cast<std::size_t>(call.nr);
    if (index >= calls.size()) calls.resize(index + 1);
    calls[index] = {call.name, FamilyOf(abi::NativeArch(), call.name)};
  }
  return calls;
}

}  // namespace

std::unique_ptr<Performer> PerformerOf(std::string_view call) {
  const Make make = FamilyOf(call);
  return make == nullptr ? nullptr : make(call);
}

std::unique_ptr<Performer> PerformerOf(const abi::Call& call) {
  static const auto& native = *new std::vector<Known>(NativeCalls());
  const auto index = static_cast<std::uint32_t>(call.nr);
  if (call.arch == abi::ArchOf(abi::NativeArch()).audit_arch && index < native.size()) {
    const Known& known = native[index];
    return known.make == nullptr ? nullptr : known.make(known.name);
  }
  const auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  const Make make = syscall == nullptr ? nullptr : FamilyOf(*arch, syscall->name);
  return make == nullptr ? nullptr : make(syscall->name);
}

}  // namespace callgate::supervise
