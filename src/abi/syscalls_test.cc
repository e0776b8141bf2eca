#include "abi/syscalls.h"

#include <algorithm>

#include "abi/groups.h"
#include "abi/structs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace callgate::abi {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

TEST(Syscalls, NumbersIncludeTheBaseOfTheAbi) {
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, "openat")->nr, 257);
  EXPECT_EQ(FindSyscall(ArchId::kI386, "openat")->nr, 295);
  EXPECT_EQ(FindSyscall(ArchId::kX32, "openat")->nr, 0x40000000 + 257);
  EXPECT_EQ(FindSyscall(ArchId::kX32, "ioctl")->nr, 0x40000000 + 514);
  EXPECT_EQ(FindSyscall(ArchId::kMips, "read")->nr, 4003);
  EXPECT_EQ(FindSyscall(ArchId::kMipsel, "read")->nr, 4003);
  EXPECT_EQ(FindSyscall(ArchId::kMips64n32, "read")->nr, 6000);
  EXPECT_EQ(FindSyscall(ArchId::kArm, "set_tls")->nr, 0xf0005);
  EXPECT_EQ(FindSyscall(ArchId::kArm, "set_tls")->status, SyscallStatus::kArmPrivate);
  EXPECT_EQ(FindSyscall(ArchId::kAarch64, "open"), nullptr);
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, "opena"), nullptr);
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, ""), nullptr);
}

TEST(Syscalls, AreFoundByNumber) {
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, 59)->name, "execve");
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, -1), nullptr);
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, 400), nullptr);
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, INT32_MAX), nullptr);
  EXPECT_EQ(FindSyscall(ArchId::kX32, 59), nullptr);
  for (const Arch& arch : AllArches()) {
    for (const Syscall& call : SyscallsOf(arch.id)) {
      const Syscall* by_number = FindSyscall(arch.id, call.nr);
      ASSERT_NE(by_number, nullptr) << call.name;
      EXPECT_EQ(by_number->nr, call.nr);
      EXPECT_EQ(FindSyscall(arch.id, call.name), &call);
    }
  }
}

TEST(Syscalls, SecondNameOfANumberIsKnownAndYieldsToTheFirst) {
  EXPECT_EQ(FindSyscall(ArchId::kAlpha, "getpid")->nr, 20);
  EXPECT_EQ(FindSyscall(ArchId::kAlpha, 20)->name, "getxpid");
  EXPECT_EQ(FindSyscall(ArchId::kArm, 341)->name, "arm_sync_file_range");
  EXPECT_EQ(SignatureOf(ArchId::kArm, "sync_file_range2")->size(), 6U);
}

TEST(Syscalls, FirstVersionsAreRecorded) {
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, "clone3")->since, (KernelVersion{5, 3}));
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, "openat2")->since, (KernelVersion{5, 6}));
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, "listns")->since, (KernelVersion{6, 19}));
  EXPECT_EQ(FindSyscall(ArchId::kX86_64, "afs_syscall")->status, SyscallStatus::kUnimplemented);
}

TEST(Syscalls, NamesOfAllAbis) {
  EXPECT_TRUE(IsKnownSyscallName("socketcall"));
  EXPECT_FALSE(IsKnownSyscallName("sys_read"));
  EXPECT_EQ(AllSyscallNames().size(), 645U);
  EXPECT_THAT(ArchesWith("arch_prctl"), ElementsAre(ArchId::kX86_64, ArchId::kI386, ArchId::kX32));
  EXPECT_THAT(ArchesWith("set_tls"), ElementsAre(ArchId::kArm, ArchId::kArmeb));
  EXPECT_TRUE(ArchesWith("no_such_call").empty());
}

std::optional<NamedArgument> Find(ArchId arch, std::string_view call, std::string_view name) {
  const auto signature = SignatureOf(arch, call);
  return signature ? FindArgument(*signature, name) : std::nullopt;
}

