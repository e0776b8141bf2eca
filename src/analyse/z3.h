#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "abi/call.h"
#include "base/error.h"

namespace callgate::analyse {

enum class Z3Verdict : std::uint8_t {
  kNoCall,  // no call makes the condition true
  kCall,    // one that does is there
  kOpen,    // z3 gave up, or the time was over
};

struct Z3Answer {
  Z3Verdict verdict = Z3Verdict::kOpen;
  abi::CallWords call{};  // kCall; a claim: the caller replays it
};

// Starts the program z3, found in PATH, and asks whether any words w0 … w15 make `condition` true.
// `formulas` is Preamble() and Definition()s (formula.h). z3 is killed at the deadline. Fails where
// there is no z3, or it prints what is no answer.
base::Result<Z3Answer> AskZ3(const std::string& formulas, const std::string& condition,
                             std::chrono::steady_clock::time_point deadline);

}  // namespace callgate::analyse
