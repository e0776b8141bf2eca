// Filters start after the exec. A filter that is installed before it must allow execve and all the
// installer still does; one that is installed by the tracer at the exec stop judges the program
// alone. This is the 2011 `on_next_syscall`.
//
// At PTRACE_EVENT_EXEC the new image is complete and has not run one instruction. We block all
// signals, so that they wait for the program, let the execve return (a system-call stop), remember
// the registers, put a system-call instruction over the first word of the entry point, and walk the
// thread through the calls we need. The filter bytes lie below its stack pointer, where an exec
// leaves zeroes, and are zeroed again. Then all is put back.
//
// SIGSTOP cannot be blocked. Taking it away and sending it again later would race with a SIGCONT in
// between, which a new SIGSTOP cancels. So it is delivered: the program counts as stopped for
// everybody, its tracer alone moves it on, and at the end the kernel knows whether it still is.
//
// The listener. seccomp() leaves it in the program's own descriptor table, where it must not stay:
// who holds it answers for the supervisor. It can be duplicated (pidfd_getfd), but not closed from
// outside, and the program's close() may be what the filter refuses. So before the filter goes in,
// the program makes a thread that shares its descriptors; the thread has no filter, closes the
// listener afterwards and exits. It never runs an instruction of the program, and it is reaped
// before the program continues. A close() before the filter is impossible (the number is not
// known), and a descriptor table shared with the launcher does not survive an exec.
//
// An earlier filter judges the seccomp() that adds the next one: a stack whose older filter refuses
// seccomp() cannot be built by anybody, so its policies have to be one program.
//
// If anything fails the program ends before its first instruction: it is made to exit with 125, by
// the unfiltered thread where there is one.

#include "launch/attach.h"

#include <linux/audit.h>
#include <linux/sched.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "fmt/format.h"

namespace callgate::launch {
namespace {

using kernel::InjectedCall;
using kernel::Registers;
using kernel::Resume;
using kernel::SyscallStop;

// CLONE_THREAD: reaped without a trace. Shared memory, descriptors, handlers: CLONE_THREAD needs
// the handlers, those need the memory; CLONE_FILES is what it is made for.
constexpr std::uint64_t kHelperFlags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
constexpr std::uint64_t kAllSignals = ~std::uint64_t{0};
constexpr std::uint64_t kRedZone = 1024;  // bytes; the ABI's is 128
// A supervisor that dies here takes the program with it: it would run unfiltered otherwise.
constexpr std::uint32_t kDuring = kernel::kTraceSysGood | kernel::kTraceClone | kernel::kExitKill;
constexpr int kOwnFailure = 125;
constexpr int kRestartNoInterrupt = 513;  // ERESTARTNOINTR, include/linux/errno.h

base::Error Failed(std::string_view operation, int errno_value, std::string_view reason = {},
                   std::string_view advice = {}) {
  return base::Error{.operation = std::string(operation),
                     .subject = {},
                     .errno_value = errno_value,
                     .reason = std::string(reason),
                     .advice = std::string(advice)};
}

base::Error Unexpected(std::string_view reason) {
  return Failed("put the filter on the program", 0, reason);
}

class Attacher {
 public:
  Attacher(kernel::Kernel& kernel, pid_t pid) : kernel_(kernel), pid_(pid) {}

  base::Result<base::UniqueFd> Attach(const FilterStack& stack);
  base::Result<void> Restore(std::uint32_t options);
  // After a failure: makes the program end with status 125 if that can still be done.
  Attached EndProgram();
  bool gone() const { return gone_; }

 private:
  base::Result<void> Enter();
  base::Result<void> MakeHelper();
  base::Result<void> EndHelper();
  base::Result<std::int64_t> InstallFilter(const bpf::Program& filter, std::uint32_t flags,
                                           std::size_t position);
  base::Result<base::UniqueFd> TakeListener(int target_fd);
  base::Result<std::int64_t> Call(pid_t tid, InjectedCall call,
                                  const std::array<std::uint64_t, 5>& arguments);
  base::Result<void> RunTo(pid_t tid, SyscallStop::Side side);
  // The signal to deliver for a stop that is not the awaited one.
  int PassOn(int status) {
    if (status >> 16 != 0 || WSTOPSIG(status) != SIGSTOP) return 0;
    was_stopped_ = true;
    return SIGSTOP;
  }

