// The walk is compared with the kernel's: the same path, opened by openat2(2) in a root of its own
// (RESOLVE_IN_ROOT), must lead to the same file or fail with the same errno.

#include "supervise/resolve.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "fmt/format.h"
#include "gtest/gtest.h"

namespace callgate::supervise {
namespace {

class Resolve : public testing::Test {
 protected:
  Resolve() {
    std::string pattern = (std::filesystem::temp_directory_path() / "resolve.XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    for (const char* directory : {"a", "a/b", "a/b/c", "locked"}) mkdir(Path(directory), 0755);
    for (const char* file : {"f", "a/f", "a/b/c/f"}) {
      close(open(Path(file), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    }
    Link("a", "to_a");
    Link("/a/b", "to_b");
    Link("../../f", "a/b/up");
    Link("loop", "loop");
    Link("missing", "dangling");
    Link("/", "to_root");
    Link("f/", "a/f_slash");
    Link("../../../../..", "a/far_up");
  }
  ~Resolve() override { std::filesystem::remove_all(root_); }

  const char* Path(const std::string& name) {
    path_ = root_ + "/" + name;
    return path_.c_str();
  }
  void Link(const std::string& text, const std::string& name) {
    ASSERT_EQ(symlink(text.c_str(), Path(name)), 0);
  }
  // With root_ as the root and a directory in it as the current one.
  Places PlacesAt(const std::string& start) {
    Places places;
    places.root.Reset(open(root_.c_str(), O_PATH | O_CLOEXEC));
    places.start.Reset(open(Path(start), O_PATH | O_CLOEXEC));
    places.tgid = getpid();
    places.tid = gettid();
    return places;
  }
  static Places OwnPlaces() {
    Places places;
    places.root.Reset(open("/", O_PATH | O_CLOEXEC));
    places.start.Reset(open(".", O_PATH | O_CLOEXEC));
    places.tgid = getpid();
    places.tid = gettid();
    return places;
  }

  std::string root_;
  std::string path_;
};

std::string NameOf(int fd) {
  std::array<char, 4096> buffer;
  ssize_t size =
      readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), buffer.data(), buffer.size());
  return size < 0 ? "?" : std::string(buffer.data(), static_cast<std::size_t>(size));
}

TEST_F(Resolve, LeadsWhereTheKernelGoes) {
  Places places = PlacesAt(".");
  std::mt19937 random(1);
  const std::array<const char*, 18> words{"a",    "b",       "c",       "f",      "..",       ".",
                                          "to_a", "to_b",    "up",      "loop",   "dangling", "",
                                          "none", "to_root", "f_slash", "far_up", "locked",   "/"};
  int found = 0, failed = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string path = random() % 2 == 0 ? "/" : "";
    for (std::size_t n = 0, count = 1 + random() % 5; n < count; ++n) {
      path += words[random() % words.size()];
      if (n + 1 < count || random() % 4 == 0) path += "/";
    }
    if (path.empty()) continue;
    bool follow = random() % 2 == 0;
    open_how how{.flags = O_PATH | O_CLOEXEC | (follow ? 0U : O_NOFOLLOW),
                 .mode = 0,
                 .resolve = RESOLVE_IN_ROOT};
    base::UniqueFd wanted;
    int wanted_errno = EAGAIN;  // somebody on this machine renamed something meanwhile
    while (wanted_errno == EAGAIN) {
      wanted.Reset(static_cast<int>(
          syscall(SYS_openat2, places.root.get(), path.c_str(), &how, sizeof how)));
      wanted_errno = wanted.valid() ? 0 : errno;
    }
    auto pinned = ResolvePath(places, path, follow ? Follow::kAll : Follow::kNotLast);
    ASSERT_TRUE(pinned) << path;
    ASSERT_EQ(pinned->error, wanted_errno) << path;
    if (!wanted.valid()) {
      ++failed;
      continue;
    }
    ++found;
    ASSERT_EQ(NameOf(pinned->object.get()), NameOf(wanted.get())) << path;
    std::string inside = NameOf(wanted.get()).substr(root_.size());
    ASSERT_EQ(pinned->path, inside.empty() ? "/" : inside) << path;
  }
  EXPECT_GT(found, 2000);
  EXPECT_GT(failed, 2000);
}

// In the supervisor's own root most walks are one call and their name is the path itself.
TEST_F(Resolve, InTheSupervisorsRootNamesAreTheKernelsToo) {
  Places places = OwnPlaces();
  places.root.Reset();
  base::UniqueFd root(open("/", O_PATH | O_CLOEXEC));
  places.our_root = root.get();
  const std::string file = root_ + "/a/b/c/f";
  for (const std::string& path :
       {file, root_ + "/a", root_ + "//a/b", root_ + "/a/./b", root_ + "/a/b/../f", root_ + "/a/",
        root_ + "/a/.", root_ + "/to_a/b/c/f", root_ + "/to_a", "/" + root_ + "/f",
        std::string("/"), std::string("/usr"), fmt::format("/proc/{}/comm", getpid())}) {
    for (Follow follow : {Follow::kAll, Follow::kNotLast}) {
      base::UniqueFd wanted(
          open(path.c_str(), O_PATH | O_CLOEXEC | (follow == Follow::kAll ? 0 : O_NOFOLLOW)));
      auto pinned = ResolvePath(places, path, follow);
      ASSERT_TRUE(pinned) << path;
      ASSERT_EQ(pinned->error, 0) << path;
      EXPECT_EQ(NameOf(pinned->object.get()), NameOf(wanted.get())) << path;
      EXPECT_EQ(pinned->path, NameOf(wanted.get())) << path;
    }
  }
  for (const char* name : {"/none", "/f/x", "/loop", "/dangling", "/none/x"}) {
    EXPECT_EQ(ResolvePath(places, root_ + name, Follow::kAll)->error,
              open(Path(name), O_PATH | O_CLOEXEC) < 0 ? errno : 0)
        << name;
  }
}

TEST_F(Resolve, TheDirectoryIsThereWhereItIsNeeded) {
  auto pinned = ResolvePath(PlacesAt("."), "a/b/c/f", Follow::kAll, Needs::kObjectAndParent);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(NameOf(pinned->parent.get()), root_ + "/a/b/c");
  EXPECT_EQ(pinned->name, "f");
}

TEST_F(Resolve, RelativePathStartsAtTheWorkingDirectory) {
  auto pinned = ResolvePath(PlacesAt("a/b"), "../f", Follow::kAll);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->path, "/a/f");
  EXPECT_EQ(pinned->name, "f");
}

TEST_F(Resolve, MissingFileHasItsDirectoryPinned) {
  auto pinned = ResolvePath(PlacesAt("a"), "b/new", Follow::kAll);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->error, ENOENT);
  EXPECT_TRUE(pinned->parent.valid());
  EXPECT_EQ(pinned->path, "/a/b/new");
  pinned = ResolvePath(PlacesAt("a"), "/dangling", Follow::kAll);
  EXPECT_EQ(pinned->path, "/missing");
  EXPECT_TRUE(pinned->parent.valid());
}

