#pragma once

#include <string>

#include "abi/call.h"
#include "launch/target.h"

namespace callgate::launch {

struct DecodedCall {
  std::string name = {};  // "fdatasync", "i386.open", "syscall 999"
  std::string text = {};  // "fdatasync(fd=7 </srv/audit.log>)"
  // The same without what differs between two calls that mean the same: addresses, sizes, numbers
  // of descriptors. Reports with one key are folded.
  std::string key = {};
};

// A call in words: argument names, flags, paths, addresses, targets of descriptors. Strings are
// quoted and escaped, long ones end in "…".
DecodedCall DecodeCall(const abi::Call& call, const TargetView& target);

}  // namespace callgate::launch
