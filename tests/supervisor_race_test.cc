// An attacker changes what a path means while the supervisor decides about it. It must never reach
// the file it is denied, nor start the program; and to show that the attack is one, the same
// attacker must succeed under a policy that goes on unchecked.
//
// CALLGATE_RACE_ATTEMPTS sets the attempts of each kind.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"

namespace callgate {
namespace {

const std::string kProgram = CALLGATE_BINARY_DIR "/bin/callgate";
const std::string kAttacker = CALLGATE_BINARY_DIR "/tests/race_attacker";
const std::string kMoveAttacker = CALLGATE_BINARY_DIR "/tests/move_attacker";
const std::string kExecAttacker = CALLGATE_BINARY_DIR "/tests/exec_attacker";

struct Reached {
  long allowed = -1, denied = -1, refused = -1;
};

struct Kind {
  const char* name;
};

class Race : public testing::TestWithParam<Kind> {
 protected:
  Race() {
    std::string pattern = (std::filesystem::temp_directory_path() / "race.XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    mkdir((directory_ + "/t").c_str(), 0755);
    // Mounts need a mount namespace, and that a user namespace; nothing gets out of it.
    if (GetParam().name == std::string_view("mount")) {
      prefix_ = "unshare --user --map-root-user --mount --propagation unchanged ";
      own_names_ =
          "umount2, move_mount, open_tree, open_tree_attr, fsmount, chroot, pivot_root, setns\n";
    }
    for (const char* name : {"/a", "/b"}) {
      mkdir((directory_ + name).c_str(), 0755);
      std::ofstream(directory_ + name + "/x") << name;
    }
  }
  ~Race() override { std::filesystem::remove_all(directory_); }

  // In a user namespace of its own, where a helper performs.
  Reached AttackElsewhere(long attempts) {
    if (prefix_.empty()) prefix_ = "unshare --user --map-root-user ";
    return Attack("", attempts, "all");
  }
  Reached Attack(const std::string& verdict, long attempts, const char* until,
                 const std::string& other = {}) {
    // Where rings are let pass the rest stays checked: the denied file is reached by a ring or not
    // at all.
    const bool by_ring = GetParam().name == std::string_view("io_uring") && !verdict.empty();
    std::string rules = fmt::format(
        "default: allow\n"
        "landlock_restrict_self: else -> errno(ENOSYS)\n"
        "io_uring_setup: else -> {2}\n"
        "openat: path in {{\"{0}/a/x\", \"{0}/a/new\"}}{1}; "
        "path under {{\"/proc\", \"/etc\", \"/lib\", \"/usr\"}}; else -> errno(EACCES)\n"
        "openat2: path == \"{0}/a/x\" && how.flags == O_RDONLY{1}; else -> errno(EACCES)\n"
        "fchmod: fd.path == \"{0}/a/x\"{1}; else -> errno(EACCES)\n"
        "sendmsg: msg.addr.abstract == \"{0}/a\"{1}; else -> errno(EACCES)\n"
        "mount: source == \"{0}/a\" && target == \"{0}/t\"{1}; else -> errno(EACCES)\n"
        "sched_setattr: attr.sched_nice == 5{1}; else -> errno(EACCES)\n"
        "perf_event_open: attr_uptr.config == 9{1}; else -> errno(EACCES)\n"
        "bpf: cmd == BPF_OBJ_GET_INFO_BY_FD; "
        "cmd == BPF_MAP_CREATE && uattr.map_type == BPF_MAP_TYPE_ARRAY{1}; else -> errno(EACCES)\n"
        "prlimit64: new_limit == 0; new_limit.rlim_cur == 64{1}; else -> errno(EACCES)\n",
        directory_, by_ring ? "" : verdict, by_ring ? "allow" : "errno(ENOSYS)");
    return Run(kAttacker, attempts, until, rules + own_names_, other);
  }

  // `other`: rules of a layer above these; empty: none.
  Reached Run(const std::string& attacker, long attempts, const char* until,
              const std::string& rules, const std::string& other = {}) {
    std::string policy = directory_ + "/policy.cg";
    std::ofstream(policy) << rules;
    if (!other.empty()) {
      std::ofstream(directory_ + "/other.cg") << other;
      policy += " " + directory_ + "/other.cg";
    }
    std::string command =
        fmt::format("{} run {} -- {}{} {} {} {} {} 2>{}/errors", kProgram, policy, prefix_,
                    attacker, GetParam().name, attempts, until, directory_, directory_);
    FILE* output = popen(command.c_str(), "r");
    Reached reached;
    EXPECT_EQ(std::fscanf(output, "reached allowed %ld, denied %ld; refused %ld", &reached.allowed,
                          &reached.denied, &reached.refused),
              3);
    int status = pclose(output);
    EXPECT_EQ(WEXITSTATUS(status), 0) << command;
    return reached;
  }

  // Maps of the kernel's programs are made by those who are privileged in the first user namespace.
  bool NeedsPrivilege() const { return GetParam().name == std::string_view("map"); }
  bool IsOutOfReach() const { return NeedsPrivilege() && getuid() != 0; }

  std::string directory_;
  std::string prefix_;     // of the attacker's command
  std::string own_names_;  // rules of those who may mount
};

long Attempts() {
  const char* scale = std::getenv("CALLGATE_RACE_ATTEMPTS");
  return scale != nullptr ? std::atol(scale) : 1000;
}

TEST_P(Race, NeverReachesWhatIsDenied) {
  long attempts = Attempts();
  Reached reached = Attack("", attempts, "all");
  EXPECT_EQ(reached.denied, 0);
  EXPECT_EQ(reached.allowed == 0, IsOutOfReach());
  EXPECT_GE(reached.allowed + reached.refused, attempts);
}

TEST_P(Race, NeverReachesWhatIsDeniedFromAUserNamespace) {
  // Where nothing is reached the attacker tries a hundred times as often.
  Reached reached = AttackElsewhere(Attempts() / (NeedsPrivilege() ? 500 : 5));
  EXPECT_EQ(reached.denied, 0);
  EXPECT_EQ(reached.allowed == 0, NeedsPrivilege());
}

// A race that one layer takes is not taken for the other.
TEST_P(Race, IsNotLostByALayerThatContinuesUnchecked) {
  Reached reached = Attack("", Attempts() / 5, "all",
                           "default: allow\nopenat, openat2, fchmod: else -> continue_unchecked\n");
  EXPECT_EQ(reached.denied, 0);
}

// What the program cannot change of itself is not asked for again, and its paths are named as they
// are written.
TEST_P(Race, IsNotLostWhereLessIsAskedOfTheCaller) {
  // Some begin by making a namespace.
  const char* makes = prefix_.empty() ? "setns, unshare, " : "";
  Reached reached = Attack("", Attempts() / 2, "all",
                           fmt::format("default: allow\n{}setgroups, chroot, pivot_root: else -> "
                                       "errno(EPERM)\n",
                                       makes));
  EXPECT_EQ(reached.denied, 0);
  EXPECT_EQ(reached.allowed == 0, IsOutOfReach());
}

TEST_P(Race, IsWonAgainstContinueUnchecked) {
  if (IsOutOfReach()) return;  // natively too
  Reached reached = Attack(" -> continue_unchecked", 400'000, "until-success");
  EXPECT_EQ(reached.denied, 1);
}

INSTANTIATE_TEST_SUITE_P(Attacks, Race,
                         testing::Values(Kind{"flip"}, Kind{"shared_page"}, Kind{"symlink"},
                                         Kind{"dup2"}, Kind{"chdir"}, Kind{"munmap"}, Kind{"memfd"},
                                         Kind{"plant"}, Kind{"how"}, Kind{"object"},
                                         Kind{"address"}, Kind{"address_pointer"}, Kind{"mount"},
                                         Kind{"nice"}, Kind{"event"}, Kind{"limit"}, Kind{"map"},
                                         Kind{"vm_peer"}, Kind{"traced"}, Kind{"io_uring"}),
                         [](const auto& test) { return test.param.name; });

// The same for programs that are started.
class ExecRace : public Race {
 protected:
  ExecRace() {
    for (const char* name : {"/a/x", "/b/x"}) {
      std::filesystem::copy_file(kExecAttacker, directory_ + name,
                                 std::filesystem::copy_options::overwrite_existing);
    }
  }

  Reached AttackExec(const std::string& verdict, long attempts, const char* until) {
    // Each also stands for what it needs to be about: one file, one argument, one variable. The
    // last one lets the attacker itself start, where another program comes first.
    std::string rule = fmt::format(
        "filename in {{\"{0}/a/x\", \"{0}/s\"}} && argv[0] != \"\" && argv[1] != \"b\" && "
        "envp.MODE == \"a\"{1}; filename == \"{2}\"; else -> errno(EACCES)\n",
        directory_, verdict, std::filesystem::canonical(kExecAttacker).string());
    return Run(kExecAttacker, attempts, until,
               "default: allow\nexecve: " + rule + "execveat: " + rule);
  }
  bool StartsNothing() const { return std::string_view(GetParam().name) == "exec_untraced"; }
};

TEST_P(ExecRace, NeverStartsWhatIsDenied) {
  long attempts = Attempts();
  Reached reached = AttackExec("", attempts, "all");
  EXPECT_EQ(reached.denied, 0);
  EXPECT_EQ(reached.allowed == 0, StartsNothing());
  EXPECT_EQ(reached.allowed + reached.refused, attempts);
}

TEST_P(ExecRace, NeverStartsWhatIsDeniedFromAUserNamespace) {
  prefix_ = "unshare --user --map-root-user ";
  Reached reached = AttackExec("", Attempts() / 5, "all");
  EXPECT_EQ(reached.denied, 0);
  EXPECT_TRUE(!StartsNothing() || reached.allowed == 0);
}

TEST_P(ExecRace, IsWonAgainstContinueUnchecked) {
  Reached reached = AttackExec(" -> continue_unchecked", 400'000, "until-success");
  EXPECT_EQ(reached.denied, 1);
}

INSTANTIATE_TEST_SUITE_P(Attacks, ExecRace,
                         testing::Values(Kind{"exec_flip"}, Kind{"exec_shared_page"},
                                         Kind{"exec_memfd"}, Kind{"exec_munmap"},
                                         Kind{"exec_symlink"}, Kind{"exec_interpreter"},
                                         Kind{"exec_script"}, Kind{"exec_dup2"}, Kind{"exec_chdir"},
                                         Kind{"exec_argument"}, Kind{"exec_argv"},
                                         Kind{"exec_variable"}, Kind{"exec_untraced"}),
                         [](const auto& test) { return test.param.name; });

// The same for where a process goes.
class MoveRace : public Race {
 protected:
  MoveRace() {
    // A chroot needs a capability.
    if (Name() == "move_chroot") prefix_ = "unshare --user --map-root-user ";
  }

  std::string_view Name() const { return GetParam().name; }
  Reached AttackMove(const std::string& verdict, long attempts, const char* until) {
    const std::string rules = fmt::format(
        "default: allow\n"
        "io_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)\n"
        "chdir: filename in {{\"/\", \"{0}\", \"{0}/a\"}}{1}; else -> errno(EACCES)\n"
        "fchdir: fd.path == \"{0}/a\"{1}; else -> errno(EACCES)\n"
        "chroot: filename == \"{0}/a\"{1}; else -> errno(EACCES)\n",
        directory_, verdict);
    return Run(kMoveAttacker, attempts, until, rules);
  }
  // Nobody may go anywhere who could be watched there, or is not traced.
  bool GoesNowhere() const {
    return Name() == "move_peer" || Name() == "move_thread" || Name() == "move_untraced";
  }
};

TEST_P(MoveRace, NeverGetsToWhatIsDenied) {
  const long attempts = Attempts();
  Reached reached = AttackMove("", attempts, "all");
  EXPECT_EQ(reached.denied, 0);
  EXPECT_EQ(reached.allowed == 0, GoesNowhere());
  EXPECT_GE(reached.allowed + reached.refused, attempts);
}

TEST_P(MoveRace, NeverGetsToWhatIsDeniedFromAUserNamespace) {
  prefix_ = "unshare --user --map-root-user ";
  Reached reached = AttackMove("", Attempts() / 5, "all");
  EXPECT_EQ(reached.denied, 0);
  EXPECT_EQ(reached.allowed == 0, GoesNowhere());
}

TEST_P(MoveRace, IsWonAgainstContinueUnchecked) {
  Reached reached = AttackMove(" -> continue_unchecked", 400'000, "until-success");
  EXPECT_EQ(reached.denied, 1);
}

INSTANTIATE_TEST_SUITE_P(Attacks, MoveRace,
                         testing::Values(Kind{"move_flip"}, Kind{"move_shared_page"},
                                         Kind{"move_memfd"}, Kind{"move_munmap"},
                                         Kind{"move_symlink"}, Kind{"move_dup2"},
                                         Kind{"move_chroot"}, Kind{"move_peer"},
                                         Kind{"move_thread"}, Kind{"move_untraced"}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace callgate
