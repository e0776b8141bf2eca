// perf_event_open, of the prober and of a child of it.

#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

struct Attributes {
  perf_event_attr known{};
  std::uint64_t more[64] = {};
};

Attributes Counting(std::uint32_t type, std::uint64_t config, std::uint32_t size) {
  Attributes attributes;
  attributes.known.type = type;
  attributes.known.config = config;
  attributes.known.size = size;
  attributes.known.exclude_kernel = 1;
  attributes.known.exclude_hv = 1;
  return attributes;
}

std::vector<Attributes> Shapes() {
  std::vector<Attributes> shapes;
  for (std::uint64_t config :
       {PERF_COUNT_SW_DUMMY, PERF_COUNT_SW_TASK_CLOCK, PERF_COUNT_SW_PAGE_FAULTS}) {
    shapes.push_back(Counting(PERF_TYPE_SOFTWARE, config, sizeof(perf_event_attr)));
  }
  shapes.push_back(Counting(PERF_TYPE_SOFTWARE, 9999, sizeof(perf_event_attr)));
  shapes.push_back(Counting(4711, 0, sizeof(perf_event_attr)));
  for (std::uint32_t size : {0U, 20U, 63U, 64U, 72U, 112U, 500U, 4096U, 5000U}) {
    shapes.push_back(Counting(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, size));
  }
  shapes.push_back(Counting(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, 500));
  shapes.back().more[10] = 1;  // beyond what any kernel knows
  shapes.push_back(Counting(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, 64));
  shapes.back().known.exclude_kernel = 0;
  shapes.push_back(Counting(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, 64));
  shapes.back().known.inherit = 1;
  shapes.push_back(Counting(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, 64));
  shapes.back().known.read_format = 1ULL << 40;
  return shapes;
}

// Whether it counts (where that does not depend on who runs when), and what the structure says
// afterwards.
long Open(Attributes attributes, pid_t pid, int cpu, int group, unsigned long flags) {
  const long fd = syscall(SYS_perf_event_open, &attributes, pid, cpu, group, flags);
  const int error = errno;
  std::uint64_t count = 0;
  if (fd >= 0 && pid >= 0 && group == -1 && attributes.known.read_format == 0) {
    char* page = static_cast<char*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    *page = 1;  // a fault, and time
    munmap(page, 4096);
    (void)!read(static_cast<int>(fd), &count, sizeof count);
  }
  std::printf("size %u counts %d ", attributes.known.size, count > 0 ? 1 : 0);
  errno = error;
  return fd;
}

}  // namespace

void ProbeEvents(const std::string& call) {
  if (call != "perf_event_open") return;
  struct Who {
    const char* shown;
    pid_t pid;
  };
  const std::vector<Attributes> all_shapes = Shapes();
  for (const Who& who : {Who{"0", 0}, Who{"self", getpid()}, Who{"child", SleepingChild()},
                         Who{"-1", -1}, Who{"none", 0x3ffffff}}) {
    for (int cpu : {-1, 0, 9999}) {
      for (unsigned long flags : {0UL, 8UL, 4UL, 3UL, 16UL, 1UL << 32U}) {
        for (std::size_t i = 0; i < all_shapes.size(); ++i) {
          Try(
              call + "(" + std::to_string(i) + ", " + who.shown + ", " + std::to_string(cpu) +
                  ", " + std::to_string(flags) + ")",
              [&] { return Open(all_shapes[i], who.pid, cpu, -1, flags); }, true);
        }
      }
    }
  }
  for (int group : {0, 999, -2, directory_fd}) {
    for (unsigned long flags : {0UL, 1UL, 2UL}) {
      Try(
          call + "(group " + std::to_string(group) + ", " + std::to_string(flags) + ")",
          [&] { return Open(all_shapes.front(), 0, -1, group, flags); }, true);
    }
  }
  // A group of its own.
  Try(
      call + "(two)",
      [&] {
        Attributes leader = all_shapes.front();
        const auto fd = static_cast<int>(
            syscall(SYS_perf_event_open, &leader, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
        const long result = Open(all_shapes[1], 0, -1, fd, 0);
        const int error = errno;
        close(fd);
        errno = error;
        return result;
      },
      true);
  for (const char* bad : {static_cast<const char*>(nullptr), kBadPointer}) {
    for (unsigned long flags : {0UL, 16UL}) {
      Try(call + "(bad) " + std::to_string(flags),
          [&] { return syscall(SYS_perf_event_open, bad, 0, -1, -1, flags); });
    }
  }
}

}  // namespace callgate::conformance
