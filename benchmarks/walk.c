/* Copyright (c) 2026, procfs.rescue contributors
 * GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The floor: what it costs to read the link of every descriptor, and with an argument all maps, and nothing else.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments) {
  static char text[65536];
  char path[512];
  long links = 0, deleted = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *process; (process = readdir(proc));) {
    if (process->d_name[0] < '0' || process->d_name[0] > '9') continue;
    snprintf(path, sizeof path, "/proc/%s/fd", process->d_name);
    DIR *fds = opendir(path);
    if (!fds) continue;
    for (struct dirent *fd; (fd = readdir(fds));) {
      if (fd->d_name[0] == '.') continue;
      ssize_t length = readlinkat(dirfd(fds), fd->d_name, text, sizeof text);
      links++;
      if (length > 10 && !memcmp(text + length - 10, " (deleted)", 10)) deleted++;
    }
    closedir(fds);
    if (count < 2) continue;
    snprintf(path, sizeof path, "/proc/%s/%s", process->d_name, arguments[1]);
    int maps = open(path, O_RDONLY);
    while (maps >= 0 && read(maps, text, sizeof text) > 0) {}
    close(maps);
  }
  printf("%ld of %ld\n", deleted, links);
  return 0;
}
