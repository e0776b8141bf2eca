// Scheduling and limits of the prober and of a child of it, which say after each call what came of
// it.

#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

struct Attributes {  // struct sched_attr, <linux/sched/types.h>
  std::uint32_t size = 0, policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;
  std::uint32_t least = 0, most = 0;
  std::uint64_t more[8] = {};
};

struct Who {
  const char* shown;
  pid_t pid;
};
std::vector<Who> Tasks() {
  return {
      {"0", 0}, {"self", getpid()}, {"child", SleepingChild()}, {"none", 0x3ffffff}, {"-1", -1}};
}

void TellSchedule(pid_t pid) {
  int error = errno;
  Attributes now{};
  if (syscall(SYS_sched_getattr, pid, &now, 56, 0) == 0) {
    std::printf("[%u %llx %d %u] ", now.policy, static_cast<unsigned long long>(now.flags),
                now.nice, now.priority);
  }
  errno = error;
}

void ProbeAttributes() {
  const std::vector<Attributes> all{
      {.size = 48, .policy = SCHED_OTHER, .nice = 5},
      {.size = 56, .policy = SCHED_OTHER, .nice = 6, .least = 0, .most = 1024},
      {.size = 0, .policy = SCHED_BATCH, .nice = 7},
      {.size = 48, .policy = SCHED_IDLE, .nice = 7},
      {.size = 48, .policy = SCHED_OTHER, .nice = -5},
      {.size = 48, .policy = SCHED_FIFO, .priority = 1},
      {.size = 48, .policy = SCHED_OTHER, .flags = 1, .nice = 8},
      {.size = 48, .policy = SCHED_OTHER, .flags = 8, .nice = 9},
      {.size = 48, .policy = 77},
      {.size = 48, .policy = 0xffffffff},
      {.size = 20, .policy = SCHED_OTHER},
      {.size = 64, .policy = SCHED_OTHER, .nice = 9},
      {.size = 64, .policy = SCHED_OTHER, .nice = 9, .more = {1}},
      {.size = 5000, .policy = SCHED_OTHER},
  };
  for (const Who& who : Tasks()) {
    for (unsigned long flags : {0UL, 1UL, 1UL << 32U}) {
      for (std::size_t i = 0; i < all.size(); ++i) {
        Try("sched_setattr(" + std::string(who.shown) + ", " + std::to_string(i) + ", " +
                std::to_string(flags) + ")",
            [&] {
              Attributes attributes = all[i];
              long result = syscall(SYS_sched_setattr, who.pid, &attributes, flags);
              std::printf("size %u ", attributes.size);
              TellSchedule(who.pid);
              return result;
            });
      }
      for (const char* bad : {static_cast<const char*>(nullptr), kBadPointer}) {
        Try("sched_setattr(" + std::string(who.shown) + ", bad) " + std::to_string(flags),
            [&] { return syscall(SYS_sched_setattr, who.pid, bad, flags); });
      }
    }
  }
}

void ProbeParameters(const std::string& call) {
  bool chooses = call == "sched_setscheduler";
  const std::vector<long> policies =
      chooses ? std::vector<long>{SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO,
                                  SCHED_RR,    77,          -1,         SCHED_OTHER | 0x40000000}
              : std::vector<long>{0, 1, 2};
  for (const Who& who : Tasks()) {
    for (long policy : policies) {
      for (int priority : {0, 1, -1, 100}) {
        Try(call + "(" + who.shown + ", " + std::to_string(policy) + ", " +
                std::to_string(priority) + ")",
            [&] {
              sched_param parameter{priority};
              long result = chooses ? syscall(SYS_sched_setscheduler, who.pid, policy, &parameter)
                                    : syscall(SYS_sched_setparam, who.pid, &parameter);
              TellSchedule(who.pid);
              return result;
            });
      }
      for (const char* bad : {static_cast<const char*>(nullptr), kBadPointer}) {
        Try(call + "(" + who.shown + ", bad) " + std::to_string(policy), [&] {
          return chooses ? syscall(SYS_sched_setscheduler, who.pid, policy, bad)
                         : syscall(SYS_sched_setparam, who.pid, bad);
        });
      }
    }
  }
}

void TellLimit(pid_t pid, unsigned resource) {
  int error = errno;
  rlimit now{};
  if (syscall(SYS_prlimit64, pid, resource, nullptr, &now) == 0) {
    std::printf("[%llx %llx] ", static_cast<unsigned long long>(now.rlim_cur),
                static_cast<unsigned long long>(now.rlim_max));
  }
  errno = error;
}

void ProbeLimits(const std::string& call) {
  bool names = call == "prlimit64";
  const std::vector<rlimit> all{{100, 2000},
                                {100, 1000},
                                {2000, 1000},
                                {50, 500},
                                {600, 600},
                                {0, 500},
                                {RLIM_INFINITY, 5000},
                                {3, 4},
                                {RLIM_INFINITY, RLIM_INFINITY},
                                {1, RLIM_INFINITY}};
  for (const Who& who : Tasks()) {
    if (!names && who.pid != 0) continue;
    for (unsigned resource :
         {unsigned{RLIMIT_MEMLOCK}, unsigned{RLIMIT_MSGQUEUE}, unsigned{RLIMIT_CORE},
          unsigned{RLIMIT_NICE}, unsigned{RLIMIT_RTTIME}, 16U, ~0U}) {
      for (const rlimit& limit : all) {
        Try(call + "(" + who.shown + ", " + std::to_string(resource) + ", " +
                std::to_string(limit.rlim_cur) + " " + std::to_string(limit.rlim_max) + ")",
            [&] {
              rlimit old{7, 7};
              long result = names ? syscall(SYS_prlimit64, who.pid, resource, &limit, &old)
                                  : syscall(SYS_setrlimit, resource, &limit);
              int error = errno;
              std::printf("old %llx %llx ", static_cast<unsigned long long>(old.rlim_cur),
                          static_cast<unsigned long long>(old.rlim_max));
              TellLimit(who.pid, resource);
              errno = error;
              return result;
            });
      }
      if (!names) continue;
      Try(call + "(ask " + who.shown + " " + std::to_string(resource) + ")", [&] {
        rlimit old{7, 7};
        long result = syscall(SYS_prlimit64, who.pid, resource, nullptr, &old);
        int error = errno;
        std::printf("old %llx ", static_cast<unsigned long long>(old.rlim_cur));
        errno = error;
        return result;
      });
      for (const char* bad : {static_cast<const char*>(nullptr), kBadPointer}) {
        Try(call + "(bad " + who.shown + " " + std::to_string(resource) + ")",
            [&] { return syscall(SYS_prlimit64, who.pid, resource, bad, bad); });
      }
    }
  }
  if (names) {
    for (int i = 0; i < 3; ++i) {
      Try("prlimit64(the first process) " + std::to_string(i), [&] {
        rlimit old{};
        return syscall(SYS_prlimit64, 1, RLIMIT_CORE, nullptr, &old);
      });
    }
  }
}

}  // namespace

void ProbeTasks(const std::string& call) {
  if (call == "sched_setattr") ProbeAttributes();
  if (call == "sched_setscheduler" || call == "sched_setparam") ProbeParameters(call);
  if (call == "prlimit64" || call == "setrlimit") ProbeLimits(call);
}

}  // namespace callgate::conformance
