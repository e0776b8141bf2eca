#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace callgate::bpf {

// One classic BPF instruction, laid out as struct sock_filter of linux/filter.h.
struct Instruction {
  std::uint16_t code = 0;
  std::uint8_t jt = 0;  // jump if true: instructions to skip
  std::uint8_t jf = 0;
  std::uint32_t k = 0;

  constexpr bool operator==(const Instruction&) const = default;
};
static_assert(sizeof(Instruction) == 8, "passed to the kernel as struct sock_filter");

// A filter. Jumps go forward only; the last instruction returns.
using Program = std::vector<Instruction>;
using ProgramView = std::span<const Instruction>;

inline constexpr std::size_t kMaxInstructions = 4096;  // BPF_MAXINSNS, linux/bpf_common.h

}  // namespace callgate::bpf
