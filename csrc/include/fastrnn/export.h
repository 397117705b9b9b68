/* What the shared library exports: everything else in it is hidden. C99 and C++. */
#ifndef FASTRNN_EXPORT_H
#define FASTRNN_EXPORT_H

#if defined(__GNUC__)
#define FASTRNN_API __attribute__((visibility("default")))
#else
#define FASTRNN_API
#endif

#endif
