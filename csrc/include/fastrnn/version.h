/* The versions of fastrnn: the one place where they stand; CMake and pip read them here. C99 and C++. */
#ifndef FASTRNN_VERSION_H
#define FASTRNN_VERSION_H

/* Semantic version. While MAJOR is 0, a new MINOR may change the interface. */
#define FASTRNN_VERSION_MAJOR 0
#define FASTRNN_VERSION_MINOR 1
#define FASTRNN_VERSION_PATCH 0

/* Of the binary interface, and the SOVERSION of the shared library: raised with every release in which a program that
 * was compiled against an older one would not run. docs/embedding.md has the policy. */
#define FASTRNN_ABI_VERSION 1

#define FASTRNN_STRING_OF(x) #x
#define FASTRNN_JOIN_VERSION(major, minor, patch) \
  FASTRNN_STRING_OF(major) "." FASTRNN_STRING_OF(minor) "." FASTRNN_STRING_OF(patch)
/* "0.1.0" */
#define FASTRNN_VERSION_STRING FASTRNN_JOIN_VERSION(FASTRNN_VERSION_MAJOR, FASTRNN_VERSION_MINOR, FASTRNN_VERSION_PATCH)

#endif
