// Lets calls pile up before a supervisor: many threads open files at the same moment.
//
//   pile_up THREADS ALLOWED DENIED
//
// Half of them open one file, half the other. Makes the file `ready` when all threads are there,
// waits for the file `go`, makes the directory `piled` when all are in their calls, and prints what
// came of those: "opened 500, refused 500, else 0".
//
// Without a lock or a condition variable: nothing here can wait for another thread but the kernel.

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr std::size_t kStack = std::size_t{64} << 10;
constexpr useconds_t kRound = 10'000;

std::array<int, 2> go;  // a pipe: one byte for each thread
std::atomic<int> started, calling, opened, refused, other;

void* Call(void* name) {
  char token = 0;
  ++started;
  if (read(go[0], &token, 1) != 1) std::abort();
  ++calling;
  int fd = open(static_cast<const char*>(name), O_RDONLY | O_CLOEXEC);
  bool is_refused = fd < 0 && errno == EACCES;
  bool is_readable = fd >= 0 && read(fd, &token, 1) == 1;
  ++(is_readable ? opened : is_refused ? refused : other);
  if (fd >= 0) close(fd);
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 || pipe(go.data()) < 0) return 2;
  const int count = std::atoi(argv[1]);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStack);
  std::vector<pthread_t> threads(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    int error =
        pthread_create(&threads[static_cast<std::size_t>(i)], &attributes, Call, argv[2 + i % 2]);
    if (error != 0) return 3;
  }
  // A thread begins only when its tracer, who is about to be stopped, has let it.
  while (started < count) usleep(kRound);
  if (close(open("ready", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) < 0) return 4;
  while (access("go", F_OK) < 0) usleep(kRound);
  for (int i = 0; i < count; ++i) {
    if (write(go[1], "g", 1) != 1) return 5;
  }
  while (calling < count) usleep(kRound);
  usleep(20 * kRound);
  // Nobody was answered while the supervisor was stopped.
  std::printf("opened %d, refused %d, else %d\n", opened.load(), refused.load(), other.load());
  if (mkdir("piled", 0700) < 0) return 6;
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  std::printf("opened %d, refused %d, else %d\n", opened.load(), refused.load(), other.load());
  return 0;
}
