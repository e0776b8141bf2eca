// The send family. Besides the result, what the other side receives is printed: the bytes, who sent
// them, and what came with them.

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

// No address, that of the other end, and others that are right and wrong.
struct Destination {
  const char* shown;
  const void* pointer = nullptr;
  long size = 0;
  Address address = {};
};
std::vector<Destination> Destinations(int to) {
  std::vector<Destination> all(14);
  auto set = [&](std::size_t i, const char* shown, Address address, long size) {
    all[i].shown = shown;
    all[i].address = address;
    all[i].pointer = &all[i].address.bytes;
    all[i].size = size;
  };
  all[0].shown = "null";
  all[1] = {.shown = "null with size", .pointer = nullptr, .size = 16};
  all[2] = {.shown = "bad", .pointer = kBadPointer, .size = 16};
  Address there = NameOf(to);
  set(3, "there", there, there.size);
  set(4, "empty", there, 0);
  set(5, "short", there, 2);
  set(6, "odd", there, 1);
  set(7, "negative", there, -1);
  set(8, "128", there, 128);
  set(9, "129", there, 129);
  set(10, "path", UnixAddress("sock"), 110);
  set(11, "no path", UnixAddress("nobody"), 20);
  set(12, "link", UnixAddress("lf"), 20);
  set(13, "abstract", UnixAddress(std::string("\0nobody", 7)), 9);
  return all;
}

