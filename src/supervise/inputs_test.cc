#include "supervise/inputs.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace callgate::supervise {
namespace {

using policy::DeepSubject;
using policy::DeepValue;

// A waiting fchmod() of this very thread; its descriptors are looked at with the real kernel.
class OpenFileTest : public testing::Test {
 protected:
  OpenFileTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "inputs.XXXXXX").string();
    directory_ = std::filesystem::canonical(mkdtemp(pattern.data())).string();
  }
  ~OpenFileTest() override { std::filesystem::remove_all(directory_); }

  base::UniqueFd Make(const std::string& name) {
    return base::UniqueFd(open((directory_ + name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }
  static kernel::Notification Fchmod(std::uint64_t fd) {
    return {.id = 1,
            .tid = gettid(),
            .call = {.nr = SYS_fchmod, .arch = 0xc000003e, .ip = 0, .args = {fd}}};
  }
  static DeepValue Look(int fd, DeepSubject::Kind kind) {
    Credentials self;
    kernel::Notification notification = Fchmod(static_cast<std::uint32_t>(fd));
    Inputs inputs(kernel::RealKernel(), notification, self, self);
    DeepValue value = inputs.Look({.kind = kind});
    EXPECT_EQ(inputs.error(), 0);
    return value;
  }
  static std::string TypeOf(int fd) {
    DeepValue value = Look(fd, DeepSubject::Kind::kFileType);
    const auto* text = std::get_if<std::string>(&value);
    return text == nullptr ? "absent" : *text;
  }
  static std::string PathOf(int fd) {
    DeepValue value = Look(fd, DeepSubject::Kind::kDescriptor);
    const auto* text = std::get_if<std::string>(&value);
    return text == nullptr ? "absent" : *text;
  }

  std::string directory_;
};

TEST_F(OpenFileTest, TypeIsWhatItIsOpenOn) {
  base::UniqueFd file = Make("/f");
  EXPECT_EQ(TypeOf(file.get()), "file");
  base::UniqueFd folder(open(directory_.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(TypeOf(folder.get()), "directory");
  ASSERT_EQ(symlink("f", (directory_ + "/l").c_str()), 0);
  base::UniqueFd link(open((directory_ + "/l").c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  EXPECT_EQ(TypeOf(link.get()), "symlink");
  base::UniqueFd device(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(TypeOf(device.get()), "char");
  base::UniqueFd socket_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(TypeOf(socket_fd.get()), "socket");
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  base::UniqueFd out(ends[0]), in(ends[1]);
  EXPECT_EQ(TypeOf(in.get()), "pipe");
  EXPECT_TRUE(PathOf(in.get()).starts_with("pipe:["));
  base::UniqueFd poll(epoll_create1(EPOLL_CLOEXEC));
  EXPECT_EQ(TypeOf(poll.get()), "epoll");
  base::UniqueFd event(eventfd(0, EFD_CLOEXEC));
  EXPECT_EQ(TypeOf(event.get()), "eventfd");
  // Whatever newer kernels say of these, they are no files of a file system.
  base::UniqueFd names(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(TypeOf(names.get()), "other");
  base::UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  EXPECT_EQ(TypeOf(process.get()), "other");
}

TEST_F(OpenFileTest, PathIsTheNameItHasNow) {
  base::UniqueFd file = Make("/f");
  EXPECT_EQ(PathOf(file.get()), directory_ + "/f");
  ASSERT_EQ(rename((directory_ + "/f").c_str(), (directory_ + "/g").c_str()), 0);
  EXPECT_EQ(PathOf(file.get()), directory_ + "/g");
  ASSERT_EQ(unlink((directory_ + "/g").c_str()), 0);
  EXPECT_EQ(PathOf(file.get()), directory_ + "/g (deleted)");
}

TEST_F(OpenFileTest, NumberWithoutAFileHasNeitherPathNorType) {
  EXPECT_EQ(PathOf(-1), "absent");
  EXPECT_EQ(TypeOf(987654), "absent");
}

// What is looked at is what is acted on: the second question finds the first one's duplicate.
TEST_F(OpenFileTest, DescriptorThatIsReplacedMeanwhileIsNotLookedAtAgain) {
  base::UniqueFd file = Make("/f"), other = Make("/other");
  Credentials self;
  kernel::Notification notification = Fchmod(static_cast<std::uint64_t>(file.get()));
  Inputs inputs(kernel::RealKernel(), notification, self, self);
  EXPECT_EQ(std::get<std::string>(inputs.Look({.kind = DeepSubject::Kind::kDescriptor})),
            directory_ + "/f");
  ASSERT_EQ(dup2(other.get(), file.get()), file.get());
  EXPECT_EQ(std::get<std::string>(inputs.Look({.kind = DeepSubject::Kind::kDescriptor})),
            directory_ + "/f");
  auto duplicate = inputs.Descriptor(0);
  ASSERT_TRUE(duplicate);
  ASSERT_EQ(fchmod(*duplicate, 0640), 0);
  EXPECT_EQ(std::filesystem::status(directory_ + "/f").permissions(),
            static_cast<std::filesystem::perms>(0640));
  EXPECT_EQ(std::filesystem::status(directory_ + "/other").permissions(),
            static_cast<std::filesystem::perms>(0600));
}

}  // namespace
}  // namespace callgate::supervise
