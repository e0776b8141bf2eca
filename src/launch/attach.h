#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "bpf/program.h"
#include "kernel/kernel.h"

namespace callgate::launch {

// What is put on a program, oldest filter first.
struct FilterStack {
  std::vector<bpf::Program> filters;
  // The filter whose SECCOMP_RET_USER_NOTIF verdicts come to the listener; nullopt: no listener.
  std::optional<std::size_t> listening;
};

enum class Attached : std::uint8_t {
  kYes,
  kGone,          // somebody killed the program meanwhile: normal
  kExits,         // failed; the program ends with status 125 before its first instruction
  kMustBeKilled,  // failed, and the program stands where it must not run on
};
struct Attachment {
  Attached outcome = Attached::kMustBeKilled;
  base::UniqueFd listener;
};

// Puts the filters on a program that stands at its exec stop (PTRACE_EVENT_EXEC, seized by this
// thread): they are in force from the program's first instruction on, and the program's memory,
// registers, signal mask, descriptors and threads are as they were. Result: the listener, or an
// invalid descriptor where none was asked for. The program stays stopped; `options` are its trace
// options from then on. `report` is told of a failure before the program is ended for it; not of
// one whose program is gone.
Attachment AttachFilters(kernel::Kernel& kernel, pid_t pid, const FilterStack& stack,
                         std::uint32_t options,
                         const std::function<void(const base::Error&)>& report);

}  // namespace callgate::launch
