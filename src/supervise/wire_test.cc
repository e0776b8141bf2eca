#include "supervise/wire.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <string>
#include <variant>

#include "gtest/gtest.h"

namespace callgate::supervise {
namespace {

TEST(WireTest, EveryValueComesBackAsItWas) {
  const policy::IpAddress address{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  const std::string text("a\0b", 3);
  const policy::DeepSubject subject{.kind = policy::DeepSubject::Kind::kVariable,
                                    .slot = 2,
                                    .size_slot = -1,
                                    .offset = 8,
                                    .size = 4,
                                    .whole = 56,
                                    .in_message = true,
                                    .key = "PATH"};
  const abi::Call call{.nr = -1, .arch = 0xc000003e, .ip = 7, .args = {1, 2, 3, 4, 5, 6}};
  WireWriter writer;
  writer.Number(~std::uint64_t{0});
  writer.Value(policy::Absent{});
  writer.Value(std::uint64_t{42});
  writer.Value(text);
  writer.Value(address);
  writer.Subject(subject);
  writer.Call(call);
  WireReader reader(writer.bytes());
  EXPECT_EQ(reader.Number(), ~std::uint64_t{0});
  EXPECT_EQ(reader.Value(), policy::DeepValue(policy::Absent{}));
  EXPECT_EQ(reader.Value(), policy::DeepValue(std::uint64_t{42}));
  EXPECT_EQ(reader.Value(), policy::DeepValue(text));
  EXPECT_EQ(reader.Value(), policy::DeepValue(address));
  policy::DeepSubject read = reader.Subject();
  EXPECT_EQ(read.kind, subject.kind);
  EXPECT_EQ(read.size_slot, -1);
  EXPECT_EQ(read.offset + read.size + read.whole, 68U);
  EXPECT_TRUE(read.in_message);
  EXPECT_EQ(read.key, "PATH");
  EXPECT_EQ(reader.Call(), call);
  EXPECT_TRUE(reader.ok());
}

TEST(WireTest, ReplyComesBackWithAllItsOutputs) {
  Reply reply = Reply::Signal(25, 27);
  reply.value = -1;
  reply.descriptor_flags = O_CLOEXEC;
  const std::array<std::byte, 3> bytes{std::byte{1}, std::byte{0}, std::byte{255}};
  reply.AddOutput(0x1000, bytes);
  reply.AddOutput(0x2000, {});
  WireWriter writer;
  writer.Answer(reply);
  WireReader reader(writer.bytes());
  Reply read = reader.Answer();
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(read.errno_value, 27);
  EXPECT_EQ(read.signal, 25);
  EXPECT_EQ(read.value, -1);
  EXPECT_EQ(read.descriptor_flags, std::uint32_t{O_CLOEXEC});
  ASSERT_EQ(read.outputs.size(), 2U);
  EXPECT_EQ(read.outputs[0].address, 0x1000U);
  EXPECT_EQ(read.outputs[0].bytes, std::vector<std::byte>(bytes.begin(), bytes.end()));
  EXPECT_TRUE(read.outputs[1].bytes.empty());
}

// No length that is read is believed.
TEST(WireTest, MessageThatIsCutAnywhereIsNotOk) {
  WireWriter writer;
  writer.Text("hello");
  Reply reply = Reply::Value(1);
  reply.AddOutput(8, std::array<std::byte, 2>{});
  writer.Answer(reply);
  for (std::size_t size = 0; size < writer.bytes().size(); ++size) {
    WireReader reader(writer.bytes().first(size));
    (void)reader.Text();
    (void)reader.Answer();
    EXPECT_FALSE(reader.ok()) << size;
  }
}

TEST(WireTest, DescriptorGoesAlong) {
  std::array<int, 2> pair{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
  Wire ours{base::UniqueFd(pair[0])};
  std::optional<Wire> theirs{base::UniqueFd(pair[1])};
  base::UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  WireWriter writer;
  writer.Number(1);
  ASSERT_TRUE(ours.Send(writer, null.get()));
  auto received = theirs->Receive([] {});
  ASSERT_TRUE(received);
  struct stat sent{}, got{};
  ASSERT_EQ(fstat(null.get(), &sent), 0);
  ASSERT_EQ(fstat(received->descriptor.get(), &got), 0);
  EXPECT_EQ(sent.st_rdev, got.st_rdev);
  theirs.reset();
  EXPECT_FALSE(ours.Receive([] {}));
  EXPECT_FALSE(ours.Send(writer));
}

}  // namespace
}  // namespace callgate::supervise
