#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/kernel.h"
#include "policy/deep.h"

namespace callgate::supervise {

// What a script says in its first line.
struct Interpreter {
  std::string path;
  std::optional<std::string> argument;
};
// `head`: at most the first kScriptHead bytes of a file. nullopt: the kernel takes it for no
// script.
inline constexpr std::size_t kScriptHead = 256;  // BINPRM_BUF_SIZE
std::optional<Interpreter> ParseInterpreter(std::string_view head);

// What a process that stands at its exec stop has loaded and was given. Only its first instruction
// could change that, or another process that may write its memory.
class Image {
 public:
  // ESRCH: gone, or not ours to look at. kOtherRoot: it must have our root (Identity), and has not.
  static kernel::SysResult<Image> Of(pid_t pid, bool must_have_our_root = false);

  // As a policy calls the loaded file.
  const std::string& path() const { return path_; }
  // Where the process keeps the name that the call gave; 0: not known. For reports.
  std::uint64_t name_address() const { return name_address_; }
  // The path, the arguments and the variables. What cannot be told gives an errno.
  kernel::SysResult<policy::DeepValue> Look(const policy::DeepSubject& subject,
                                            std::size_t argv_slot) const;

 private:
  std::string path_;
  std::vector<std::string> argv_;
  std::vector<std::string> envp_;
  std::uint64_t name_address_ = 0;
};

}  // namespace callgate::supervise
