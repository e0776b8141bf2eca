#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "policy/deep.h"
#include "supervise/perform.h"

namespace callgate::supervise {

// One message is held in one piece. More than an extended attribute and its name is never sent.
inline constexpr std::size_t kMaxWire = 128U << 10U;

// Values, one after the other, for a process of ours (helper.h). Both sides are the same program,
// so there is neither version nor byte order; what does not fit still never reads beyond the end.
class WireWriter {
 public:
  void Number(std::uint64_t value);
  void Text(std::string_view text);
  void Bytes(std::span<const std::byte> bytes);
  void Value(const policy::DeepValue& value);
  void Subject(const policy::DeepSubject& subject);
  void Call(const abi::Call& call);
  void Answer(const Reply& reply);  // without its descriptor

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Reads what a WireWriter wrote, in the same order. After the end, zero and nothing; `ok` tells.
class WireReader {
 public:
  explicit WireReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  std::uint64_t Number();
  template <typename Enum>
  Enum As() {
    return static_cast<Enum>(Number());
  }
  std::string Text();
  std::vector<std::byte> Bytes();
  policy::DeepValue Value();
  policy::DeepSubject Subject();
  abi::Call Call();
  Reply Answer();

  bool ok() const { return ok_; }

 private:
  std::span<const std::byte> Take(std::size_t size);

  std::span<const std::byte> rest_;
  bool ok_ = true;
};

// A socketpair(2) of SOCK_SEQPACKET.
class Wire {
 public:
  explicit Wire(base::UniqueFd socket) : socket_(std::move(socket)) {}

  // False: the other side is gone, or the message too large. A descriptor goes along if there is
  // one.
  bool Send(const WireWriter& message, int descriptor = -1);
  struct Received {
    std::vector<std::byte> bytes;
    base::UniqueFd descriptor;
  };
  // nullopt: the other side is gone. `interrupted` is called at every EINTR.
  std::optional<Received> Receive(const std::function<void()>& interrupted);
  // Receive then says that the other side is gone.
  void GiveUpAfter(std::chrono::seconds patience);

 private:
  base::UniqueFd socket_;
  std::vector<std::byte> buffer_;
};

}  // namespace callgate::supervise
