#pragma once

#include <functional>
#include <string>

#include "kernel/kernel.h"
#include "policy/typed.h"
#include "supervise/deciders.h"
#include "supervise/facts.h"
#include "supervise/inputs.h"

namespace callgate::supervise {

// A call that the policy leaves to somebody else: `notify`, `ask`.
struct Question {
  const kernel::Notification& notification;
  const abi::Call& call;  // the notification's, or the greater one that it amounts to
  policy::PolicyAction action;
  // What the call is about, as it was copied and pinned and is acted on. Empty where registers are
  // all that the answer can be about: then the caller goes on with the call itself.
  const Facts& facts;
  const Inputs& inputs;              // the copies behind the facts
  const policy::LookFunction& look;  // asks for them as a policy does; empty where there are none
  // False: the caller does not wait any more, so that no answer is wanted.
  std::function<bool()> still_waits;
};
struct AnswerFromOutside {
  policy::PolicyAction action;  // allow, errno, return, kill or continue_unchecked
  std::string reason = {};      // in words, for the report
  // The caller has a signal to attend to, or is gone: the call ends as an interrupted one does.
  bool is_interrupted = false;
  bool redraws = false;  // asking has spoilt the program's screen
};
// May take long: the deadline is the turn's, unless it steps aside.
using OutsideFunction = std::function<AnswerFromOutside(const Turn& turn, const Question&)>;

// Asks, and makes of an answer that cannot be carried out a refusal. `outside` nullptr: nobody is
// there, so it is one too.
AnswerFromOutside AskOutside(const OutsideFunction& outside, const Turn& turn,
                             const Question& question);

}  // namespace callgate::supervise
