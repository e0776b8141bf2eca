#include "tests/conformance_sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {

Address UnixAddress(const std::string& path) {
  Address address;
  sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
  std::memcpy(name.sun_path, path.data(), std::min(path.size(), sizeof name.sun_path));
  std::memcpy(&address.bytes, &name, sizeof name);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                        (path.starts_with('\0') ? 0 : 1));
  return address;
}

Address NameOf(int fd) {
  Address address;
  address.size = sizeof address.bytes;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address.bytes), &address.size);
  return address;
}

int Bound(int family, int type) {
  int fd = socket(family, type, 0);
  if (family == AF_UNIX) {
    Address name = UnixAddress("sock");
    (void)!bind(fd, reinterpret_cast<sockaddr*>(&name.bytes), name.size);
    return fd;
  }
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  (void)!bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name);
  return fd;
}

namespace {

volatile std::sig_atomic_t broken_pipes = 0;

// What the message looked like from there.
std::string Received(int fd) {
  if (fd < 0) return {};
  std::array<char, 300> data{};
  alignas(cmsghdr) std::array<char, 512> control{};
  sockaddr_storage from{};
  iovec buffer{data.data(), data.size()};
  msghdr head{};
  head.msg_name = &from;
  head.msg_namelen = sizeof from;
  head.msg_iov = &buffer;
  head.msg_iovlen = 1;
  head.msg_control = control.data();
  head.msg_controllen = control.size();
  ssize_t size = recvmsg(fd, &head, MSG_DONTWAIT);
  if (size < 0) return " -";
  std::string text = " <" + std::to_string(size) + " ";
  for (ssize_t i = 0; i < std::min<ssize_t>(size, 12); ++i) text += data[i] == 0 ? '.' : data[i];
  text += " from " + std::to_string(head.msg_namelen);
  for (cmsghdr* part = CMSG_FIRSTHDR(&head); part != nullptr; part = CMSG_NXTHDR(&head, part)) {
    if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred who{};
      std::memcpy(&who, CMSG_DATA(part), sizeof who);
      bool is_us = who.pid == getpid();
      text += " by " + std::to_string(who.uid) + ":" + std::to_string(who.gid) +
              (is_us ? " us" : " other");
    } else if (part->cmsg_type == SCM_RIGHTS) {
      std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      text += " fds";
      for (std::size_t i = 0; i < count; ++i) {
        int passed = -1;
        std::memcpy(&passed, CMSG_DATA(part) + i * sizeof passed, sizeof passed);
        struct stat status{};
        fstat(passed, &status);
        char shown[32];
        std::snprintf(shown, sizeof shown, " %o", status.st_mode);
        text += shown;
        close(passed);
      }
    } else {
      text += " cmsg " + std::to_string(part->cmsg_type);
    }
  }
  return text + ((head.msg_flags & MSG_TRUNC) != 0 ? " cut>" : ">");
}

void AskWhoSends(int fd) {
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
}

Ends Pair(int type) {
  int ends[2] = {-1, -1};
  (void)!socketpair(AF_UNIX, type, 0, ends);
  AskWhoSends(ends[1]);
  return {ends[0], ends[1]};
}

Ends Tcp() {
  int server = Bound(AF_INET, SOCK_STREAM);
  (void)!syscall(SYS_listen, server, 1);
  Address name = NameOf(server);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  (void)!connect(client, reinterpret_cast<sockaddr*>(&name.bytes), name.size);
  // Not by the calls that are probed.
  int to = -1;
  pollfd ready{.fd = server, .events = POLLIN, .revents = 0};
  poll(&ready, 1, 1000);
  to = static_cast<int>(syscall(SYS_accept4, server, nullptr, nullptr, 0));
  if (to < 0) to = static_cast<int>(syscall(SYS_accept, server, nullptr, nullptr));
  close(server);
  return {client, to};
}

Ends Make(Kind kind) {
  switch (kind) {
    case Kind::kUnixStream:
      return Pair(SOCK_STREAM);
    case Kind::kUnixPacket:
      return Pair(SOCK_SEQPACKET);
    case Kind::kUnixDatagram:
      return Pair(SOCK_DGRAM);
    case Kind::kUnixFree: {
      int to = Bound(AF_UNIX, SOCK_DGRAM);
      AskWhoSends(to);
      return {socket(AF_UNIX, SOCK_DGRAM, 0), to};
    }
    case Kind::kUdp:
      return {socket(AF_INET, SOCK_DGRAM, 0), Bound(AF_INET, SOCK_DGRAM)};
    case Kind::kUdpConnected: {
      int to = Bound(AF_INET, SOCK_DGRAM);
      Address name = NameOf(to);
      int from = socket(AF_INET, SOCK_DGRAM, 0);
      (void)!connect(from, reinterpret_cast<sockaddr*>(&name.bytes), name.size);
      return {from, to};
    }
    case Kind::kTcp:
      return Tcp();
    case Kind::kTcpFree:
      return {socket(AF_INET, SOCK_STREAM, 0), -1};
    case Kind::kClosed: {
      int ends[2] = {-1, -1};
      (void)!socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
      close(ends[1]);
      return {ends[0], -1};
    }
    case Kind::kFull: {
      int ends[2] = {-1, -1};
      (void)!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
      static const std::array<char, 4096> filler{};
      while (write(ends[0], filler.data(), filler.size()) > 0) {
      }
      return {ends[0], ends[1]};
    }
    case Kind::kFile:
      return {opens_by_open ? static_cast<int>(syscall(SYS_open, "f", O_RDWR))
                            : openat(AT_FDCWD, "f", O_RDWR),
              -1};
    case Kind::kNone:
      return {999, -1};
  }
  return {-1, -1};
}

}  // namespace

void TrySend(const std::string& shown, Kind kind, const std::function<long(const Ends&)>& call) {
  std::signal(SIGPIPE, [](int) { broken_pipes = broken_pipes + 1; });
  Try(shown + " kind " + std::to_string(static_cast<int>(kind)), [&] {
    Ends ends = Make(kind);
    broken_pipes = 0;
    errno = 0;
    long result = call(ends);
    int error = errno;
    std::string got = kind == Kind::kFull ? "" : Received(ends.to);
    if (kind != Kind::kFull) got += Received(ends.to);
    std::printf("pipes %d%s ", static_cast<int>(broken_pipes), got.c_str());
    errno = error;
    return result;
  });
}

}  // namespace callgate::conformance
