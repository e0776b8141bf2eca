#include "launch/decode.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "abi/arch.h"
#include "abi/constants.h"
#include "abi/syscalls.h"
#include "fmt/format.h"
#include "launch/escape.h"

namespace callgate::launch {
namespace {

constexpr std::size_t kMaxPath = 4096;     // PATH_MAX, bytes with the NUL
constexpr std::size_t kMaxString = 64;     // bytes shown of any other string
constexpr std::size_t kMaxVector = 8;      // strings shown of argv
constexpr std::size_t kMaxSockaddr = 128;  // sizeof(struct sockaddr_storage)

// One argument, as shown and as compared.
struct Words {
  std::string text;
  std::string key;
};
Words Same(const std::string& text) { return {text, text}; }
Words Hidden(std::string text) { return {std::move(text), "*"}; }

class Decoder {
 public:
  Decoder(abi::ArchId arch, const abi::Call& call, const TargetView& target)
      : arch_(arch), call_(call), target_(target) {}

  Words Decode(const abi::Argument& argument, std::uint64_t value) const;

 private:
  Words Number(const abi::Argument& argument, std::uint64_t value) const;
  Words Descriptor(std::uint64_t value, bool may_be_cwd) const;
  Words Address(std::uint64_t value) const;
  Words String(std::uint64_t address, std::size_t limit) const;
  Words StringVector(std::uint64_t address) const;
  Words SocketAddress(std::uint64_t address, std::uint64_t size) const;
  Words Enumerated(const abi::Argument& argument, std::uint64_t value) const;

  abi::ArchId arch_;
  const abi::Call& call_;
  const TargetView& target_;
};

std::int64_t SignExtended(std::uint64_t value, std::uint8_t bits) {
  return bits == 32 ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(value);
}

Words Decoder::Number(const abi::Argument& argument, std::uint64_t value) const {
  if (argument.is_signed) return Same(fmt::format("{}", SignExtended(value, argument.bits)));
  return Same(fmt::format("{}", value));
}

Words Decoder::Address(std::uint64_t value) const {
  if (value == 0) return Same("NULL");
  return Hidden(fmt::format("{:#x}", value));
}

Words Decoder::Descriptor(std::uint64_t value, bool may_be_cwd) const {
  auto fd = static_cast<std::int32_t>(value);
  if (may_be_cwd && fd == AT_FDCWD) return Same("AT_FDCWD");
  auto target = fd >= 0 ? target_.DescriptorTarget(fd) : std::nullopt;
  if (!target) return Same(fmt::format("{}", fd));
  std::string words = fmt::format("<{}>", Escape(*target));
  // "socket:[4711]" differs each time.
  std::size_t bracket = target->find(":[");
  return {fmt::format("{} {}", fd, words), target->starts_with('/') || bracket == std::string::npos
                                               ? words
                                               : target->substr(0, bracket)};
}

Words Decoder::String(std::uint64_t address, std::size_t limit) const {
  if (address == 0) return Same("NULL");
  std::vector<std::byte> bytes = target_.ReadMemory(address, limit);
  if (bytes.empty()) return Address(address);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::size_t end = text.find('\0');
  return Same(fmt::format("\"{}\"{}", Escape(text.substr(0, end)),
                          end == std::string_view::npos ? "…" : ""));
}

Words Decoder::StringVector(std::uint64_t address) const {
  if (address == 0) return Same("NULL");
  std::size_t word = abi::ArchOf(arch_).bits / 8;
  if (arch_ == abi::ArchId::kX32) word = 4;
  std::vector<std::byte> bytes = target_.ReadMemory(address, (kMaxVector + 1) * word);
  if (bytes.size() < word) return Address(address);
  std::string text;
  for (std::size_t i = 0; (i + 1) * word <= bytes.size(); ++i) {
    std::uint64_t pointer = 0;  // little-endian machines only are ported
    std::memcpy(&pointer, bytes.data() + i * word, word);
    if (pointer == 0) break;
    if (i == kMaxVector) {
      text += ", …";
      break;
    }
    text += (i == 0 ? "" : ", ") + String(pointer, kMaxString).text;
  }
  return Same("[" + text + "]");
}

std::string InternetAddress(int family, const void* address, std::uint16_t port) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family, address, text.data(), text.size());
  return family == AF_INET6 ? fmt::format("[{}]:{}", text.data(), ntohs(port))
                            : fmt::format("{}:{}", text.data(), ntohs(port));
}

Words Decoder::SocketAddress(std::uint64_t address, std::uint64_t size) const {
  if (address == 0) return Same("NULL");
  std::vector<std::byte> bytes =
      target_.ReadMemory(address, std::min<std::uint64_t>(size & UINT32_MAX, kMaxSockaddr));
  std::uint16_t family = 0;
  if (bytes.size() < sizeof family) return Address(address);
  std::memcpy(&family, bytes.data(), sizeof family);
  if (family == AF_INET && bytes.size() >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, bytes.data(), sizeof in);
    return Same(fmt::format("{{AF_INET {}}}", InternetAddress(AF_INET, &in.sin_addr, in.sin_port)));
  }
  if (family == AF_INET6 && bytes.size() >= offsetof(sockaddr_in6, sin6_scope_id)) {
    sockaddr_in6 in{};
    std::memcpy(&in, bytes.data(), std::min(bytes.size(), sizeof in));
    return Same(
        fmt::format("{{AF_INET6 {}}}", InternetAddress(AF_INET6, &in.sin6_addr, in.sin6_port)));
  }
  if (family == AF_UNIX) {
    std::string_view path(reinterpret_cast<const char*>(bytes.data()) + 2, bytes.size() - 2);
    if (path.empty()) return Same("{AF_UNIX unnamed}");
    // A leading NUL is the abstract name space; there the length counts, not a NUL.
    if (path[0] == '\0') return Same(fmt::format("{{AF_UNIX \"@{}\"}}", Escape(path.substr(1))));
    return Same(fmt::format("{{AF_UNIX \"{}\"}}", Escape(path.substr(0, path.find('\0')))));
  }
  auto name = abi::NameOfValue(arch_, "sock_family", family);
  return Same(fmt::format("{{{}}}", name ? std::string(*name) : fmt::format("family {}", family)));
}

