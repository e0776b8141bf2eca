#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

#include "base/error.h"
#include "kernel/kernel.h"

namespace callgate::kernel {

// The filters of a live thread, oldest first, each as struct sock_filter, 8 bytes an instruction;
// none if it has none. The thread is seized, stopped, read and let go; a signal that it was about
// to get is delivered. Needs CAP_SYS_ADMIN, and a caller that is under no filter itself.
base::Result<std::vector<std::vector<std::byte>>> FiltersOf(Kernel& kernel, pid_t tid);

}  // namespace callgate::kernel
