#pragma once

// Everything else in the shared object is hidden.
#define CALLGATE_EXPORT __attribute__((visibility("default")))