// What the documented policies write.
TEST(Signatures, EveryNameOfTheLanguagesExamplesIsAccepted) {
  struct Row {
    std::string_view call;
    std::string_view name;
    int slot;
    ArgKind kind;
  };
  const Row kRows[] = {
      {"read", "fd", 0, ArgKind::kFd},
      {"openat", "flags", 2, ArgKind::kFlags},
      {"openat", "mode", 3, ArgKind::kMode},
      {"openat", "path", 1, ArgKind::kPath},
      {"openat", "dirfd", 0, ArgKind::kDirFd},
      {"openat", "dfd", 0, ArgKind::kDirFd},
      {"openat", "pathname", 1, ArgKind::kPath},
      {"socket", "domain", 0, ArgKind::kEnum},
      {"socket", "family", 0, ArgKind::kEnum},
      {"socket", "type", 1, ArgKind::kEnum},
      {"ioctl", "cmd", 1, ArgKind::kEnum},
      {"ioctl", "request", 1, ArgKind::kEnum},
      {"connect", "addr", 1, ArgKind::kSockaddr},
      {"bind", "addr", 1, ArgKind::kSockaddr},
      {"sendto", "addr", 4, ArgKind::kSockaddr},
      {"clone3", "args", 0, ArgKind::kStruct},
      {"openat2", "how", 2, ArgKind::kStruct},
      {"setxattr", "name", 1, ArgKind::kString},
      {"mknod", "dev", 2, ArgKind::kDev},
      {"clone", "flags", 0, ArgKind::kFlags},
      {"mmap", "prot", 2, ArgKind::kFlags},
      {"mmap", "length", 1, ArgKind::kInteger},
      {"mmap", "offset", 5, ArgKind::kInteger},
      {"kill", "sig", 1, ArgKind::kSignal},
      {"unshare", "flags", 0, ArgKind::kFlags},
      {"setsockopt", "sockfd", 0, ArgKind::kFd},
      {"setsockopt", "level", 1, ArgKind::kEnum},
      {"prctl", "option", 0, ArgKind::kEnum},
      {"execve", "path", 0, ArgKind::kPath},
      {"fcntl", "op", 1, ArgKind::kEnum},
      {"wait4", "pid", 0, ArgKind::kPid},
      {"ptrace", "request", 0, ArgKind::kEnum},
  };
  for (const Row& row : kRows) {
    const auto found = Find(ArchId::kX86_64, row.call, row.name);
    ASSERT_TRUE(found) << row.call << " " << row.name;
    EXPECT_EQ(found->slot, row.slot) << row.call << " " << row.name;
    EXPECT_EQ(found->argument->kind, row.kind) << row.call << " " << row.name;
    EXPECT_EQ(found->high_slot, std::nullopt);
  }
  EXPECT_EQ(Find(ArchId::kX86_64, "rename", "path"), std::nullopt) << "two paths: ambiguous";
  EXPECT_EQ(Find(ArchId::kX86_64, "read", "flags"), std::nullopt);
  EXPECT_EQ(Find(ArchId::kX86_64, "read", ""), std::nullopt);
}

TEST(Signatures, WidthIsWhatTheKernelLooksAt) {
  struct Row {
    std::string_view call;
    std::string_view name;
    int bits;
    bool is_signed;
    ArchId arch;
  };
  const Row kRows[] = {
      {"read", "fd", 32, true, ArchId::kX86_64},  // unsigned int in the prototype, int in truth
      {"mmap", "fd", 32, true, ArchId::kX86_64},  // unsigned long in the prototype
      {"socket", "domain", 32, true, ArchId::kX86_64},
      {"openat", "mode", 16, false, ArchId::kX86_64},  // umode_t is unsigned short
      {"openat", "flags", 32, false, ArchId::kX86_64},
      {"mount", "flags", 64, false, ArchId::kX86_64},
      {"mmap", "flags", 64, false, ArchId::kX86_64},
      {"clone", "flags", 32, false, ArchId::kX86_64},  // lower_32_bits() in kernel/fork.c
      {"unshare", "flags", 64, false, ArchId::kX86_64},
      {"lseek", "offset", 64, true, ArchId::kX86_64},
      {"kill", "pid", 32, true, ArchId::kX86_64},
      {"ptrace", "pid", 32, true, ArchId::kX86_64},  // long in the prototype, pid_t in truth
      {"ptrace", "request", 64, true, ArchId::kX86_64},
      {"ioctl", "cmd", 32, false, ArchId::kX86_64},
      {"ioctl", "arg", 64, false, ArchId::kX86_64},
      {"chown", "user", 32, false, ArchId::kX86_64},
      {"chown", "user", 16, false, ArchId::kI386},
      {"chown32", "user", 32, false, ArchId::kI386},
      {"write", "count", 32, false, ArchId::kI386},
      {"write", "buf", 32, false, ArchId::kI386},
      {"write", "count", 64, false, ArchId::kX32},  // native entry: size_t of the kernel
      {"ioctl", "arg", 32, false, ArchId::kX32},    // compat entry
      {"fcntl", "arg", 32, false, ArchId::kMips64n32},
      {"mmap2", "flags", 32, false, ArchId::kI386},
  };
  for (const Row& row : kRows) {
    const auto found = Find(row.arch, row.call, row.name);
    ASSERT_TRUE(found) << row.call << " " << row.name;
    EXPECT_EQ(found->bits, row.bits) << ArchOf(row.arch).name << " " << row.call << " " << row.name;
    EXPECT_EQ(found->is_signed, row.is_signed) << row.call << " " << row.name;
  }
}

