// The tables against the files they come from, and against their own rules.

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "abi/constants.h"
#include "abi/groups.h"
#include "abi/structs.h"
#include "abi/syscalls.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace callgate::abi {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(GeneratedTables, AreWhatTheGeneratorWrites) {
  const fs::path source = CALLGATE_SOURCE_DIR;
  const fs::path fresh =
      fs::path(::testing::TempDir()) / ("abi_tables_" + std::to_string(::getpid()));
  const std::string command =
      "python3 '" + (source / "tools/generate_tables.py").string() + "' '" + fresh.string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(fresh)) {
    ++files;
    const fs::path checked_in = source / "src/abi/generated" / entry.path().filename();
    // Not EXPECT_EQ: a difference would print both tables.
    EXPECT_TRUE(ReadFile(entry.path()) == ReadFile(checked_in))
        << checked_in << " is not what data/ says; run python3 tools/generate_tables.py";
  }
  EXPECT_EQ(files, 6U);
  fs::remove_all(fresh);
}

TEST(TableRules, NumbersAreSortedAndUniqueButForKnownSecondNames) {
  std::map<ArchId, int> second_names;
  for (const Arch& arch : AllArches()) {
    const auto calls = SyscallsOf(arch.id);
    EXPECT_GT(calls.size(), 300U) << arch.name;
    EXPECT_TRUE(std::ranges::is_sorted(calls, {}, &Syscall::nr)) << arch.name;
    for (std::size_t i = 1; i < calls.size(); ++i) {
      second_names[arch.id] += calls[i].nr == calls[i - 1].nr;
    }
  }
  std::erase_if(second_names, [](const auto& entry) { return entry.second == 0; });
  EXPECT_EQ(second_names,
            (std::map<ArchId, int>{{ArchId::kArm, 1}, {ArchId::kArmeb, 1}, {ArchId::kAlpha, 5}}));
}

TEST(TableRules, NamesAreSortedUniqueAndUsed) {
  const auto names = AllSyscallNames();
  EXPECT_TRUE(std::ranges::is_sorted(names));
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
  for (std::string_view name : names) EXPECT_FALSE(ArchesWith(name).empty()) << name;
}

TEST(TableRules, TwinsHaveTheNumbersOfTheirSibling) {
  for (const Arch& arch : AllArches()) {
    EXPECT_EQ(SyscallsOf(arch.id).data(), SyscallsOf(arch.tables).data()) << arch.name;
  }
}

// Every (ABI, call) with a recorded signature.
template <typename Visit>
void ForEachSignature(Visit visit) {
  for (const Arch& arch : AllArches()) {
    for (const Syscall& call : SyscallsOf(arch.id)) {
      if (const auto signature = SignatureOf(arch.id, call.name)) visit(arch, call, *signature);
    }
  }
}

TEST(TableRules, SetsNamedInSignaturesExist) {
  std::set<std::string> missing;
  for (const Arch& arch : AllArches()) {
    // Not read, or read from older headers without these sets; data/README.md.
    if (ConstantsOf(arch.id, "open_flags").empty() || arch.id == ArchId::kXtensa) continue;
    for (const Syscall& call : SyscallsOf(arch.id)) {
      for (const Argument& argument : SignatureOf(arch.id, call.name).value_or(Signature{})) {
        for (std::string_view set : {argument.set, argument.flags_set}) {
          if (set == "map_shadow_stack") continue;  // a call everywhere, flags on few
          if (!set.empty() && ConstantsOf(arch.id, set).empty()) {
            missing.insert(std::string(arch.name) + " " + std::string(set));
          }
        }
      }
    }
  }
  EXPECT_THAT(missing, ::testing::IsEmpty());
}

TEST(TableRules, StructsNamedInSignaturesHaveALayout) {
  std::set<std::string> missing;
  ForEachSignature([&](const Arch& arch, const Syscall&, Signature signature) {
    if (arch.id != ArchId::kX86_64 && arch.id != ArchId::kI386) return;
    for (const Argument& argument : signature) {
      EXPECT_EQ(argument.kind == ArgKind::kStruct, !argument.struct_name.empty());
      if (argument.kind == ArgKind::kStruct && !SizeOfStruct(arch.id, argument.struct_name)) {
        missing.insert(std::string(argument.struct_name));
      }
    }
  });
  // Opaque, of variable length, or of calls that nobody filters by content; data/README.md.
  EXPECT_THAT(missing,
              ::testing::UnorderedElementsAre(
                  "aio_sigset", "fd_set", "file_handle", "msgbuf", "msqid_ds", "old_itimerspec32",
                  "old_kernel_stat", "old_linux_dirent", "old_sigaction", "old_timex32",
                  "old_utimbuf32", "old_utsname", "oldold_utsname", "shmid_ds", "sigset", "tms",
                  "ustat", "vm86_struct", "vm86plus_struct"));
}

