#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace callgate::bench {

// A machine changes its pace while one looks at it: only what was measured side by side can be
// compared. So every table here is made in rounds, each of which measures every candidate once, and
// says medians of rounds; a ratio is taken within each round first, then its median, least and
// greatest are printed.
using Rounds = std::vector<double>;  // one value a round

inline constexpr std::size_t kRounds = 9;

double Median(Rounds values);
// "1.93 (1.87-2.10)"
std::string RatioText(const Rounds& values, const Rounds& base);
// "12.4 (12.1-13.0)"
std::string RangeText(const Rounds& values, int digits);

// Keeps this process and its children on one CPU of those it may use.
void PinToOneCpu();

double NowNanoseconds();
// Of this thread's own work: what others do on a busy machine is not in it.
double CpuNanoseconds();

[[noreturn]] void Die(const std::string& message);

}  // namespace callgate::bench
