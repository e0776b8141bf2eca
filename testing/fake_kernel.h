#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernel/kernel.h"

namespace callgate::testing {

// A kernel in memory. It plays one stopped program whose calls are answered by `on_call`, and a
// listener with a queue of notifications. Whatever can go wrong is set by a member; what callgate
// did is read from another. Once nothing is left to happen, the program is gone and the listener
// hangs up, so that a supervisor loop ends. Several threads may serve its listener; set members
// before they start and read them after they ended.
class FakeKernel final : public kernel::Kernel {
 public:
  static constexpr pid_t kProgram = 100;
  static constexpr pid_t kHelper = 101;
  static constexpr int kListenerInTarget = 3;
  static constexpr std::uint64_t kEntry = 0x401003;  // not aligned, as entry points may be
  static constexpr std::uint64_t kStack = 0x7ffd0000;
  static constexpr std::uint64_t kCodeWord = 0x1122334455667788;
  static constexpr std::uint64_t kMask = 0x4000;

  FakeKernel();

  // --- what it plays
  std::map<std::uint32_t, int> refused_actions;  // action → errno
  std::uint32_t known_flags = 0x3f;
  kernel::NotificationSizes sizes{80, 24, 64};
  int take_descriptor_error = 0;  // pidfd_getfd of a real listener
  int missing_pidfd_getfd = 0;    // errno of any pidfd_getfd
  int seize_error = 0;
  int poke_error = 0;
  int peek_error = 0;
  int write_memory_error = 0;
  int add_filter_result = 0;  // negative: -errno
  int no_new_privileges_error = 0;
  std::vector<std::vector<std::byte>> filters;  // of the program, oldest first
  int read_filter_error = 0;                    // EMEDIUMTYPE, EACCES
  bool is_32bit = false;
  pid_t stopped_thread = 0;  // a SIGSTOP reaches this thread at its next injected call
  // Result of an injected call, by its number on the program's ABI; nullopt: the thread dies in it.
  std::function<std::optional<std::int64_t>(std::uint32_t nr)> on_call;
  std::deque<kernel::SysResult<kernel::Notification>> notifications;
  std::deque<int> reply_errors;  // one for each reply; 0 or none left: it works
  std::set<std::uint64_t> gone;  // ids whose thread died
  int add_descriptor_error = 0;  // of ReplyDescriptor
  int thread_pidfd_error = 0;    // EINVAL: a kernel before 6.9
  // What a thread's pidfd tells; an errno: it is gone, or a kernel before 6.13.
  kernel::SysResult<kernel::ThreadInfo> thread_info = std::unexpected(ENOTTY);
  // (page number) → readable; pages that are not named are as `memory` says.
  std::set<std::uint64_t> unreadable_pages;
  std::deque<kernel::WaitEvent> events;  // told to Wait(-1), ends also by their ids
  kernel::Registers registers{};         // of the program
  std::uint64_t event_message = 0;
  siginfo_t signal_info{};
  int signal_process_error = ESRCH;      // whoever a pidfd is of is gone
  std::uint32_t call_arch = 0xc000003e;  // AUDIT_ARCH_X86_64

  // --- what was done to it
  std::vector<std::pair<pid_t, std::uint32_t>> calls;             // injected: thread, number
  std::vector<std::pair<std::uint64_t, int>> replies;             // id, errno
  std::vector<std::pair<std::uint64_t, std::int64_t>> values;     // id, returned value
  std::vector<std::uint64_t> continued;                           // ids
  std::vector<std::pair<std::uint64_t, std::uint32_t>> injected;  // id, newfd flags
  std::vector<std::pair<pid_t, std::pair<kernel::Resume, int>>> resumed;  // of told events
  std::vector<std::pair<pid_t, int>> signals_sent;
  std::vector<pid_t> stops_delivered;  // threads that were given their SIGSTOP
  std::vector<pid_t> interrupted;
  std::map<std::uint64_t, std::byte> memory;  // bytes of the program that were written
  std::uint64_t code_word = kCodeWord;
  std::uint64_t signal_mask = kMask;
  std::uint32_t trace_options = 0;
  std::vector<std::uint32_t> filter_flags;  // of AddFilter and of injected seccomp()
  bool helper_alive = false;

  // For a test of the listener alone: it never hangs up.
  int OpenListener();
  void Notify(const kernel::Notification& notification);
  bool HasNoNotifications();

  // The instructions the program last gave to seccomp(), as read through its pointer.
  std::vector<std::byte> installed;

