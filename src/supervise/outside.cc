#include "supervise/outside.h"

#include <cerrno>

namespace callgate::supervise {

AnswerFromOutside AskOutside(const OutsideFunction& outside, const Turn& turn,
                             const Question& question) {
  if (!outside) return {{policy::Verb::kErrno, EPERM}, "there is nobody to ask"};
  AnswerFromOutside answer = outside(turn, question);
  switch (answer.action.verb) {
    case policy::Verb::kAllow:
    case policy::Verb::kErrno:
    case policy::Verb::kReturn:
    case policy::Verb::kKillProcess:
    case policy::Verb::kContinueUnchecked:
      return answer;
    case policy::Verb::kKillThread:
    case policy::Verb::kTrap:
    case policy::Verb::kTrace:
    case policy::Verb::kLog:
    case policy::Verb::kNotify:
    case policy::Verb::kAsk:
    case policy::Verb::kAsSupervisor:
    case policy::Verb::kLook:
      break;
  }
  return {{policy::Verb::kErrno, EPERM}, "the answer is none that can be carried out"};
}

}  // namespace callgate::supervise
