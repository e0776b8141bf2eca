// The helper's side. It is the supervisor's own fork: it goes on with the same memory and the same
// code, so a call is prepared and performed here by the very class that does it there.
//
// What it is after it has entered:
//  - its ids and groups are the caller's, taken while it was still in the supervisor's user
//    namespace. Thus ids need not be mapped in the caller's, and setgroups(2) need not be allowed;
//  - it has every capability in the caller's user namespace, and has in effect those that the
//    caller has while it acts for it (borrow.h);
//  - its root is the supervisor's, also where its mount namespace is not: every name it uses, above
//    all /proc, means what it means to the supervisor. The caller's files it reaches by
//    descriptors.
//
// Whoever is privileged in that user namespace can send it signals, and so can end it; then the
// call it is in is refused. Nobody there can trace it, read its memory or take its descriptors: its
// memory was made in the supervisor's user namespace and is not dumpable, which is asked for again
// after the change, because a change of credentials sets it by fs.suid_dumpable.

#include "supervise/helper_process.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "abi/syscalls.h"
#include "supervise/borrow.h"
#include "supervise/inputs.h"
#include "supervise/wire.h"

namespace callgate::supervise {
namespace {

// Keeps standard descriptors taken, and `keep`.
void CloseOthers(std::vector<int> keep) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) (void)dup2(null, fd);
  std::ranges::sort(keep);
  unsigned from = STDERR_FILENO + 1;
  for (int fd : keep) {
    auto kept = static_cast<unsigned>(fd);
    if (kept > from) (void)syscall(SYS_close_range, from, kept - 1, 0);
    from = kept + 1;
  }
  (void)syscall(SYS_close_range, from, ~0U, 0);
}

int FlagsOf(const Standing& standing) {
  int flags = 0;
  for (std::size_t i = 0; i < kNamespaceKinds.size(); ++i) {
    if (standing.enters[i] != 0) flags |= kNamespaceKinds[i].flag;
  }
  return flags;
}

bool HasEntered(const Standing& standing) {
  for (std::size_t i = 0; i < kNamespaceKinds.size(); ++i) {
    if (standing.enters[i] == 0) continue;
    if (ReadNamespace(gettid(), kNamespaceKinds[i].name) != standing.enters[i]) return false;
  }
  return true;
}

struct Failure {
  int errno_value = 0;
  std::string_view step = {};
};

Failure Enter(const Standing& standing, const Identity& own, int caller_pidfd) {
  base::UniqueFd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return {errno, "open its root"};
  if (!BecomeForGood(own.credentials, standing.credentials)) return {EPERM, "take its ids"};
  int flags = FlagsOf(standing);
  if (flags != 0) {
    // All of them at once, so that the capabilities gained by one count for the others.
    if (setns(caller_pidfd, flags) < 0) return {errno, "enter its namespaces"};
    // A mount namespace brings its root along.
    if ((flags & CLONE_NEWNS) != 0 && (fchdir(root.get()) < 0 || chroot(".") < 0)) {
      return {errno, "keep the supervisor's root"};
    }
  }
  // Were they those, or does the number belong to another thread by now?
  if (!HasEntered(standing)) return {ESRCH, "enter its namespaces"};
  if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_GET_DUMPABLE) != 0) {
    return {EPERM, "hide its memory"};
  }
  return {};
}

class Process {
 public:
  Process(kernel::Kernel& kernel, const Standing& standing, const Identity& own, int caller_pidfd,
          base::UniqueFd socket)
      : kernel_(kernel),
        standing_(standing),
        supervisor_(own),
        caller_pidfd_(caller_pidfd),
        wire_(std::move(socket)) {}

  [[noreturn]] void Serve();

 private:
  // All that one call needs.
  struct Work {
    kernel::Notification notification;
    Identity identity;
    bool same_pid_namespace = false;
    std::optional<Inputs> inputs;
    std::unique_ptr<Performer> performer;
    std::vector<Further> further;
  };

