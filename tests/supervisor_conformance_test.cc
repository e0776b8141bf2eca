// Every call that the supervisor performs gives its caller the same result, errno and effects as
// the kernel does. The same prober (conformance_prober.cc) runs natively and under a policy that
// has everything performed; the outputs are compared line by line. What may differ is written down
// in kDifferences, with the reason.

#include <grp.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "policy/performed.h"

namespace callgate {
namespace {

const std::string kProgram = CALLGATE_BINARY_DIR "/bin/callgate";
const std::string kProber = CALLGATE_BINARY_DIR "/tests/conformance_prober";
constexpr uid_t kNobody = 65534;

struct Difference {
  std::string_view part;  // of a line
  std::string_view reason;
};
constexpr Difference kDifferences[] = {
    {", path)", "the kernel hands no O_PATH descriptor over"},
    {", path|nofollow)", "the same"},
    {", parameters BAD)", "they are read first, the kernel reads them last"},
    {"(\"sonly\"", "what is loaded from an unreadable file, an unprivileged supervisor cannot see"},
};

// Performs one call, whatever its arguments: the test holds for every path and address, and the
// filter cannot know.
std::string PolicyFor(std::string_view name) {
  std::string_view test = "path == \"/no such file\"";
  if (name.starts_with("rename") || name.starts_with("link") || name.starts_with("symlink")) {
    test = "newname == \"/no such file\"";
  } else if (name == "bind" || name == "connect") {
    test = "addr.family == 4711";
  } else if (name == "sendmsg") {
    test = "msg.addr.family == 4711";
  } else if (name == "sendmmsg") {
    test = "mmsg.addr.family == 4711";
  } else if (name == "mount") {
    test = "target == \"/no such file\"";
  } else if (name == "move_mount") {
    test = "to_pathname == \"/no such file\"";
  } else if (name == "sched_setattr") {
    test = "attr.sched_nice == 4711";
  } else if (name == "sched_setscheduler" || name == "sched_setparam") {
    test = "param.sched_priority == 4711";
  } else if (name == "prlimit64") {
    test = "new_limit.rlim_cur == 4711";
  } else if (name == "setrlimit") {
    test = "rlim.rlim_cur == 4711";
  } else if (name == "perf_event_open") {
    test = "attr_uptr.config == 4711";
  } else if (name == "bpf") {
    // Of the other commands none is performed, and registers let them be.
    test =
        "cmd in {BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_OBJ_GET} && "
        "uattr.map_type == 4711";
  } else if (name == "init_module") {
    test = "uargs == \"no such module\"";
  } else if (name == "fsopen") {
    test = "fsname == \"no such file\"";
  } else if (name == "fchdir" || policy::PerformanceOf(abi::ArchId::kX86_64, name) ==
                                     policy::Performance::kOnDuplicate) {
    test = "fd.path == \"/no such file\"";
  }
  std::string_view others = "io_uring_setup, landlock_restrict_self";
  if (policy::StartsPrograms(name)) others = name == "execve" ? "execveat" : "execve";
  std::string policy =
      fmt::format("default: allow\n{}\n{}: !({}); else -> errno(EXFULL)\n", others, name, test);
  // In a namespace of its own the prober has mounts of its own, and says so.
  for (std::string_view names : {"mount", "umount2", "move_mount", "open_tree", "open_tree_attr",
                                 "fsmount", "chroot", "pivot_root", "setns"}) {
    if (names != name) policy += fmt::format("{}\n", names);
  }
  return policy;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::stringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

class Conformance : public testing::TestWithParam<std::string> {
 protected:
  Conformance() {
    std::string pattern = (std::filesystem::temp_directory_path() / "conform.XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    std::ofstream(directory_ + "/all.cg") << PolicyFor(GetParam());
    chmod(directory_.c_str(), 0755);
  }
  ~Conformance() override { std::filesystem::remove_all(directory_); }

  enum class As : std::uint8_t {
    kUser,       // the supervisor is that user too
    kDropped,    // the program becomes the user itself, under a supervisor that stays root
    kNamespace,  // as kDropped, then root of a user namespace of its own
  };
  std::vector<std::string> Probe(bool supervised, uid_t user, As as) {
    bool drops = as != As::kUser && user != getuid();
    std::string name = supervised ? "supervised" : "native";
    // The same name for both: it is part of what is asked.
    std::string work = directory_ + "/probe";
    std::filesystem::remove_all(work);
    mkdir(work.c_str(), 0755);
    (void)!chown(work.c_str(), user, user);
    std::string out = fmt::format("{}/{}.{}", directory_, name, user);
    std::vector<std::string> words;
    if (supervised) words = {kProgram, "run", directory_ + "/all.cg", "--"};
    if (drops) {
      std::string id = std::to_string(user);
      for (const std::string& word : {std::string("/usr/bin/setpriv"), "--reuid=" + id,
                                      "--regid=" + id, std::string("--clear-groups")}) {
        words.push_back(word);
      }
    }
    if (as == As::kNamespace) {
      words.insert(words.end(), {"/usr/bin/unshare", "--user", "--map-root-user"});
    }
    const char* scale = std::getenv("CALLGATE_CONFORMANCE_SHAPES");
    for (const std::string& word : {kProber, work, GetParam(),
                                    std::string(scale != nullptr       ? scale
                                                : as == As::kNamespace ? "30"
                                                                       : "60")}) {
      words.push_back(word);
    }
    pid_t pid = fork();
    if (pid == 0) {
      if (std::freopen(out.c_str(), "w", stdout) == nullptr) _exit(97);
      if (std::freopen((out + ".err").c_str(), "w", stderr) == nullptr) _exit(97);
      if (!drops && user != getuid() &&
          (setgroups(0, nullptr) != 0 || setgid(user) != 0 || setuid(user) != 0)) {
        _exit(98);
      }
      // One CPU: waking the other up would take most of the time.
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(sched_getcpu(), &one);
      sched_setaffinity(0, sizeof one, &one);
      std::vector<char*> argv;
      for (std::string& word : words) argv.push_back(word.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(99);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    std::stringstream text;
    text << std::ifstream(out).rdbuf();
    return Lines(text.str());
  }

  void Compare(uid_t user, As as = As::kUser) {
    std::vector<std::string> native = Probe(false, user, as);
    std::vector<std::string> supervised = Probe(true, user, as);
    // A supervisor without rights cannot say that a message is from another process than its own.
    bool says_who = as == As::kDropped || (as == As::kUser && user == 0);
    for (auto* lines : {&native, &supervised}) {
      for (std::string& line : *lines) {
        if (says_who) break;
        for (std::size_t at = 0; (at = line.find(" other", at)) != std::string::npos;) {
          line.replace(at, 6, " us");
        }
      }
    }
    EXPECT_GE(native.size(), as == As::kNamespace ? 15U : 30U);
    ASSERT_EQ(native.size(), supervised.size());
    int shown = 0;
    for (std::size_t i = 0; i < native.size() && shown < 20; ++i) {
      bool known = false;
      for (const Difference& difference : kDifferences) {
        known = known || native[i].find(difference.part) != std::string::npos;
      }
      if (known || native[i] == supervised[i]) continue;
      ++shown;
      ADD_FAILURE() << "native     " << native[i] << "\nsupervised " << supervised[i];
    }
  }

  std::string directory_;
};

TEST_P(Conformance, AsTheUserWhoRunsTheTest) { Compare(getuid()); }

TEST_P(Conformance, AsNobody) {
  if (getuid() != 0) return;  // the other test is unprivileged then
  Compare(kNobody);
}

TEST_P(Conformance, AsNobodyUnderASupervisorOfRoot) {
  if (getuid() != 0) return;
  Compare(kNobody, As::kDropped);
}

TEST_P(Conformance, AsRootOfAUserNamespaceOfItsOwn) {
  Compare(getuid() == 0 ? kNobody : getuid(), As::kNamespace);
}

std::vector<std::string> Calls() {
  std::vector<std::string> calls;
  for (const policy::PerformedCall& call : policy::PerformedCalls()) {
    calls.emplace_back(call.name);
  }
  return calls;
}

INSTANTIATE_TEST_SUITE_P(Performed, Conformance, testing::ValuesIn(Calls()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace callgate
