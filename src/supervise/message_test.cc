#include "supervise/message.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

using policy::DeepSubject;

std::uint64_t AddressOf(const void* object) { return reinterpret_cast<std::uint64_t>(object); }

// Messages in this very process's memory, read with the real kernel as a target's would be.
class MessageTest : public testing::Test {
 protected:
  MessageTest() : identity_(ReadIdentity(gettid()).value()) {
    notification_.tid = gettid();
    notification_.call.arch = 0xc000003e;
    inputs_ = std::make_unique<Inputs>(kernel::RealKernel(), notification_, self_, self_);
    head_.msg_iov = &buffer_;
    head_.msg_iovlen = 1;
  }

  kernel::SysResult<OutgoingMessage> Copy(const SendingSocket& socket,
                                          std::size_t room = kMaxSent) {
    return CopyMessage(*inputs_, {.identity = identity_}, socket, AddressOf(&head_), room,
                       Inputs::kSlots);
  }
  void Control(int type, const void* bytes, std::size_t size) {
    cmsghdr part{.cmsg_len = CMSG_LEN(size), .cmsg_level = SOL_SOCKET, .cmsg_type = type};
    std::memcpy(control_.data(), &part, sizeof part);
    std::memcpy(control_.data() + sizeof part, bytes, size);
    head_.msg_control = control_.data();
    head_.msg_controllen = CMSG_SPACE(size);
  }
  static int NumberIn(const OutgoingMessage& message) {
    int number = 0;
    std::memcpy(&number, message.control.data() + sizeof(cmsghdr), sizeof number);
    return number;
  }

  static constexpr SendingSocket kUnix{.fd = -1, .domain = AF_UNIX, .type = SOCK_STREAM};
  static constexpr SendingSocket kUdp{.fd = -1, .domain = AF_INET, .type = SOCK_DGRAM};
  Identity identity_;
  Credentials self_;
  kernel::Notification notification_;
  std::unique_ptr<Inputs> inputs_;
  std::array<char, 6> text_{"hello"};
  iovec buffer_{.iov_base = text_.data(), .iov_len = 5};
  alignas(cmsghdr) std::array<char, 64> control_{};
  msghdr head_{};
};

TEST_F(MessageTest, CopyIsNotWhatIsWrittenLater) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(53);
  head_.msg_name = &address;
  head_.msg_namelen = sizeof address;
  auto message = Copy(kUdp);
  ASSERT_TRUE(message);
  address.sin_port = htons(22);
  text_[0] = 'j';
  head_.msg_name = nullptr;
  EXPECT_EQ(std::memcmp(message->data.data(), "hello", 5), 0);
  inputs_->SetMessage(&message->seen);
  EXPECT_EQ(std::get<std::uint64_t>(
                inputs_->Look({.kind = DeepSubject::Kind::kPort, .in_message = true})),
            53U);
  EXPECT_NE(std::get<std::uint64_t>(inputs_->Look({.kind = DeepSubject::Kind::kField,
                                                   .offset = offsetof(msghdr, msg_name),
                                                   .size = 8,
                                                   .in_message = true})),
            0U);
}

TEST_F(MessageTest, WithoutAnAddressHasNoPort) {
  auto message = Copy(kUdp);
  ASSERT_TRUE(message);
  inputs_->SetMessage(&message->seen);
  EXPECT_TRUE(std::holds_alternative<policy::Absent>(
      inputs_->Look({.kind = DeepSubject::Kind::kPort, .in_message = true})));
  EXPECT_EQ(inputs_->error(), 0);
}

// A rule about ports would not see the one that the kernel sends to.
TEST_F(MessageTest, AddressWithoutAFamilyIsRefused) {
  sockaddr_in address{};
  address.sin_family = AF_UNSPEC;
  address.sin_port = htons(22);
  head_.msg_name = &address;
  head_.msg_namelen = sizeof address;
  for (int domain : {AF_INET, AF_INET6, AF_PACKET}) {
    auto message = Copy({.fd = -1, .domain = domain, .type = SOCK_DGRAM});
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error(), EAFNOSUPPORT);
  }
}

TEST_F(MessageTest, DescriptorInItIsOurDuplicate) {
  base::UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  int number = file.get();
  Control(SCM_RIGHTS, &number, sizeof number);
  auto message = Copy(kUnix);
  ASSERT_TRUE(message);
  ASSERT_EQ(message->passed.size(), 1U);
  EXPECT_EQ(NumberIn(*message), message->passed[0].get());
  EXPECT_NE(NumberIn(*message), number);
  struct stat ours{}, theirs{};
  ASSERT_EQ(fstat(NumberIn(*message), &ours), 0);
  ASSERT_EQ(fstat(number, &theirs), 0);
  EXPECT_EQ(ours.st_rdev, theirs.st_rdev);
}

