/* Copyright (c) 2026, procfs.rescue contributors
 * GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * busy TASKS MILLISECONDS: a program with a small task every so many milliseconds (0: the next one at once), that opens
 * its own file, reads and computes. It tells the 99th percentile of the time from when a task was due to its end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MOST 100000

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
  static double taken[MOST];
  static char page[4096];
  volatile unsigned sum = 0;
  int tasks = count == 3 ? atoi(arguments[1]) : 0;
  if (tasks < 1 || tasks > MOST) return 2;
  double pause = atof(arguments[2]) / 1000, due = now();
  for (int task = 0; task < tasks; task++) {
    if (pause) {
      due += pause;
      struct timespec until = {due, (due - (time_t)due) * 1e9};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    } else {
      due = now();
    }
    for (int round = 0; round < 20; round++) {
      int fd = open(arguments[0], O_RDONLY);
      ssize_t length = read(fd, page, sizeof page);
      close(fd);
      for (ssize_t byte = 0; byte < length; byte++) sum += page[byte];
    }
    taken[task] = now() - due;
  }
  qsort(taken, tasks, sizeof *taken, order);
  printf("seconds inside: %.6f\n", taken[tasks * 99 / 100]);
  return 0;
}
