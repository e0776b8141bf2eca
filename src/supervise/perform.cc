#include "supervise/perform.h"

namespace callgate::supervise {

std::unique_ptr<Performer> PerformerOf(std::string_view call) {
  for (auto* make : {MakeOpenPerformer, MakeParentPerformer, MakeFilePerformer, MakeSocketPerformer,
                     MakeAcceptPerformer, MakeSendPerformer, MakeTellPerformer, MakeExecPerformer,
                     MakeMountPerformer, MakeTaskPerformer}) {
    if (auto performer = make(call)) return performer;
  }
  return nullptr;
}

}  // namespace callgate::supervise
