#include "testing/kernel_oracle.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <new>
#include <optional>
#include <set>
#include <thread>

#include "base/check.h"
#include "bpf/opcodes.h"

#if !defined(__x86_64__)
#error "the kernel oracle makes system calls by x86_64 instructions; write them for this machine"
#endif

// Reading a verdict back. A filter's value is not visible from outside, but errnos are: 12 bits a
// call. A program whose RETs are all constants gets one errno for each distinct constant. A `ret a`
// can give any value: it becomes a jump to a tail that returns 12 bits of A, and the calls are made
// three times under programs with different tails. Rewriting keeps every other instruction in
// place, jumps included, so what the kernel compiles and runs is the program under test.
//
// The child that runs it can make no call of its own: whatever it asks, the program answers. It
// writes into a shared page, and ends by a call that a second, older filter traps: TRAP outranks
// ERRNO, and unlike a kill it is not logged. A child that is dead before its list of calls is done
// has met the one thing that rewriting cannot catch, the division by zero; a new one goes on
// behind.
//
// Between fork and the end of the child: no allocation, no locks.

namespace callgate::testing {
namespace {

using bpf::Instruction;
using bpf::Opcode;
using bpf::Program;
using bpf::ProgramView;

constexpr std::int32_t kEndOfChild = 0x3ca11e0d;  // no such system call
constexpr std::uint32_t kErrno = SECCOMP_RET_ERRNO;
constexpr int kBitsAPass = 12;  // errnos go up to 4095
constexpr int kPasses = 3;

// Registers of a call, loaded by the assembly below.
struct Frame {
  std::int64_t nr;
  std::uint64_t args[6];
};
static_assert(sizeof(Frame) == 56);

}  // namespace

// A fixed place for each kind of system call instruction: the address behind it is `ip`.
extern "C" {
std::int64_t callgate_issue_syscall(const Frame* frame);
std::int64_t callgate_issue_int80(const Frame* frame);
extern const char callgate_behind_syscall[];
extern const char callgate_behind_int80[];
}
asm(R"(
  .pushsection .text
  .globl callgate_issue_syscall, callgate_behind_syscall
  .globl callgate_issue_int80, callgate_behind_int80
  .type callgate_issue_syscall, @function
  .type callgate_issue_int80, @function
callgate_issue_syscall:
  mov %rdi, %r11
  mov 0(%r11), %rax
  mov 8(%r11), %rdi
  mov 16(%r11), %rsi
  mov 24(%r11), %rdx
  mov 32(%r11), %r10
  mov 40(%r11), %r8
  mov 48(%r11), %r9
  syscall
callgate_behind_syscall:
  ret
callgate_issue_int80:
  push %rbx
  push %rbp
  mov %rdi, %r11
  mov 0(%r11), %rax
  mov 8(%r11), %rbx
  mov 16(%r11), %rcx
  mov 24(%r11), %rdx
  mov 32(%r11), %rsi
  mov 40(%r11), %rdi
  mov 48(%r11), %rbp
  int $0x80
callgate_behind_int80:
  movslq %eax, %rax
  pop %rbp
  pop %rbx
  ret
  .popsection
)");

namespace {

std::int64_t Issue(const abi::Call& call) {
  Frame frame{call.nr, {}};
  std::ranges::copy(call.args, frame.args);
  return call.arch == AUDIT_ARCH_I386 ? callgate_issue_int80(&frame)
                                      : callgate_issue_syscall(&frame);
}

// 0 or an errno. Flags are SECCOMP_FILTER_FLAG_*.
int InstallFilter(ProgramView program, unsigned flags) {
  const sock_fprog fprog{static_cast<unsigned short>(program.size()),
                         reinterpret_cast<sock_filter*>(const_cast<Instruction*>(program.data()))};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog) == 0 ? 0 : errno;
}

constexpr Instruction Code(Opcode opcode, std::uint32_t k, std::uint8_t jt = 0,
                           std::uint8_t jf = 0) {
  return {static_cast<std::uint16_t>(opcode), jt, jf, k};
}

// What child and parent share; one result a call stands behind it.
struct alignas(std::int64_t) Board {
  std::atomic<std::size_t> done;   // calls answered
  std::atomic<int> install_error;  // errno of seccomp(2) or prctl(2) in the child
  std::atomic<bool> trapped;       // RunUnderStack: SIGSYS arrived
  std::atomic<int> trap_errno;

