#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "abi/call.h"
#include "launch/target.h"
#include "supervise/engine.h"

// What is told about a call that the policy leaves to somebody outside, what he says, and how both
// are written between processes: JSON, one object a line, at most kMaxLine bytes with its newline.
//
//   {"id":1,"syscall":"openat","call":"openat(dfd=AT_FDCWD, …)","pid":71,"tid":71,"process":"vi",
//    "nr":257,"arch":"0xc000003e","args":["0xffffff9c",…],"inputs":{"filename":"/srv/x"},
//    "place":"app.cg:3","rule":"path under \"/srv\" -> notify"}
//   {"id":1,"verdict":"errno(EACCES)","reason":"not today"}

namespace callgate::launch {

inline constexpr std::size_t kMaxLine = 256U << 10U;

struct Inquiry {
  std::string syscall = {};  // "openat", "i386.openat"
  std::string text = {};     // the call in words, escaped
  abi::Call call = {};
  ThreadIdentity who = {};
  supervise::Facts inputs = {};  // what was copied and is acted on; raw
  std::string place = {};        // "app.cg:3"
  std::string rule = {};
};

// nullopt: it cannot be told without loss (a path that is no UTF-8, more than a line holds).
std::optional<std::string> InquiryLine(std::uint64_t id, const Inquiry& inquiry);
struct NumberedInquiry {
  std::uint64_t id = 0;
  Inquiry inquiry;
};
std::optional<NumberedInquiry> ParseInquiry(std::string_view line);

struct Verdict {
  std::uint64_t id = 0;
  std::string verdict = {};  // "allow"
  std::string reason = {};
};
std::string VerdictLine(const Verdict& verdict);
// nullopt: it names no call.
std::optional<Verdict> ParseVerdict(std::string_view line);

// "allow", "deny", "errno(EACCES)", "errno(13)", "return(0)", "kill", "continue_unchecked", for a
// call of that ABI; nullopt: none of these.
std::optional<policy::PolicyAction> ActionNamed(std::string_view verdict, abi::ArchId arch);

}  // namespace callgate::launch