  // --- Kernel
  kernel::SysResult<void> QueryAction(std::uint32_t action) override;
  int QueryFilterFlags(std::uint32_t flags) override;
  kernel::SysResult<kernel::NotificationSizes> QueryNotificationSizes() override;
  kernel::SysResult<int> AddFilter(std::span<const std::byte> program,
                                   std::uint32_t flags) override;
  kernel::SysResult<void> SetNoNewPrivileges() override;
  kernel::SysResult<kernel::Notification> Receive(int listener,
                                                  kernel::NotificationRoom& room) override;
  kernel::SysResult<void> ReplyErrno(int listener, std::uint64_t id, int errno_value) override;
  kernel::SysResult<void> ReplyValue(int listener, std::uint64_t id, std::int64_t value) override;
  kernel::SysResult<void> ReplyContinueUnchecked(int listener, std::uint64_t id) override;
  kernel::SysResult<int> ReplyDescriptor(int listener, std::uint64_t id, base::UniqueFd fd,
                                         std::uint32_t new_fd_flags) override;
  bool IsPending(int listener, std::uint64_t id) override;
  kernel::SysResult<void> WakeSynchronously(int listener) override;
  kernel::SysResult<void> Seize(pid_t tid, std::uint32_t options) override;
  kernel::SysResult<void> Interrupt(pid_t tid) override;
  kernel::SysResult<void> SetTraceOptions(pid_t tid, std::uint32_t options) override;
  kernel::SysResult<void> Continue(pid_t tid, kernel::Resume how, int signal) override;
  kernel::SysResult<std::uint64_t> EventMessage(pid_t tid) override;
  kernel::SysResult<siginfo_t> SignalInfo(pid_t tid) override;
  kernel::SysResult<kernel::SyscallStop> SyscallInfo(pid_t tid) override;
  kernel::SysResult<kernel::Registers> GetRegisters(pid_t tid) override;
  kernel::SysResult<void> SetRegisters(pid_t tid, const kernel::Registers& value) override;
  kernel::SysResult<std::uint64_t> PeekWord(pid_t tid, std::uint64_t address) override;
  kernel::SysResult<void> PokeWord(pid_t tid, std::uint64_t address, std::uint64_t word) override;
  kernel::SysResult<std::uint64_t> GetSignalMask(pid_t tid) override;
  kernel::SysResult<void> SetSignalMask(pid_t tid, std::uint64_t mask) override;
  kernel::SysResult<std::vector<std::byte>> ReadFilter(pid_t tid, std::uint32_t index) override;
  kernel::SysResult<int> SeccompMode(pid_t tid) override;
  kernel::SysResult<kernel::WaitEvent> Wait(pid_t tid, int options) override;
  kernel::SysResult<void> SendSignal(pid_t tgid, pid_t tid, int signal) override;
  kernel::SysResult<void> SignalProcess(int pidfd, int signal) override;
  kernel::SysResult<base::UniqueFd> OpenPidfd(pid_t pid) override;
  kernel::SysResult<base::UniqueFd> OpenThreadPidfd(pid_t tid) override;
  kernel::SysResult<kernel::ThreadInfo> QueryThread(int pidfd) override;
  kernel::SysResult<base::UniqueFd> TakeDescriptor(int pidfd, int target_fd) override;
  kernel::SysResult<std::size_t> ReadMemory(pid_t tid, std::uint64_t address,
                                            std::span<std::byte> into) override;
  kernel::SysResult<std::size_t> WriteMemory(pid_t tid, std::uint64_t address,
                                             std::span<const std::byte> from) override;
  kernel::SysResult<int> Poll(std::span<pollfd> descriptors, int timeout_ms) override;

 private:
  kernel::SysResult<void> NextReply();
  // Where an injected thread stands between two stops.
  enum class Phase : std::uint8_t { kInExec, kOutside, kEntered, kDead };
  struct Thread {
    Phase phase = Phase::kOutside;
    kernel::Registers registers{};
    kernel::SyscallStop::Side side = kernel::SyscallStop::Side::kNone;
    std::deque<int> stops = {};  // wait statuses to come
  };

  void Advance(pid_t tid, Thread& thread);
  void ReadInstalled(const kernel::Registers& from);

  std::map<pid_t, Thread> threads_;
  std::map<pid_t, bool> told_;  // stopped by an event of `events`
  std::mutex mutex_;            // of what several threads ask for
  int listener_fd_ = -1;
  bool program_gone_ = false;
  bool hangs_up_ = true;
};

}  // namespace callgate::testing