  void Answer(WireReader& asked, WireWriter& answer);
  // The errno of a call that there is no performer for.
  int Begin(WireReader& asked);
  void Prepare(WireReader& asked, WireWriter& answer);
  Reply Presume(WireReader& asked);
  void Tell(WireWriter& answer);
  void Done(Reply reply, WireWriter& answer);
  void Look(WireReader& asked, WireWriter& answer);
  Reply Perform();
  bool MayWait();
  Surroundings Around() {
    return {.identity = work_->identity,
            .same_pid_namespace = work_->same_pid_namespace,
            .is_borrowed = work_->identity.credentials != own_.credentials,
            .is_elsewhere = standing_.enters.front() != 0,
            .may_wait = [this] { return MayWait(); }};
  }

  kernel::Kernel& kernel_;
  const Standing& standing_;
  const Identity& supervisor_;
  const int caller_pidfd_;
  Wire wire_;
  Identity own_;
  base::UniqueFd root_;  // the supervisor's
  std::unique_ptr<Work> work_;
  base::UniqueFd descriptor_;  // of the last reply
};

// What a user namespace calls our ids changes once, when its maps are written.
void ReadOwnIds(Credentials& own) {
  constexpr auto kNone = static_cast<uid_t>(-1);  // asks, changes nothing
  (void)getresuid(own.uids.data(), &own.uids[1], &own.uids[2]);
  (void)getresgid(own.gids.data(), &own.gids[1], &own.gids[2]);
  own.uids[3] = static_cast<uid_t>(setfsuid(kNone));
  own.gids[3] = static_cast<gid_t>(setfsgid(kNone));
}

int Process::Begin(WireReader& asked) {
  work_ = std::make_unique<Work>();
  Work& work = *work_;
  work.notification.id = asked.Number();
  work.notification.tid = static_cast<pid_t>(asked.Number());
  work.notification.call = asked.Call();
  work.identity.tgid = static_cast<pid_t>(asked.Number());
  // The same as the supervisor's, in the same mount namespace: then it is ours too.
  if (asked.Number() != 0) work.identity.our_root = root_.get();
  work.same_pid_namespace = asked.Number() != 0;
  work.identity.must_have_our_root = asked.Number() != 0;
  std::uint64_t capabilities = asked.Number();
  // All of its ids and groups are ours, as our user namespace numbers them.
  ReadOwnIds(own_.credentials);
  Credentials& credentials = work.identity.credentials;
  credentials = own_.credentials;
  credentials.effective_capabilities = capabilities;
  const abi::Call& call = work.notification.call;
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  if (syscall != nullptr) work.performer = PerformerOf(syscall->name);
  work.inputs.emplace(kernel_, work.notification, own_.credentials, credentials,
                      work.identity.must_have_our_root);
  return work.performer == nullptr ? ENOSYS : 0;
}

void Process::Prepare(WireReader& asked, WireWriter& answer) {
  int error = Begin(asked);
  if (error == 0) error = work_->performer->Prepare(*work_->inputs, Around());
  answer.Number(static_cast<std::uint64_t>(error));
  if (error == 0) Tell(answer);
}

// What was decided on stays what it is: nothing of it is copied again.
Reply Process::Presume(WireReader& asked) {
  if (Begin(asked) != 0) return Reply::LooksAgain();
  for (std::uint64_t left = asked.Number(); left > 0 && asked.ok(); --left) {
    std::size_t slot = asked.Number();
    work_->inputs->SetString(slot, asked.Text());
  }
  for (std::uint64_t left = asked.Number(); left > 0 && asked.ok(); --left) {
    std::size_t slot = asked.Number();
    work_->inputs->SetBytes(slot, asked.Bytes());
  }
  bool presumes = asked.ok() && work_->performer->Presume(*work_->inputs, Around());
  return presumes ? Perform() : Reply::LooksAgain();
}

// What the supervisor is about to ask. Each question would take two switches between processes.
void Process::Tell(WireWriter& answer) {
  Work& work = *work_;
  answer.Number(work.performer->MayBlock() ? 1 : 0);
  answer.Number(work.performer->NeedsStatus() ? 1 : 0);
  auto more = work.performer->GivesAsMuchAs(work.notification.call);
  answer.Number(more ? 1 : 0);
  answer.Call(more.value_or(abi::Call{}));
  work.further = work.performer->AmountsTo(*work.inputs, Around());
  answer.Number(work.further.size());
  for (const Further& further : work.further) answer.Text(further.reason);
  std::vector<std::pair<policy::DeepSubject::Kind, Inputs::Known>> known;
  for (auto kind : {policy::DeepSubject::Kind::kPath, policy::DeepSubject::Kind::kString}) {
    for (Inputs::Known& text : work.inputs->KnownTexts(kind)) known.emplace_back(kind, text);
  }
  answer.Number(known.size());
  for (const auto& [kind, text] : known) {
    answer.Number(static_cast<std::uint64_t>(kind));
    answer.Number(text.slot);
    answer.Text(text.text);
  }
}

