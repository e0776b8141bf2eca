#pragma once

#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "abi/call.h"
#include "base/unique_fd.h"
#include "kernel/machine.h"

// The seam. Everything callgate asks of seccomp(2), seccomp_unotify(2), ptrace(2) and pidfds goes
// through this interface, and only this folder makes those calls. It is thin on purpose: one method
// is one system call, so that what a kernel answers (and which errno it answers with) can be played
// by an in-memory fake, and every judgement about an answer lives above, where it can be tested.
//
// Results carry the plain errno, not a base::Error: ENOENT after a receive means "again", after an
// open it means "missing". The caller knows the words.

namespace callgate::kernel {

template <typename T>
using SysResult = std::expected<T, int>;  // errno(3) value

// Constants younger than the oldest kernel headers this builds with.
inline constexpr std::uint32_t kFlagWaitKillableRecv = 1u << 5;  // Linux 5.19
inline constexpr std::uint64_t kSyncWakeUp = 1u << 0;            // Linux 6.6
// PTRACE_SETOPTIONS and wait status values, as ptrace(2) names them; <sys/ptrace.h> and
// <linux/ptrace.h> cannot be included together.
enum class TraceEvent : std::uint8_t {
  kNone = 0,
  kFork = 1,
  kVfork = 2,
  kClone = 3,
  kExec = 4,
  kVforkDone = 5,
  kExit = 6,
  kSeccomp = 7,
  kStop = 128,
};
inline constexpr std::uint32_t kTraceSysGood = 1u << 0;
inline constexpr std::uint32_t kTraceFork = 1u << 1;
inline constexpr std::uint32_t kTraceVfork = 1u << 2;
inline constexpr std::uint32_t kTraceClone = 1u << 3;
inline constexpr std::uint32_t kTraceExec = 1u << 4;
inline constexpr std::uint32_t kTraceExit = 1u << 6;
inline constexpr std::uint32_t kTraceSeccomp = 1u << 7;
inline constexpr std::uint32_t kExitKill = 1u << 20;

// One call of a target that waits for an answer.
struct Notification {
  std::uint64_t id = 0;
  pid_t tid = 0;  // in the reader's pid namespace; 0: not visible from there
  abi::Call call;
};

// Where the kernel writes a notification as it hands it out. In memory that processes share,
// another one sees which call was taken, also if the thread that took it never gets to run again.
struct NotificationRoom {
  std::atomic<std::uint64_t> id;    // 0: none. First in the kernel's structure too
  std::array<std::byte, 120> rest;  // it may grow
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes may share it");

// GET_NOTIF_SIZES: what this kernel's structures measure, in bytes. They may grow.
struct NotificationSizes {
  std::uint16_t notification = 0;
  std::uint16_t response = 0;
  std::uint16_t data = 0;
};

// PIDFD_GET_INFO, the parts in use. Ids as the caller's namespaces number them.
struct ThreadInfo {
  pid_t tid = 0;
  pid_t tgid = 0;
  std::array<uid_t, 4> uids{};  // real, effective, saved, file system
  std::array<gid_t, 4> gids{};
};

// What waitid(2) told; `status` as waitpid(2) has it. tid 0: nothing to tell (WNOHANG).
struct WaitEvent {
  pid_t tid = 0;
  int status = 0;
};

enum class Resume : std::uint8_t {
  kContinue,
  kToSyscall,  // stop at the next entry or exit of a system call
  kListen,     // stay group-stopped, but report what happens (SIGCONT)
  kDetach,
};

// PTRACE_GET_SYSCALL_INFO, the parts in use.
struct SyscallStop {
  enum class Side : std::uint8_t { kNone = 0, kEntry = 1, kExit = 2, kSeccomp = 3 };

  Side side = Side::kNone;
  std::uint32_t arch = 0;  // AUDIT_ARCH_*
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  // --- seccomp(2)
  // EOPNOTSUPP: this kernel does not know the action. `action` is a SECCOMP_RET_* value.
  virtual SysResult<void> QueryAction(std::uint32_t action) = 0;
  // EFAULT: all of these SECCOMP_FILTER_FLAG_* are known here; EINVAL: one is not. Never succeeds.
  virtual int QueryFilterFlags(std::uint32_t flags) = 0;
  virtual SysResult<NotificationSizes> QueryNotificationSizes() = 0;
  // Adds a filter to the calling thread. `program` holds struct sock_filter, 8 bytes each, at most
  // 4096. Result: the listener with SECCOMP_FILTER_FLAG_NEW_LISTENER; with TSYNC (without
  // TSYNC_ESRCH) the id of a thread that stood in the way; else 0.
  virtual SysResult<int> AddFilter(std::span<const std::byte> program, std::uint32_t flags) = 0;
  virtual SysResult<void> SetNoNewPrivileges() = 0;

