// A call's way through a filter in the kernel, without the call.
//
// What a filter returns is not visible from outside, and a call that it allows would be made. So
// the filter is installed with its RETs rewritten: each constant becomes an errno of its own, and
// every other instruction stays in its place, jumps included. What the kernel then compiles and
// runs is the filter, every call comes back with an errno, and none is made.
//
// That happens in a child, since a filter cannot be removed. The child cannot make a call of its
// own under such a filter: it writes into a page that it shares with the parent, and ends by a call
// that a second, older filter traps (TRAP outranks ERRNO, and unlike a kill it is not logged).
//
// Calls of this machine's first ABI alone can be made by syscall(2). Filters that ask where a call
// comes from, or that return what they compute, are not tried; the reason is said.
//
// Between fork and the end of the child: no allocation, no locks.

#include "analyse/replay.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <map>
#include <new>
#include <utility>

#include "abi/action.h"
#include "abi/arch.h"
#include "bpf/opcodes.h"
#include "fmt/format.h"

namespace callgate::analyse {
namespace {

using bpf::Instruction;
using bpf::Opcode;

constexpr std::int32_t kEndOfChild = 0x3ca11e0d;  // no such system call
constexpr std::uint32_t kMaxErrno = 4095;         // what a filter can return of one

constexpr Instruction Code(Opcode opcode, std::uint32_t k, std::uint8_t jt = 0,
                           std::uint8_t jf = 0) {
  return {static_cast<std::uint16_t>(opcode), jt, jf, k};
}

constexpr Instruction kGuard[] = {
    Code(Opcode::kLdAbs, 0),
    Code(Opcode::kJeqK, static_cast<std::uint32_t>(kEndOfChild), 0, 1),
    Code(Opcode::kRetK, static_cast<std::uint32_t>(abi::ActionKind::kTrap)),
    Code(Opcode::kRetK, static_cast<std::uint32_t>(abi::ActionKind::kAllow)),
};

// Offsets in struct seccomp_data.
bool IsOfIp(std::uint32_t offset) { return offset == 8 || offset == 12; }

bool Is(const Instruction& instruction, Opcode opcode) {
  return instruction.code == static_cast<std::uint16_t>(opcode);
}

// The filter with an errno for each value, and the values, whose errnos are 1, 2, …
struct Rewritten {
  bpf::Program program;
  std::vector<std::uint32_t> values;
};

std::expected<Rewritten, std::string> Rewrite(bpf::ProgramView program) {
  Rewritten rewritten;
  rewritten.program.assign(program.begin(), program.end());
  std::map<std::uint32_t, std::uint32_t> known;  // value → errno
  for (Instruction& instruction : rewritten.program) {
    if (Is(instruction, Opcode::kRetA))
      return std::unexpected("the filter returns what it computes");
    if (Is(instruction, Opcode::kLdAbs) && IsOfIp(instruction.k)) {
      return std::unexpected("the filter asks where the call comes from");
    }
    if (!Is(instruction, Opcode::kRetK)) continue;
    const auto next = static_cast<std::uint32_t>(rewritten.values.size()) + 1;
    const auto [place, is_new] = known.try_emplace(instruction.k, next);
    if (is_new) rewritten.values.push_back(instruction.k);
    if (place->second > kMaxErrno) return std::unexpected("the filter has too many answers");
    instruction.k = static_cast<std::uint32_t>(abi::ActionKind::kErrno) | place->second;
  }
  return rewritten;
}

// Empty: the call can be made.
std::string WhyNot(const abi::Call& call) {
  const abi::Arch& native = abi::ArchOf(abi::NativeArch());
  if (call.arch != native.audit_arch) return fmt::format("the call is not one of {}", native.name);
  // uretprobe and uprobe, which newer kernels let through without asking a filter.
  const bool is_probe = native.id == abi::ArchId::kX86_64 && (call.nr == 335 || call.nr == 336);
  if (is_probe) return "the kernel lets this call through before any filter";
  if (call.nr == kEndOfChild) return "the number is in use here";
  return "";
}

// What child and parent share; one errno a call stands behind it.
struct Board {
  std::atomic<std::size_t> done = 0;
  std::atomic<int> install_error = 0;

  int* results() { return reinterpret_cast<int*>(this + 1); }
};
static_assert(std::atomic<std::size_t>::is_always_lock_free, "shared between processes");

class SharedBoard {
 public:
  explicit SharedBoard(std::size_t calls)
      : size_(sizeof(Board) + calls * sizeof(int)),
        memory_(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (valid()) new (memory_) Board;
  }
  ~SharedBoard() {
    if (valid()) munmap(memory_, size_);
  }
  SharedBoard(const SharedBoard&) = delete;
  SharedBoard& operator=(const SharedBoard&) = delete;

  bool valid() const { return memory_ != MAP_FAILED; }
  Board* operator->() const { return static_cast<Board*>(memory_); }

 private:
  std::size_t size_;
  void* memory_;
};

int Install(kernel::Kernel& kernel, bpf::ProgramView program) {
  const auto done = kernel.AddFilter(std::as_bytes(program), 0);
  return done ? 0 : done.error();
}

[[noreturn]] void RunChild(kernel::Kernel& kernel, bpf::ProgramView program,
                           std::span<const abi::Call> calls, const SharedBoard& board) {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  std::signal(SIGSYS, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const auto privileges = kernel.SetNoNewPrivileges();
  int error = privileges ? 0 : privileges.error();
  if (error == 0) error = Install(kernel, kGuard);
  if (error == 0) error = Install(kernel, program);
  board->install_error = error;
  for (std::size_t i = 0; error == 0 && i < calls.size(); ++i) {
    const auto& args = calls[i].args;
    errno = 0;
    syscall(calls[i].nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    board->results()[i] = errno;
    board->done = i + 1;
  }
  while (true) syscall(kEndOfChild);
}

}  // namespace

base::Result<std::vector<Replay>> ReplayOnKernel(kernel::Kernel& kernel, bpf::ProgramView program,
                                                 std::span<const abi::Call> calls) {
  std::vector<Replay> replays(calls.size());
  const auto rewritten = Rewrite(program);
  std::vector<abi::Call> made;
  std::vector<std::size_t> places;  // in `calls`
  for (std::size_t i = 0; i < calls.size(); ++i) {
    replays[i].reason = rewritten ? WhyNot(calls[i]) : rewritten.error();
    if (!replays[i].reason.empty()) continue;
    made.push_back(calls[i]);
    places.push_back(i);
  }
  if (made.empty()) return replays;
  const SharedBoard board(made.size());
  if (!board.valid()) return base::Fail(base::ErrnoError("share memory with", "a child"));
  const pid_t child = fork();
  if (child < 0) return base::Fail(base::ErrnoError("start", "a child to try calls in"));
  if (child == 0) RunChild(kernel, rewritten->program, made, board);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (board->install_error != 0) {
    return base::Fail(
        base::ErrnoError("install the filter in", "a child to try calls in", board->install_error));
  }
  for (std::size_t i = 0; i < made.size(); ++i) {
    Replay& replay = replays[places[i]];
    const auto answer = static_cast<std::size_t>(board->results()[i]);
    const bool is_known = i < board->done && answer >= 1 && answer <= rewritten->values.size();
    if (is_known) {
      replay.value = rewritten->values[answer - 1];
    } else {
      replay.reason = i < board->done ? "the call was answered before the filter"
                                      : "the child that tried the calls was killed";
    }
  }
  return replays;
}

}  // namespace callgate::analyse
