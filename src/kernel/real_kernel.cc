#include <fcntl.h>
#include <linux/filter.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/kernel.h"

namespace callgate::kernel {
namespace {

// siginfo_t's two fields as one word of waitpid(2).
int WaitStatus(const siginfo_t& info) {
  switch (info.si_code) {
    case CLD_EXITED:
      return info.si_status << 8;
    case CLD_KILLED:
      return info.si_status;
    case CLD_DUMPED:
      return info.si_status | WCOREFLAG;
    default:
      return info.si_status << 8 | 0x7f;
  }
}

// Its argument travels by value although _IOW says "pointer": see seccomp_notify_ioctl in
// kernel/seccomp.c.
constexpr unsigned long kSetFlags = SECCOMP_IOW(4, std::uint64_t);
constexpr unsigned kPidfdThread = O_EXCL;  // PIDFD_THREAD, Linux 6.9

// linux/pidfd.h since 6.13; may grow at its end, and the kernel is told our size by the request.
struct PidfdInfo {
  std::uint64_t mask, cgroup_id;
  std::uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);  // PIDFD_INFO_SIZE_VER0
constexpr unsigned long kPidfdGetInfo = _IOWR(0xff, 11, PidfdInfo);
constexpr std::uint64_t kPidfdInfoWanted = 1 << 0 | 1 << 1;  // PIDFD_INFO_PID, PIDFD_INFO_CREDS

// PTRACE_SEIZE'd requests; glibc's enum lacks none of them, but its functions take void*.
template <typename Data>
SysResult<void> Trace(__ptrace_request request, pid_t tid, std::uint64_t address, Data data) {
  if (ptrace(request, tid, reinterpret_cast<void*>(address), data) < 0) {
    return std::unexpected(errno);
  }
  return {};
}

// Zeroed memory for a structure of the kernel's size, which may have grown: usually on the stack.
class Buffer {
 public:
  explicit Buffer(std::size_t size) {
    if (size > usual_.size()) grown_.resize(size);
  }
  std::byte* data() { return grown_.empty() ? usual_.data() : grown_.data(); }

 private:
  alignas(std::uint64_t) std::array<std::byte, 128> usual_{};
  std::vector<std::byte> grown_;
};

void* AsPointer(std::uint64_t value) { return reinterpret_cast<void*>(value); }

class RealKernelImpl final : public Kernel {
 public:
  SysResult<void> QueryAction(std::uint32_t action) override {
    return Void(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
  }

  int QueryFilterFlags(std::uint32_t flags) override {
    // No program at address 0: flags are checked first (kernel/seccomp.c, seccomp_set_mode_filter).
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, nullptr) < 0 ? errno : 0;
  }

  SysResult<NotificationSizes> QueryNotificationSizes() override {
    seccomp_notif_sizes sizes{};
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0) {
      return std::unexpected(errno);
    }
    return NotificationSizes{sizes.seccomp_notif, sizes.seccomp_notif_resp, sizes.seccomp_data};
  }

  SysResult<int> AddFilter(std::span<const std::byte> program, std::uint32_t flags) override {
    if (program.size() % sizeof(sock_filter) != 0 || program.size() / sizeof(sock_filter) > 4096) {
      return std::unexpected(EINVAL);  // what the kernel says; `len` could not even hold it
    }
    sock_fprog pointer{
        .len = static_cast<unsigned short>(program.size() / sizeof(sock_filter)),
        .filter = reinterpret_cast<sock_filter*>(const_cast<std::byte*>(program.data()))};
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &pointer);
    if (result < 0) return std::unexpected(errno);
    return static_cast<int>(result);
  }

