// Tries to get to a directory it is denied past a supervisor that judges chdir, fchdir and chroot,
// by changing what is looked at while the supervisor decides, or by using the directory before it
// is judged.
//
//   move_attacker KIND ATTEMPTS UNTIL_SUCCESS DIRECTORY
//
// DIRECTORY holds the directories a, which is allowed, and b, which is not, with a file x in each.
// Prints how often each was reached.

#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/attacker.h"

namespace callgate::attack {
namespace {

constexpr int kCameToAllowed = 40, kCameToDenied = 41;
ino_t allowed_inode = 0, denied_inode = 0;

struct Attack {
  std::function<long()> move;
  std::function<void()> interfere;
  By by = By::kThread;
  int clone_flags = 0;     // of the child that moves
  bool by_thread = false;  // no child: the thread moves that has another one beside it
  const char* file = "x";  // by which the place is known
};

int WhereItIs(const char* file) {
  struct stat status{};
  if (stat(file, &status) < 0) return kDidNothing;
  if (status.st_ino == denied_inode) return kCameToDenied;
  return status.st_ino == allowed_inode ? kCameToAllowed : kDidNothing;
}

// Seen by whoever shares the working directory with the child that is about to be killed there.
std::atomic<bool> was_seen_in_denied{false};
void Watch() {
  if (WhereItIs("x") == kCameToDenied) was_seen_in_denied = true;
}

Attack AttackNamed(const std::string& kind) {
  if (kind == "move_peer" || kind == "move_thread") {
    ChangingPath path = *PathThatChanges("flip", "");
    const bool by_thread = kind == "move_thread";
    return {.move = [path] { return syscall(SYS_chdir, path.path); },
            .interfere =
                [flip = path.interfere] {
                  flip();
                  Watch();
                },
            .clone_flags = by_thread ? 0 : CLONE_FS,
            .by_thread = by_thread};
  }
  if (kind == "move_dup2") {
    ChangingDirectory used = DescriptorThatChanges(
        [](const char* path) { return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); });
    return {.move = [used] { return syscall(SYS_fchdir, used.fd); },
            .interfere = used.interfere,
            .clone_flags = CLONE_FILES};
  }
  const bool roots = kind == "move_chroot";
  const bool untraced = kind == "move_untraced";
  auto path = PathThatChanges(roots || untraced ? "flip" : kind.substr(kind.find('_') + 1), "");
  if (!path) EndAsUnknown(kind);
  const long call = roots ? SYS_chroot : SYS_chdir;
  return {.move = [call, path = path->path] { return syscall(call, path); },
          .interfere = path->interfere,
          .by = path->by,
          .clone_flags = untraced ? CLONE_UNTRACED : 0,
          .file = roots ? "/x" : "x"};
}

Got MoveOnce(const Attack& attack) {
  // Where it begins is neither.
  auto act = [&attack] { return attack.move() < 0 ? kDidNothing : WhereItIs(attack.file); };
  const int status = attack.by_thread ? act() << 8 : RunInChild(act, attack.clone_flags);
  if (was_seen_in_denied) return Got::kDenied;
  // Who shares the directory with us has moved us too.
  if (attack.by_thread || (attack.clone_flags & CLONE_FS) != 0) (void)!chdir(directory.c_str());
  if (!WIFEXITED(status) || WEXITSTATUS(status) == kDidNothing) return Got::kNothing;
  return WEXITSTATUS(status) == kCameToDenied ? Got::kDenied : Got::kAllowed;
}

int Main(int argc, char** argv) {
  if (argc != 5) return 2;
  const long attempts = std::atol(argv[2]);
  const bool until_success = std::string(argv[3]) == "until-success";
  directory = argv[4];
  struct stat status{};
  if (stat((directory + "/a/x").c_str(), &status) < 0) return 3;
  allowed_inode = status.st_ino;
  if (stat((directory + "/b/x").c_str(), &status) < 0) return 3;
  denied_inode = status.st_ino;
  if (chdir(directory.c_str()) < 0) return 3;

  const Attack attack = AttackNamed(argv[1]);
  const Interferer interferer(attack.interfere, attack.by);
  // On a busy machine it can take long until the allowed directory is what is met.
  const bool never = attack.by_thread || (attack.clone_flags & (CLONE_FS | CLONE_UNTRACED)) != 0;
  const long most = never || until_success ? attempts : attempts * 100;
  Print(Try([&] { return MoveOnce(attack); }, attempts, most, until_success));
  return 0;
}

}  // namespace
}  // namespace callgate::attack

int main(int argc, char** argv) { return callgate::attack::Main(argc, argv); }
