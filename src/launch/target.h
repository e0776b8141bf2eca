#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/kernel.h"

namespace callgate::launch {

// What a report looks up about the thread that made a call. Everything here is a snapshot for
// people: the target may change it at once, so no decision may rest on it. A vanished target is
// normal and gives empty answers. Texts are raw: escape them.
class TargetView {
 public:
  virtual ~TargetView() = default;

  // "/srv/audit.log", "pipe:[4711]"; nullopt: no such descriptor, or not ours to see.
  virtual std::optional<std::string> DescriptorTarget(int fd) const = 0;
  // At most `size` bytes from `address`; fewer when a page is not readable.
  virtual std::vector<std::byte> ReadMemory(std::uint64_t address, std::size_t size) const = 0;
};

// Sees nothing: for a look that must not wait.
class NoTarget final : public TargetView {
 public:
  std::optional<std::string> DescriptorTarget(int) const override { return std::nullopt; }
  std::vector<std::byte> ReadMemory(std::uint64_t, std::size_t) const override { return {}; }
};

struct ThreadIdentity {
  pid_t pid = 0;  // of the process; 0: unknown
  pid_t tid = 0;
  std::string process_name = {};  // comm of the process's first thread
  std::string thread_name = {};
  std::string container = {};  // that it is in, by the agent's word; empty: none
};
ThreadIdentity IdentifyThread(pid_t tid);

// The view of a live thread. `kernel` must outlive it.
class ProcTarget final : public TargetView {
 public:
  ProcTarget(kernel::Kernel& kernel, pid_t tid) : kernel_(kernel), tid_(tid) {}

  std::optional<std::string> DescriptorTarget(int fd) const override;
  std::vector<std::byte> ReadMemory(std::uint64_t address, std::size_t size) const override;

 private:
  kernel::Kernel& kernel_;
  pid_t tid_;
};

}  // namespace callgate::launch
