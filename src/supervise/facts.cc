// The subjects come from the call's signature, with the names that a policy has for them, so that
// whoever is told a fact can write the rule about it.

#include "supervise/facts.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <utility>

#include "abi/structs.h"
#include "abi/syscalls.h"
#include "fmt/format.h"

namespace callgate::supervise {
namespace {

using policy::DeepSubject;
using Kind = policy::DeepSubject::Kind;

constexpr std::uint32_t kMaxArguments = 64;  // strings of argv that are told

std::string TextOf(const policy::IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  bool is_v4 = std::equal(kMapped.begin(), kMapped.end(), address.begin());
  const void* start = is_v4 ? address.data() + kMapped.size() : address.data();
  return inet_ntop(is_v4 ? AF_INET : AF_INET6, start, text.data(), text.size());
}

class Collector {
 public:
  Collector(const abi::Call& call, abi::ArchId arch, std::string_view name,
            const policy::LookFunction& look)
      : call_(call), arch_(arch), name_(name), look_(look) {}

  void Add(const abi::Argument& argument, std::uint8_t slot);
  Facts Take() { return std::move(facts_); }

 private:
  policy::DeepValue Look(DeepSubject subject);
  void AddAddress(DeepSubject subject, const std::string& name);
  void AddStruct(DeepSubject subject, std::string_view struct_name);
  void AddStrings(DeepSubject subject);

  const abi::Call& call_;
  abi::ArchId arch_;
  std::string_view name_;
  const policy::LookFunction& look_;
  Facts facts_;
};

policy::DeepValue Collector::Look(DeepSubject subject) {
  policy::DeepValue value = look_(subject);
  Fact fact{.name = std::move(subject.name), .value = {}};
  if (const auto* number = std::get_if<std::uint64_t>(&value)) {
    fact.value = *number;
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    fact.value = *text;
  } else if (const auto* ip = std::get_if<policy::IpAddress>(&value)) {
    fact.value = TextOf(*ip);
  } else {
    return value;
  }
  facts_.push_back(std::move(fact));
  return value;
}

void Collector::AddAddress(DeepSubject subject, const std::string& name) {
  for (auto [kind, field] : {std::pair(Kind::kFamily, "family"), std::pair(Kind::kIp, "ip"),
                             std::pair(Kind::kPort, "port"), std::pair(Kind::kUnixPath, "path"),
                             std::pair(Kind::kAbstract, "abstract")}) {
    subject.kind = kind;
    subject.name = fmt::format("{}.{}", name, field);
    Look(subject);
  }
}

void Collector::AddStruct(DeepSubject subject, std::string_view struct_name) {
  subject.kind = Kind::kField;
  subject.whole = abi::SizeOfStruct(arch_, struct_name).value_or(0);
  std::string name = std::move(subject.name);
  for (const abi::StructField& field : abi::FieldsOf(arch_, struct_name)) {
    if (field.size > sizeof(std::uint64_t)) continue;
    subject.offset = field.offset;
    subject.size = field.size;
    subject.name = fmt::format("{}.{}", name, field.name);
    Look(subject);
  }
}

void Collector::AddStrings(DeepSubject subject) {
  std::string name = std::move(subject.name);
  subject.kind = Kind::kCount;
  subject.name = name + ".count";
  Look(subject);
  subject.kind = Kind::kElement;
  for (std::uint32_t i = 0; i < kMaxArguments; ++i) {
    subject.offset = i;
    subject.name = fmt::format("{}[{}]", name, i);
    if (std::holds_alternative<policy::Absent>(Look(subject))) return;
  }
}

void Collector::Add(const abi::Argument& argument, std::uint8_t slot) {
  DeepSubject subject{
      .slot = slot, .size_slot = argument.length_arg, .name = std::string(argument.name)};
  bool is_read = argument.direction != abi::Direction::kOut && call_.args.at(slot) != 0;
  switch (argument.kind) {
    case abi::ArgKind::kPath:
      // The text of a link that is made leads nowhere yet.
      subject.kind = name_.starts_with("symlink") && slot == 0 ? Kind::kString : Kind::kPath;
      if (is_read) Look(std::move(subject));
      return;
    case abi::ArgKind::kString:
      subject.kind = Kind::kString;
      if (is_read) Look(std::move(subject));
      return;
    case abi::ArgKind::kSockaddr:
      if (is_read) AddAddress(subject, subject.name);
      return;
    case abi::ArgKind::kStruct:
      if ((name_ == "sendmsg" || name_ == "sendmmsg") && slot == 1) {
        subject.in_message = true;
        return AddAddress(subject, subject.name + ".addr");
      }
      if (is_read) AddStruct(std::move(subject), argument.struct_name);
      return;
    case abi::ArgKind::kStringVector:
      if (argument.name == "argv") AddStrings(std::move(subject));
      return;
    case abi::ArgKind::kFd:
      for (auto [kind, field] :
           {std::pair(Kind::kDescriptor, "path"), std::pair(Kind::kFileType, "type")}) {
        subject.kind = kind;
        subject.name = fmt::format("{}.{}", argument.name, field);
        Look(subject);
      }
      return;
    case abi::ArgKind::kInteger:
    case abi::ArgKind::kDirFd:
    case abi::ArgKind::kFlags:
    case abi::ArgKind::kEnum:
    case abi::ArgKind::kMode:
    case abi::ArgKind::kDev:
    case abi::ArgKind::kPid:
    case abi::ArgKind::kId:
    case abi::ArgKind::kSignal:
    case abi::ArgKind::kAddress:
    case abi::ArgKind::kBuffer:
    case abi::ArgKind::kPointer:
    case abi::ArgKind::kVariant:
    case abi::ArgKind::kLowHalf:
    case abi::ArgKind::kHighHalf:
    case abi::ArgKind::kUnused:
      return;
  }
}

}  // namespace

Facts FactsOf(const abi::Call& call, const policy::LookFunction& look) {
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  auto signature = syscall != nullptr ? abi::SignatureOf(*arch, syscall->name) : std::nullopt;
  if (!signature) return {};
  Collector collector(call, *arch, syscall->name, look);
  for (std::uint8_t slot = 0; slot < signature->size() && slot < call.args.size(); ++slot) {
    collector.Add((*signature)[slot], slot);
  }
  return collector.Take();
}

}  // namespace callgate::supervise
