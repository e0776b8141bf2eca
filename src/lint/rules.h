#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace callgate::lint {

// Numbers never change their meaning and are never used again. By hundreds: 1 architectures and
// numbers, 2 the text, 3 widths, 4 actions, 5 dangers, 6 equivalents, 7 completeness,
// 9 suppressions.
enum class Id : std::uint16_t {
  kOtherAbiAllowed = 101,
  kX32Allowed = 102,
  kUnknownAllowed = 103,
  kDeniedOnOneAbi = 104,
  kMultiplexer = 105,
  kUndecided = 106,
  kDeadClause = 201,
  kSameAsDefault = 202,
  kReplacedRule = 203,
  kUnusedName = 204,
  kPointerByValue = 205,
  kArgumentOrder = 206,
  kDeadInstruction = 207,
  kWideDenial = 301,
  kWideAllow = 302,
  kNarrowTest = 303,
  kUnsignedOrder = 304,
  kNotEnosys = 401,
  kClone3Open = 402,
  kKillThread = 403,
  kFakeSuccess = 404,
  kErrnoTooLarge = 405,
  kNeedsTracer = 406,
  kNeedsListener = 407,
  kDefaultIsLog = 409,
  kUnknownAction = 410,
  kNotCached = 411,
  kUnknownNotEnosys = 413,
  kTiocsti = 501,
  kTioclinux = 502,
  kIoUring = 503,
  kOtherProcesses = 504,
  kUserNamespace = 505,
  kSocketFamily = 506,
  kWritableCode = 507,
  kPrctl = 508,
  kKernelSurface = 509,
  kMachine = 510,
  kNewMountApi = 511,
  kReadOnlyCreates = 512,
  kEquivalentOpen = 601,
  kFloorMissing = 701,
  kSiblingMissing = 702,
  kNoAsOf = 703,
  kUnusedSuppression = 901,
  kNoReason = 902,
  kUnknownId = 903,
};

enum class Severity : std::uint8_t { kInfo, kWarning, kError };

struct Rule {
  Id id;
  Severity severity;
  bool can_fix;             // --fix may know what to write
  std::string_view title;   // one line, what is wrong
  std::string_view reason;  // why it matters
  std::string_view advice;  // what to do
};

// All of them, by id. callgate-lint(7) is this table as a page; rules_test.cc compares the two.
std::span<const Rule> AllRules();
const Rule& RuleOf(Id id);
std::optional<Id> FindRule(std::string_view name);  // "CG0301"
std::string ToString(Id id);
std::string_view ToString(Severity severity);  // "info", "warning", "error"

}  // namespace callgate::lint