  SysResult<void> SetNoNewPrivileges() override {
    return Void(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  }

  SysResult<Notification> Receive(int listener, NotificationRoom& room) override {
    static_assert(offsetof(seccomp_notif, id) == 0 && sizeof(seccomp_notif) <= sizeof room);
    auto sizes = Sizes();
    if (!sizes) return std::unexpected(sizes.error());
    auto* bytes = reinterpret_cast<std::byte*>(&room);
    std::fill_n(bytes, sizeof room, std::byte{});  // zero: anything else is EINVAL
    std::vector<std::byte> grown;
    if (sizes->notification > sizeof room) {
      grown.resize(sizes->notification);
      bytes = grown.data();
    }
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, bytes) < 0) return std::unexpected(errno);
    seccomp_notif raw;
    std::memcpy(&raw, bytes, sizeof raw);
    room.id.store(raw.id, std::memory_order_release);
    Notification notification{.id = raw.id, .tid = static_cast<pid_t>(raw.pid), .call = {}};
    notification.call = std::bit_cast<abi::Call>(raw.data);
    return notification;
  }

  SysResult<void> ReplyErrno(int listener, std::uint64_t id, int errno_value) override {
    // Negative: a positive value would become a successful result.
    return Reply(listener, {.id = id, .val = 0, .error = -errno_value, .flags = 0});
  }
  SysResult<void> ReplyValue(int listener, std::uint64_t id, std::int64_t value) override {
    return Reply(listener, {.id = id, .val = value, .error = 0, .flags = 0});
  }
  SysResult<void> ReplyContinueUnchecked(int listener, std::uint64_t id) override {
    return Reply(listener,
                 {.id = id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE});
  }
  SysResult<int> ReplyDescriptor(int listener, std::uint64_t id, base::UniqueFd fd,
                                 std::uint32_t new_fd_flags) override {
    // Not SECCOMP_ADDFD_FLAG_SEND. It marks the call as answered before the target has taken the
    // descriptor, and a signal in between (SIGSTOP, a freezer, a suspended machine) takes the
    // descriptor back but not the mark: the call then returns 0, a descriptor that is another file.
    seccomp_notif_addfd add{.id = id,
                            .flags = 0,
                            .srcfd = static_cast<std::uint32_t>(fd.get()),
                            .newfd = 0,
                            .newfd_flags = new_fd_flags};
    int result = -1;
    do {
      result = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    } while (result < 0 && errno == EINTR);  // then it was not given
    if (result < 0) return std::unexpected(errno);
    fd.Reset();
    if (auto replied = ReplyValue(listener, id, result); !replied) {
      return std::unexpected(replied.error());
    }
    return result;
  }

  bool IsPending(int listener, std::uint64_t id) override {
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
  }

  SysResult<void> WakeSynchronously(int listener) override {
    return Void(ioctl(listener, kSetFlags, kSyncWakeUp));
  }

  SysResult<void> Seize(pid_t tid, std::uint32_t options) override {
    return Trace(PTRACE_SEIZE, tid, 0, AsPointer(options));
  }
  SysResult<void> Interrupt(pid_t tid) override {
    return Trace(PTRACE_INTERRUPT, tid, 0, static_cast<void*>(nullptr));
  }
  SysResult<void> SetTraceOptions(pid_t tid, std::uint32_t options) override {
    return Trace(PTRACE_SETOPTIONS, tid, 0, AsPointer(options));
  }
  SysResult<void> Continue(pid_t tid, Resume how, int signal) override {
    return Trace(RequestFor(how), tid, 0, AsPointer(static_cast<std::uint64_t>(signal)));
  }
  SysResult<std::uint64_t> EventMessage(pid_t tid) override {
    unsigned long message = 0;
    if (auto done = Trace(PTRACE_GETEVENTMSG, tid, 0, &message); !done)
      return std::unexpected(done.error());
    return std::uint64_t{message};
  }
  SysResult<siginfo_t> SignalInfo(pid_t tid) override {
    siginfo_t info{};
    if (auto done = Trace(PTRACE_GETSIGINFO, tid, 0, &info); !done)
      return std::unexpected(done.error());
    return info;
  }
  SysResult<SyscallStop> SyscallInfo(pid_t tid) override {
    __ptrace_syscall_info info{};
    if (auto done = Trace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info); !done)
      return std::unexpected(done.error());
    return SyscallStop{static_cast<SyscallStop::Side>(info.op), info.arch};
  }
  SysResult<Registers> GetRegisters(pid_t tid) override { return ReadRegisters(tid); }
  SysResult<void> SetRegisters(pid_t tid, const Registers& registers) override {
    return WriteRegisters(tid, registers);
  }
  SysResult<std::uint64_t> PeekWord(pid_t tid, std::uint64_t address) override {
    errno = 0;  // the word itself may be -1
    long word = ptrace(PTRACE_PEEKTEXT, tid, AsPointer(address), nullptr);
    if (errno != 0) return std::unexpected(errno);
    return static_cast<std::uint64_t>(word);
  }
  SysResult<void> PokeWord(pid_t tid, std::uint64_t address, std::uint64_t word) override {
    return Trace(PTRACE_POKETEXT, tid, address, AsPointer(word));
  }
  SysResult<std::uint64_t> GetSignalMask(pid_t tid) override {
    std::uint64_t mask = 0;
    if (auto done = Trace(PTRACE_GETSIGMASK, tid, sizeof mask, &mask); !done)
      return std::unexpected(done.error());
    return mask;
  }
  SysResult<void> SetSignalMask(pid_t tid, std::uint64_t mask) override {
    return Trace(PTRACE_SETSIGMASK, tid, sizeof mask, &mask);
  }

  SysResult<std::vector<std::byte>> ReadFilter(pid_t tid, std::uint32_t index) override {
    constexpr std::size_t kInstructionSize = 8;
    void* const place = AsPointer(index);  // the request takes the index as its address
    const long count = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, place, nullptr);
    if (count < 0) return std::unexpected(errno);
    std::vector<std::byte> program(static_cast<std::size_t>(count) * kInstructionSize);
    if (ptrace(PTRACE_SECCOMP_GET_FILTER, tid, place, program.data()) != count) {
      return std::unexpected(errno);
    }
    return program;
  }
  SysResult<int> SeccompMode(pid_t tid) override {
    std::ifstream status("/proc/" + std::to_string(tid) + "/status");
    for (std::string line; std::getline(status, line);) {
      constexpr std::string_view kLabel = "Seccomp:\t";
      if (line.starts_with(kLabel)) return line.back() - '0';
    }
    return std::unexpected(ESRCH);
  }
  SysResult<WaitEvent> Wait(pid_t tid, int options) override {
    siginfo_t info{};
    const idtype_t kind = tid < 0 ? P_ALL : P_PID;
    // Of this thread alone: another one has children of its own (supervise/guardian.cc).
    while (waitid(kind, static_cast<id_t>(tid), &info, options | __WALL | __WNOTHREAD) < 0) {
      if (errno != EINTR) return std::unexpected(errno);
    }
    return WaitEvent{info.si_pid, WaitStatus(info)};
  }
  SysResult<void> SendSignal(pid_t tgid, pid_t tid, int signal) override {
    return Void(syscall(SYS_tgkill, tgid, tid, signal));
  }

  SysResult<base::UniqueFd> OpenPidfd(pid_t pid) override {
    return Descriptor(syscall(SYS_pidfd_open, pid, 0));
  }
  SysResult<base::UniqueFd> OpenThreadPidfd(pid_t tid) override {
    return Descriptor(syscall(SYS_pidfd_open, tid, kPidfdThread));
  }
  SysResult<void> SignalProcess(int pidfd, int signal) override {
    return Void(syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
  }
  SysResult<ThreadInfo> QueryThread(int pidfd) override {
    PidfdInfo info{};
    info.mask = kPidfdInfoWanted;
    if (ioctl(pidfd, kPidfdGetInfo, &info) < 0) return std::unexpected(errno);
    if ((info.mask & kPidfdInfoWanted) != kPidfdInfoWanted) return std::unexpected(ESRCH);
    return ThreadInfo{.tid = static_cast<pid_t>(info.pid),
                      .tgid = static_cast<pid_t>(info.tgid),
                      .uids = {info.ruid, info.euid, info.suid, info.fsuid},
                      .gids = {info.rgid, info.egid, info.sgid, info.fsgid}};
  }
  SysResult<base::UniqueFd> TakeDescriptor(int pidfd, int target_fd) override {
    return Descriptor(syscall(SYS_pidfd_getfd, pidfd, target_fd, 0));
  }
  SysResult<std::size_t> ReadMemory(pid_t tid, std::uint64_t address,
                                    std::span<std::byte> into) override {
    iovec local{into.data(), into.size()};
    iovec remote{AsPointer(address), into.size()};
    return Size(process_vm_readv(tid, &local, 1, &remote, 1, 0));
  }
  SysResult<std::size_t> WriteMemory(pid_t tid, std::uint64_t address,
                                     std::span<const std::byte> from) override {
    iovec local{const_cast<std::byte*>(from.data()), from.size()};
    iovec remote{AsPointer(address), from.size()};
    return Size(process_vm_writev(tid, &local, 1, &remote, 1, 0));
  }

  SysResult<int> Poll(std::span<pollfd> descriptors, int timeout_ms) override {
    int ready = poll(descriptors.data(), descriptors.size(), timeout_ms);
    if (ready < 0 && errno == EINTR) {
      for (pollfd& descriptor : descriptors) descriptor.revents = 0;
      return 0;
    }
    if (ready < 0) return std::unexpected(errno);
    return ready;
  }

 private:
  static SysResult<void> Void(long result) {
    if (result < 0) return std::unexpected(errno);
    return {};
  }
  static SysResult<std::size_t> Size(ssize_t result) {
    if (result < 0) return std::unexpected(errno);
    return static_cast<std::size_t>(result);
  }
  static SysResult<base::UniqueFd> Descriptor(long result) {
    if (result < 0) return std::unexpected(errno);
    return base::UniqueFd(static_cast<int>(result));
  }
  static __ptrace_request RequestFor(Resume how) {
    switch (how) {
      case Resume::kContinue:
        return PTRACE_CONT;
      case Resume::kToSyscall:
        return PTRACE_SYSCALL;
      case Resume::kListen:
        return PTRACE_LISTEN;
      case Resume::kDetach:
        return PTRACE_DETACH;
    }
    return PTRACE_CONT;
  }

  // The kernel's structures may be larger than the ones this was compiled with, never smaller.
  SysResult<NotificationSizes> Sizes() {
    static const SysResult<NotificationSizes> sizes = [this] {
      auto known = QueryNotificationSizes();
      if (known) {
        known->notification = std::max<std::uint16_t>(known->notification, sizeof(seccomp_notif));
        known->response = std::max<std::uint16_t>(known->response, sizeof(seccomp_notif_resp));
      }
      return known;
    }();
    return sizes;
  }
  SysResult<void> Reply(int listener, const seccomp_notif_resp& reply) {
    auto sizes = Sizes();
    if (!sizes) return std::unexpected(sizes.error());
    Buffer buffer(sizes->response);
    std::memcpy(buffer.data(), &reply, sizeof reply);
    return Void(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, buffer.data()));
  }
};

}  // namespace

Kernel& RealKernel() {
  static RealKernelImpl kernel;
  return kernel;
}

}  // namespace callgate::kernel