void Process::Look(WireReader& asked, WireWriter& answer) {
  std::uint64_t which = asked.Number();  // 0: the call itself; else what it amounts to
  policy::DeepSubject subject = asked.Subject();
  policy::DeepValue value = which == 0 ? work_->inputs->Look(subject)
                            : which <= work_->further.size()
                                ? work_->further[which - 1].look(subject)
                                : policy::DeepValue(policy::Absent{});
  answer.Number(static_cast<std::uint64_t>(work_->inputs->error()));
  answer.Value(value);
}

bool Process::MayWait() {
  WireWriter question;
  question.Number(static_cast<std::uint64_t>(Ask::kMayWait));
  if (!wire_.Send(question)) _exit(0);
  auto received = wire_.Receive([] {});
  if (!received) _exit(0);
  return WireReader(received->bytes).Number() != 0;
}

Reply Process::Perform() {
  BorrowedIdentity as_caller(own_.credentials, work_->identity.credentials);
  if (as_caller.error() != 0) return Reply::Error(EPERM);
  return work_->performer->Perform(*work_->inputs, Around());
}

void Process::Done(Reply reply, WireWriter& answer) {
  answer.Number(static_cast<std::uint64_t>(Ask::kPerform));
  answer.Answer(reply);
  descriptor_ = std::move(reply.descriptor);
  work_.reset();
}

void Process::Answer(WireReader& asked, WireWriter& answer) {
  auto ask = asked.As<Ask>();
  if (ask == Ask::kEnter) {
    Failure failure = Enter(standing_, supervisor_, caller_pidfd_);
    auto own = failure.errno_value == 0 ? ReadIdentity(gettid()) : std::nullopt;
    if (own) own_ = std::move(*own);
    root_.Reset(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (failure.errno_value == 0 && !own) failure = {EPERM, "read its own identity"};
    answer.Number(static_cast<std::uint64_t>(failure.errno_value));
    return answer.Text(failure.step);
  }
  if (ask == Ask::kPrepare) return Prepare(asked, answer);
  if (ask == Ask::kOpen) return Done(Presume(asked), answer);
  if (work_ == nullptr || work_->performer == nullptr) _exit(1);
  switch (ask) {
    case Ask::kLook:
      return Look(asked, answer);
    case Ask::kPerform:
      work_->identity.umask = static_cast<mode_t>(asked.Number());
      return Done(Perform(), answer);
    case Ask::kEnter:
    case Ask::kPrepare:
    case Ask::kOpen:
    case Ask::kForget:
    case Ask::kMayWait:
      break;
  }
  _exit(1);
}

void Process::Serve() {
  wire_.GiveUpAfter(kIdle);
  WireWriter hello;
  hello.Number(static_cast<std::uint64_t>(getpid()));
  if (!wire_.Send(hello)) _exit(0);
  while (true) {
    auto received = wire_.Receive([] {});
    if (!received) _exit(0);  // the supervisor is gone, or has not asked for long
    WireReader asked(received->bytes);
    if (WireReader(received->bytes).As<Ask>() == Ask::kForget) {
      work_.reset();
      continue;
    }
    WireWriter answer;
    Answer(asked, answer);
    if (!wire_.Send(answer, descriptor_.get())) _exit(0);
    descriptor_.Reset();
  }
}

}  // namespace

void ServeAsHelper(kernel::Kernel& kernel, const Standing& standing, const Identity& own,
                   int caller_pidfd, base::UniqueFd socket) {
  CloseOthers({caller_pidfd, socket.get()});
  prctl(PR_SET_NAME, "callgate-helper");
  Process(kernel, standing, own, caller_pidfd, std::move(socket)).Serve();
}

}  // namespace callgate::supervise
