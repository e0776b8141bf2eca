// execve, execveat: the calls that nobody can make for the caller.
//
// They are decided twice. First on a copy, before: the file that the path leads to, the arguments,
// the variables, and of a script also its interpreter with the arguments the kernel is going to
// give it. What is refused there gets its errno, and nothing has happened. Then the caller makes
// the call itself, and the kernel reads path, arguments, links and the script's first line anew;
// any of them can have been changed. So this first decision is a courtesy, and no promise rests on
// it.
//
// The promise rests on the second one. An exec that succeeds stops at PTRACE_EVENT_EXEC: the new
// image is complete, its address space belongs to this process alone, all other threads are dead,
// and no instruction of it has run. What the kernel really loaded is read there (image.h) and the
// policy is asked again. Anything but "allowed" kills the process before its first instruction.
//
// This is why the strings are not pinned in memory that the target cannot write (a sealed memfd,
// mapped into it, mseal(2)) with the call redirected to them. That holds the strings still, and not
// what they lead to: a link, a directory's name, the first line of a script, a binfmt_misc handler.
// The image has to be looked at in any case, and then the pinned strings add nothing, except
// mappings that stay in the address space of every vfork parent.
//
// It needs a caller that this supervisor traces, with the stop at the exec switched on. A child
// inherits both, unless it was made with CLONE_UNTRACED; such a caller is refused. It also needs
// the filter to ask about every execve and execveat that it lets pass, also about those that
// registers decide, so that what is remembered of a call that failed is never taken for a later one
// (Engine). The stop does not tell which of the two it was: the kernel writes execve's number into
// the registers in either case (arch/x86/kernel/process_64.c, set_personality_64bit).
//
// The interpreter that an ELF file names (the dynamic linker) is loaded as part of the file, as its
// libraries are, and not asked about. Started as a program itself it is one, and asked about.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "fmt/format.h"
#include "supervise/copy.h"
#include "supervise/image.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr int kMaxInterpreters = 5;  // fs/exec.c, exec_binprm
// Where the interpreters are pinned: behind the registers.
constexpr std::size_t kInterpreterSlots = 16;
constexpr std::uint32_t kNofollow = AT_SYMLINK_NOFOLLOW;
constexpr std::uint32_t kEmptyPath = AT_EMPTY_PATH;
constexpr std::uint32_t kOnlyCheck = 0x10000;  // AT_EXECVE_CHECK, Linux 6.14

// The script's own line, if the file is one. Read with the supervisor's rights: so does the kernel.
std::optional<Interpreter> InterpreterOf(const PinnedPath& file) {
  struct stat status{};
  if (!file.Exists() || fstat(file.object.get(), &status) < 0) return std::nullopt;
  constexpr mode_t kExecutable = S_IXUSR | S_IXGRP | S_IXOTH;
  if (!S_ISREG(status.st_mode) || (status.st_mode & kExecutable) == 0) return std::nullopt;
  std::string name = fmt::format("/proc/self/fd/{}", file.object.get());
  base::UniqueFd fd(open(name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  std::array<char, kScriptHead> head{};
  ssize_t size = fd.valid() ? pread(fd.get(), head.data(), head.size(), 0) : -1;
  if (size <= 0) return std::nullopt;
  return ParseInterpreter({head.data(), static_cast<std::size_t>(size)});
}

class ExecPerformer final : public Performer {
 public:
  explicit ExecPerformer(bool has_dirfd) : has_dirfd_(has_dirfd) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  // Who looks a program up in PATH tries one name after the other.
  bool IsAboutNothing(Inputs& inputs) const override {
    return inputs.Pinned(PathSlot())->error == ENOENT;
  }
  std::vector<Further> AmountsTo(Inputs& inputs, const Surroundings& around) override;
  Maker MadeBy() const override { return Maker::kUntilLoaded; }

 private:
  std::size_t PathSlot() const { return has_dirfd_ ? 1 : 0; }
  std::size_t ArgvSlot() const { return PathSlot() + 1; }

  const bool has_dirfd_;
};

int ExecPerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  auto flags = has_dirfd_ ? static_cast<std::uint32_t>(inputs.Register(4)) : 0;
  auto text = inputs.String(PathSlot(), kMaxPath);
  if (!text) return text.error();
  if (text->empty() && (flags & kEmptyPath) == 0) return ENOENT;
  if ((flags & ~(kNofollow | kEmptyPath | kOnlyCheck)) != 0) return EINVAL;
  int dirfd =
      has_dirfd_ && !text->starts_with('/') ? static_cast<int>(inputs.Register(0)) : AT_FDCWD;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, *text, dirfd);
  if (!places) return places.error();
  if (text->empty()) {
    auto pinned = ResolveDescriptor(*places, std::move(places->start));
    if (!pinned) return pinned.error();
    inputs.SetPinned(PathSlot(), std::move(*pinned));
    return 0;
  }
  bool follows = (flags & kNofollow) == 0;
  auto pinned = inputs.Pin(PathSlot(), *places, follows ? Follow::kAll : Follow::kNotLast);
  return pinned ? 0 : pinned.error();
}

std::vector<Further> ExecPerformer::AmountsTo(Inputs& inputs, const Surroundings& around) {
  std::vector<Further> all;
  auto interpreter = InterpreterOf(*inputs.Pinned(PathSlot()));
  if (!interpreter) return all;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace,
                         interpreter->path, AT_FDCWD);
  auto argv = inputs.Strings(ArgvSlot());
  // What cannot be read fails in the kernel too; or else it is judged when it is loaded.
  if (!places || !argv) return all;
  if (argv->empty()) argv->emplace_back();
  argv->front() = *inputs.String(PathSlot(), kMaxPath);
  for (std::size_t depth = 0; interpreter && depth < kMaxInterpreters; ++depth) {
    if (interpreter->argument) argv->insert(argv->begin(), *interpreter->argument);
    argv->insert(argv->begin(), interpreter->path);
    auto pinned =
        inputs.PinText(kInterpreterSlots + depth, interpreter->path, *places, Follow::kAll);
    if (!pinned) break;
    auto look = [this, &inputs, path = (*pinned)->path,
                 argv = *argv](const policy::DeepSubject& subject) -> policy::DeepValue {
      if (subject.kind == policy::DeepSubject::Kind::kPath) return path;
      if (subject.slot != ArgvSlot()) return inputs.Look(subject);
      return LookAtStrings(subject, argv).value_or(policy::Absent{});
    };
    all.push_back({look, fmt::format("it is a script, and {} is to run it", (*pinned)->path)});
    interpreter = InterpreterOf(**pinned);
  }
  return all;
}

}  // namespace

std::unique_ptr<Performer> MakeExecPerformer(std::string_view call) {
  if (call != "execve" && call != "execveat") return nullptr;
  return std::make_unique<ExecPerformer>(call == "execveat");
}

}  // namespace callgate::supervise