Words Decoder::Enumerated(const abi::Argument& argument, std::uint64_t value) const {
  if (auto name = abi::NameOfValue(arch_, argument.set, value)) return Same(std::string(*name));
  if (!argument.flags_set.empty()) {
    // Flag bits stand above the number: take away the bits of the set that are set.
    std::uint64_t flags = 0;
    for (const abi::Constant& flag : abi::ConstantsOf(arch_, argument.flags_set)) {
      if (flag.value != 0 && (value & flag.value) == flag.value) flags |= flag.value;
    }
    auto name = abi::NameOfValue(arch_, argument.set, value & ~flags);
    if (name && flags != 0) {
      return Same(fmt::format("{}|{}", *name, abi::FormatFlags(arch_, argument.flags_set, flags)));
    }
  }
  return Same(fmt::format("{:#x}", value));
}

Words Decoder::Decode(const abi::Argument& argument, std::uint64_t value) const {
  if (argument.bits == 32) value &= UINT32_MAX;
  switch (argument.kind) {
    case abi::ArgKind::kInteger:
    case abi::ArgKind::kPid:
      return Number(argument, value);
    case abi::ArgKind::kId:
      return Same(fmt::format("{}", SignExtended(value, argument.bits)));
    case abi::ArgKind::kFd:
      return Descriptor(value, false);
    case abi::ArgKind::kDirFd:
      return Descriptor(value, true);
    case abi::ArgKind::kFlags:
      return Same(abi::FormatFlags(arch_, argument.set, value));
    case abi::ArgKind::kEnum:
      return Enumerated(argument, value);
    case abi::ArgKind::kMode:
      return Same(fmt::format("{:#o}", value));
    case abi::ArgKind::kDev:
      return Same(fmt::format("dev({},{})", major(value), minor(value)));
    case abi::ArgKind::kSignal: {
      auto name = abi::NameOfValue(arch_, "signo", value);
      return name ? Same(std::string(*name)) : Number(argument, value);
    }
    case abi::ArgKind::kPath:
      return String(value, kMaxPath);
    case abi::ArgKind::kString:
      return String(value, kMaxString);
    case abi::ArgKind::kStringVector:
      return StringVector(value);
    case abi::ArgKind::kSockaddr: {
      // Outgoing buffers hold nothing yet, and their length is a pointer.
      if (argument.direction == abi::Direction::kOut || argument.length_arg < 0) {
        return Address(value);
      }
      return SocketAddress(value, call_.args.at(static_cast<std::size_t>(argument.length_arg)));
    }
    case abi::ArgKind::kAddress:
    case abi::ArgKind::kStruct:
    case abi::ArgKind::kBuffer:
    case abi::ArgKind::kPointer:
      return Address(value);
    case abi::ArgKind::kVariant:
    case abi::ArgKind::kLowHalf:
    case abi::ArgKind::kHighHalf:
      return Hidden(fmt::format("{:#x}", value));
    case abi::ArgKind::kUnused:
      return {};
  }
  return {};
}

// Sizes and offsets do not make two calls different to the reader of a report.
bool IsQuantity(const abi::Argument& argument) {
  return argument.kind == abi::ArgKind::kInteger && argument.bits == 64;
}

}  // namespace

DecodedCall DecodeCall(const abi::Call& call, const TargetView& target) {
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  std::string prefix;
  if (!arch) {
    prefix = fmt::format("{:#x}.", call.arch);
  } else if (*arch != abi::NativeArch()) {
    prefix = fmt::format("{}.", abi::ArchOf(*arch).name);
  }
  DecodedCall decoded;
  decoded.name = prefix + (syscall != nullptr ? std::string(syscall->name)
                                              : fmt::format("syscall {}", call.nr));

  std::string text;
  std::string key;
  auto add = [&](std::string_view name, const Words& words) {
    std::string_view separator = text.empty() ? "" : ", ";
    text += fmt::format("{}{}={}", separator, name, words.text);
    key += fmt::format("{}{}={}", separator, name, words.key);
  };
  auto signature = syscall != nullptr ? abi::SignatureOf(*arch, syscall->name) : std::nullopt;
  if (signature) {
    Decoder decoder(*arch, call, target);
    for (std::size_t i = 0; i < signature->size() && i < call.args.size(); ++i) {
      const abi::Argument& argument = (*signature)[i];
      if (argument.kind == abi::ArgKind::kUnused) continue;
      Words words = decoder.Decode(argument, call.args[i]);
      if (IsQuantity(argument)) words.key = "*";
      add(argument.name, words);
    }
  } else {
    for (std::size_t i = 0; i < call.args.size(); ++i) {
      add(fmt::format("arg{}", i), Hidden(fmt::format("{:#x}", call.args[i])));
    }
  }
  decoded.text = fmt::format("{}({})", decoded.name, text);
  decoded.key = fmt::format("{}({})", decoded.name, key);
  return decoded;
}

}  // namespace callgate::launch