TEST(Signatures, PairsOn32BitAbisHaveOneName) {
  struct Row {
    ArchId arch;
    std::string_view call;
    std::string_view name;
    int low;
    int high;
  };
  const Row kRows[] = {
      {ArchId::kI386, "pread64", "pos", 3, 4},       {ArchId::kI386, "pread64", "offset", 3, 4},
      {ArchId::kArm, "pread64", "offset", 4, 5},     {ArchId::kArmeb, "pread64", "offset", 5, 4},
      {ArchId::kMips, "pread64", "offset", 5, 4},    {ArchId::kMipsel, "pread64", "offset", 4, 5},
      {ArchId::kI386, "preadv", "offset", 3, 4},     {ArchId::kMips, "preadv", "offset", 3, 4},
      {ArchId::kMipsel, "preadv", "offset", 3, 4},   {ArchId::kI386, "fanotify_mark", "mask", 2, 3},
      {ArchId::kI386, "_llseek", "offset", 2, 1},    {ArchId::kMipsel, "_llseek", "offset", 2, 1},
      {ArchId::kI386, "truncate64", "length", 1, 2}, {ArchId::kI386, "fallocate", "len", 4, 5},
      {ArchId::kPpc, "fallocate", "len", 5, 4},
  };
  for (const Row& row : kRows) {
    const auto found = Find(row.arch, row.call, row.name);
    ASSERT_TRUE(found) << ArchOf(row.arch).name << " " << row.call << " " << row.name;
    EXPECT_EQ(found->slot, row.low) << ArchOf(row.arch).name << " " << row.call;
    EXPECT_EQ(found->high_slot, row.high) << ArchOf(row.arch).name << " " << row.call;
    EXPECT_EQ(found->bits, 64);
    EXPECT_EQ(found->is_signed, row.name != "mask");
    EXPECT_EQ(found->argument->kind, ArgKind::kLowHalf);
  }
  EXPECT_EQ(Find(ArchId::kI386, "fanotify_mark", "mask")->argument->set, "fanotify_mask");
  const auto half = Find(ArchId::kI386, "pread64", "poshi");
  ASSERT_TRUE(half);
  EXPECT_EQ(half->slot, 4);
  EXPECT_EQ(half->bits, 32);
  EXPECT_EQ(half->high_slot, std::nullopt);
}

TEST(Signatures, WideAbisPassOffsetsWhole) {
  const auto found = Find(ArchId::kX86_64, "preadv", "offset");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->slot, 3);
  EXPECT_EQ(found->high_slot, std::nullopt);
  EXPECT_EQ(found->bits, 64);
  EXPECT_EQ(Find(ArchId::kX86_64, "preadv", "pos_h"), std::nullopt) << "the kernel ignores it";
}