void ProbeSendTo() {
  static std::vector<char> big(300'000, 'b');
  for (Kind kind : kKinds) {
    for (std::size_t i = 0; i < 14; ++i) {
      TrySend("sendto(" + std::to_string(i), kind, [i](const Ends& ends) {
        Destination to = Destinations(ends.to)[i];
        if (i >= 3) to.pointer = &to.address.bytes;
        return syscall(SYS_sendto, ends.from, "hello", 5, 0, to.pointer, to.size);
      });
    }
    for (int flags : std::initializer_list<int>{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_EOR,
                                                MSG_MORE, MSG_CONFIRM, MSG_DONTROUTE, 1 << 20,
                                                static_cast<int>(0x80000000)}) {
      TrySend("sendto(flags " + std::to_string(flags), kind, [flags](const Ends& ends) {
        return syscall(SYS_sendto, ends.from, "hello", 5, flags, nullptr, 0);
      });
    }
    for (long size : {0L, 1L, 70'000L, 300'000L}) {
      TrySend("sendto(size " + std::to_string(size), kind, [size](const Ends& ends) {
        return syscall(SYS_sendto, ends.from, big.data(), size, MSG_DONTWAIT, nullptr, 0);
      });
    }
    TrySend("sendto(bad data", kind, [](const Ends& ends) {
      return syscall(SYS_sendto, ends.from, kBadPointer, 5, 0, nullptr, 0);
    });
  }
}

// One header with room for what it points to.
struct Outgoing {
  msghdr head{};
  std::vector<iovec> buffers;
  alignas(cmsghdr) std::array<char, 2048> control{};
  std::size_t used = 0;
  Destination to = {};

  void Text(const char* text) { buffers.push_back({const_cast<char*>(text), std::strlen(text)}); }
  void Add(int level, int type, const void* bytes, std::size_t size) {
    cmsghdr part{.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    std::memcpy(control.data() + used, &part, sizeof part);
    std::memcpy(control.data() + used + sizeof part, bytes, size);
    used += CMSG_SPACE(size);
  }
  void Rights(std::initializer_list<int> fds) {
    std::vector<int> all(fds);
    Add(SOL_SOCKET, SCM_RIGHTS, all.data(), all.size() * sizeof(int));
  }
  void Sender(int pid, unsigned uid, unsigned gid) {
    ucred who{.pid = pid, .uid = uid, .gid = gid};
    Add(SOL_SOCKET, SCM_CREDENTIALS, &who, sizeof who);
  }
  msghdr* Done() {
    if (buffers.empty()) return &head;
    head.msg_iov = buffers.data();
    head.msg_iovlen = buffers.size();
    if (used != 0) {
      head.msg_control = control.data();
      head.msg_controllen = used;
    }
    return &head;
  }
};

struct Variant {
  const char* shown;
  std::function<void(Outgoing&, const Ends&)> fill;
};
const std::vector<Variant>& Variants() {
  static const std::vector<Variant> all{
      {"one", [](Outgoing& m, const Ends&) { m.Text("hello"); }},
      {"none", [](Outgoing&, const Ends&) {}},
      {"three",
       [](Outgoing& m, const Ends&) {
         m.Text("ab");
         m.Text("");
         m.Text("cde");
       }},
      {"1024",
       [](Outgoing& m, const Ends&) {
         for (int i = 0; i < 1024; ++i) m.Text("x");
       }},
      {"1025",
       [](Outgoing& m, const Ends&) {
         for (int i = 0; i < 1025; ++i) m.Text("x");
       }},
      {"bad list",
       [](Outgoing& m, const Ends&) {
         m.head.msg_iovlen = 2;
         m.head.msg_iov = reinterpret_cast<iovec*>(8);
       }},
      {"bad buffer",
       [](Outgoing& m, const Ends&) {
         m.Text("ab");
         m.buffers.push_back({const_cast<char*>(kBadPointer), 4});
       }},
      {"negative",
       [](Outgoing& m, const Ends&) {
         m.buffers.push_back({nullptr, static_cast<std::size_t>(-1)});
       }},
      {"rights",
       [](Outgoing& m, const Ends&) {
         m.Text("fds");
         m.Rights({file_fd, directory_fd});
       }},
      {"bad right",
       [](Outgoing& m, const Ends&) {
         m.Text("fds");
         m.Rights({file_fd, 999});
       }},
      {"no right",
       [](Outgoing& m, const Ends&) {
         m.Text("fds");
         m.Rights({});
       }},
      {"253 rights",
       [](Outgoing& m, const Ends&) {
         m.Text("fds");
         std::vector<int> fds(253, file_fd);
         m.Add(SOL_SOCKET, SCM_RIGHTS, fds.data(), fds.size() * sizeof(int));
       }},
      {"254 rights",
       [](Outgoing& m, const Ends&) {
         m.Text("fds");
         std::vector<int> fds(254, file_fd);
         m.Add(SOL_SOCKET, SCM_RIGHTS, fds.data(), fds.size() * sizeof(int));
       }},
      {"rights twice",
       [](Outgoing& m, const Ends&) {
         m.Text("f");
         m.Rights({file_fd});
         m.Rights({directory_fd});
       }},
      {"sender root",
       [](Outgoing& m, const Ends&) {
         m.Text("me");
         m.Sender(getpid(), 0, 0);
       }},
      {"sender 1",
       [](Outgoing& m, const Ends&) {
         m.Text("me");
         m.Sender(1, geteuid(), getegid());
       }},
      {"sender nobody",
       [](Outgoing& m, const Ends&) {
         m.Text("me");
         m.Sender(getpid(), ~0U, 0);
       }},
      {"sender id",
       [](Outgoing& m, const Ends&) {
         m.Text("me");
         m.Sender(getpid(), 12345, getegid());
       }},
      {"short sender",
       [](Outgoing& m, const Ends&) {
         m.Text("me");
         m.Add(SOL_SOCKET, SCM_CREDENTIALS, "12345678", 8);
       }},
      {"other control",
       [](Outgoing& m, const Ends&) {
         m.Text("x");
         m.Add(SOL_SOCKET, 99, "1234", 4);
       }},
      {"ttl",
       [](Outgoing& m, const Ends&) {
         int ttl = 9;
         m.Text("x");
         m.Add(IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
       }},
      {"mark",
       [](Outgoing& m, const Ends&) {
         int mark = 9;
         m.Text("x");
         m.Add(SOL_SOCKET, SO_MARK, &mark, sizeof mark);
       }},
      {"malformed",
       [](Outgoing& m, const Ends&) {
         m.Text("x");
         m.Rights({file_fd});
         reinterpret_cast<cmsghdr*>(m.control.data())->cmsg_len = 4;
       }},
      {"overlong",
       [](Outgoing& m, const Ends&) {
         m.Text("x");
         m.Rights({file_fd});
         reinterpret_cast<cmsghdr*>(m.control.data())->cmsg_len = 400;
       }},
      {"bad control",
       [](Outgoing& m, const Ends&) {
         m.Text("x");
         m.head.msg_control = const_cast<char*>(kBadPointer);
         m.head.msg_controllen = 32;
       }},
      {"long control",
       [](Outgoing& m, const Ends&) {
         m.Text("x");
         m.head.msg_control = m.control.data();
         m.head.msg_controllen = 1UL << 40;
       }},
      {"tiny control",
       [](Outgoing& m, const Ends&) {
         m.Text("x");
         m.head.msg_control = m.control.data();
         m.head.msg_controllen = 5;
       }},
      {"big",
       [](Outgoing& m, const Ends&) {
         static std::vector<char> big(200'000, 'b');
         m.buffers.push_back({big.data(), big.size()});
       }},
  };
  return all;
}

void ProbeSendMessage() {
  for (Kind kind : kKinds) {
    for (const Variant& variant : Variants()) {
      int flags = variant.shown == std::string("big") ? MSG_DONTWAIT : 0;
      TrySend(std::string("sendmsg(") + variant.shown, kind, [&variant, flags](const Ends& ends) {
        Outgoing message;
        variant.fill(message, ends);
        return syscall(SYS_sendmsg, ends.from, message.Done(), flags);
      });
    }
    for (std::size_t i = 0; i < 14; ++i) {
      TrySend("sendmsg(to " + std::to_string(i), kind, [i](const Ends& ends) {
        Outgoing message;
        message.Text("hello");
        message.to = Destinations(ends.to)[i];
        if (i >= 3) message.to.pointer = &message.to.address.bytes;
        message.head.msg_name = const_cast<void*>(message.to.pointer);
        message.head.msg_namelen = static_cast<socklen_t>(message.to.size);
        return syscall(SYS_sendmsg, ends.from, message.Done(), MSG_DONTWAIT);
      });
    }
    TrySend("sendmsg(bad header", kind,
            [](const Ends& ends) { return syscall(SYS_sendmsg, ends.from, kBadPointer, 0); });
    for (int flags : std::initializer_list<int>{MSG_NOSIGNAL, MSG_OOB, MSG_DONTWAIT,
                                                static_cast<int>(0x80000000)}) {
      TrySend("sendmsg(flags " + std::to_string(flags), kind, [flags](const Ends& ends) {
        Outgoing message;
        message.Text("hello");
        return syscall(SYS_sendmsg, ends.from, message.Done(), flags);
      });
    }
  }
}

void ProbeSendMessages() {
  constexpr std::size_t kRoom = 1100;
  for (Kind kind : kKinds) {
    for (long count : {0L, 1L, 2L, 5L, 1024L, 1100L}) {
      for (int odd : {-1, 0, 1, 3}) {
        if (odd >= count) continue;
        TrySend("sendmmsg(" + std::to_string(count) + " odd " + std::to_string(odd), kind,
                [count, odd](const Ends& ends) {
                  static std::array<mmsghdr, kRoom> all{};
                  static iovec good{const_cast<char*>("hello"), 5}, bad{nullptr, 3};
                  bad.iov_base = const_cast<char*>(kBadPointer);
                  Address there = NameOf(ends.to);
                  for (long i = 0; i < count; ++i) {
                    mmsghdr& one = all[static_cast<std::size_t>(i)];
                    one = {};
                    one.msg_len = 77;
                    one.msg_hdr.msg_iov = i == odd ? &bad : &good;
                    one.msg_hdr.msg_iovlen = 1;
                    if (i % 2 == 1) {
                      one.msg_hdr.msg_name = &there.bytes;
                      one.msg_hdr.msg_namelen = there.size;
                    }
                  }
                  long result = syscall(SYS_sendmmsg, ends.from, all.data(), count, MSG_DONTWAIT);
                  int error = errno;
                  unsigned sum = 0;
                  for (long i = 0; i < count; ++i)
                    sum = sum * 3 + all[static_cast<std::size_t>(i)].msg_len;
                  std::printf("lengths %u ", sum);
                  errno = error;
                  return result;
                });
      }
    }
    TrySend("sendmmsg(bad", kind, [](const Ends& ends) {
      return syscall(SYS_sendmmsg, ends.from, kBadPointer, 2, MSG_DONTWAIT);
    });
    TrySend("sendmmsg(compat", kind, [](const Ends& ends) {
      return syscall(SYS_sendmmsg, ends.from, kBadPointer, 2, 0x80000000);
    });
  }
}

}  // namespace

void ProbeSending(const std::string& call) {
  if (call == "sendto") ProbeSendTo();
  if (call == "sendmsg") ProbeSendMessage();
  if (call == "sendmmsg") ProbeSendMessages();
}

}  // namespace callgate::conformance
