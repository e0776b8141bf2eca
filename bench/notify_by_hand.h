#pragma once

#include "bench/notify_target.h"

// Rows of notify_cost that are written by hand: the least that the kernel asks for.

namespace callgate::bench {

void FutexPingPong(Bench& bench);
void BareVerdict(Bench& bench);
// An argument is read; kAsks: whether its caller still waits is asked before the answer tells.
template <bool kAsks>
void BareRead(Bench& bench);
void PtraceStop(Bench& bench);
void Broker(Bench& bench);
void NativeOpen(Bench& bench);

// How a descriptor is handed over: put into the caller's table, then the call is answered; or both
// in one, which is not what callgate does (see RealKernel::ReplyDescriptor).
enum class HandOver { kAddThenSend, kAddAndSend };

// A file that is known beforehand: neither the path nor who asks is looked at.
template <HandOver kHandOver>
void BareOpen(Bench& bench);
// The system calls that a decision about the path needs, and nothing beside them: the path is read
// once, who asks is asked (his ids, his capabilities), the file is held before it is opened.
template <HandOver kHandOver>
void BareLookedOpen(Bench& bench);

}  // namespace callgate::bench
