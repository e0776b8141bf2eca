#include "supervise/copy.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

namespace callgate::supervise {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kUsual = 256;  // bytes of a string that are looked at first

// What the kernel says of the supervisor's right to look is no errno of the call.
int CallErrno(int error) { return error == EPERM ? ESRCH : error; }

}  // namespace

kernel::SysResult<std::string> CopyString(kernel::Kernel& kernel, pid_t tid, std::uint64_t address,
                                          std::size_t limit) {
  std::string text;
  std::array<char, kPage> bytes;
  // Page by page: a string may end right before a page that cannot be read. Most are short.
  while (text.size() < limit) {
    const std::uint64_t at = address + text.size();
    std::size_t part = std::min<std::size_t>(limit - text.size(), kPage - at % kPage);
    if (text.empty()) part = std::min(part, kUsual);
    auto got = kernel.ReadMemory(tid, at, std::as_writable_bytes(std::span(bytes)).first(part));
    if (!got) return std::unexpected(CallErrno(got.error()));
    if (*got == 0) return std::unexpected(EFAULT);
    const std::size_t length = ::strnlen(bytes.data(), *got);
    text.append(bytes.data(), length);
    if (length < *got) return text;
    if (*got < part) return std::unexpected(EFAULT);
  }
  return std::unexpected(ENAMETOOLONG);
}

kernel::SysResult<std::vector<std::byte>> CopyBytes(kernel::Kernel& kernel, pid_t tid,
                                                    std::uint64_t address, std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::size_t have = 0;
  while (have < size) {
    auto got = kernel.ReadMemory(tid, address + have, std::span(bytes).subspan(have));
    if (!got) return std::unexpected(CallErrno(got.error()));
    if (*got == 0) return std::unexpected(EFAULT);
    have += *got;
  }
  return bytes;
}

kernel::SysResult<std::vector<std::string>> CopyStrings(kernel::Kernel& kernel, pid_t tid,
                                                        std::uint64_t address) {
  std::vector<std::string> strings;
  std::size_t total = 0;
  while (address != 0) {
    // To the end of the page and no further: the vector may end there.
    std::size_t part = kPage - address % kPage;
    std::vector<std::uint64_t> pointers(std::max<std::size_t>(part / sizeof(std::uint64_t), 1));
    auto into = std::as_writable_bytes(std::span(pointers));
    auto got = kernel.ReadMemory(tid, address, into);
    if (!got) return std::unexpected(CallErrno(got.error()));
    for (std::uint64_t pointer : std::span(pointers).first(*got / sizeof(std::uint64_t))) {
      if (pointer == 0) return strings;
      // Most are short; a long buffer for each would be cleared for nothing.
      auto text = CopyString(kernel, tid, pointer, 256);
      if (!text && text.error() == ENAMETOOLONG) {
        text = CopyString(kernel, tid, pointer, kMaxArgument);
      }
      if (!text) return std::unexpected(text.error() == ENAMETOOLONG ? E2BIG : text.error());
      total += text->size() + 1 + sizeof pointer;
      if (total > kMaxArguments) return std::unexpected(E2BIG);
      strings.push_back(std::move(*text));
    }
    if (*got < into.size()) return std::unexpected(EFAULT);
    address += into.size();
  }
  return strings;
}

}  // namespace callgate::supervise
