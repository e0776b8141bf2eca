// Some calls nobody can make for a caller from outside: what its capabilities are worth depends on
// the user namespace of who makes the call, what a mount acts on depends on the mount namespace,
// and the first of these no process with several threads can enter (user_namespaces(7)). So a
// process is kept that has entered the caller's namespaces, as the caller. It is asked twice for a
// call, to prepare and to perform it; the decision in between is made here, on what the helper has
// pinned and copied.
//
//   supervisor                              helper, in the caller's namespaces
//   kPrepare  ───────────────────────────►  copies, pins
//   Decide    ◄── kLook ─────────────────►  says what it has found, where it has not yet
//   kPerform  ───────────────────────────►  acts on that
//   answers the caller
//
// It is asked once where a call says itself which file it opens, and that is allowed: whether it is
// that file is then found out by opening it without following a link (perform_open.cc).
//
//   Decide    on a copy of our own
//   kOpen     ───────────────────────────►  acts on that copy, or says that it leads elsewhere
//
// A helper is made by a fork, when the first call of its kind comes, and serves the calls of all
// callers that stand where it stands, one at a time; while it waits with one (a FIFO), another is
// made. One that has had no call for a while ends, since it keeps its namespaces alive. It never
// executes a program. Measured on Linux 6.18, one busy CPU, unoptimised: setxattr takes 22 to 35 us
// more than where the caller is in our user namespace.
//
// Its process is a grandchild: the supervisor waits for the processes it traces with
// waitpid(-1), and is done when there are none.
//
// Rejected: a thread, which cannot enter a user namespace; a process that shares our memory, since
// whoever is privileged in that namespace may end it while it holds a lock; a fork for each call,
// which takes 80 us and more.

#include "supervise/helper.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "supervise/helper_process.h"
#include "supervise/refusal.h"
#include "supervise/wire.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kMaxIdle = 16;
// A helper that is asked to come back comes back, unless it is stopped or hangs. At one question
// each tick of the watcher (deciders.cc) this is a fifth of a second.
constexpr int kMaxInterrupts = 20;
constexpr int kInterrupt = SIGUSR2;

}  // namespace

// Our side of one helper.
class Helper {
 public:
  Helper(kernel::Kernel& kernel, Standing standing, base::UniqueFd socket)
      : kernel_(kernel), standing_(std::move(standing)), wire_(std::move(socket)) {}