TEST(Signatures, LayoutsFollowTheAbi) {
  EXPECT_EQ(Find(ArchId::kX86_64, "clone", "flags")->slot, 0);
  EXPECT_EQ(Find(ArchId::kS390x, "clone", "flags")->slot, 1);
  EXPECT_EQ(Find(ArchId::kX86_64, "clone", "tls")->slot, 4);
  EXPECT_EQ(Find(ArchId::kAarch64, "clone", "tls")->slot, 3);
  EXPECT_EQ(SignatureOf(ArchId::kI386, "mmap")->size(), 1U);
  EXPECT_EQ(SignatureOf(ArchId::kX86_64, "getpid")->size(), 0U);
  EXPECT_EQ(SignatureOf(ArchId::kX86_64, "afs_syscall"), std::nullopt);
  EXPECT_EQ(SignatureOf(ArchId::kAarch64, "open"), std::nullopt);
  EXPECT_EQ(SignatureOf(ArchId::kNios2, "read"), std::nullopt) << "registers not recorded";
}

TEST(Signatures, PointersSayDirectionAndLength) {
  const auto read = *SignatureOf(ArchId::kX86_64, "read");
  EXPECT_EQ(read[1].kind, ArgKind::kBuffer);
  EXPECT_EQ(read[1].direction, Direction::kOut);
  EXPECT_EQ(read[1].length_arg, 2);
  const auto connect = *SignatureOf(ArchId::kX86_64, "connect");
  EXPECT_EQ(connect[1].direction, Direction::kIn);
  EXPECT_EQ(connect[1].length_arg, 2);
  const auto clone3 = *SignatureOf(ArchId::kX86_64, "clone3");
  EXPECT_EQ(clone3[0].struct_name, "clone_args");
  const auto socket = *SignatureOf(ArchId::kX86_64, "socket");
  EXPECT_EQ(socket[1].set, "sock_type");
  EXPECT_EQ(socket[1].flags_set, "sock_flags");
}

TEST(Structs, LayoutsFollowTheAbi) {
  const auto how = FieldsOf(ArchId::kX86_64, "open_how");
  ASSERT_EQ(how.size(), 3U);
  EXPECT_EQ(how[2].name, "resolve");
  EXPECT_EQ(how[2].offset, 16U);
  EXPECT_EQ(how[2].size, 8U);
  EXPECT_EQ(how[2].kind, "flags:openat2_resolve");
  EXPECT_EQ(SizeOfStruct(ArchId::kX86_64, "open_how"), 24U);
  EXPECT_EQ(SizeOfStruct(ArchId::kX86_64, "iovec"), 16U);
  EXPECT_EQ(SizeOfStruct(ArchId::kI386, "iovec"), 8U);
  EXPECT_EQ(SizeOfStruct(ArchId::kMipsel, "iovec"), 8U);
  EXPECT_EQ(SizeOfStruct(ArchId::kX86_64, "no_such_struct"), std::nullopt);
  EXPECT_TRUE(FieldsOf(ArchId::kX86_64, "no_such_struct").empty());
  EXPECT_TRUE(FieldsOf(ArchId::kMipsel, "msqid64_ds").empty()) << "depends on byte order";
  EXPECT_FALSE(FieldsOf(ArchId::kMips, "msqid64_ds").empty());
}

TEST(Groups, AreExpandedAndFound) {
  const Group* group = FindGroup("@system-service");
  ASSERT_NE(group, nullptr);
  EXPECT_THAT(group->members, Contains("openat"));
  EXPECT_THAT(group->members, Not(Contains("reboot")));
  EXPECT_EQ(FindGroup("system-service"), nullptr);
  EXPECT_EQ(FindGroup("@nothing"), nullptr);
  EXPECT_THAT(FindGroup("@default")->members, Contains("seccomp")) << "a group inside a group";
  // The reason to have it beside @default: a policy can deny exec and still start the program.
  EXPECT_THAT(FindGroup("@runtime")->members, Not(Contains("execve")));
}

TEST(Groups, SmallestGroupIsTheHint) {
  EXPECT_EQ(SmallestGroupWith("fdatasync")->name, "@sync");
  EXPECT_EQ(SmallestGroupWith("pkey_alloc")->name, "@pkey");
  EXPECT_EQ(SmallestGroupWith("no_such_call"), nullptr);
}

}  // namespace
}  // namespace callgate::abi
