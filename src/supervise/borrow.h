#pragma once

#include "supervise/identity.h"

namespace callgate::supervise {

// While it lives, the calling thread acts on files as the target's thread would: its effective and
// file-system ids, its groups, its effective capabilities. The real ids stay ours, so that the
// target cannot send this thread signals. Destroyed, the thread is itself again; if that fails the
// process ends, because a supervisor with the wrong rights must not decide.
class BorrowedIdentity {
 public:
  // `own`: of the supervisor. Does nothing when both are the same.
  BorrowedIdentity(const Credentials& own, const Credentials& target);
  ~BorrowedIdentity();
  BorrowedIdentity(const BorrowedIdentity&) = delete;
  BorrowedIdentity& operator=(const BorrowedIdentity&) = delete;

  // 0: it acts as the target. Else why not: EPERM where the rights for it are missing, EXDEV where
  // the target's ids belong to another user namespace.
  int error() const { return error_; }

 private:
  int Borrow(const Credentials& target);

  const Credentials& own_;
  bool changed_ = false;
  bool changes_ids_ = false;
  int error_ = 0;
};

// While it lives, the calling thread has these capabilities besides its own, as far as its user may
// have them. For what the supervisor has checked in place of the kernel.
class AddedCapabilities {
 public:
  explicit AddedCapabilities(std::uint64_t added);
  ~AddedCapabilities();
  AddedCapabilities(const AddedCapabilities&) = delete;
  AddedCapabilities& operator=(const AddedCapabilities&) = delete;

  bool has_all() const { return has_all_; }

 private:
  std::uint64_t before_ = 0;
  bool changed_ = false;
  bool has_all_ = false;
};

// The calling thread, which is `own` still, takes the target's ids and groups and keeps all its
// capabilities in effect. False: it may not.
bool BecomeForGood(const Credentials& own, const Credentials& target);

// With the supervisor's rights, and still so that what is made belongs to the caller: owners are
// the file-system ids of who makes it. (To change the owner afterwards would be a race for the
// name.)
Credentials Lent(const Credentials& own, const Credentials& caller);

// The umask and the working directory of a thread that performs must be its own: makes them so.
bool HasOwnPlaces();

// For access(2), which asks as the real user: within a BorrowedIdentity, from then on files are
// looked at with the target's real ids. False: EPERM.
bool ActByRealIds(const Credentials& target);

}  // namespace callgate::supervise
