// The first and only process of the emulated machine, as /init of its initramfs: runs /program with the arguments in
// /arguments, passes its output on, reports how it ended, switches the machine off.
//
// Two of Bochs' ports are used: a byte written to 0xE9 comes out of Bochs' standard output; "Shutdown" written to
// 0x8900 ends Bochs. What run.sh looks for are the lines "@@avx512 begin", "@@avx512 exit N" and "@@avx512 signal N".
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kOutputPort = 0xE9, kPowerPort = 0x8900, kMostArguments = 256 };

static void put(const char* bytes, size_t count) {
  // One instruction for all bytes: outb() in a loop would cost a fetch and a check of permissions for each.
  __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(kOutputPort) : "memory");
}

static void put_line(const char* text) {
  put(text, strlen(text));
  put("\n", 1);
}

static _Noreturn void power_off(void) {
  for (const char* letter = "Shutdown"; *letter != '\0'; ++letter) outb(*letter, kPowerPort);
  for (;;) pause();
}

/// Ends the machine without a status, which run.sh takes for a failure of its own.
static _Noreturn void give_up(const char* what) {
  perror(what);  // to the kernel's console, which run.sh shows
  power_off();
}

/// Splits the file of arguments, each ended by a zero, into the form that execve takes.
static void read_arguments(char* arguments[kMostArguments + 1]) {
  static char text[65536];
  FILE* file = fopen("/arguments", "rb");
  if (file == NULL) give_up("/arguments");
  const size_t size = fread(text, 1, sizeof text, file);
  fclose(file);
  if (size == sizeof text || size == 0 || text[size - 1] != '\0') give_up("length of /arguments");
  int count = 0;
  for (size_t start = 0; start < size && count < kMostArguments; start += strlen(text + start) + 1)
    arguments[count++] = text + start;
  arguments[count] = NULL;
}

static _Noreturn void run_program(int output) {
  char* arguments[kMostArguments + 1];
  char* environment[] = {"PATH=/bin", "HOME=/tmp", NULL};
  read_arguments(arguments);
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing < 0) give_up("/dev/null");
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  close(nothing);
  close(output);
  if (chdir("/tmp") != 0 || iopl(0) != 0) give_up("leaving init");
  execve("/program", arguments, environment);
  perror("execve");  // to run.sh: the usual reason is a program that is not static
  _exit(127);
}

/// Passes on what comes out of `input` until its end. A last line without an end gets one.
static void copy_output(int input) {
  static char bytes[65536];
  char last = '\n';
  ssize_t count;
  while ((count = read(input, bytes, sizeof bytes)) > 0) {
    put(bytes, (size_t)count);
    last = bytes[count - 1];
  }
  if (last != '\n') put("\n", 1);
}

int main(void) {
  if (iopl(3) != 0) give_up("iopl");
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mkdir("/tmp", 01777);
  if (mount("proc", "/proc", "proc", 0, NULL) != 0) give_up("/proc");
  if (mount("sys", "/sys", "sysfs", 0, NULL) != 0) give_up("/sys");

  int ends[2];
  if (pipe(ends) != 0) give_up("pipe");
  put_line("@@avx512 begin");
  const pid_t child = fork();
  if (child < 0) give_up("fork");
  if (child == 0) {
    close(ends[0]);
    run_program(ends[1]);
  }
  close(ends[1]);
  copy_output(ends[0]);

  int status;
  if (waitpid(child, &status, 0) != child) give_up("waitpid");
  char line[64];
  if (WIFSIGNALED(status))
    snprintf(line, sizeof line, "@@avx512 signal %d", WTERMSIG(status));
  else
    snprintf(line, sizeof line, "@@avx512 exit %d", WEXITSTATUS(status));
  put_line(line);
  power_off();
}
