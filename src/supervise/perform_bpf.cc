// bpf: the attributes are copied, and all they point to; descriptors in them are duplicated, and so
// are those that a program's instructions name. A helper with all of the caller's ids makes the
// call (Scope::kIds): a program belongs to the real user. What the kernel says it says itself, to
// capabilities that are the caller's.
//
// Every command has attributes of its own. Performed are those whose input can be copied whole:
//
//   BPF_MAP_CREATE, BPF_PROG_LOAD    the map or program is made from the copy and handed over
//   BPF_OBJ_PIN, BPF_OBJ_GET         by the path as the caller walks it
//
// All others are refused (kNotPerformed): a rule allows them by `cmd`, which is a register. So are
// attributes whose meaning would be another for the helper (a device of the network namespace), or
// whose size the kernel does not tell (fd_array). What lies behind the last attribute known here is
// unknown as it is to a kernel without it: EINVAL, E2BIG.
//
// A copy that cannot be made is a null pointer: the kernel says EFAULT when it comes to that. Zero
// in an attribute is no descriptor but standard input, which is /dev/null for a helper.

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "supervise/copy.h"
#include "supervise/perform.h"
#include "supervise/refusal.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kCommand = 0, kAttributes = 1, kSize = 2;
constexpr std::size_t kPath = Inputs::kSlots;
constexpr std::size_t kKnownSize = 168;       // of union bpf_attr, Linux 6.18
constexpr int kNoDescriptor = INT_MAX;        // for the kernel to say EBADF when it comes to that
constexpr std::size_t kMaxDescriptors = 256;  // a program uses 64 maps at most
constexpr std::uint32_t kMaxInstructions = 1'000'000;  // BPF_COMPLEXITY_LIMIT_INSNS
constexpr std::uint32_t kMaxRecord = 252;              // MAX_FUNCINFO_REC_SIZE and its like
constexpr std::size_t kMaxRecords = std::size_t{16} << 20U;
constexpr std::size_t kMaxLicense = 127;
// A larger log is cut as it is for a caller with a buffer of this size (ENOSPC).
constexpr std::size_t kMaxLog = std::size_t{64} << 10U;
constexpr std::uint32_t kPathFd = 1U << 14U;  // BPF_F_PATH_FD
constexpr std::uint32_t kMaxLogSize = UINT_MAX >> 2U;
constexpr std::uint64_t kSomewhere = 1;  // no null pointer, and none to anything
constexpr std::byte kUnwritten{0xff};

// Where attributes are; linux/bpf.h of the oldest system this builds on has not all of them.
constexpr std::size_t kPathname = 0, kFileFlags = 12, kPathStart = 16;  // BPF_OBJ_*
constexpr std::size_t kInstructionCount = 4, kInstructions = 8, kLicense = 16, kLogSize = 28,
                      kLog = 32;  // BPF_PROG_LOAD

struct Records {
  std::size_t pointer, count, size;
};
constexpr std::array<Records, 3> kRecords{{
    {80, 88, 76},     // func_info
    {96, 104, 92},    // line_info
    {128, 116, 136},  // core_relos
}};

struct Command {
  int number;
  std::size_t end;                           // of its last attribute
  std::array<std::size_t, 4> descriptors;    // 32 bits each; unused ones repeat
  std::array<std::size_t, 6> not_performed;  // must be 0, 32 bits each; the same
};
constexpr std::array<Command, 4> kCommands{{
    // inner_map_fd, btf_fd, value_type_btf_obj_fd, map_token_fd; map_ifindex, excl_prog_hash
    {BPF_MAP_CREATE, 92, {20, 48, 72, 76}, {44, 80, 84, 88, 88, 88}},
    // prog_btf_fd, attach_prog_fd, prog_token_fd; prog_ifindex, fd_array, signature
    {BPF_PROG_LOAD, 168, {72, 112, 144, 144}, {64, 120, 124, 148, 152, 156}},
    {BPF_OBJ_PIN, 20, {8, 8, 8, 8}, {}},
    {BPF_OBJ_GET, 20, {}, {}},
}};

