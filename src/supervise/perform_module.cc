// init_module and finit_module: the parameters are copied, and the image is copied or its file's
// descriptor duplicated; the module is loaded from that.
//
// The kernel asks for CAP_SYS_MODULE in the initial user namespace, and asks first: whoever lacks
// it gets its answer for whatever the call points to, and nothing large is copied for him. (So does
// everybody on a kernel that loads no modules.) The policy is asked all the same, since its own
// refusal comes before the kernel's, as that of a filter does.
//
// Parameters are read last of all. Where they cannot be read the kernel is made to find that out
// itself, after it has found all that is wrong with the image.

#include <elf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "supervise/copy.h"
#include "supervise/perform.h"
#include "supervise/refusal.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kImage = 0, kSize = 1;  // of init_module
constexpr std::size_t kFile = 0, kFlags = 2;  // of finit_module
constexpr int kNoDescriptor = -1;
// Several times what distributions build; a file has no such limit.
constexpr std::size_t kMaxImage = std::size_t{128} << 20U;

struct Layout {
  std::string_view call;
  bool is_file;
  std::size_t parameters;
};

constexpr std::array<Layout, 2> kLayouts{{
    {.call = "init_module", .is_file = false, .parameters = 2},
    {.call = "finit_module", .is_file = true, .parameters = 1},
}};

class ModulePerformer final : public Performer {
 public:
  explicit ModulePerformer(const Layout& layout) : layout_(layout) {}

  bool NeedsStatus() const override { return false; }
  // Its initialisation takes as long as it likes.
  bool MayBlock() const override { return refused_ == 0; }
  int Prepare(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  // What the kernel says to this caller about no module at all.
  int Refusal(Inputs& inputs) const;
  int PrepareModule(Inputs& inputs);

  const Layout& layout_;
  int refused_ = 0;  // not 0: what the kernel says to this caller
  std::vector<std::byte> image_;
  int file_ = kNoDescriptor;
  std::optional<std::string> parameters_;  // nullopt: they cannot be read
};

int ModulePerformer::Refusal(Inputs& inputs) const {
  const auto flags = static_cast<int>(inputs.Register(kFlags));
  const int said = inputs.ErrnoOf([&] {
    return layout_.is_file ? syscall(SYS_finit_module, kNoDescriptor, nullptr, flags)
                           : syscall(SYS_init_module, nullptr, 0, nullptr);
  });
  const int expected = layout_.is_file ? EBADF : ENOEXEC;
  return said == expected ? 0 : said;
}

int ModulePerformer::PrepareModule(Inputs& inputs) {
  if (layout_.is_file) {
    auto fd = inputs.Descriptor(kFile);
    if (!fd) return fd.error();
    file_ = *fd;
    return 0;
  }
  const std::uint64_t size = inputs.Register(kSize);
  if (size < sizeof(Elf64_Ehdr)) return ENOEXEC;
  if (size > kMaxImage) return kTooMuch;
  auto image = inputs.Copy(inputs.Register(kImage), size);
  if (!image) return image.error();
  image_ = std::move(*image);
  return 0;
}

int ModulePerformer::Prepare(Inputs& inputs, const Surroundings&) {
  refused_ = Refusal(inputs);
  auto text = inputs.String(layout_.parameters, kMaxPath);
  if (!text && text.error() == kCannotLook) return kCannotLook;
  if (!text && refused_ != 0 && inputs.Register(layout_.parameters) != 0) return refused_;
  if (refused_ != 0) return 0;
  if (!text && text.error() == ENAMETOOLONG) return kTooMuch;
  if (text) parameters_ = std::move(*text);
  return PrepareModule(inputs);
}

Reply ModulePerformer::Perform(Inputs& inputs, const Surroundings&) {
  if (refused_ != 0) return Reply::Error(refused_);
  const char* parameters = parameters_ ? parameters_->c_str() : nullptr;
  const auto flags = static_cast<int>(inputs.Register(kFlags));
  const long result = layout_.is_file
                          ? syscall(SYS_finit_module, file_, parameters, flags)
                          : syscall(SYS_init_module, image_.data(), image_.size(), parameters);
  return result < 0 ? Reply::Error(errno) : Reply::Value(result);
}

}  // namespace

std::unique_ptr<Performer> MakeModulePerformer(std::string_view call) {
  return MakeByRow<ModulePerformer>(kLayouts, call);
}

}  // namespace callgate::supervise
