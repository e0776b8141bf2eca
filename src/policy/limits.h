#pragma once

#include <cstddef>
#include <cstdint>

namespace callgate::policy {

// What a policy may be, at most. Every limit exists so that a hostile or generated file ends in a
// clear message and not in a full memory or a long silence. None is near what people write: the
// largest policy in public use (a container default on all ABIs) has about 500 rules and 40 KiB.

// Larger than any text a person or a generator means as rules; spans and tokens of a file this size
// still fit in a few hundred MiB.
inline constexpr std::size_t kMaxFileBytes = 16U << 20;
// Parser, type checker and printer recurse over expressions; 128 levels need well under 1 MiB of
// stack even in an instrumented build, and nobody reads an expression nested deeper than ten.
inline constexpr int kMaxExprDepth = 128;
// Rules of a whole policy, used files included. There are about 650 system calls.
inline constexpr std::size_t kMaxRules = 131'072;
// Comparisons, connectives, values and set elements of one file: bounds the tree's memory (about
// 100 bytes each). A filter holds 4096 instructions, so a policy 250 times that cannot be
// installed.
inline constexpr std::size_t kMaxNodes = 1U << 20;
// Elements of one set, ranges counted once.
inline constexpr std::size_t kMaxSetElements = 65'536;
// Typed nodes of a policy over all ABIs and calls, after groups, ABIs and lets are multiplied out;
// about 200 bytes each.
inline constexpr std::size_t kMaxTypedNodes = 1U << 19;
// Constants, lets and numbers looked up while typing, the same way; about 100 ns each.
inline constexpr std::size_t kMaxTypedTerms = 1U << 21;
// Numbers of one nr(LOW..HIGH). A kernel's table has under 600 entries.
inline constexpr int kMaxNumbers = 4096;
// N of argv[N]. Policies name the first few arguments; a larger number is a slip.
inline constexpr std::uint32_t kMaxIndex = 4095;
// How often rules × calls × ABIs may be combined before anything is typed.
inline constexpr std::size_t kMaxRuleTargets = 1U << 21;
// `use` inside used files. Deeper nesting hides what a policy says.
inline constexpr int kMaxUseDepth = 16;
// Files of one policy.
inline constexpr std::size_t kMaxFiles = 256;

}  // namespace callgate::policy
