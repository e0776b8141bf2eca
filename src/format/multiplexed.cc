#include "format/multiplexed.h"

#include <algorithm>
#include <array>

namespace callgate::format {
namespace {

struct Companion {
  std::string_view name;
  std::uint64_t number;
};

// linux/net.h, SYS_*.
constexpr std::array<Companion, 20> kSocketCalls{{
    {"socket", 1},    {"bind", 2},        {"connect", 3},     {"listen", 4},
    {"accept", 5},    {"getsockname", 6}, {"getpeername", 7}, {"socketpair", 8},
    {"send", 9},      {"recv", 10},       {"sendto", 11},     {"recvfrom", 12},
    {"shutdown", 13}, {"setsockopt", 14}, {"getsockopt", 15}, {"sendmsg", 16},
    {"recvmsg", 17},  {"accept4", 18},    {"recvmmsg", 19},   {"sendmmsg", 20},
}};
// linux/ipc.h.
constexpr std::array<Companion, 12> kIpcCalls{{
    {"semop", 1},
    {"semget", 2},
    {"semctl", 3},
    {"semtimedop", 4},
    {"msgsnd", 11},
    {"msgrcv", 12},
    {"msgget", 13},
    {"msgctl", 14},
    {"shmat", 21},
    {"shmdt", 22},
    {"shmget", 23},
    {"shmctl", 24},
}};

}  // namespace

Multiplexed MultiplexerOf(const abi::Arch& arch, std::string_view name) {
  auto find = [&](const auto& table, std::string_view through) -> Multiplexed {
    auto row = std::ranges::find(table, name, &Companion::name);
    if (row == table.end()) return {};
    return {abi::FindSyscall(arch.id, through), row->number};
  };
  Multiplexed found;
  if (arch.has_socketcall) found = find(kSocketCalls, "socketcall");
  if (found.call == nullptr && arch.has_ipc) found = find(kIpcCalls, "ipc");
  return found;
}

}  // namespace callgate::format
