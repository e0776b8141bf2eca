#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernel/kernel.h"
#include "policy/deep.h"
#include "supervise/identity.h"
#include "supervise/resolve.h"

namespace callgate::supervise {

// Everything behind the registers of one waiting call that is looked at, copied or pinned once: a
// second question about the same thing gets the same answer, and the call is performed with it.
class Inputs {
 public:
  // Memory and descriptors are copied with the supervisor's own rights; paths are walked as
  // `walking`. All arguments must outlive it.
  Inputs(kernel::Kernel& kernel, const kernel::Notification& notification, const Credentials& own,
         const Credentials& walking, bool must_have_our_root = false)
      : kernel_(kernel),
        notification_(notification),
        own_(own),
        walking_(walking),
        must_have_our_root_(must_have_our_root) {}

  const abi::Call& call() const { return notification_.call; }
  pid_t tid() const { return notification_.tid; }
  std::uint64_t Register(std::size_t slot) const { return call().args[slot]; }

  kernel::SysResult<std::string> String(std::size_t slot, std::size_t limit);
  kernel::SysResult<std::vector<std::byte>> Bytes(std::size_t slot, std::size_t size);
  // argv or envp.
  kernel::SysResult<std::vector<std::string>> Strings(std::size_t slot);

  // Of the copies made so far: the bytes at that address, at most `size`; empty: there is none.
  // Never looks at the caller.
  std::vector<std::byte> CopiedAt(std::uint64_t address, std::size_t size) const;

  // What is decided on, and performed with, in place of what is there: a structure whose size is
  // written in it; what another process has copied.
  void SetString(std::size_t slot, std::string text);
  void SetBytes(std::size_t slot, std::vector<std::byte> bytes);

  // What no register points to itself; the caller of it keeps the copy.
  kernel::SysResult<std::vector<std::byte>> Copy(std::uint64_t address, std::size_t size);
  kernel::SysResult<std::string> Text(std::uint64_t address, std::size_t limit);

  // Our duplicate of the caller's descriptor; made once.
  kernel::SysResult<int> Descriptor(std::size_t slot);
  kernel::SysResult<base::UniqueFd> Duplicate(int target_fd);

  // A path that is to be acted on: slot of the pointer → where it led. What no register points to
  // has a slot of kSlots and more. The result stays where it is.
  static constexpr std::size_t kSlots = 6;
  kernel::SysResult<PinnedPath*> Pin(std::size_t slot, const Places& places, Follow follow,
                                     Needs needs = Needs::kObject);
  kernel::SysResult<PinnedPath*> PinText(std::size_t slot, const std::string& text,
                                         const Places& places, Follow follow,
                                         Needs needs = Needs::kObject);
  // What the kernel says to the caller before it looks at what the call points to: the errno of a
  // call that is made as the caller and must fail. ESRCH: it cannot be made so.
  int ErrnoOf(const std::function<long()>& call);
  // Gives the target a result. EFAULT: all of it could not be written.
  kernel::SysResult<void> Write(std::uint64_t address, std::span<const std::byte> bytes);
  PinnedPath* Pinned(std::size_t slot);
  void SetPinned(std::size_t slot, PinnedPath pinned);

  // The message that questions about messages are about; it must outlive them.
  struct Message {
    std::vector<std::byte> header = {};   // struct msghdr
    std::vector<std::byte> address = {};  // empty: none
    const PinnedPath* file = nullptr;     // that the address names
  };
  void SetMessage(const Message* message) { message_ = message; }
  // All that was copied of one kind, by slot.
  template <typename Copied>
  using BySlot = std::vector<std::pair<std::size_t, Copied>>;
  const BySlot<std::string>& strings() const { return strings_; }
  const BySlot<std::vector<std::byte>>& bytes() const { return bytes_; }
  // What is known already, for another process that is asked (helper.h): of a kind, which is kPath
  // or kString.
  struct Known {
    std::size_t slot = 0;
    std::string text = {};
  };
  std::vector<Known> KnownTexts(policy::DeepSubject::Kind kind) const;
  // Who looks in place of this, where another process has the copies (helper.h). It must outlive
  // the questions.
  using Elsewhere =
      std::function<kernel::SysResult<policy::DeepValue>(const policy::DeepSubject& subject)>;
  void LookElsewhere(Elsewhere elsewhere) { elsewhere_ = std::move(elsewhere); }

  // For the policy. A subject that cannot be read gives Absent and sets `error`, after which the
  // call must not be allowed whatever the policy says.
  policy::DeepValue Look(const policy::DeepSubject& subject);
  int error() const { return error_; }

 private:
  policy::DeepValue LookAtField(const policy::DeepSubject& subject);
  policy::DeepValue LookAtAddress(const policy::DeepSubject& subject);
  policy::DeepValue LookAtOpenFile(const policy::DeepSubject& subject);
  policy::DeepValue Fail(int error) {
    if (error_ == 0) error_ = error;
    return policy::Absent{};
  }

  kernel::Kernel& kernel_;
  const kernel::Notification& notification_;
  const Credentials& own_;
  const Credentials& walking_;
  const bool must_have_our_root_;  // Identity
  // Most calls have one or none.
  BySlot<std::string> strings_;
  BySlot<std::vector<std::byte>> bytes_;
  BySlot<std::vector<std::string>> vectors_;
  BySlot<base::UniqueFd> descriptors_;
  std::map<std::size_t, PinnedPath> pinned_;
  base::UniqueFd pidfd_;
  const Message* message_ = nullptr;
  Elsewhere elsewhere_;
  int error_ = 0;
};

// An argument, their number, or a variable. EINVAL: the variable is set more than once, and who
// reads it may take either.
kernel::SysResult<policy::DeepValue> LookAtStrings(const policy::DeepSubject& subject,
                                                   const std::vector<std::string>& strings);

// The directories that the thread's path starts at. `dirfd`: the register with it, as the kernel
// reads it; AT_FDCWD for calls without one. EBADF: no such descriptor.
kernel::SysResult<Places> PlacesOf(pid_t tid, const Identity& identity, bool same_pid_namespace,
                                   const std::string& path, int dirfd);

}  // namespace callgate::supervise
