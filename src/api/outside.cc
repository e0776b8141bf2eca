#include "api/outside.h"

#include <cerrno>
#include <utility>

#include "base/check.h"
#include "launch/decode.h"
#include "launch/escape.h"
#include "supervise/pending_signal.h"

namespace callgate {

using supervise::AnswerFromOutside;

namespace {

// Of the time that a call may take, what is left to make it.
constexpr std::chrono::seconds kToMakeIt{1};

// Sees what was copied, and nothing else: what is told is what is acted on.
class CopiesView final : public launch::TargetView {
 public:
  explicit CopiesView(const supervise::Inputs& inputs) : inputs_(inputs) {}

  std::optional<std::string> DescriptorTarget(int) const override { return std::nullopt; }
  std::vector<std::byte> ReadMemory(std::uint64_t address, std::size_t size) const override {
    return inputs_.CopiedAt(address, size);
  }

 private:
  const supervise::Inputs& inputs_;
};

launch::Inquiry InquiryAbout(const supervise::Question& question, const launch::Explanation& why) {
  launch::DecodedCall decoded = launch::DecodeCall(question.call, CopiesView(question.inputs));
  launch::Inquiry inquiry{.syscall = std::move(decoded.name),
                          .text = std::move(decoded.text),
                          .call = question.call,
                          .who = launch::IdentifyThread(question.notification.tid),
                          .inputs = question.facts,
                          .place = why.place,
                          .rule = why.rule};
  inquiry.who.process_name = launch::Escape(inquiry.who.process_name);
  return inquiry;
}

}  // namespace

Outside::Outside(Setup setup, const std::vector<Policy>& layers) {
  if (setup.notify_fd >= 0) {
    handler_ = std::make_unique<launch::Handler>(setup.notify_fd, supervise::kDeadline - kToMakeIt);
  }
  if (!setup.asks) return;
  prompt_ = std::make_unique<launch::Prompt>();
  always_ = std::make_unique<Always>(layers);
}

AnswerFromOutside Outside::Answer(const supervise::Turn& turn, const supervise::Question& question,
                                  const Policy::Impl& layer, const launch::Explanation& why) {
  launch::Inquiry inquiry = InquiryAbout(question, why);
  if (question.action.verb == policy::Verb::kAsk) {
    return AskPerson(turn, question, layer, inquiry);
  }
  if (handler_ == nullptr) return {{policy::Verb::kErrno, EPERM}, "there is no handler"};
  return handler_->Ask(inquiry, question.still_waits);
}

AnswerFromOutside Outside::AskPerson(const supervise::Turn& turn,
                                     const supervise::Question& question, const Policy::Impl& layer,
                                     const launch::Inquiry& inquiry) {
  using Choice = launch::Prompt::Choice;
  if (prompt_ == nullptr) return {{policy::Verb::kErrno, EPERM}, "nobody is asked"};
  auto is_settled = [&] { return always_->Allows(layer, question); };
  if (is_settled()) return {{policy::Verb::kAllow, 0}};
  // A person may take his time; other calls are not to wait for him.
  if (!turn.step_aside()) {
    return {{policy::Verb::kErrno, EAGAIN}, "too many calls of the program are waiting already"};
  }
  launch::Prompt::Answer answer = prompt_->Ask(
      inquiry, {.is_settled = is_settled,
                .still_waits =
                    [&] {
                      // As supervise/deciders.cc ends other waits for the caller's sake.
                      return question.still_waits() &&
                             supervise::PendingSignalOf(question.notification.tid) ==
                                 supervise::PendingSignal::kNone;
                    },
                .offer =
                    [&] {
                      Always::Proposal proposal = always_->Propose(layer, question);
                      return launch::Prompt::Offer{proposal.place, proposal.line, proposal.warning};
                    },
                .accept = [&] { return always_->Accept(layer, question); }});
  switch (answer.choice) {
    case Choice::kOnce:
    case Choice::kAlways:
      return {.action = {policy::Verb::kAllow, 0}, .redraws = answer.was_full_screen};
    case Choice::kDeny:
      return {.action = {policy::Verb::kErrno, EPERM},
              .reason = std::move(answer.reason),
              .redraws = answer.was_full_screen};
    case Choice::kInterrupted:
      return {.action = {policy::Verb::kErrno, EINTR}, .is_interrupted = true};
  }
  std::unreachable();
}

Policy TerminalGuard() {
  auto guard = Policy::FromText("<terminal>", R"(arch: x86_64, i386, x32
default: allow
unknown: allow
bad_arch: allow
ioctl: cmd in {TIOCSTI, TIOCLINUX} -> errno(EPERM)
)");
  CG_CHECK(guard.has_value());
  return *guard;
}

}  // namespace callgate
