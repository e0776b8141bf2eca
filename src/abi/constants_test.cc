#include "abi/constants.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace callgate::abi {
namespace {

TEST(Constants, ValuesDifferByAbi) {
  struct Row {
    ArchId arch;
    std::string_view name;
    std::optional<std::uint64_t> value;
  };
  const Row kRows[] = {
      {ArchId::kX86_64, "O_CLOEXEC", 0x80000},
      {ArchId::kX86_64, "O_DIRECTORY", 0x10000},
      {ArchId::kAarch64, "O_DIRECTORY", 0x4000},
      {ArchId::kArm, "O_DIRECTORY", 0x4000},
      {ArchId::kX86_64, "SOCK_STREAM", 1},
      {ArchId::kMips, "SOCK_STREAM", 2},
      {ArchId::kMipsel, "SOCK_STREAM", 2},
      {ArchId::kX86_64, "MAP_ANONYMOUS", 0x20},
      {ArchId::kAlpha, "MAP_ANONYMOUS", 0x10},
      {ArchId::kX86_64, "MAP_ANON", 0x20},
      {ArchId::kX86_64, "AF_INET", 2},
      {ArchId::kLoongarch64, "AF_INET", 2},
      {ArchId::kRiscv32, "SOCK_CLOEXEC", 0x80000},
      {ArchId::kXtensa, "AF_INET", 2},
      {ArchId::kXtensa, "SOCK_STREAM", std::nullopt},  // no header of it was read
      {ArchId::kX86_64, "AT_FDCWD", static_cast<std::uint64_t>(-100)},
      {ArchId::kX86_64, "ARCH_SET_FS", 0x1002},
      {ArchId::kAarch64, "ARCH_SET_FS", std::nullopt},
      {ArchId::kX86_64, "PROT_BTI", std::nullopt},
      {ArchId::kAarch64, "PROT_BTI", 0x10},
      {ArchId::kX86_64, "CLONE_INTO_CGROUP", 0x200000000},
      {ArchId::kX86_64, "O_CLOEXCE", std::nullopt},
      {ArchId::kX86_64, "", std::nullopt},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(FindConstant(row.arch, row.name), row.value) << ArchOf(row.arch).name << row.name;
  }
}

TEST(Constants, PreferredSetDecidesBetweenTwoMeanings) {
  // glibc and the kernel disagree about it.
  EXPECT_EQ(FindConstant(ArchId::kSparc, "PTRACE_READDATA", "ptrace_request"), 0x10U);
  EXPECT_EQ(FindConstant(ArchId::kSparc, "PTRACE_READDATA", "libc.ptrace_request"), 0x12U);
  EXPECT_EQ(FindConstant(ArchId::kSparc, "PTRACE_READDATA"), 0x10U);
  EXPECT_EQ(FindConstant(ArchId::kX86_64, "O_CLOEXEC", "no such set"), 0x80000U);
}

TEST(Constants, KnownNamesAndTheirSets) {
  EXPECT_TRUE(IsKnownConstantName("TIOCSTI"));
  EXPECT_FALSE(IsKnownConstantName("TIOCSTX"));
  EXPECT_EQ(SetOfConstant("O_CREAT"), "open_flags");
  EXPECT_EQ(SetOfConstant("TIOCSTI"), "ioctl.tty");
  EXPECT_EQ(SetOfConstant("nothing"), "");
  EXPECT_TRUE(std::ranges::is_sorted(AllConstantNames()));
  EXPECT_EQ(std::ranges::adjacent_find(AllConstantNames()), AllConstantNames().end());
}

TEST(Constants, IoctlIsTheUnionOfItsSets) {
  const auto& all = ConstantsOf(ArchId::kX86_64, "ioctl");
  const auto& tty = ConstantsOf(ArchId::kX86_64, "ioctl.tty");
  EXPECT_GT(all.size(), tty.size());
  EXPECT_THAT(all, ::testing::Contains(::testing::Field(&Constant::name, "TIOCSTI")));
  EXPECT_THAT(all, ::testing::Contains(::testing::Field(&Constant::name, "KVM_RUN")));
  EXPECT_TRUE(ConstantsOf(ArchId::kX86_64, "ioct").empty());
  EXPECT_TRUE(ConstantsOf(ArchId::kX86_64, "").empty());
}

TEST(Constants, LibraryNamesCompleteTheKernelsSet) {
  EXPECT_THAT(ConstantsOf(ArchId::kX86_64, "mmap_flags"),
              ::testing::Contains(::testing::Field(&Constant::name, "MAP_ANON")));
}

TEST(Errno, NumbersAreOfTheAbi) {
  EXPECT_EQ(ErrnoName(ArchId::kX86_64, 1), "EPERM");
  EXPECT_EQ(ErrnoName(ArchId::kX86_64, 38), "ENOSYS");
  EXPECT_EQ(ErrnoName(ArchId::kX86_64, 11), "EAGAIN");
  EXPECT_EQ(ErrnoName(ArchId::kX86_64, 35), "EDEADLK");
  EXPECT_EQ(ErrnoName(ArchId::kX86_64, 4095), std::nullopt);
  EXPECT_EQ(ErrnoName(ArchId::kX86_64, 0), std::nullopt);
  EXPECT_EQ(ErrnoValue(ArchId::kMips, "ENOSYS"), 89U);
  EXPECT_EQ(ErrnoValue(ArchId::kSparc64, "ENOSYS"), 90U);
  EXPECT_EQ(ErrnoValue(ArchId::kX86_64, "ENOTSUP"), 95U);
  EXPECT_EQ(ErrnoValue(ArchId::kX86_64, "O_CREAT"), std::nullopt);
}

TEST(Errno, EveryAbiHasTheErrorsThatPoliciesReturn) {
  for (const Arch& arch : AllArches()) {
    for (std::string_view name : {"EPERM", "EACCES", "ENOSYS", "EINVAL", "EAFNOSUPPORT"}) {
      EXPECT_TRUE(ErrnoValue(arch.id, name)) << arch.name << " " << name;
    }
  }
}

TEST(FormatFlags, SaysTheWholeValue) {
  struct Row {
    ArchId arch;
    std::string_view set;
    std::uint64_t value;
    std::string_view text;
  };
  const Row kRows[] = {
      {ArchId::kX86_64, "open_flags", 0, "O_RDONLY"},
      {ArchId::kX86_64, "open_flags", 0x80000, "O_RDONLY|O_CLOEXEC"},
      {ArchId::kX86_64, "open_flags", 0x241, "O_WRONLY|O_CREAT|O_TRUNC"},
      {ArchId::kX86_64, "open_flags", 0x800, "O_RDONLY|O_NONBLOCK"},
      {ArchId::kX86_64, "open_flags", 0x3, "O_ACCMODE"},
      {ArchId::kX86_64, "open_flags", 0x101000, "O_RDONLY|O_SYNC"},
      {ArchId::kX86_64, "open_flags", 0x1000, "O_RDONLY|O_DSYNC"},
      {ArchId::kX86_64, "open_flags", 0x410002, "O_RDWR|O_TMPFILE"},
      {ArchId::kX86_64, "open_flags", 0x10000, "O_RDONLY|O_DIRECTORY"},
      {ArchId::kAarch64, "open_flags", 0x4000, "O_RDONLY|O_DIRECTORY"},
      {ArchId::kX86_64, "open_flags", 0xffffffff00000040, "O_RDONLY|O_CREAT|0xffffffff00000000"},
      {ArchId::kX86_64, "prot", 0, "PROT_NONE"},
      {ArchId::kX86_64, "prot", 7, "PROT_READ|PROT_WRITE|PROT_EXEC"},
      {ArchId::kX86_64, "mmap_flags", 0x22, "MAP_PRIVATE|MAP_ANONYMOUS"},
      {ArchId::kX86_64, "mmap_flags", 0x3, "MAP_SHARED_VALIDATE"},
      {ArchId::kX86_64, "mmap_flags", 0, "0"},
      {ArchId::kX86_64, "clone", 0x1200011, "SIGCHLD|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID"},
      {ArchId::kX86_64, "clone", 0x11, "SIGCHLD"},
      {ArchId::kX86_64, "clone", 0x10000000, "CLONE_NEWUSER"},
      {ArchId::kX86_64, "no such set", 5, "0x5"},
      {ArchId::kX86_64, "no such set", 0, "0"},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(FormatFlags(row.arch, row.set, row.value), row.text) << row.set << " " << row.value;
  }
}

TEST(FormatEnum, TellsTheNumberFromTheFlags) {
  EXPECT_EQ(FormatEnum(ArchId::kX86_64, "sock_type", "sock_flags", 0x80801),
            "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC");
  EXPECT_EQ(FormatEnum(ArchId::kX86_64, "sock_type", "sock_flags", 2), "SOCK_DGRAM");
  EXPECT_EQ(FormatEnum(ArchId::kX86_64, "sock_type", "sock_flags", 9), "9");
  EXPECT_EQ(FormatEnum(ArchId::kX86_64, "sock_type", "sock_flags", 0x8000f), "0xf|SOCK_CLOEXEC");
  EXPECT_EQ(FormatEnum(ArchId::kX86_64, "futex_op", "futex_flags", 129),
            "FUTEX_WAKE|FUTEX_PRIVATE_FLAG");
  EXPECT_EQ(FormatEnum(ArchId::kX86_64, "sock_family", "", 40), "AF_VSOCK");
}

TEST(NameOfValue, MatchesNegativeConstantsIn32Bits) {
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "fd_special", 0xffffff9c), "AT_FDCWD");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "fd_special", 0xffffffffffffff9c), "AT_FDCWD");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "fd_special", 0x1ffffff9c), std::nullopt);
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "sock_family", 1), "AF_UNIX");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "ioctl", 0x5412), "TIOCSTI");
}

TEST(NameOfValue, PrefersWhatAReaderMeans) {
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "sock_family", 1), "AF_UNIX");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "ip_proto", 0), "IPPROTO_IP");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "prctl_option", 1), "PR_SET_PDEATHSIG");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "ptrace_request", 1), "PTRACE_PEEKTEXT");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "errno", 117), "EUCLEAN");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "signo", 29), "SIGIO");
  EXPECT_EQ(NameOfValue(ArchId::kX86_64, "ioctl", 0), std::nullopt) << "not TCSANOW";
}

}  // namespace
}  // namespace callgate::abi
