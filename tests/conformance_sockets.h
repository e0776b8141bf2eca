#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>

// Sockets between which the calls on sockets are probed.

namespace callgate::conformance {

// Where a message is sent from and where it arrives.
struct Ends {
  int from = -1;
  int to = -1;

  Ends(int source, int target) : from(source), to(target) {}
  ~Ends() {
    if (from >= 0 && from < 900) close(from);
    if (to >= 0) close(to);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
};

struct Address {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

Address UnixAddress(const std::string& path);
Address NameOf(int fd);
// To a name of the fixture's directory, or to a free port.
int Bound(int family, int type);

enum class Kind : std::uint8_t {
  kUnixStream,
  kUnixPacket,
  kUnixDatagram,
  kUnixFree,  // datagrams, not connected
  kUdp,
  kUdpConnected,
  kTcp,
  kTcpFree,
  kClosed,  // a stream whose other end is gone
  kFull,    // that does not wait
  kFile,
  kNone,
};
constexpr Kind kKinds[] = {Kind::kUnixStream, Kind::kUnixPacket, Kind::kUnixDatagram,
                           Kind::kUnixFree,   Kind::kUdp,        Kind::kUdpConnected,
                           Kind::kTcp,        Kind::kTcpFree,    Kind::kClosed,
                           Kind::kFull,       Kind::kFile,       Kind::kNone};

// The call, what arrived at the other end, and how often it broke a pipe.
void TrySend(const std::string& shown, Kind kind, const std::function<long(const Ends&)>& call);

}  // namespace callgate::conformance