// Their numbers would be ours there, should anything ever read them.
TEST_F(MessageTest, DescriptorsForASocketThatPassesNoneAreNone) {
  int number = 0;
  Control(SCM_RIGHTS, &number, sizeof number);
  auto message = Copy(kUdp);
  ASSERT_TRUE(message);
  EXPECT_EQ(NumberIn(*message), -1);
  EXPECT_TRUE(message->passed.empty());
}

TEST_F(MessageTest, SenderMustBeTheCallerItself) {
  identity_.credentials.uids = {1000, 1001, 1002, 1001};
  identity_.credentials.gids = {100, 100, 100, 100};
  identity_.credentials.effective_capabilities = 0;
  auto error = [&](ucred who) {
    Control(SCM_CREDENTIALS, &who, sizeof who);
    auto message = Copy(kUnix);
    return message ? 0 : message.error();
  };
  EXPECT_EQ(error({.pid = identity_.tgid, .uid = 1000, .gid = 100}), 0);
  EXPECT_EQ(error({.pid = identity_.tgid, .uid = 1002, .gid = 100}), 0);
  EXPECT_EQ(error({.pid = identity_.tgid, .uid = 0, .gid = 100}), EPERM);
  EXPECT_EQ(error({.pid = identity_.tgid, .uid = 1000, .gid = 0}), EPERM);
  EXPECT_EQ(error({.pid = 1, .uid = 1000, .gid = 100}), EPERM);
  EXPECT_EQ(error({.pid = identity_.tgid, .uid = ~0U, .gid = 100}), EINVAL);
  identity_.credentials.effective_capabilities = ~std::uint64_t{0};
  EXPECT_EQ(error({.pid = 1, .uid = 0, .gid = 0}), 0);
}

TEST_F(MessageTest, ControlDataOfOtherFamiliesAreNotPassedOn) {
  constexpr int kRds = 21;  // AF_RDS: its control data hold addresses of memory
  Control(99, "1234", 4);
  auto message = Copy({.fd = -1, .domain = kRds, .type = SOCK_SEQPACKET});
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error(), EOPNOTSUPP);
}

TEST_F(MessageTest, MoreThanThereIsRoomForIsCut) {
  auto message = Copy(kUnix, 3);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->data.size(), 3U);
  EXPECT_TRUE(message->is_cut);
  std::vector<iovec> many(1025, buffer_);
  head_.msg_iov = many.data();
  head_.msg_iovlen = many.size();
  message = Copy(kUnix);
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error(), EMSGSIZE);
}

// Each message of a call is a question of its own.
TEST_F(MessageTest, SeveralAreJudgedOneByOne) {
  base::UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::array<sockaddr_in, 3> addresses{};
  std::array<mmsghdr, 3> messages{};
  for (std::size_t i = 0; i < messages.size(); ++i) {
    addresses[i].sin_family = AF_INET;
    addresses[i].sin_port = htons(static_cast<std::uint16_t>(50 + i));
    messages[i].msg_hdr = head_;
    messages[i].msg_hdr.msg_name = &addresses[i];
    messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
  }
  notification_.call.nr = SYS_sendmmsg;
  notification_.call.args = {static_cast<std::uint64_t>(socket_fd.get()),
                             AddressOf(messages.data()), messages.size()};
  auto performer = PerformerOf("sendmmsg");
  Surroundings around{.identity = identity_};
  ASSERT_EQ(performer->Prepare(*inputs_, around), 0);
  const DeepSubject port{.kind = DeepSubject::Kind::kPort, .slot = 1, .in_message = true};
  EXPECT_EQ(std::get<std::uint64_t>(inputs_->Look(port)), 50U);
  std::vector<Further> others = performer->AmountsTo(*inputs_, around);
  ASSERT_EQ(others.size(), 2U);
  EXPECT_EQ(std::get<std::uint64_t>(others[0].look(port)), 51U);
  EXPECT_EQ(std::get<std::uint64_t>(others[1].look(port)), 52U);
  EXPECT_EQ(others[1].reason, "message 3 of 3");
}

}  // namespace
}  // namespace callgate::supervise
