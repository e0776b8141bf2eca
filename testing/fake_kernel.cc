#include "testing/fake_kernel.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

namespace callgate::testing {
namespace {

using kernel::Resume;
using kernel::SyscallStop;
using kernel::SysResult;
using kernel::TraceEvent;

constexpr int StopStatus(int signal, TraceEvent event = TraceEvent::kNone) {
  return static_cast<int>(event) << 16 | signal << 8 | 0x7f;
}
constexpr int kSyscallStop = StopStatus(SIGTRAP | 0x80);

SysResult<void> Answer(int errno_value) {
  if (errno_value != 0) return std::unexpected(errno_value);
  return {};
}

// x86_64 and i386 numbers of the calls that are injected.
bool IsClone(std::uint32_t nr) { return nr == 56 || nr == 120; }
bool IsSeccomp(std::uint32_t nr) { return nr == 317 || nr == 354; }
bool IsExit(std::uint32_t nr) { return nr == 60 || nr == 1 || nr == 231 || nr == 252; }

}  // namespace

FakeKernel::FakeKernel() {
  registers.rip = kEntry;
  registers.rsp = kStack;
  registers.cs = 0x33;
  registers.rax = 0;
  registers.orig_rax = 59;  // execve
  registers.rbx = 0xb;
  on_call = [](std::uint32_t nr) -> std::optional<std::int64_t> {
    if (IsClone(nr)) return kHelper;
    if (IsSeccomp(nr)) return kListenerInTarget;
    if (IsExit(nr)) return std::nullopt;
    return 0;
  };
}

SysResult<void> FakeKernel::QueryAction(std::uint32_t action) {
  auto refused = refused_actions.find(action);
  return Answer(refused == refused_actions.end() ? 0 : refused->second);
}
int FakeKernel::QueryFilterFlags(std::uint32_t flags) {
  return (flags & ~known_flags) == 0 ? EFAULT : EINVAL;
}
SysResult<kernel::NotificationSizes> FakeKernel::QueryNotificationSizes() { return sizes; }
SysResult<int> FakeKernel::AddFilter(std::span<const std::byte> program, std::uint32_t flags) {
  installed.assign(program.begin(), program.end());
  filter_flags.push_back(flags);
  if (add_filter_result < 0) return std::unexpected(-add_filter_result);
  return add_filter_result;
}
SysResult<void> FakeKernel::SetNoNewPrivileges() { return Answer(no_new_privileges_error); }

int FakeKernel::OpenListener() {
  hangs_up_ = false;
  listener_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return listener_fd_;
}
void FakeKernel::Notify(const kernel::Notification& notification) {
  std::lock_guard lock(mutex_);
  notifications.emplace_back(notification);
}
bool FakeKernel::HasNoNotifications() {
  std::lock_guard lock(mutex_);
  return notifications.empty();
}

SysResult<kernel::Notification> FakeKernel::Receive(int, kernel::NotificationRoom& room) {
  std::unique_lock lock(mutex_);
  if (notifications.empty()) {
    // The real one blocks until a signal comes.
    lock.unlock();
    usleep(1000);
    lock.lock();
    return std::unexpected(program_gone_ ? ENOENT : EINTR);
  }
  auto next = notifications.front();
  notifications.pop_front();
  room.id = next ? next->id : 0;
  return next;
}
SysResult<void> FakeKernel::NextReply() {
  int error = 0;
  if (!reply_errors.empty()) {
    error = reply_errors.front();
    reply_errors.pop_front();
  }
  return Answer(error);
}
SysResult<void> FakeKernel::ReplyErrno(int, std::uint64_t id, int errno_value) {
  std::lock_guard lock(mutex_);
  replies.emplace_back(id, errno_value);
  return NextReply();
}
SysResult<void> FakeKernel::ReplyValue(int, std::uint64_t id, std::int64_t value) {
  std::lock_guard lock(mutex_);
  values.emplace_back(id, value);
  return NextReply();
}
SysResult<void> FakeKernel::ReplyContinueUnchecked(int, std::uint64_t id) {
  std::lock_guard lock(mutex_);
  continued.push_back(id);
  return NextReply();
}
SysResult<int> FakeKernel::ReplyDescriptor(int, std::uint64_t id, base::UniqueFd,
                                           std::uint32_t new_fd_flags) {
  std::lock_guard lock(mutex_);
  if (gone.contains(id)) return std::unexpected(ENOENT);
  if (add_descriptor_error != 0) return std::unexpected(add_descriptor_error);
  injected.emplace_back(id, new_fd_flags);
  return kListenerInTarget + 1;
}
bool FakeKernel::IsPending(int, std::uint64_t id) {
  std::lock_guard lock(mutex_);
  return !gone.contains(id);
}
SysResult<void> FakeKernel::WakeSynchronously(int) { return {}; }

SysResult<void> FakeKernel::Seize(pid_t, std::uint32_t options) {
  trace_options = options;
  return Answer(seize_error);
}
SysResult<void> FakeKernel::Interrupt(pid_t tid) {
  interrupted.push_back(tid);
  threads_[tid].stops.push_back(StopStatus(SIGTRAP, TraceEvent::kStop));
  return {};
}
SysResult<void> FakeKernel::SetTraceOptions(pid_t, std::uint32_t options) {
  trace_options = options;
  return {};
}

void FakeKernel::ReadInstalled(const kernel::Registers& from) {
  std::uint64_t place = from.rdx;  // the third argument on both ABIs
  auto read = [&](std::uint64_t address, std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = memory[address + i];
    return bytes;
  };
  std::size_t pointer_size = is_32bit ? 4 : 8;
  std::vector<std::byte> header = read(place, 2 * pointer_size);
  std::uint16_t count = 0;
  std::uint64_t address = 0;
  std::memcpy(&count, header.data(), sizeof count);
  std::memcpy(&address, header.data() + pointer_size, pointer_size);
  installed = read(address, std::size_t{count} * 8);
  filter_flags.push_back(static_cast<std::uint32_t>(is_32bit ? from.rcx : from.rsi));
}

// From one stop to the next, as PTRACE_SYSCALL goes.
void FakeKernel::Advance(pid_t tid, Thread& thread) {
  switch (thread.phase) {
    case Phase::kInExec:
      thread.registers = registers;
      thread.side = SyscallStop::Side::kExit;
      thread.phase = Phase::kOutside;
      thread.stops.push_back(kSyscallStop);
      return;
    case Phase::kOutside:
      if (stopped_thread == tid) {
        stopped_thread = 0;
        thread.stops.push_back(StopStatus(SIGSTOP));
        return;
      }
      thread.side = SyscallStop::Side::kEntry;
      thread.phase = Phase::kEntered;
      thread.stops.push_back(kSyscallStop);
      return;
    case Phase::kEntered: {
      auto nr = static_cast<std::uint32_t>(thread.registers.rax);
      calls.emplace_back(tid, nr);
      if (IsSeccomp(nr)) ReadInstalled(thread.registers);
      auto result = on_call(nr);
      if (!result) {
        thread.phase = Phase::kDead;
        thread.stops.push_back(tid == kHelper ? 0 : SIGKILL);
        return;
      }
      if (IsClone(nr) && *result > 0) {
        helper_alive = true;
        threads_[kHelper] = Thread{};
        threads_[kHelper].stops.push_back(StopStatus(SIGTRAP, TraceEvent::kStop));
        thread.stops.push_back(StopStatus(SIGTRAP, TraceEvent::kClone));
      }
      thread.registers.rax = static_cast<std::uint64_t>(*result);
      thread.side = SyscallStop::Side::kExit;
      thread.phase = Phase::kOutside;
      thread.stops.push_back(kSyscallStop);
      return;
    }
    case Phase::kDead:
      return;
  }
}

SysResult<void> FakeKernel::Continue(pid_t tid, Resume how, int signal) {
  if (signal == SIGSTOP && how != Resume::kDetach && threads_.contains(tid)) {
    stops_delivered.push_back(tid);
    threads_[tid].stops.push_back(StopStatus(SIGSTOP, TraceEvent::kStop));
    return {};
  }
  if (how == Resume::kToSyscall) {
    Thread& thread = threads_.try_emplace(tid, Thread{.phase = Phase::kInExec}).first->second;
    if (thread.stops.empty()) Advance(tid, thread);
    return {};
  }
  if (tid == kHelper && stopped_thread == tid) {
    stopped_thread = 0;
    threads_[tid].stops.push_back(StopStatus(SIGSTOP));
    return {};
  }
  if (tid == kHelper && helper_alive) {
    helper_alive = false;
    calls.emplace_back(tid, static_cast<std::uint32_t>(threads_[tid].registers.rax));
    threads_[tid].stops.push_back(0);  // exited
    return {};
  }
  resumed.push_back({tid, {how, signal}});
  return {};
}

SysResult<std::uint64_t> FakeKernel::EventMessage(pid_t) { return event_message; }
SysResult<siginfo_t> FakeKernel::SignalInfo(pid_t) { return signal_info; }
SysResult<SyscallStop> FakeKernel::SyscallInfo(pid_t tid) {
  return SyscallStop{threads_[tid].side, call_arch};
}
SysResult<kernel::Registers> FakeKernel::GetRegisters(pid_t tid) {
  auto thread = threads_.find(tid);
  return thread == threads_.end() || told_[tid] ? registers : thread->second.registers;
}
SysResult<void> FakeKernel::SetRegisters(pid_t tid, const kernel::Registers& value) {
  threads_[tid].registers = value;
  return {};
}
SysResult<std::uint64_t> FakeKernel::PeekWord(pid_t, std::uint64_t) {
  if (peek_error != 0) return std::unexpected(peek_error);
  return code_word;
}
SysResult<void> FakeKernel::PokeWord(pid_t, std::uint64_t, std::uint64_t word) {
  if (poke_error != 0) return std::unexpected(poke_error);
  code_word = word;
  return {};
}
SysResult<std::uint64_t> FakeKernel::GetSignalMask(pid_t) { return signal_mask; }
SysResult<void> FakeKernel::SetSignalMask(pid_t, std::uint64_t mask) {
  signal_mask = mask;
  return {};
}

SysResult<std::vector<std::byte>> FakeKernel::ReadFilter(pid_t, std::uint32_t index) {
  if (read_filter_error != 0) return std::unexpected(read_filter_error);
  if (filters.empty()) return std::unexpected(EINVAL);
  if (index >= filters.size()) return std::unexpected(ENOENT);
  return filters[index];
}

SysResult<int> FakeKernel::SeccompMode(pid_t) {
  return filters.empty() ? SECCOMP_MODE_DISABLED : SECCOMP_MODE_FILTER;
}

SysResult<kernel::WaitEvent> FakeKernel::Wait(pid_t tid, int options) {
  std::lock_guard lock(mutex_);
  if (tid > 0 && (options & WSTOPPED) != 0) {
    Thread& thread = threads_[tid];
    if (thread.stops.empty()) return std::unexpected(EDEADLK);  // the real one would block forever
    int status = thread.stops.front();
    thread.stops.pop_front();
    return kernel::WaitEvent{tid, status};
  }
  const bool is_wanted =
      !events.empty() && (WIFSTOPPED(events.front().status) || (options & WEXITED) != 0);
  if (is_wanted) {
    kernel::WaitEvent event = events.front();
    if ((options & WNOWAIT) != 0) return event;
    events.pop_front();
    told_[event.tid] = event.status >> 16 != static_cast<int>(TraceEvent::kExec);
    return event;
  }
  if (program_gone_) return std::unexpected(ECHILD);
  return (options & WNOHANG) != 0 ? SysResult<kernel::WaitEvent>(kernel::WaitEvent{})
                                  : std::unexpected(EDEADLK);
}
SysResult<void> FakeKernel::SignalProcess(int, int) { return Answer(signal_process_error); }

SysResult<void> FakeKernel::SendSignal(pid_t, pid_t tid, int signal) {
  std::lock_guard lock(mutex_);
  signals_sent.emplace_back(tid, signal);
  return {};
}

SysResult<base::UniqueFd> FakeKernel::OpenPidfd(pid_t) {
  return base::UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}
SysResult<base::UniqueFd> FakeKernel::OpenThreadPidfd(pid_t tid) {
  if (thread_pidfd_error != 0) return std::unexpected(thread_pidfd_error);
  return OpenPidfd(tid);
}
SysResult<kernel::ThreadInfo> FakeKernel::QueryThread(int) { return thread_info; }
SysResult<base::UniqueFd> FakeKernel::TakeDescriptor(int, int target_fd) {
  if (missing_pidfd_getfd != 0) return std::unexpected(missing_pidfd_getfd);
  if (target_fd != kListenerInTarget) return std::unexpected(EBADF);
  if (take_descriptor_error != 0) return std::unexpected(take_descriptor_error);
  listener_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return base::UniqueFd(listener_fd_);
}
SysResult<std::size_t> FakeKernel::ReadMemory(pid_t, std::uint64_t address,
                                              std::span<std::byte> into) {
  std::size_t size = 0;
  auto readable = [&](std::uint64_t at) {
    return memory.contains(at) && !unreadable_pages.contains(at / 4096);
  };
  while (size < into.size() && readable(address + size)) {
    into[size] = memory[address + size];
    ++size;
  }
  if (size == 0) return std::unexpected(EFAULT);
  return size;
}
SysResult<std::size_t> FakeKernel::WriteMemory(pid_t, std::uint64_t address,
                                               std::span<const std::byte> from) {
  if (write_memory_error != 0) return std::unexpected(write_memory_error);
  for (std::size_t i = 0; i < from.size(); ++i) memory[address + i] = from[i];
  return from.size();
}

SysResult<int> FakeKernel::Poll(std::span<pollfd> descriptors, int) {
  // What is not played is real.
  if (poll(descriptors.data(), descriptors.size(), 0) < 0) return std::unexpected(errno);
  std::lock_guard lock(mutex_);
  int ready = 0;
  for (pollfd& descriptor : descriptors) {
    if (descriptor.fd >= 0 && descriptor.fd == listener_fd_) {
      descriptor.revents = 0;
      if (!notifications.empty()) {
        descriptor.revents = static_cast<short>(descriptor.events & POLLIN);
      } else if (program_gone_) {
        descriptor.revents = POLLHUP;
      }
    }
    if (descriptor.revents != 0) ++ready;
  }
  program_gone_ |= hangs_up_ && ready == 0 && events.empty() && notifications.empty();
  return ready;
}

}  // namespace callgate::testing
