#include "api/outside.h"

#include <cerrno>
#include <utility>

#include "launch/decode.h"
#include "launch/escape.h"

namespace callgate {
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

Outside::Outside(int notify_fd) {
  if (notify_fd < 0) return;
  handler_ = std::make_unique<launch::Handler>(notify_fd, supervise::kDeadline - kToMakeIt);
}

supervise::AnswerFromOutside Outside::Answer(const supervise::Question& question,
                                             const launch::Explanation& why) {
  if (handler_ == nullptr) {
    return {{policy::Verb::kErrno, EPERM}, "there is no handler"};
  }
  return handler_->Ask(InquiryAbout(question, why), question.still_waits);
}

}  // namespace callgate
