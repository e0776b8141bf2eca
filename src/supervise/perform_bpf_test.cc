#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "supervise/perform.h"
#include "supervise/refusal.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

constexpr std::uint64_t kAt = 0x1000;
constexpr std::uint64_t kGarbage = std::uint64_t{0xdead} << 32U;

// To empty a bpf_attr empties its first member alone.
union Attributes {
  std::array<std::uint8_t, 424> all{};
  bpf_attr known;
};

// One call of this process, prepared.
class Bpf : public ::testing::Test {
 protected:
  int Prepare(int command, const Attributes& attributes, std::uint64_t size) {
    std::array<std::byte, sizeof attributes> bytes{};
    std::memcpy(bytes.data(), &attributes, sizeof attributes);
    for (std::size_t i = 0; i < bytes.size(); ++i) kernel_.memory[kAt + i] = bytes.at(i);
    notification_.call.args = {static_cast<std::uint64_t>(command), kAt, size, 0, 0, 0};
    return performer_->Prepare(inputs_, {.identity = identity_});
  }
  policy::DeepValue Field(std::uint32_t offset) {
    return inputs_.Look({.kind = policy::DeepSubject::Kind::kField,
                         .slot = 1,
                         .size_slot = 2,
                         .offset = offset,
                         .size = 4});
  }

  testing::FakeKernel kernel_;
  kernel::Notification notification_{
      .id = 1, .tid = gettid(), .call = {.nr = SYS_bpf, .arch = 0xc000003e, .ip = 0, .args = {}}};
  Identity identity_ = *ReadIdentity(gettid());
  Inputs inputs_{kernel_, notification_, identity_.credentials, identity_.credentials};
  std::unique_ptr<Performer> performer_ = PerformerOf("bpf");
};

Attributes Array() {
  Attributes attributes;
  attributes.known.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.known.key_size = 4;
  attributes.known.value_size = 4;
  attributes.known.max_entries = 1;
  return attributes;
}

TEST_F(Bpf, IsDecidedOnTheCopyAndPerformedWithIt) {
  const Attributes array = Array();
  ASSERT_EQ(Prepare(BPF_MAP_CREATE, array, sizeof array.known), 0);
  kernel_.memory[kAt] = std::byte{BPF_MAP_TYPE_HASH};
  kernel_.memory[kAt + 12] = std::byte{0};  // an array of no elements is none
  EXPECT_EQ(Field(0), policy::DeepValue(std::uint64_t{BPF_MAP_TYPE_ARRAY}));
  const Reply reply = performer_->Perform(inputs_, {.identity = identity_});
  const long native = syscall(SYS_bpf, BPF_MAP_CREATE, &array.known, sizeof array.known);
  EXPECT_EQ(reply.errno_value, native < 0 ? errno : 0);
  EXPECT_EQ(reply.descriptor.valid(), native >= 0);
  if (native >= 0) close(static_cast<int>(native));
}

TEST_F(Bpf, UpperHalfOfTheSizeIsNotLookedAt) {
  ASSERT_EQ(Prepare(BPF_MAP_CREATE, Array(), kGarbage | 20), 0);
  EXPECT_EQ(Field(0), policy::DeepValue(std::uint64_t{BPF_MAP_TYPE_ARRAY}));
  EXPECT_EQ(Field(72), policy::DeepValue(std::uint64_t{0}));
  EXPECT_EQ(inputs_.error(), 0);
}

TEST_F(Bpf, OtherCommandsAreNotPerformed) {
  EXPECT_EQ(Prepare(BPF_LINK_CREATE, {}, sizeof(bpf_attr)), kNotPerformed);
  EXPECT_EQ(RefusalOf(kNotPerformed)->reason,
            "the supervisor does not perform this command, or one of its attributes: where the "
            "policy may allow it, allow it by registers (cmd)");
}

TEST_F(Bpf, DeviceOfSomeNamespaceIsNotPerformed) {
  Attributes attributes = Array();
  attributes.known.map_ifindex = 1;
  EXPECT_EQ(Prepare(BPF_MAP_CREATE, attributes, sizeof(bpf_attr)), kNotPerformed);
}

TEST_F(Bpf, DescriptorsByAnArrayOfUnknownSizeAreNotPerformed) {
  Attributes attributes;
  attributes.known.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.known.fd_array = kAt;
  EXPECT_EQ(Prepare(BPF_PROG_LOAD, attributes, sizeof(bpf_attr)), kNotPerformed);
}

TEST_F(Bpf, AttributeThatIsNotKnownIsTheCallersMistake) {
  Attributes attributes = Array();
  attributes.all[120] = 1;
  EXPECT_EQ(Prepare(BPF_MAP_CREATE, attributes, 128), EINVAL);
}

TEST_F(Bpf, AttributesThatNoKernelHasAreTooLarge) {
  Attributes attributes = Array();
  attributes.all.back() = 1;
  const auto all = sizeof attributes;
  static_assert(all > 168);
  EXPECT_EQ(Prepare(BPF_MAP_CREATE, attributes, all), E2BIG);
}

TEST_F(Bpf, MoreRecordsThanAreCopiedAreRefused) {
  Attributes attributes;
  attributes.known.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.known.line_info_rec_size = 252;
  attributes.known.line_info_cnt = 1U << 24U;
  EXPECT_EQ(Prepare(BPF_PROG_LOAD, attributes, sizeof(bpf_attr)), kTooMuch);
}

}  // namespace
}  // namespace callgate::supervise