  // A stopped process would not see that the socket is closed.
  ~Helper() {
    if (pidfd_.valid()) (void)kernel_.SignalProcess(pidfd_.get(), SIGKILL);
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  const Standing& standing() const { return standing_; }
  bool is_whole() const { return is_whole_; }
  // nullopt: it is gone.
  std::optional<Wire::Received> Ask(const WireWriter& question) {
    if (!Say(question)) return std::nullopt;
    return Hear();
  }
  bool Say(const WireWriter& message) { return Note(wire_.Send(message)); }
  std::optional<Wire::Received> Hear() {
    int interrupts = 0;
    auto received = wire_.Receive([&] {
      if (!pidfd_.valid()) return;
      bool has_patience = ++interrupts < kMaxInterrupts;
      (void)kernel_.SignalProcess(pidfd_.get(), has_patience ? kInterrupt : SIGKILL);
    });
    Note(received.has_value());
    return received;
  }
  // It has told who it is, and has entered nothing yet, so nobody else can end it.
  bool Meet() {
    auto hello = Hear();
    if (!hello) return false;
    auto pidfd = kernel_.OpenPidfd(static_cast<pid_t>(WireReader(hello->bytes).Number()));
    if (!pidfd) return Note(false);
    pidfd_ = std::move(*pidfd);
    return true;
  }

 private:
  bool Note(bool worked) {
    is_whole_ = is_whole_ && worked;
    return worked;
  }

  kernel::Kernel& kernel_;
  const Standing standing_;
  Wire wire_;
  base::UniqueFd pidfd_;
  bool is_whole_ = true;
};

namespace {

WireWriter Question(Ask ask) {
  WireWriter question;
  question.Number(static_cast<std::uint64_t>(ask));
  return question;
}

// nullopt: gone, or not ours to see.
std::optional<Standing> StandingOf(pid_t tid, const Identity& caller, const Identity& own,
                                   Scope scope) {
  Standing standing{.credentials = caller.credentials};
  standing.credentials.effective_capabilities = 0;
  std::uint64_t user = std::exchange(standing.credentials.user_namespace, 0);
  if (user != own.credentials.user_namespace) standing.enters[0] = user;
  if (scope != Scope::kAll) return standing;
  for (std::size_t i = 1; i < kNamespaceKinds.size(); ++i) {
    auto callers = ReadNamespace(tid, kNamespaceKinds[i].name);
    auto ours = ReadNamespace(gettid(), kNamespaceKinds[i].name);
    if (!callers || !ours) return std::nullopt;
    if (*callers != *ours) standing.enters[i] = *callers;
  }
  return standing;
}

}  // namespace

// A call that a helper prepares and performs.
class ElsewherePerformer final : public Performer {
 public:
  ElsewherePerformer(Helpers& helpers, const kernel::Notification& notification,
                     const Standing& standing, const Identity& own, std::unique_ptr<Helper> helper)
      : helpers_(helpers),
        notification_(notification),
        standing_(standing),
        own_(own),
        helper_(std::move(helper)) {}
  ~ElsewherePerformer() override {
    // What it has pinned would stay in use.
    if (!has_performed_ && !presumed_) (void)helper_->Say(Question(Ask::kForget));
    helpers_.PutBack(std::move(helper_));
  }
  ElsewherePerformer(const ElsewherePerformer&) = delete;
  ElsewherePerformer& operator=(const ElsewherePerformer&) = delete;

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  bool Presumes() const override { return presumed_.has_value(); }
  bool MayBlock() const override { return may_block_; }
  bool NeedsStatus() const override { return needs_status_; }
  std::optional<abi::Call> GivesAsMuchAs(const abi::Call&) const override { return more_; }
  std::vector<Further> AmountsTo(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  bool PresumeHere(const Surroundings& around);
  WireWriter QuestionAboutCall(Ask ask, const Surroundings& around) const;
  kernel::SysResult<policy::DeepValue> Look(std::uint64_t which,
                                            const policy::DeepSubject& subject);
  Reply Hear(const Surroundings& around);

  Helpers& helpers_;
  const kernel::Notification& notification_;
  const Standing standing_;
  const Identity& own_;
  std::unique_ptr<Helper> helper_;
  std::optional<Inputs> presumed_;  // by these copies
  bool may_block_ = false;
  bool needs_status_ = true;
  std::optional<abi::Call> more_;
  std::vector<std::string> further_;  // the reasons
  std::map<std::pair<policy::DeepSubject::Kind, std::size_t>, std::string> texts_;
  bool has_performed_ = false;
};

// By the call itself: the helper hears of it only once it is allowed.
bool ElsewherePerformer::PresumeHere(const Surroundings& around) {
  auto performer = PerformerOf(notification_.call);
  if (performer == nullptr) return false;
  Inputs& copies =
      presumed_.emplace(helpers_.kernel_, notification_, own_.credentials, own_.credentials);
  if (!performer->Presume(copies, around)) {
    presumed_.reset();
    return false;
  }
  for (auto kind : {policy::DeepSubject::Kind::kPath, policy::DeepSubject::Kind::kString}) {
    for (Inputs::Known& known : copies.KnownTexts(kind)) {
      texts_[{kind, known.slot}] = std::move(known.text);
    }
  }
  may_block_ = performer->MayBlock();
  needs_status_ = performer->NeedsStatus();
  more_ = performer->GivesAsMuchAs(notification_.call);
  return true;
}

WireWriter ElsewherePerformer::QuestionAboutCall(Ask ask, const Surroundings& around) const {
  WireWriter question = Question(ask);
  question.Number(notification_.id);
  question.Number(static_cast<std::uint64_t>(notification_.tid));
  question.Call(notification_.call);
  question.Number(static_cast<std::uint64_t>(around.identity.tgid));
  question.Number(around.identity.our_root >= 0 ? 1 : 0);
  question.Number(around.same_pid_namespace ? 1 : 0);
  question.Number(around.identity.must_have_our_root ? 1 : 0);
  question.Number(around.identity.credentials.effective_capabilities);
  return question;
}

int ElsewherePerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  inputs.LookElsewhere([this](const policy::DeepSubject& subject) { return Look(0, subject); });
  if (around.may_presume && PresumeHere(around)) return 0;
  const WireWriter question = QuestionAboutCall(Ask::kPrepare, around);
  auto answer = helper_->Ask(question);
  if (!answer) {
    // It may have ended for lack of calls just now.
    auto other = helpers_.Start(notification_.tid, standing_, own_);
    if (!other) return kHelperGone;
    helper_ = std::move(*other);
    answer = helper_->Ask(question);
  }
  if (!answer) return kHelperGone;
  WireReader reader(answer->bytes);
  int error = static_cast<int>(reader.Number());
  if (error != 0) return error;
  may_block_ = reader.Number() != 0;
  needs_status_ = reader.Number() != 0;
  bool is_more = reader.Number() != 0;
  abi::Call more = reader.Call();
  if (is_more) more_ = more;
  for (std::uint64_t left = reader.Number(); left > 0 && reader.ok(); --left) {
    further_.push_back(reader.Text());
  }
  for (std::uint64_t left = reader.Number(); left > 0 && reader.ok(); --left) {
    auto kind = reader.As<policy::DeepSubject::Kind>();
    std::size_t slot = reader.Number();
    texts_[{kind, slot}] = reader.Text();
  }
  return reader.ok() ? 0 : kHelperGone;
}

kernel::SysResult<policy::DeepValue> ElsewherePerformer::Look(std::uint64_t which,
                                                              const policy::DeepSubject& subject) {
  if (which == 0 && !subject.in_message) {
    auto told = texts_.find({subject.kind, subject.slot});
    if (told != texts_.end()) return told->second;
  }
  if (presumed_) return std::unexpected(ESRCH);  // all is looked at again
  WireWriter question = Question(Ask::kLook);
  question.Number(which);
  question.Subject(subject);
  auto answer = helper_->Ask(question);
  if (!answer) return std::unexpected(kHelperGone);
  WireReader reader(answer->bytes);
  int error = static_cast<int>(reader.Number());
  policy::DeepValue value = reader.Value();
  if (!reader.ok()) return std::unexpected(kHelperGone);
  if (error != 0) return std::unexpected(error);
  return value;
}

std::vector<Further> ElsewherePerformer::AmountsTo(Inputs&, const Surroundings&) {
  std::vector<Further> further;
  for (std::string& reason : further_) {
    further.push_back({.look =
                           [this, which = further.size() + 1](const policy::DeepSubject& subject) {
                             return Look(which, subject).value_or(policy::Absent{});
                           },
                       .reason = std::move(reason)});
  }
  return further;
}

Reply ElsewherePerformer::Hear(const Surroundings& around) {
  // That it is gone by now may be for lack of calls, and that nothing is done is certain of an open
  // alone, which would be the same again.
  const auto gone = [this] { return presumed_ ? Reply::LooksAgain() : Reply::Error(EPERM); };
  while (true) {
    auto answer = helper_->Hear();
    if (!answer) return gone();
    WireReader reader(answer->bytes);
    if (reader.As<Ask>() == Ask::kMayWait) {
      WireWriter may;
      may.Number(around.may_wait() ? 1 : 0);
      if (!helper_->Say(may)) return gone();
      continue;
    }
    Reply reply = reader.Answer();
    if (!reader.ok()) return gone();
    reply.descriptor = std::move(answer->descriptor);
    return reply;
  }
}

Reply ElsewherePerformer::Perform(Inputs&, const Surroundings& around) {
  has_performed_ = true;
  if (!presumed_) {
    WireWriter question = Question(Ask::kPerform);
    question.Number(around.identity.umask);
    return helper_->Say(question) ? Hear(around) : Reply::Error(EPERM);
  }
  WireWriter question = QuestionAboutCall(Ask::kOpen, around);
  question.Number(presumed_->strings().size());
  for (const auto& [slot, text] : presumed_->strings()) {
    question.Number(slot);
    question.Text(text);
  }
  question.Number(presumed_->bytes().size());
  for (const auto& [slot, bytes] : presumed_->bytes()) {
    question.Number(slot);
    question.Bytes(bytes);
  }
  return helper_->Say(question) ? Hear(around) : Reply::LooksAgain();
}

// ---------------------------------------------------------------------------------------------

Helpers::Helpers(kernel::Kernel& kernel) : kernel_(kernel) {}
Helpers::~Helpers() = default;

void Helpers::EndAll() {
  std::lock_guard lock(mutex_);
  idle_.clear();
}

void Helpers::PutBack(std::unique_ptr<Helper> helper) {
  if (!helper->is_whole()) return;
  std::lock_guard lock(mutex_);
  idle_.push_front(std::move(helper));
  if (idle_.size() > kMaxIdle) idle_.pop_back();
}

std::expected<std::unique_ptr<Helper>, std::string> Helpers::Start(pid_t tid,
                                                                   const Standing& standing,
                                                                   const Identity& own) {
  auto fail = [](std::string_view step, int error) {
    return std::unexpected(
        fmt::format("the supervisor has no process that stands where the caller does: cannot {} "
                    "({})",
                    step, std::strerror(error)));
  };
  auto pidfd = kernel_.OpenThreadPidfd(tid);
  if (!pidfd && pidfd.error() == EINVAL) pidfd = kernel_.OpenPidfd(tid);
  if (!pidfd) return fail("find it", pidfd.error());
  std::array<int, 2> pair{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) < 0) {
    return fail("make a socket", errno);
  }
  auto helper = std::make_unique<Helper>(kernel_, standing, base::UniqueFd(pair[0]));
  base::UniqueFd theirs(pair[1]);
  (void)OwnDescriptors();  // so that no thread is in the middle of its first call
  pid_t between = fork();
  if (between < 0) return fail("fork", errno);
  if (between == 0) {
    pid_t pid = fork();
    if (pid == 0) ServeAsHelper(kernel_, standing, own, pidfd->get(), std::move(theirs));
    _exit(pid < 0 ? errno : 0);
  }
  theirs.Reset();
  // Another thread may have waited for it already.
  while (waitpid(between, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  if (!helper->Meet()) return fail("fork", EAGAIN);
  auto answer = helper->Ask(Question(Ask::kEnter));
  if (!answer) return fail("ask it", EPIPE);
  WireReader reader(answer->bytes);
  int error = static_cast<int>(reader.Number());
  if (error != 0) return fail(reader.Text(), error);
  return helper;
}

std::expected<std::unique_ptr<Helper>, std::string> Helpers::Take(pid_t tid,
                                                                  const Standing& standing,
                                                                  const Identity& own) {
  {
    std::lock_guard lock(mutex_);
    auto found = std::ranges::find_if(
        idle_, [&](const auto& helper) { return helper->standing() == standing; });
    if (found != idle_.end()) {
      std::unique_ptr<Helper> helper = std::move(*found);
      idle_.erase(found);
      return helper;
    }
  }
  return Start(tid, standing, own);
}

std::expected<std::unique_ptr<Performer>, std::string> Helpers::PerformerFor(
    const kernel::Notification& notification, const Identity& caller, const Identity& own,
    Scope scope) {
  auto standing = StandingOf(notification.tid, caller, own, scope);
  if (!standing) {
    return std::unexpected("the supervisor cannot read which namespaces the caller is in");
  }
  auto helper = Take(notification.tid, *standing, own);
  if (!helper) return std::unexpected(helper.error());
  return std::make_unique<ElsewherePerformer>(*this, notification, *standing, own,
                                              std::move(*helper));
}

}  // namespace callgate::supervise
