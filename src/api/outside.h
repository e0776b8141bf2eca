#pragma once

#include <memory>

#include "launch/handler.h"
#include "launch/launch.h"
#include "supervise/engine.h"

namespace callgate {

// Who answers what policies leave to somebody outside. Made before the fork, used in the
// supervisor, by several threads at once.
class Outside {
 public:
  // `notify_fd`: stream socket to the handler; -1: there is none.
  explicit Outside(int notify_fd);

  // `why`: what the policy says of the call.
  supervise::AnswerFromOutside Answer(const supervise::Question& question,
                                      const launch::Explanation& why);

 private:
  std::unique_ptr<launch::Handler> handler_;
};

}  // namespace callgate
