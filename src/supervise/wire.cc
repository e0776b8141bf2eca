#include "supervise/wire.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <variant>

namespace callgate::supervise {

void WireWriter::Number(std::uint64_t value) {
  auto raw = std::as_bytes(std::span(&value, 1));
  bytes_.insert(bytes_.end(), raw.begin(), raw.end());
}

void WireWriter::Bytes(std::span<const std::byte> bytes) {
  Number(bytes.size());
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void WireWriter::Text(std::string_view text) { Bytes(std::as_bytes(std::span(text))); }

void WireWriter::Value(const policy::DeepValue& value) {
  Number(value.index());
  if (const auto* number = std::get_if<std::uint64_t>(&value)) Number(*number);
  if (const auto* text = std::get_if<std::string>(&value)) Text(*text);
  if (const auto* address = std::get_if<policy::IpAddress>(&value)) {
    Bytes(std::as_bytes(std::span(*address)));
  }
}

void WireWriter::Subject(const policy::DeepSubject& subject) {
  Number(static_cast<std::uint64_t>(subject.kind));
  Number(subject.slot);
  Number(static_cast<std::uint64_t>(subject.size_slot));
  Number(subject.offset);
  Number(subject.size);
  Number(subject.whole);
  Number(subject.in_message ? 1 : 0);
  Text(subject.key);
}

void WireWriter::Call(const abi::Call& call) { Bytes(std::as_bytes(std::span(&call, 1))); }

void WireWriter::Answer(const Reply& reply) {
  Number(static_cast<std::uint64_t>(reply.errno_value));
  Number(static_cast<std::uint64_t>(reply.signal));
  Number(static_cast<std::uint64_t>(reply.value));
  Number(reply.descriptor_flags);
  Number(reply.looks_again ? 1 : 0);
  Number(reply.outputs.size());
  for (const Reply::Output& output : reply.outputs) {
    Number(output.address);
    Bytes(output.bytes);
  }
}

std::span<const std::byte> WireReader::Take(std::size_t size) {
  if (size > rest_.size()) {
    ok_ = false;
    rest_ = {};
    return {};
  }
  auto taken = rest_.first(size);
  rest_ = rest_.subspan(size);
  return taken;
}

std::uint64_t WireReader::Number() {
  std::uint64_t value = 0;
  auto raw = Take(sizeof value);
  if (!raw.empty()) std::memcpy(&value, raw.data(), raw.size());
  return value;
}

std::vector<std::byte> WireReader::Bytes() {
  auto raw = Take(Number());
  return {raw.begin(), raw.end()};
}

std::string WireReader::Text() {
  auto raw = Take(Number());
  return {reinterpret_cast<const char*>(raw.data()), raw.size()};
}

policy::DeepValue WireReader::Value() {
  switch (Number()) {
    case 1:
      return Number();
    case 2:
      return Text();
    case 3: {
      policy::IpAddress address{};
      auto raw = Bytes();
      if (raw.size() == address.size()) std::memcpy(address.data(), raw.data(), raw.size());
      return address;
    }
    default:
      return policy::Absent{};
  }
}

policy::DeepSubject WireReader::Subject() {
  policy::DeepSubject subject;
  subject.kind = As<policy::DeepSubject::Kind>();
  subject.slot = static_cast<std::uint8_t>(Number());
  subject.size_slot = static_cast<std::int8_t>(Number());
  subject.offset = static_cast<std::uint32_t>(Number());
  subject.size = static_cast<std::uint32_t>(Number());
  subject.whole = static_cast<std::uint32_t>(Number());
  subject.in_message = Number() != 0;
  subject.key = Text();
  return subject;
}

abi::Call WireReader::Call() {
  abi::Call call;
  auto raw = Bytes();
  if (raw.size() == sizeof call) std::memcpy(&call, raw.data(), sizeof call);
  return call;
}

Reply WireReader::Answer() {
  Reply reply;
  reply.errno_value = static_cast<int>(Number());
  reply.signal = static_cast<int>(Number());
  reply.value = static_cast<std::int64_t>(Number());
  reply.descriptor_flags = static_cast<std::uint32_t>(Number());
  reply.looks_again = Number() != 0;
  for (std::uint64_t left = Number(); left > 0 && ok_; --left) {
    std::uint64_t address = Number();
    reply.AddOutput(address, Bytes());
  }
  return reply;
}

bool Wire::Send(const WireWriter& message, int descriptor) {
  iovec part{const_cast<std::byte*>(message.bytes().data()), message.bytes().size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  if (descriptor >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* first = CMSG_FIRSTHDR(&header);
    first->cmsg_level = SOL_SOCKET;
    first->cmsg_type = SCM_RIGHTS;
    first->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(first), &descriptor, sizeof descriptor);
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(part.iov_len);
}

void Wire::GiveUpAfter(std::chrono::seconds patience) {
  timeval limit{.tv_sec = patience.count(), .tv_usec = 0};
  (void)setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

std::optional<Wire::Received> Wire::Receive(const std::function<void()>& interrupted) {
  buffer_.resize(kMaxWire);  // once: to make it anew takes longer than the rest
  iovec part{buffer_.data(), buffer_.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  ssize_t size = 0;
  do {
    header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    size = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EINTR) interrupted();
  } while (size < 0 && errno == EINTR);
  if (size <= 0 || (header.msg_flags & MSG_TRUNC) != 0) return std::nullopt;
  Received received{.bytes = {buffer_.begin(), buffer_.begin() + size}, .descriptor = {}};
  const cmsghdr* first = CMSG_FIRSTHDR(&header);
  if (first != nullptr && first->cmsg_type == SCM_RIGHTS) {
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(first), sizeof descriptor);
    received.descriptor.Reset(descriptor);
  }
  return received;
}

}  // namespace callgate::supervise