  // --- seccomp_unotify(2)
  // Blocks until a target calls, and ignores O_NONBLOCK: poll first. ENOENT (the target died in
  // between) and EINTR mean "again". What was in the room is forgotten.
  virtual SysResult<Notification> Receive(int listener, NotificationRoom& room) = 0;
  // The call fails with that errno, or returns 0 where that is 0. ENOENT: the target is gone or a
  // signal took the call away. EINPROGRESS: already answered. The same for the other answers.
  // Several threads may receive and reply at once.
  virtual SysResult<void> ReplyErrno(int listener, std::uint64_t id, int errno_value) = 0;
  virtual SysResult<void> ReplyValue(int listener, std::uint64_t id, std::int64_t value) = 0;
  // The call goes on, and the kernel reads again whatever the decision was made on.
  virtual SysResult<void> ReplyContinueUnchecked(int listener, std::uint64_t id) = 0;
  // Puts a duplicate of `fd` into the file table of the waiting thread, closes ours, and then makes
  // the call return its number (Linux 5.9): what the caller closes is nowhere open any more.
  // `new_fd_flags`: O_CLOEXEC or 0. EMFILE and other failures leave the call waiting.
  virtual SysResult<int> ReplyDescriptor(int listener, std::uint64_t id, base::UniqueFd fd,
                                         std::uint32_t new_fd_flags) = 0;
  // Does the call still wait? If so, the thread id in its notification still names that thread.
  virtual bool IsPending(int listener, std::uint64_t id) = 0;
  // Hand the CPU over directly on wake-up. EINVAL or ENOTTY before Linux 6.6: harmless.
  virtual SysResult<void> WakeSynchronously(int listener) = 0;

  // --- ptrace(2). Requests come from the thread that seized.
  virtual SysResult<void> Seize(pid_t tid, std::uint32_t options) = 0;
  virtual SysResult<void> Interrupt(pid_t tid) = 0;  // stop it; the stop is reported by Wait
  virtual SysResult<void> SetTraceOptions(pid_t tid, std::uint32_t options) = 0;
  // `signal` 0 delivers none; the siginfo of the signal the tracee stopped for is kept.
  virtual SysResult<void> Continue(pid_t tid, Resume how, int signal) = 0;
  virtual SysResult<std::uint64_t> EventMessage(pid_t tid) = 0;
  virtual SysResult<siginfo_t> SignalInfo(pid_t tid) = 0;
  virtual SysResult<SyscallStop> SyscallInfo(pid_t tid) = 0;
  virtual SysResult<Registers> GetRegisters(pid_t tid) = 0;
  virtual SysResult<void> SetRegisters(pid_t tid, const Registers& registers) = 0;
  virtual SysResult<std::uint64_t> PeekWord(pid_t tid, std::uint64_t address) = 0;
  virtual SysResult<void> PokeWord(pid_t tid, std::uint64_t address, std::uint64_t word) = 0;
  virtual SysResult<std::uint64_t> GetSignalMask(pid_t tid) = 0;
  virtual SysResult<void> SetSignalMask(pid_t tid, std::uint64_t mask) = 0;
  // PTRACE_SECCOMP_GET_FILTER: the program of a stopped thread's filter as struct sock_filter, 8
  // bytes each; index 0 is the oldest. ENOENT: no filter of that index; EINVAL: none at all;
  // EACCES: the caller lacks CAP_SYS_ADMIN or is under a filter; EMEDIUMTYPE: not made of classic
  // BPF. Kernels that cannot tell (CONFIG_CHECKPOINT_RESTORE) say EINVAL too, old ones EIO.
  virtual SysResult<std::vector<std::byte>> ReadFilter(pid_t tid, std::uint32_t index) = 0;
  // SECCOMP_MODE_* of a thread that is stopped or not (proc_pid_status(5)).
  virtual SysResult<int> SeccompMode(pid_t tid) = 0;
  // waitid(2) with __WALL; `options`: WSTOPPED, WEXITED or both, and WNOHANG, WNOWAIT. Stops of
  // traced threads are told whatever is asked for. tid -1: any. EINTR is retried. A traced
  // process's own parent learns of its end only when it is waited for here without WNOWAIT.
  virtual SysResult<WaitEvent> Wait(pid_t tid, int options) = 0;
  virtual SysResult<void> SendSignal(pid_t tgid, pid_t tid, int signal) = 0;

  // --- pidfds and memory
  virtual SysResult<base::UniqueFd> OpenPidfd(pid_t pid) = 0;
  // Of one thread, leader or not (PIDFD_THREAD). EINVAL before Linux 6.9.
  virtual SysResult<base::UniqueFd> OpenThreadPidfd(pid_t tid) = 0;
  virtual SysResult<void> SignalProcess(int pidfd, int signal) = 0;
  // Of a thread's pidfd. ESRCH: it is gone. ENOTTY before Linux 6.13.
  virtual SysResult<ThreadInfo> QueryThread(int pidfd) = 0;
  // A duplicate of the target's descriptor: from the table of the process's first thread, or of the
  // very thread for a thread's pidfd. Needs the right to trace the target, and Linux 5.6.
  virtual SysResult<base::UniqueFd> TakeDescriptor(int pidfd, int target_fd) = 0;
  // Bytes moved; may be fewer than asked. Respects page protection as the kernel would for the
  // target itself.
  virtual SysResult<std::size_t> ReadMemory(pid_t tid, std::uint64_t address,
                                            std::span<std::byte> into) = 0;
  virtual SysResult<std::size_t> WriteMemory(pid_t tid, std::uint64_t address,
                                             std::span<const std::byte> from) = 0;

  // poll(2); timeout -1: none. EINTR is reported as 0 ready descriptors.
  virtual SysResult<int> Poll(std::span<pollfd> descriptors, int timeout_ms) = 0;
};

// The kernel this process runs on.
Kernel& RealKernel();

}  // namespace callgate::kernel
