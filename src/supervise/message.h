#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/kernel.h"
#include "supervise/inputs.h"
#include "supervise/perform.h"

namespace callgate::supervise {

// What one call may send at most; of a stream more is sent by the next call, as after any other
// partial send. Each caller's bytes stand in the supervisor's memory while it waits.
inline constexpr std::size_t kMaxSent = std::size_t{4} << 20U;

// The socket that a call of the send family is about.
struct SendingSocket {
  int fd = -1;
  int domain = 0;
  int type = 0;
};

// One message, copied out of the caller's memory: what is decided on, and what is sent.
struct OutgoingMessage {
  Inputs::Message seen;                // for the policy
  std::vector<std::byte> data;         // of all its buffers
  std::size_t unreadable = 0;          // bytes behind those, which the caller does not have
  bool is_cut = false;                 // there was more than there was room for
  std::vector<std::byte> control;      // the descriptors in it are ours
  std::optional<ucred> sender;         // whom control says it is from
  std::vector<base::UniqueFd> passed;  // those descriptors
};

// `room`: of bytes that may still be copied. `key`: under which an address that names a file is
// pinned (Inputs::PinText). An errno: what the kernel says of such a message.
kernel::SysResult<OutgoingMessage> CopyMessage(Inputs& inputs, const Surroundings& around,
                                               const SendingSocket& socket, std::uint64_t header,
                                               std::size_t room, std::size_t key);
// sendto has no header.
kernel::SysResult<OutgoingMessage> CopyPlainMessage(Inputs& inputs, const Surroundings& around,
                                                    const SendingSocket& socket, std::uint64_t data,
                                                    std::uint64_t size,
                                                    std::vector<std::byte> address,
                                                    std::size_t key);

// Behind what `control` holds.
void AppendCredentials(std::vector<std::byte>& control, const ucred& sender);

}  // namespace callgate::supervise