  kernel::Kernel& kernel_;
  pid_t pid_;
  pid_t helper_ = 0;
  bool code_in_place_ = false;
  bool filtered_ = false;  // the program's own thread is
  bool gone_ = false;
  bool is_32bit_ = false;
  Registers registers_{};
  std::uint64_t signal_mask_ = 0;
  std::uint64_t code_address_ = 0;
  std::uint64_t code_word_ = 0;
  bool was_stopped_ = false;  // a SIGSTOP, which nothing can block, came meanwhile
};

// Lets the thread go on to its next system-call stop of the wanted side.
base::Result<void> Attacher::RunTo(pid_t tid, SyscallStop::Side side) {
  int signal = 0;
  while (true) {
    if (auto done = kernel_.Continue(tid, Resume::kToSyscall, signal); !done) {
      return base::Fail(Failed("resume the program", done.error()));
    }
    auto event = kernel_.Wait(tid, WSTOPPED | WEXITED);
    if (!event) return base::Fail(Failed("wait for the program", event.error()));
    if (!WIFSTOPPED(event->status)) {
      gone_ = true;
      return base::Fail(Unexpected("it died meanwhile"));
    }
    signal = PassOn(event->status);
    if (WSTOPSIG(event->status) != (SIGTRAP | 0x80)) continue;  // clone event, SIGSTOP, its stop
    auto info = kernel_.SyscallInfo(tid);
    if (!info) return base::Fail(Failed("read the program's system call", info.error()));
    if (info->side == side) return {};
  }
}

base::Result<std::int64_t> Attacher::Call(pid_t tid, InjectedCall call,
                                          const std::array<std::uint64_t, 5>& arguments) {
  Registers prepared = kernel::PrepareCall(registers_, is_32bit_, call, code_address_, arguments);
  if (auto done = kernel_.SetRegisters(tid, prepared); !done) {
    return base::Fail(Failed("set the program's registers", done.error()));
  }
  if (auto entry = RunTo(tid, SyscallStop::Side::kEntry); !entry) return base::Fail(entry.error());
  if (auto exit = RunTo(tid, SyscallStop::Side::kExit); !exit) return base::Fail(exit.error());
  auto after = kernel_.GetRegisters(tid);
  if (!after) return base::Fail(Failed("read the program's registers", after.error()));
  return kernel::ResultOf(*after, is_32bit_);
}

// From the exec event to the return of execve, and everything remembered.
base::Result<void> Attacher::Enter() {
  if (auto done = kernel_.SetTraceOptions(pid_, kDuring); !done) {
    return base::Fail(Failed("trace the program", done.error()));
  }
  auto mask = kernel_.GetSignalMask(pid_);
  if (!mask) return base::Fail(Failed("read the program's signal mask", mask.error()));
  signal_mask_ = *mask;
  if (auto done = kernel_.SetSignalMask(pid_, kAllSignals); !done) {
    return base::Fail(Failed("block the program's signals", done.error()));
  }
  if (auto exit = RunTo(pid_, SyscallStop::Side::kExit); !exit) return exit;
  auto registers = kernel_.GetRegisters(pid_);
  if (!registers) return base::Fail(Failed("read the program's registers", registers.error()));
  registers_ = *registers;
  is_32bit_ = kernel::Is32Bit(registers_);
  // Aligned, so that the word cannot reach into a page that is not there.
  code_address_ = kernel::InstructionPointer(registers_) & ~std::uint64_t{7};
  auto word = kernel_.PeekWord(pid_, code_address_);
  if (!word) {
    return base::Fail(Failed("reach into the program's memory", word.error(),
                             "its file may be executed but not read",
                             "make the file readable, or run callgate as root"));
  }
  code_word_ = *word;
  auto poked =
      kernel_.PokeWord(pid_, code_address_, kernel::WithSyscallInstruction(code_word_, is_32bit_));
  if (!poked) return base::Fail(Failed("write the program's memory", poked.error()));
  code_in_place_ = true;
  return {};
}

base::Result<void> Attacher::MakeHelper() {
  auto tid = Call(pid_, InjectedCall::kClone, kernel::CloneArguments(kHelperFlags));
  // A stop signal is pending. It is taken away at the next stop; the kernel would restart the call.
  while (tid && *tid == -kRestartNoInterrupt) {
    tid = Call(pid_, InjectedCall::kClone, kernel::CloneArguments(kHelperFlags));
  }
  if (!tid) return base::Fail(tid.error());
  if (*tid == -EAGAIN) {
    return base::Fail(Failed("hand over the listener", EAGAIN, "no further thread is allowed here",
                             "raise the process limit (ulimit -u, pids.max) by one"));
  }
  if (*tid < 0) {
    return base::Fail(Failed("hand over the listener", static_cast<int>(-*tid),
                             "a filter around callgate refuses clone",
                             "use --no-supervisor: nothing is handed over then"));
  }
  // Its first stop comes before it runs anything.
  auto event = kernel_.Wait(static_cast<pid_t>(*tid), WSTOPPED | WEXITED);
  if (!event) return base::Fail(Failed("wait for the helper thread", event.error()));
  if (!WIFSTOPPED(event->status)) return base::Fail(Unexpected("its helper thread died"));
  helper_ = static_cast<pid_t>(*tid);
  return {};
}

base::Result<void> Attacher::EndHelper() {
  Registers prepared = kernel::PrepareCall(registers_, is_32bit_, InjectedCall::kExitThread,
                                           code_address_, {0, 0, 0, 0, 0});
  pid_t tid = std::exchange(helper_, 0);
  if (auto done = kernel_.SetRegisters(tid, prepared); !done) {
    return base::Fail(Failed("end the helper thread", done.error()));
  }
  int signal = 0;
  while (true) {
    if (auto done = kernel_.Continue(tid, Resume::kContinue, signal); !done) {
      return base::Fail(Failed("end the helper thread", done.error()));
    }
    auto event = kernel_.Wait(tid, WSTOPPED | WEXITED);
    if (!event) return base::Fail(Failed("wait for the helper thread", event.error()));
    if (WIFEXITED(event->status)) return {};
    if (!WIFSTOPPED(event->status)) {
      gone_ = true;
      return base::Fail(Unexpected("it died meanwhile"));
    }
    signal = PassOn(event->status);
  }
}

// What errnos of seccomp(2) mean here.
base::Error InstallError(std::int64_t result, std::size_t instructions, std::size_t position) {
  int errno_value = static_cast<int>(-result);
  base::Error error = Failed("install the filter", errno_value);
  error.subject = fmt::format("({} instructions)", instructions);
  switch (errno_value) {
    case EBUSY:
      error.reason = "something around callgate already listens to this program's calls";
      error.advice = "use --no-supervisor: the kernel enforces alone then";
      break;
    case ENOMEM:
      error.reason = "the filters of one thread may hold 32768 instructions together";
      error.advice = "combine the layers into one policy";
      break;
    case EMFILE:
    case ENFILE:
      error.reason = "the program starts with all its descriptors in use";
      error.advice = "raise the limit (ulimit -n) by one, or use --no-supervisor";
      break;
    case EINVAL:
      error.reason = "the kernel does not accept this program";
      error.advice = "'callgate doctor' shows what it supports";
      break;
    default:
      if (position > 0) {
        error.reason = "an older layer refuses seccomp(), so that no further one can be added";
        error.advice = "combine the layers into one policy";
      } else {
        error.reason = "a filter around callgate refuses seccomp()";
        error.advice = "allow seccomp() there; nothing can be enforced without it";
      }
  }
  return error;
}

base::Result<std::int64_t> Attacher::InstallFilter(const bpf::Program& filter, std::uint32_t flags,
                                                   std::size_t position) {
  auto program = std::as_bytes(std::span(filter));
  // Below the stack pointer: first the pointer structure, then the program.
  constexpr std::uint64_t kPointerRoom = 16;
  std::uint64_t place =
      (kernel::StackPointer(registers_) - kRedZone - kPointerRoom - program.size()) &
      ~std::uint64_t{15};
  std::vector<std::byte> bytes = kernel::EncodeFilterPointer(
      is_32bit_, static_cast<std::uint16_t>(filter.size()), place + kPointerRoom);
  bytes.resize(kPointerRoom);
  bytes.insert(bytes.end(), program.begin(), program.end());
  auto write = [&](const std::vector<std::byte>& what) -> base::Result<void> {
    auto written = kernel_.WriteMemory(pid_, place, what);
    if (written && *written == what.size()) return {};
    return base::Fail(Failed("write the filter into the program",
                             written ? EFAULT : written.error(), "its stack is too small",
                             "raise the limit (ulimit -s) to 256"));
  };
  if (auto done = write(bytes); !done) return base::Fail(done.error());
  std::array<std::uint64_t, 5> arguments{SECCOMP_SET_MODE_FILTER, flags, place, 0, 0};
  auto result = Call(pid_, InjectedCall::kSeccomp, arguments);
  if (result && *result == -EINVAL && (flags & kernel::kFlagWaitKillableRecv) != 0) {
    // Before Linux 5.19. Without the flag a signal takes the call away from us and the kernel asks
    // again: answers that are only errnos may be given twice.
    arguments[1] = flags & ~kernel::kFlagWaitKillableRecv;
    result = Call(pid_, InjectedCall::kSeccomp, arguments);
  }
  if (!result) return result;
  if (*result < 0) return base::Fail(InstallError(*result, filter.size(), position));
  filtered_ = true;
  if (auto done = write(std::vector<std::byte>(bytes.size())); !done) {
    return base::Fail(done.error());
  }
  return result;
}

base::Result<base::UniqueFd> Attacher::TakeListener(int target_fd) {
  auto pidfd = kernel_.OpenPidfd(pid_);
  if (!pidfd) return base::Fail(Failed("open the program's pidfd", pidfd.error()));
  auto listener = kernel_.TakeDescriptor(pidfd->get(), target_fd);
  if (!listener) {
    return base::Fail(Failed("take the listener", listener.error(),
                             "pidfd_getfd needs Linux 5.6 and the right to trace the program",
                             "use --no-supervisor: the kernel enforces alone then"));
  }
  auto closed =
      Call(helper_, InjectedCall::kClose, {static_cast<std::uint64_t>(target_fd), 0, 0, 0, 0});
  if (!closed) return base::Fail(closed.error());
  if (*closed != 0) {
    return base::Fail(
        Failed("close the program's copy of the listener", static_cast<int>(-*closed)));
  }
  return std::move(*listener);
}

base::Result<base::UniqueFd> Attacher::Attach(const FilterStack& stack) {
  if (auto done = Enter(); !done) return base::Fail(done.error());
  if (stack.listening) {
    if (auto done = MakeHelper(); !done) return base::Fail(done.error());
  }
  base::UniqueFd listener;
  for (std::size_t i = 0; i < stack.filters.size(); ++i) {
    bool listens = stack.listening == i;
    std::uint32_t flags =
        listens ? SECCOMP_FILTER_FLAG_NEW_LISTENER | kernel::kFlagWaitKillableRecv : 0;
    auto result = InstallFilter(stack.filters[i], flags, i);
    if (!result) return base::Fail(result.error());
    if (!listens) continue;
    auto taken = TakeListener(static_cast<int>(*result));
    if (!taken) return taken;
    listener = std::move(*taken);
  }
  if (helper_ != 0) {
    if (auto done = EndHelper(); !done) return base::Fail(done.error());
  }
  return listener;
}

base::Result<void> Attacher::Restore(std::uint32_t options) {
  kernel::SysResult<void> done = kernel_.PokeWord(pid_, code_address_, code_word_);
  if (done) done = kernel_.SetRegisters(pid_, registers_);
  if (done) done = kernel_.SetSignalMask(pid_, signal_mask_);
  if (done) done = kernel_.SetTraceOptions(pid_, options);
  // Is the stop still in force? The program traps once more and says so; the watcher answers that.
  if (done && was_stopped_) done = kernel_.Interrupt(pid_);
  if (!done) return base::Fail(Failed("give the program back", done.error()));
  return {};
}

Attached Attacher::EndProgram() {
  // A thread with the filter may be refused exit_group too, and would then run on.
  if (!code_in_place_ || (filtered_ && helper_ == 0)) {
    return Attached::kMustBeKilled;
  }
  (void)Call(helper_ != 0 ? helper_ : pid_, InjectedCall::kExitGroup, {kOwnFailure, 0, 0, 0, 0});
  return gone_ ? Attached::kExits : Attached::kMustBeKilled;
}

}  // namespace

Attachment AttachFilters(kernel::Kernel& kernel, pid_t pid, const FilterStack& stack,
                         std::uint32_t options,
                         const std::function<void(const base::Error&)>& report) {
  Attacher attacher(kernel, pid);
  auto listener = attacher.Attach(stack);
  base::Result<void> done;
  if (!listener) {
    done = base::Fail(listener.error());
  } else {
    done = attacher.Restore(options);
  }
  if (done) return {Attached::kYes, std::move(*listener)};
  if (attacher.gone()) return {Attached::kGone, {}};
  report(done.error());
  return {attacher.EndProgram(), {}};
}

}  // namespace callgate::launch
