/* Installs a filter that was compiled into the program. Nothing but the kernel's headers is needed. */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker_filter.h"

int main(void) {
  struct sock_fprog filter = {WORKER_FILTER_LENGTH, (struct sock_filter *)worker_filter};
  setvbuf(stdout, NULL, _IONBF, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
    perror("installing the filter");
    return 1;
  }
  puts("printing works");
  if (open("/etc/passwd", O_RDONLY) < 0) perror("opening /etc/passwd");
  return 0;
}