class BpfPerformer final : public Performer {
 public:
  Scope ScopeOf() const override { return Scope::kIds; }
  // What is pinned has a mode, which the umask is taken from.
  bool NeedsStatus() const override { return Number() == BPF_OBJ_PIN; }
  // A program can be made so that it takes seconds to be verified.
  bool MayBlock() const override { return Number() == BPF_PROG_LOAD; }
  int Prepare(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  int Number() const { return command_ == nullptr ? -1 : command_->number; }
  bool IsAboutPath() const { return Number() == BPF_OBJ_PIN || Number() == BPF_OBJ_GET; }
  template <typename Value>
  Value Get(std::size_t at) const {
    Value value{};
    std::memcpy(&value, attributes_.data() + at, sizeof value);
    return value;
  }
  template <typename Value>
  void Set(std::size_t at, Value value) {
    std::memcpy(attributes_.data() + at, &value, sizeof value);
  }
  int PrepareAttributes(Inputs& inputs);
  int PrepareDescriptor(Inputs& inputs, std::int32_t& number);
  int PrepareProgram(Inputs& inputs);
  int PrepareInstructions(Inputs& inputs);
  int PrepareLicense(Inputs& inputs);
  int PreparePath(Inputs& inputs, const Surroundings& around);
  int Point(Inputs& inputs, std::size_t at, std::size_t size);
  void TellLog(Reply& reply, std::uint64_t address) const;

  const Command* command_ = nullptr;
  std::array<std::byte, kKnownSize> attributes_{};
  std::uint32_t size_ = 0;                                // of what the caller has of them
  std::map<std::int32_t, base::UniqueFd> descriptors_;    // by the caller's number
  std::map<std::size_t, std::vector<std::byte>> copies_;  // by where the pointer to them is
  std::vector<std::byte> log_;
  std::uint64_t log_address_ = 0;  // the caller's
  int path_error_ = 0;
};

// A descriptor's number becomes that of our duplicate.
int BpfPerformer::PrepareDescriptor(Inputs& inputs, std::int32_t& number) {
  auto known = descriptors_.find(number);
  if (known == descriptors_.end()) {
    if (descriptors_.size() >= kMaxDescriptors) return kTooMuch;
    auto fd = inputs.Duplicate(number);
    if (!fd && fd.error() != EBADF) return fd.error();
    known = descriptors_.emplace(number, fd ? std::move(*fd) : base::UniqueFd()).first;
  }
  number = known->second.valid() ? known->second.get() : kNoDescriptor;
  return 0;
}

int BpfPerformer::PrepareAttributes(Inputs& inputs) {
  const auto size = static_cast<std::uint32_t>(inputs.Register(kSize));
  if (size > 0) {
    const int said = inputs.ErrnoOf(
        [&] { return syscall(SYS_bpf, command_->number, nullptr, std::size_t{size}); });
    if (said != EFAULT) return said;
  }
  auto copy = inputs.Copy(inputs.Register(kAttributes), size);
  if (!copy) return copy.error();
  size_ = std::min<std::uint32_t>(size, kKnownSize);
  auto is_set = [](std::byte byte) { return byte != std::byte{}; };
  if (std::ranges::any_of(std::span(*copy).subspan(size_), is_set)) return E2BIG;
  std::ranges::copy(std::span(*copy).first(size_), attributes_.begin());
  if (std::ranges::any_of(std::span(attributes_).subspan(command_->end), is_set)) return EINVAL;
  inputs.SetBytes(kAttributes, {attributes_.begin(), attributes_.end()});
  const auto& not_performed = command_->not_performed;
  const bool all = IsAboutPath() || std::ranges::all_of(not_performed, [this](std::size_t at) {
                     return Get<std::uint32_t>(at) == 0;
                   });
  return all ? 0 : kNotPerformed;
}

// What a pointer points to is copied, and the pointer is one to the copy.
int BpfPerformer::Point(Inputs& inputs, std::size_t at, std::size_t size) {
  auto copy = inputs.Copy(Get<std::uint64_t>(at), size);
  Set(at, std::uint64_t{0});
  if (!copy) return copy.error() == EFAULT ? 0 : copy.error();
  std::vector<std::byte>& kept = copies_[at] = std::move(*copy);
  Set(at, reinterpret_cast<std::uint64_t>(kept.data()));
  return 0;
}

int BpfPerformer::PrepareInstructions(Inputs& inputs) {
  const auto count = Get<std::uint32_t>(kInstructionCount);
  // Of more than that the kernel reads none.
  const std::size_t read = count > kMaxInstructions ? 0 : count;
  if (int error = Point(inputs, kInstructions, read * sizeof(bpf_insn)); error != 0) return error;
  auto& bytes = copies_[kInstructions];
  constexpr std::uint8_t kLoadImmediate = BPF_LD | BPF_IMM | BPF_DW;  // of two instructions
  for (std::size_t at = 0; at + sizeof(bpf_insn) <= bytes.size(); at += sizeof(bpf_insn)) {
    bpf_insn instruction{};
    std::memcpy(&instruction, bytes.data() + at, sizeof instruction);
    if (instruction.code != kLoadImmediate) continue;
    const bool is_map =
        instruction.src_reg == BPF_PSEUDO_MAP_FD || instruction.src_reg == BPF_PSEUDO_MAP_VALUE;
    const bool is_type = instruction.src_reg == BPF_PSEUDO_BTF_ID;
    const std::size_t half = is_map ? at : at + sizeof(bpf_insn);
    at += sizeof(bpf_insn);
    if ((!is_map && !is_type) || half + sizeof(bpf_insn) > bytes.size()) continue;
    std::byte* immediate = bytes.data() + half + offsetof(bpf_insn, imm);
    std::int32_t number = 0;
    std::memcpy(&number, immediate, sizeof number);
    if (is_type && number == 0) continue;  // the kernel's own types
    if (int error = PrepareDescriptor(inputs, number); error != 0) return error;
    std::memcpy(immediate, &number, sizeof number);
  }
  return 0;
}

// Of a long one the kernel takes the beginning.
int BpfPerformer::PrepareLicense(Inputs& inputs) {
  auto text = inputs.Text(Get<std::uint64_t>(kLicense), kMaxLicense);
  if (!text && text.error() == ENAMETOOLONG) return Point(inputs, kLicense, kMaxLicense);
  Set(kLicense, std::uint64_t{0});
  if (!text) return text.error() == EFAULT ? 0 : text.error();
  const auto bytes = std::as_bytes(std::span(text->c_str(), text->size() + 1));
  std::vector<std::byte>& kept = copies_[kLicense] = {bytes.begin(), bytes.end()};
  Set(kLicense, reinterpret_cast<std::uint64_t>(kept.data()));
  return 0;
}

int BpfPerformer::PrepareProgram(Inputs& inputs) {
  if (int error = PrepareInstructions(inputs); error != 0) return error;
  if (int error = PrepareLicense(inputs); error != 0) return error;
  for (const Records& records : kRecords) {
    const auto size = Get<std::uint32_t>(records.size);
    const std::size_t all = std::size_t{Get<std::uint32_t>(records.count)} * size;
    // Of larger ones the kernel reads none.
    if (size <= kMaxRecord && all > kMaxRecords) return kTooMuch;
    if (int error = Point(inputs, records.pointer, size > kMaxRecord ? 0 : all); error != 0) {
      return error;
    }
  }
  log_address_ = Get<std::uint64_t>(kLog);
  if (log_address_ == 0) return 0;
  const auto size = Get<std::uint32_t>(kLogSize);
  std::uint64_t log = 0;  // a size without a log is as wrong as one that is too large
  if (size <= kMaxLogSize) {
    log_.assign(std::min<std::size_t>(size, kMaxLog), kUnwritten);
    Set(kLogSize, static_cast<std::uint32_t>(log_.size()));
    log = size == 0 ? kSomewhere : reinterpret_cast<std::uint64_t>(log_.data());
  }
  Set(kLog, log);
  return 0;
}

int BpfPerformer::PreparePath(Inputs& inputs, const Surroundings& around) {
  const auto address = Get<std::uint64_t>(kPathname);
  Set(kPathname, std::uint64_t{0});
  auto pin = [&]() -> int {
    auto text = inputs.Text(address, kMaxPath);
    if (!text) return text.error();
    if (text->empty()) return ENOENT;
    const bool starts_there = (Get<std::uint32_t>(kFileFlags) & kPathFd) != 0;
    auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, *text,
                           starts_there ? Get<std::int32_t>(kPathStart) : AT_FDCWD);
    if (!places) return places.error();
    auto pinned = inputs.PinText(kPath, *text, *places,
                                 Number() == BPF_OBJ_PIN ? Follow::kParent : Follow::kAll);
    return pinned ? (*pinned)->error : pinned.error();
  };
  // The kernel comes to the path last.
  path_error_ = pin();
  return RefusalOf(path_error_) ? path_error_ : 0;
}

int BpfPerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  const auto number = static_cast<std::int32_t>(inputs.Register(kCommand));
  const auto* command = std::ranges::find(kCommands, number, &Command::number);
  if (command == kCommands.end()) return kNotPerformed;
  command_ = command;
  if (int error = PrepareAttributes(inputs); error != 0) return error;
  const auto& at = command_->descriptors;
  for (std::size_t i = 0; i < at.size() && number != BPF_OBJ_GET; ++i) {
    if (i > 0 && at.at(i) == at.at(i - 1)) break;
    auto descriptor = Get<std::int32_t>(at.at(i));
    if (descriptor == 0) continue;
    if (int error = PrepareDescriptor(inputs, descriptor); error != 0) return error;
    Set(at.at(i), descriptor);
  }
  if (IsAboutPath()) return PreparePath(inputs, around);
  return number == BPF_PROG_LOAD ? PrepareProgram(inputs) : 0;
}

// The text and the NUL behind it; where there is no text nothing was written.
void BpfPerformer::TellLog(Reply& reply, std::uint64_t address) const {
  const auto end = std::ranges::find(log_, std::byte{});
  if (end == log_.end()) return;
  reply.AddOutput(address, std::span(log_.begin(), end + 1));
}

Reply BpfPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  std::string file;
  if (IsAboutPath() && path_error_ == 0) {
    const PinnedPath& pinned = *inputs.Pinned(kPath);
    file = Number() == BPF_OBJ_PIN
               ? fmt::format("/proc/self/fd/{}/{}", pinned.parent.get(), pinned.name)
               : fmt::format("/proc/self/fd/{}", pinned.object.get());
    Set(kPathname, reinterpret_cast<std::uint64_t>(file.c_str()));
  }
  const auto before = attributes_;
  const mode_t own_umask = umask(around.identity.umask);
  // All of them, whatever the caller's size is: that may end in the middle of a pointer.
  const long result = syscall(SYS_bpf, command_->number, attributes_.data(), kKnownSize);
  int error = result < 0 ? errno : 0;
  umask(own_umask);
  if (error == EFAULT && path_error_ != 0) error = path_error_;
  Reply reply = Reply::Error(error);
  if (error == 0 && Number() != BPF_OBJ_PIN) {
    reply = Reply::Descriptor(base::UniqueFd(static_cast<int>(result)), O_CLOEXEC);
  }
  // What the kernel has written into the attributes.
  for (std::size_t at = 0; at < size_; ++at) {
    if (attributes_.at(at) == before.at(at)) continue;
    reply.AddOutput(inputs.Register(kAttributes) + at, std::span(attributes_).subspan(at, 1));
  }
  if (!log_.empty()) TellLog(reply, log_address_);
  return reply;
}

}  // namespace

std::unique_ptr<Performer> MakeBpfPerformer(std::string_view call) {
  if (call != "bpf") return nullptr;
  return std::make_unique<BpfPerformer>();
}

}  // namespace callgate::supervise
