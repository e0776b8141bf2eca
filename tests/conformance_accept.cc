#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/conformance_fixture.h"
#include "tests/conformance_sockets.h"

namespace callgate::conformance {
namespace {

// A listening socket with a connection that waits, for `server`.
struct Listening {
  const char* shown;
  int family;
  int type;
  bool has_client;
};
constexpr Listening kListening[] = {
    {"unix", AF_UNIX, SOCK_STREAM, true},
    {"packet", AF_UNIX, SOCK_SEQPACKET, true},
    {"tcp", AF_INET, SOCK_STREAM, true},
    {"nobody", AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, false},
    {"datagram", AF_UNIX, SOCK_DGRAM, false},
    {"file", -1, 0, false},
    {"none", -2, 0, false},
};

void TryAccept(const std::string& shown, const Listening& listening,
               const std::function<long(int server)>& call) {
  Try(
      shown + " " + listening.shown,
      [&]() -> long {
        if (listening.family == -2) return call(999);
        Ends ends(-1, -1);
        int server = file_fd;
        if (listening.family >= 0) {
          server = Bound(listening.family, listening.type);
          (void)!listen(server, 2);
          ends.from = server;
        }
        if (listening.has_client) {
          Address name = NameOf(server);
          ends.to = socket(listening.family, listening.type, 0);
          if (listening.family == AF_UNIX) {
            Address own = UnixAddress("client");
            (void)!bind(ends.to, reinterpret_cast<sockaddr*>(&own.bytes), own.size);
          }
          (void)!connect(ends.to, reinterpret_cast<sockaddr*>(&name.bytes), name.size);
        }
        errno = 0;
        return call(server);
      },
      true);
}

void ProbeAccept(const std::string& call) {
  bool has_flags = call == "accept4";
  std::vector<int> all_flags{0};
  if (has_flags)
    all_flags = {0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK, 1, 1 << 30};
  auto make = [has_flags](int server, void* address, void* size, int flags) {
    return has_flags ? syscall(SYS_accept4, server, address, size, flags)
                     : syscall(SYS_accept, server, address, size);
  };
  for (const Listening& listening : kListening) {
    for (int flags : all_flags) {
      TryAccept(call + "(flags " + std::to_string(flags), listening,
                [&](int server) { return make(server, nullptr, nullptr, flags); });
    }
    for (int room : {0, 1, 2, 8, 16, 110, 128, 4000, -1}) {
      TryAccept(call + "(room " + std::to_string(room), listening, [&](int server) {
        std::array<unsigned char, 256> address{};
        address.fill('z');
        int size = room;
        long result = make(server, address.data(), &size, 0);
        int error = errno;
        // An AF_INET peer has a port that differs from run to run.
        bool is_inet = address[0] == AF_INET && room >= 4;
        if (is_inet) address[2] = address[3] = 'p';
        std::size_t sum = 0;
        for (unsigned char c : address) sum = sum * 31 + c;
        std::printf("size %d sum %zu ", size, sum);
        errno = error;
        return result;
      });
    }
    int size = 16;
    TryAccept(call + "(bad address", listening,
              [&](int server) { return make(server, const_cast<char*>(kBadPointer), &size, 0); });
    TryAccept(call + "(bad size", listening,
              [&](int server) { return make(server, &size, const_cast<char*>(kBadPointer), 0); });
    TryAccept(call + "(no size", listening,
              [&](int server) { return make(server, &size, nullptr, 0); });
  }
}

}  // namespace

void ProbeAccepting(const std::string& call) {
  if (call == "accept" || call == "accept4") ProbeAccept(call);
  if (call == "shutdown" || call == "listen") {
    long nr = call == "shutdown" ? SYS_shutdown : SYS_listen;
    for (Kind kind : kKinds) {
      for (long argument : {0L, 1L, 2L, 3L, -1L, 1L << 32}) {
        TrySend(call + "(" + std::to_string(argument), kind, [nr, argument](const Ends& ends) {
          long result = syscall(nr, ends.from, argument);
          int error = errno;
          std::printf("then %zd ", send(ends.from, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
          errno = error;
          return result;
        });
      }
    }
    for (const Listening& listening : kListening) {
      TryAccept(call + " again", listening, [nr](int server) {
        long result = syscall(nr, server, 2);
        return result < 0 ? result : fcntl(server, F_DUPFD, 30);
      });
    }
  }
}

}  // namespace callgate::conformance
