#pragma once

#include <memory>
#include <vector>

#include "api/always.h"
#include "launch/handler.h"
#include "launch/launch.h"
#include "launch/prompt.h"
#include "supervise/engine.h"

namespace callgate {

// Who answers what policies leave to somebody outside: the handler and the person at the terminal.
// Made before the fork, used in the supervisor, by several threads at once.
class Outside {
 public:
  struct Setup {
    int notify_fd = -1;  // stream socket to the handler; -1: there is none
    bool asks = false;   // a policy says `ask`
  };
  Outside(Setup setup, const std::vector<Policy>& layers);

  // -1: nobody is asked.
  int terminal() const { return prompt_ ? prompt_->terminal() : -1; }

  // `layer`: the policy that leaves it to somebody, `why` what it says.
  supervise::AnswerFromOutside Answer(const supervise::Turn& turn,
                                      const supervise::Question& question,
                                      const Policy::Impl& layer, const launch::Explanation& why);

 private:
  supervise::AnswerFromOutside AskPerson(const supervise::Turn& turn,
                                         const supervise::Question& question,
                                         const Policy::Impl& layer, const launch::Inquiry& inquiry);

  std::unique_ptr<launch::Handler> handler_;
  std::unique_ptr<launch::Prompt> prompt_;
  std::unique_ptr<Always> always_;
};

// What a program must not do at the terminal where its answers are typed: type them.
Policy TerminalGuard();

}  // namespace callgate