// The policy is asked about the whole path even where the walk ends early, so that what is missing
// cannot be told from what is denied.
TEST_F(Resolve, MissingDirectoryLeavesTheRestAsWritten) {
  auto pinned = ResolvePath(PlacesAt("a"), "../none/../f", Follow::kAll);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->error, ENOENT);
  EXPECT_FALSE(pinned->parent.valid());
  EXPECT_EQ(pinned->path, "/none/../f");
}

TEST_F(Resolve, WhatIsPinnedStaysWhenNamesMove) {
  auto pinned = ResolvePath(PlacesAt("."), "a/b/c/f", Follow::kAll);
  ASSERT_TRUE(pinned);
  ASSERT_EQ(rename(Path("a/b"), (root_ + "/moved").c_str()), 0);
  EXPECT_EQ(pinned->path, "/a/b/c/f");
  EXPECT_EQ(NameOf(pinned->object.get()), root_ + "/moved/c/f");
}

TEST_F(Resolve, DirectoryOutsideTheRootHasNoName) {
  Places places = PlacesAt(".");
  places.start.Reset(open("/", O_PATH | O_CLOEXEC));
  EXPECT_EQ(ResolvePath(places, "usr", Follow::kAll).error(), EACCES);
}

TEST_F(Resolve, ProcSelfIsTheTarget) {
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  Places places = OwnPlaces();
  places.tgid = places.tid = child;
  for (const char* path : {"/proc/self/comm", "/proc/thread-self/comm", "/proc/mounts"}) {
    auto pinned = ResolvePath(places, path, Follow::kAll);
    ASSERT_TRUE(pinned) << path;
    EXPECT_EQ(pinned->error, 0) << path;
    EXPECT_TRUE(pinned->path.starts_with(fmt::format("/proc/{}/", child))) << pinned->path;
  }
  // An object of the target's own is reached, one of somebody else is not.
  EXPECT_EQ(ResolvePath(places, "/proc/self/cwd", Follow::kAll)->path,
            std::filesystem::current_path().string());
  EXPECT_EQ(ResolvePath(places, fmt::format("/proc/{}/cwd", getpid()), Follow::kAll)->error,
            EACCES);
  EXPECT_EQ(ResolvePath(places, fmt::format("/proc/{}/root/etc", getpid()), Follow::kAll)->error,
            EACCES);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST_F(Resolve, UnknownProcSelfIsRefused) {
  Places places = OwnPlaces();
  places.tgid = places.tid = 0;
  EXPECT_EQ(ResolvePath(places, "/proc/self/comm", Follow::kAll)->error, EACCES);
}

// fs.protected_symlinks: the link of another user in a directory like /tmp is not followed.
TEST_F(Resolve, PlantedLinkInStickyDirectoryIsNotFollowed) {
  if (geteuid() != 0) return;  // needs a second user
  ASSERT_EQ(chmod(root_.c_str(), 01777), 0);
  Link("/f", "planted");
  ASSERT_EQ(lchown(Path("planted"), 4711, 4711), 0);
  EXPECT_EQ(ResolvePath(PlacesAt("."), "planted", Follow::kAll)->error, EACCES);
  EXPECT_EQ(ResolvePath(PlacesAt("."), "planted", Follow::kNotLast)->error, 0);
}

TEST_F(Resolve, LastComponentTellsWhatItIs) {
  using Last = PinnedPath::Last;
  struct Case {
    const char* path;
    Last last;
    bool must_be_directory;
  };
  for (Case one : {Case{"f", Last::kName, false}, Case{"a/", Last::kName, true},
                   Case{"a/.", Last::kDot, false}, Case{"a/..", Last::kDotDot, false},
                   Case{"/", Last::kRoot, false}, Case{"to_root", Last::kRoot, false}}) {
    auto pinned = ResolvePath(PlacesAt("."), one.path, Follow::kAll);
    ASSERT_TRUE(pinned);
    EXPECT_EQ(pinned->last, one.last) << one.path;
    EXPECT_EQ(pinned->must_be_directory, one.must_be_directory) << one.path;
  }
}

}  // namespace
}  // namespace callgate::supervise
