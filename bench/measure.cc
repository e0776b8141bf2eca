#include "bench/measure.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace callgate::bench {

double Median(Rounds values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

std::string RatioText(const Rounds& values, const Rounds& base) {
  Rounds ratios;
  for (std::size_t i = 0; i < values.size(); ++i) ratios.push_back(values[i] / base[i]);
  return RangeText(ratios, 2);
}

std::string RangeText(const Rounds& values, int digits) {
  const auto [least, greatest] = std::ranges::minmax(values);
  return fmt::format("{:.{}f} ({:.{}f}-{:.{}f})", Median(values), digits, least, digits, greatest,
                     digits);
}

void PinToOneCpu() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) Die("cannot read the CPU affinity");
  int cpu = 0;
  while (!CPU_ISSET(cpu, &allowed)) ++cpu;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (sched_setaffinity(0, sizeof(one), &one) != 0) Die("cannot set the CPU affinity");
}

namespace {

double Read(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

double NowNanoseconds() { return Read(CLOCK_MONOTONIC); }
double CpuNanoseconds() { return Read(CLOCK_THREAD_CPUTIME_ID); }

void Die(const std::string& message) {
  fmt::print(stderr, "bench: {}\n", message);
  std::exit(2);
}

}  // namespace callgate::bench
