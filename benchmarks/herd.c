/* Copyright (c) 2026, procfs.rescue contributors
 * GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * herd FOLDER PROCESSES DESCRIPTORS DELETED MAPS: processes with many open files and mappings, until it is killed.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static void must(int well, const char *what) {
  if (!well) {
    perror(what);
    exit(1);
  }
}

/* The file that most processes map. */
static int libc(void) {
  char line[4096], *path;
  FILE *maps = fopen("/proc/self/maps", "r");
  while (fgets(line, sizeof line, maps))
    if (strstr(line, "/libc.so") && (path = strchr(line, '/'))) {
      path[strcspn(path, "\n")] = 0;
      return open(path, O_RDONLY);
    }
  return -1;
}

static void hold(const char *folder, int number, int descriptors, int deleted, int maps) {
  char path[4096];
  for (int one = 0; one < deleted; one++) {
    snprintf(path, sizeof path, "%s/%d-%d", folder, number, one);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    must(fd >= 0 && write(fd, path, 8) == 8 && !unlink(path), path);
  }
  snprintf(path, sizeof path, "%s/file", folder);
  for (int one = deleted; one < descriptors; one++) must(open(path, O_RDWR | O_CREAT, 0600) >= 0, path);
  int library = libc();
  must(library >= 0, "libc");
  /* Each other one, or the kernel would merge them. */
  for (int one = 0; one < maps; one++) {
    void *map = one % 2 ? mmap(0, 4096, PROT_READ, MAP_PRIVATE, library, 0)
                        : mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(map != MAP_FAILED, "mmap");
  }
  close(library);
}

int main(int count, char **arguments) {
  int ready[2];
  char byte;
  must(count == 6 && !pipe(ready), "herd FOLDER PROCESSES DESCRIPTORS DELETED MAPS");
  int processes = atoi(arguments[2]);
  for (int number = 0; number < processes; number++) {
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ready[0]);
    hold(arguments[1], number, atoi(arguments[3]), atoi(arguments[4]), atoi(arguments[5]));
    must(write(ready[1], "1", 1) == 1, "pipe");
    for (;;) pause();
  }
  close(ready[1]);
  for (int number = 0; number < processes; number++) must(read(ready[0], &byte, 1) == 1, "a process");
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
