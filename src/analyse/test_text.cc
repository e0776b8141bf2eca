// An argument that the kernel reads as 32 bits has its name and its constants' names where its low
// half alone is tested; what a name cannot say exactly is written as a register, "arg2 as u32". A
// signed argument's negative numbers are no list of bit patterns, so a list that holds some is
// written that way too.

#include "analyse/test_text.h"

#include <fmt/format.h>

#include "abi/call.h"
#include "abi/constants.h"
#include "base/check.h"

namespace callgate::analyse {
namespace {

using graph::Op;
using graph::Predicate;

Intervals Complement(const Intervals& set) {
  Intervals rest;
  std::uint64_t next = 0;
  for (const Interval& one : set) {
    if (next < one.first) rest.push_back({static_cast<std::uint32_t>(next), one.first - 1});
    next = std::uint64_t{one.last} + 1;
  }
  if (next <= kWholeWord) rest.push_back({static_cast<std::uint32_t>(next), kWholeWord});
  return rest;
}

std::string NumberText(std::uint64_t number) {
  return number < 10 ? fmt::format("{}", number) : fmt::format("{:#x}", number);
}

std::string RegisterName(const Half& half) {
  return half.slot ? fmt::format("arg{} as u64", *half.slot) : "ip";
}

}  // namespace

Half TestText::HalfOf(std::uint8_t word) const {
  if (word < abi::ArgLowWord(0, order_) && word < abi::ArgHighWord(0, order_)) {
    return {std::nullopt, word == abi::IpHighWord(order_)};
  }
  const int slot = (word - 4) / 2;
  return {slot, word == abi::ArgHighWord(slot, order_)};
}

// An argument that has a name and no meaning beyond its number.
const abi::Argument* TestText::ArgumentOf(const Half& half) const {
  if (!half.slot || static_cast<std::size_t>(*half.slot) >= call_.signature.size()) return nullptr;
  const abi::Argument& argument = call_.signature[*half.slot];
  switch (argument.kind) {
    case abi::ArgKind::kInteger:
    case abi::ArgKind::kFd:
    case abi::ArgKind::kDirFd:
    case abi::ArgKind::kFlags:
    case abi::ArgKind::kEnum:
    case abi::ArgKind::kPid:
    case abi::ArgKind::kId:
    case abi::ArgKind::kSignal:
      return &argument;
    default:
      return nullptr;
  }
}

std::string TestText::Test(const Predicate& p, bool truth) const {
  const Half half = HalfOf(p.word);
  const abi::Argument* argument = half.is_high ? nullptr : ArgumentOf(half);
  const bool orders = p.op == Op::kAtLeast || p.op == Op::kGreater;
  std::string operand;
  std::uint64_t mask = p.mask;
  std::uint64_t constant = p.constant;
  const bool is_plain = argument != nullptr && argument->bits == 32 &&
                        !(argument->is_signed && (orders || constant > INT32_MAX));
  std::string value;
  if (is_plain) {
    operand = argument->name;
  } else if (!half.is_high && half.slot) {
    operand = fmt::format("arg{} as u32", *half.slot);
  } else {
    operand = RegisterName(half);
    if (half.is_high) mask <<= 32, constant <<= 32;
  }
  const bool whole = !half.is_high && half.slot && p.mask == kWholeWord;
  if (!whole) operand += fmt::format(" & {:#x}", mask);
  if (is_plain && !orders && !argument->set.empty() && p.mask == kWholeWord) {
    if (const auto name = abi::NameOfValue(call_.arch, argument->set, constant)) value = *name;
  }
  if (value.empty()) value = NumberText(constant);
  switch (p.op) {
    case Op::kEqual:
      return fmt::format("{} {} {}", operand, truth ? "==" : "!=", value);
    case Op::kAtLeast:
      return fmt::format("{} {} {}", operand, truth ? ">=" : "<", value);
    case Op::kGreater:
      return fmt::format("{} {} {}", operand, truth ? ">" : "<=", value);
    case Op::kAnyBit:
      return operand + (truth ? "" : " == 0");
  }
  CG_CHECK(false);
}

std::string TestText::WideEquality(const Predicate& high, const Predicate& low) const {
  const Half half = HalfOf(low.word);
  const abi::Argument* argument = ArgumentOf(half);
  const bool is_plain = argument != nullptr && argument->bits == 64 && !argument->is_signed;
  std::string operand = is_plain ? std::string(argument->name) : RegisterName(half);
  const std::uint64_t mask = std::uint64_t{high.mask} << 32 | low.mask;
  const std::uint64_t constant = std::uint64_t{high.constant} << 32 | low.constant;
  if (mask != UINT64_MAX) operand += fmt::format(" & {:#x}", mask);
  return fmt::format("{} == {}", operand, NumberText(constant));
}

std::string TestText::InSet(std::uint8_t word, const Intervals& set,
                            std::optional<std::uint32_t> high) const {
  const Half half = HalfOf(word);
  const abi::Argument* argument = half.is_high ? nullptr : ArgumentOf(half);
  const Intervals rest = Complement(set);
  const bool is_signed = argument != nullptr && argument->is_signed;
  const bool in_fits = !is_signed || set.back().last <= INT32_MAX;
  const bool out_fits = !is_signed || rest.back().last <= INT32_MAX;
  const bool is_plain = argument != nullptr && argument->bits == (high ? 64 : 32) &&
                        (high ? !is_signed : in_fits || out_fits);
  std::string operand = is_plain ? std::string(argument->name) : RegisterName(half);
  if (!is_plain && !high && !half.is_high && half.slot) {
    operand = fmt::format("arg{} as u32", *half.slot);
  }
  if (half.is_high) operand += fmt::format(" & {:#x}", std::uint64_t{kWholeWord} << 32);
  if (!half.is_high && !half.slot && !high) operand += fmt::format(" & {:#x}", kWholeWord);
  auto text = [&](std::uint32_t value) {
    if (is_plain && !high && !argument->set.empty()) {
      if (const auto name = abi::NameOfValue(call_.arch, argument->set, value)) {
        return std::string(*name);
      }
    }
    const std::uint64_t number = half.is_high ? std::uint64_t{value} << 32 : value;
    return NumberText(number | std::uint64_t{high.value_or(0)} << 32);
  };
  auto says = [&](const Intervals& intervals, bool is_in) {
    const Interval& first = intervals.front();
    const bool is_one = intervals.size() == 1;
    if (is_one && first.first == first.last) {
      return fmt::format("{} {} {}", operand, is_in ? "==" : "!=", text(first.first));
    }
    const bool orders = !is_plain || !is_signed;
    if (is_one && orders && first.first == 0 && high.value_or(0) == 0) {
      return fmt::format("{} {} {}", operand, is_in ? "<=" : ">", text(first.last));
    }
    if (is_one && orders && first.last == kWholeWord && !high) {
      return fmt::format("{} {} {}", operand, is_in ? ">=" : "<", text(first.first));
    }
    std::string list;
    for (const Interval& one : intervals) {
      list += list.empty() ? "" : ", ";
      list += text(one.first);
      if (one.first != one.last) list += ".." + text(one.last);
    }
    return fmt::format("{} {} {}", operand, is_in ? "in" : "not in",
                       is_one ? list : "{" + list + "}");
  };
  if (high || (is_plain && !out_fits)) return says(set, true);
  if (is_plain && !in_fits) return says(rest, false);
  std::string in = says(set, true);
  std::string out = says(rest, false);
  return out.size() < in.size() ? out : in;
}

}  // namespace callgate::analyse
