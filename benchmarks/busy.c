/* Copyright (c) 2026, procfs.rescue contributors
 * GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A program with a small task every two milliseconds, that opens its own file, reads and computes. It tells the 99th
 * percentile of the time from when a task was due to its end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TASKS 1000

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static int order(const void *one, const void *other) {
  double difference = *(const double *)one - *(const double *)other;
  return (difference > 0) - (difference < 0);
}

int main(int count, char **arguments) {
  static double taken[TASKS];
  static char page[4096];
  volatile unsigned sum = 0;
  double due = now();
  for (int task = 0; task < TASKS; task++) {
    due += 0.002;
    struct timespec until = {due, (due - (time_t)due) * 1e9};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    for (int round = 0; round < 20; round++) {
      int fd = open(arguments[count - 1], O_RDONLY);
      ssize_t length = read(fd, page, sizeof page);
      close(fd);
      for (ssize_t byte = 0; byte < length; byte++) sum += page[byte];
    }
    taken[task] = now() - due;
  }
  qsort(taken, TASKS, sizeof *taken, order);
  printf("seconds inside: %.6f\n", taken[TASKS * 99 / 100]);
  return 0;
}