TEST(TableRules, ArgumentsAreConsistent) {
  ForEachSignature([](const Arch& arch, const Syscall& call, Signature signature) {
    SCOPED_TRACE(std::string(arch.name) + " " + std::string(call.name));
    ASSERT_LE(signature.size(), 6U);
    for (std::size_t i = 0; i < signature.size(); ++i) {
      const Argument& argument = signature[i];
      EXPECT_FALSE(argument.name.empty());
      EXPECT_TRUE(argument.bits == 16 || argument.bits == 32 || argument.bits == 64);
      EXPECT_LE(argument.bits, arch.bits) << argument.name;
      EXPECT_LT(argument.length_arg, 6);
      const bool is_half =
          argument.kind == ArgKind::kLowHalf || argument.kind == ArgKind::kHighHalf;
      ASSERT_EQ(is_half, argument.partner >= 0);
      EXPECT_EQ(is_half, !argument.pair_name.empty());
      if (is_half) {
        const Argument& partner = signature[static_cast<std::size_t>(argument.partner)];
        EXPECT_EQ(partner.partner, static_cast<int>(i));
        EXPECT_NE(partner.kind, argument.kind);
        EXPECT_EQ(partner.pair_name, argument.pair_name);
        EXPECT_EQ(partner.pair_aliases, argument.pair_aliases);
      }
      if (argument.kind == ArgKind::kFd || argument.kind == ArgKind::kDirFd) {
        EXPECT_EQ(argument.bits, 32) << "the kernel truncates descriptors to int";
        EXPECT_TRUE(argument.is_signed);
      }
    }
  });
}

// Names a value may be called by: a name must lead to the value that carries it, and to no other.
TEST(TableRules, NoNameIsAmbiguous) {
  ForEachSignature([](const Arch& arch, const Syscall& call, Signature signature) {
    std::map<std::string_view, int> owners;
    auto add_list = [&](std::string_view list) {
      while (!list.empty()) {
        const std::size_t bar = list.find('|');
        ++owners[list.substr(0, bar)];
        list = bar == std::string_view::npos ? std::string_view{} : list.substr(bar + 1);
      }
    };
    for (const Argument& argument : signature) {
      if (argument.kind == ArgKind::kUnused) continue;
      ++owners[argument.name];
      add_list(argument.aliases);
      if (argument.kind == ArgKind::kLowHalf) {
        ++owners[argument.pair_name];
        add_list(argument.pair_aliases);
      }
    }
    for (const auto& [name, count] : owners) {
      EXPECT_EQ(count, 1) << arch.name << " " << call.name << " " << name;
      EXPECT_TRUE(FindArgument(signature, name)) << arch.name << " " << call.name << " " << name;
    }
  });
}

// A policy for several ABIs names an argument once. What x86_64 calls it must be understood
// wherever the call has that argument.
TEST(TableRules, NamesOfX86_64AreUnderstoodOnEveryAbi) {
  std::set<std::string> differ;
  ForEachSignature([&](const Arch&, const Syscall& call, Signature signature) {
    const auto reference = SignatureOf(ArchId::kX86_64, call.name);
    if (!reference) return;
    for (const Argument& argument : *reference) {
      if (argument.kind == ArgKind::kUnused) continue;
      if (!FindArgument(signature, argument.name)) {
        differ.insert(std::string(call.name) + " " + std::string(argument.name));
      }
    }
  });
  // One pointer to a block of arguments (i386, s390, m68k), two result registers (mips, sh, sparc,
  // alpha), or a seventh register that a filter does not see (mips).
  EXPECT_THAT(differ, ::testing::UnorderedElementsAre(
                          "fadvise64 advice", "mmap addr", "mmap fd", "mmap flags", "mmap len",
                          "mmap off", "mmap prot", "pipe fildes", "select exp", "select inp",
                          "select n", "select outp", "select tvp", "sync_file_range flags"));
}

TEST(TableRules, GroupsHoldKnownNamesSortedAndOnce) {
  std::set<std::string_view> group_names;
  for (const Group& group : AllGroups()) {
    EXPECT_TRUE(group_names.insert(group.name).second) << group.name;
    EXPECT_TRUE(group.name.starts_with('@')) << group.name;
    EXPECT_FALSE(group.description.empty()) << group.name;
    EXPECT_FALSE(group.members.empty()) << group.name;
    EXPECT_TRUE(std::ranges::is_sorted(group.members)) << group.name;
    EXPECT_EQ(std::ranges::adjacent_find(group.members), group.members.end()) << group.name;
    for (std::string_view name : group.members) {
      EXPECT_TRUE(IsKnownSyscallName(name)) << group.name << " " << name;
    }
  }
  EXPECT_EQ(group_names.size(), 33U);
}

TEST(TableRules, StructFieldsLieInsideTheirStruct) {
  for (const Arch& arch : AllArches()) {
    for (std::string_view name : {"stat", "sockaddr_in", "clone_args", "open_how", "bpf_attr"}) {
      const auto size = SizeOfStruct(arch.id, name);
      for (const StructField& field : FieldsOf(arch.id, name)) {
        EXPECT_LE(field.offset + field.size, size) << arch.name << " " << name << field.name;
      }
    }
  }
}

}  // namespace
}  // namespace callgate::abi