  std::int64_t* results() { return reinterpret_cast<std::int64_t*>(this + 1); }
};
static_assert(std::atomic<std::size_t>::is_always_lock_free, "shared between processes");

class SharedBoard {
 public:
  explicit SharedBoard(std::size_t calls)
      : size_(sizeof(Board) + calls * sizeof(std::int64_t)),
        memory_(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    CG_CHECK(memory_ != MAP_FAILED);
    board_ = new (memory_) Board{};
  }
  ~SharedBoard() { munmap(memory_, size_); }
  SharedBoard(const SharedBoard&) = delete;
  SharedBoard& operator=(const SharedBoard&) = delete;
  Board* operator->() const { return board_; }
  Board* get() const { return board_; }

 private:
  std::size_t size_;
  void* memory_;
  Board* board_;
};

// The way out of a child whose filter answers every call.
constexpr Instruction kGuard[] = {
    Code(Opcode::kLdAbs, 0),
    Code(Opcode::kJeqK, static_cast<std::uint32_t>(kEndOfChild), 0, 1),
    Code(Opcode::kRetK, SECCOMP_RET_TRAP),
    Code(Opcode::kRetK, SECCOMP_RET_ALLOW),
};

Board* g_board_of_child = nullptr;  // set and read by the child

// Before a call that does not return, AddressSanitizer asks the kernel for the signal stack; under
// the program under test that is one more call with an arbitrary answer.
#define CG_UNDER_TEST __attribute__((no_sanitize("address")))

[[noreturn]] CG_UNDER_TEST void EndChild() {
  while (true) Issue({kEndOfChild, AUDIT_ARCH_X86_64, 0, {}});
}

// SIGSYS is blocked in its handler, so the trap that ends the child kills it.
CG_UNDER_TEST void OnTrap(int, siginfo_t* info, void*) {
  g_board_of_child->trap_errno = info->si_errno;
  g_board_of_child->trapped = true;
  EndChild();
}

enum class Traps : std::uint8_t { kDie, kRecord };

// Runs `body` in a child under the guard and `filters`; the child ends by SIGSYS in any case.
// Returns the wait status, or the errno with which the kernel refused.
template <typename Body>
CG_UNDER_TEST base::Result<int> InChild(std::span<const Program> filters, Board* board, Traps traps,
                                        Body body) {
  // vfork, since copying page tables would be most of the work. The child has handlers, limits and
  // filters of its own, writes to the board alone, and never returns from here; the caller's thread
  // waits until it is dead.
  const pid_t child = vfork();  // NOLINT(bugprone-unsafe-functions): posix_spawn only executes
  if (child < 0) return base::Fail(base::ErrnoError("fork", "a child for the kernel oracle"));
  if (child == 0) {
    g_board_of_child = board;
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    struct sigaction on_sigsys{};
    if (traps == Traps::kRecord) {
      on_sigsys.sa_sigaction = OnTrap;
      on_sigsys.sa_flags = SA_SIGINFO;
    } else {
      on_sigsys.sa_handler = SIG_DFL;
    }
    sigaction(SIGSYS, &on_sigsys, nullptr);
    int error = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
    if (error == 0) error = InstallFilter(kGuard, 0);
    for (const Program& filter : filters) {
      if (error == 0) error = InstallFilter(filter, 0);
    }
    board->install_error = error;
    if (error == 0) body();
    EndChild();
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CG_CHECK(errno == EINTR);
  if (board->install_error != 0) {
    return base::Fail(base::ErrnoError("install filter", "in a child", board->install_error));
  }
  return status;
}

// Turns a program's values into errnos, and errnos back into values.
class Readback {
 public:
  explicit Readback(ProgramView program) : program_(program.begin(), program.end()) {
    std::set<std::uint32_t> constants;
    for (const Instruction& instruction : program_) {
      if (instruction.code == static_cast<std::uint16_t>(Opcode::kRetA)) has_ret_a_ = true;
      if (instruction.code == static_cast<std::uint16_t>(Opcode::kRetK)) {
        constants.insert(instruction.k);
      }
    }
    constants_.assign(constants.begin(), constants.end());
    // More constants than errnos need no `ret a` to be read in slices.
    sliced_ = has_ret_a_ || constants_.size() > (1U << kBitsAPass);
    CG_CHECK(!has_ret_a_ || program_.size() + 4 <= bpf::kMaxInstructions);
  }

  int passes() const { return sliced_ ? kPasses : 1; }

  Program Pass(int pass) const {
    Program rewritten = program_;
    const auto size = static_cast<std::uint32_t>(program_.size());
    for (std::uint32_t pc = 0; pc < size; ++pc) {
      Instruction& instruction = rewritten[pc];
      if (instruction.code == static_cast<std::uint16_t>(Opcode::kRetA)) {
        instruction = Code(Opcode::kJa, size - pc - 1);
      } else if (instruction.code == static_cast<std::uint16_t>(Opcode::kRetK)) {
        instruction.k = kErrno | (sliced_ ? Slice(instruction.k, pass) : IdOf(instruction.k));
      }
    }
    if (has_ret_a_) {
      rewritten.push_back(Code(Opcode::kRshK, static_cast<std::uint32_t>(kBitsAPass * pass)));
      rewritten.push_back(Code(Opcode::kAndK, kMask));
      rewritten.push_back(Code(Opcode::kOrK, kErrno));
      rewritten.push_back(Code(Opcode::kRetA, 0));
    }
    return rewritten;
  }

  // The part of a value that the result of a call in this pass tells.
  std::uint32_t Value(int pass, std::int64_t result) const {
    CG_CHECK(result <= 0 && result >= -static_cast<std::int64_t>(kMask));
    const auto bits = static_cast<std::uint32_t>(-result);
    if (sliced_) return bits << (kBitsAPass * pass);
    CG_CHECK(bits < constants_.size());
    return constants_[bits];
  }

 private:
  static constexpr std::uint32_t kMask = (1U << kBitsAPass) - 1;

  static std::uint32_t Slice(std::uint32_t value, int pass) {
    return value >> (kBitsAPass * pass) & kMask;
  }
  std::uint32_t IdOf(std::uint32_t value) const {
    return static_cast<std::uint32_t>(std::ranges::lower_bound(constants_, value) -
                                      constants_.begin());
  }

  Program program_;
  std::vector<std::uint32_t> constants_;  // sorted
  bool has_ret_a_ = false;
  bool sliced_ = false;
};

// A call answered, or not because the program divided by zero.
using Answer = std::optional<std::int64_t>;

base::Result<std::vector<Answer>> Answers(const Program& program,
                                          std::span<const abi::Call> calls) {
  std::vector<Answer> answers;
  const SharedBoard board(calls.size());
  while (answers.size() < calls.size()) {
    const std::span<const abi::Call> rest = calls.subspan(answers.size());
    board->done = 0;
    auto status = InChild({&program, 1}, board.get(), Traps::kDie, [&] {
      for (const abi::Call& call : rest) {
        board->results()[board->done] = Issue(call);
        ++board->done;
      }
    });
    if (!status) return std::unexpected(std::move(status.error()));
    CG_CHECK(WIFSIGNALED(*status) && WTERMSIG(*status) == SIGSYS);
    const std::size_t done = board->done;
    answers.insert(answers.end(), board->results(), board->results() + done);
    if (done < rest.size()) answers.push_back(std::nullopt);
  }
  return answers;
}

bool RunsI386() {
  static const bool runs = [] {
    const SharedBoard board(1);
    const pid_t child = fork();
    CG_CHECK(child >= 0);
    if (child == 0) {
      Issue({20 /* getpid */, AUDIT_ARCH_I386, 0, {}});  // a signal where int 0x80 is compiled out
      _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) CG_CHECK(errno == EINTR);
    return WIFEXITED(status);
  }();
  return runs;
}

}  // namespace

bool CanIssue(const abi::Call& call) {
  constexpr std::int32_t kUretprobe = 335;
  constexpr std::int32_t kUprobe = 336;
  if (call.nr == kEndOfChild) return false;
  if (call.arch == AUDIT_ARCH_I386) return RunsI386();
  return call.arch == AUDIT_ARCH_X86_64 && call.nr != kUretprobe && call.nr != kUprobe;
}

abi::Call AsIssued(abi::Call call) {
  const bool is_i386 = call.arch == AUDIT_ARCH_I386;
  call.ip =
      reinterpret_cast<std::uintptr_t>(is_i386 ? callgate_behind_int80 : callgate_behind_syscall);
  if (is_i386) {
    for (std::uint64_t& arg : call.args) arg &= UINT32_MAX;
  }
  return call;
}

base::Result<std::vector<std::uint32_t>> KernelVerdicts(ProgramView program,
                                                        std::span<const abi::Call> calls) {
  CG_CHECK(std::ranges::all_of(calls, CanIssue));
  const Readback readback(program);
  std::vector<std::uint32_t> verdicts(calls.size(), 0);
  for (int pass = 0; pass < readback.passes(); ++pass) {
    auto answers = Answers(readback.Pass(pass), calls);
    if (!answers) return std::unexpected(std::move(answers.error()));
    for (std::size_t i = 0; i < calls.size(); ++i) {
      if ((*answers)[i]) verdicts[i] |= readback.Value(pass, *(*answers)[i]);
    }
  }
  return verdicts;
}

base::Result<Outcome> RunUnderStack(std::span<const Program> filters, const abi::Call& call) {
  CG_CHECK(CanIssue(call));
  const SharedBoard board(1);
  auto status = InChild(filters, board.get(), Traps::kRecord, [&] {
    board->results()[0] = Issue(call);
    board->done = 1;
  });
  if (!status) return std::unexpected(std::move(status.error()));
  CG_CHECK(WIFSIGNALED(*status));
  if (board->done == 1) return Outcome{Outcome::Kind::kReturned, board->results()[0]};
  if (board->trapped) return Outcome{Outcome::Kind::kTrapped, board->trap_errno};
  return Outcome{Outcome::Kind::kKilled, WTERMSIG(*status)};
}

// A thread with a filter that the others do not have: while it lives, TSYNC must fail.
class LoadCheck::DivergedThread {
 public:
  DivergedThread()
      : thread_([this] {
          CG_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
          CG_CHECK(InstallFilter(kGuard, 0) == 0);
          ready_ = true;
          ready_.notify_one();
          stop_.wait(false);
        }) {
    ready_.wait(false);
  }
  ~DivergedThread() {
    stop_ = true;
    stop_.notify_one();
    thread_.join();
  }
  DivergedThread(const DivergedThread&) = delete;
  DivergedThread& operator=(const DivergedThread&) = delete;

 private:
  std::atomic<bool> ready_ = false;
  std::atomic<bool> stop_ = false;
  std::thread thread_;  // last: it uses the others
};

LoadCheck::LoadCheck() : thread_(std::make_unique<DivergedThread>()) {
  CG_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}
LoadCheck::~LoadCheck() = default;

bool LoadCheck::Accepts(ProgramView program) const {
  // The kernel counts in 16 bits: a longer program would be cut, not refused.
  CG_CHECK(program.size() <= UINT16_MAX);
  const int error =
      InstallFilter(program, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
  CG_CHECK(error == ESRCH || error == EINVAL);
  return error == ESRCH;
}

}  // namespace callgate::testing
