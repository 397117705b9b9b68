# FASTRNN_VERSION and FASTRNN_ABI_VERSION, from the header in which they stand.
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/../csrc/include/fastrnn/version.h lines
  REGEX "^#define FASTRNN_(VERSION_(MAJOR|MINOR|PATCH)|ABI_VERSION) ")
foreach(line ${lines})
  string(REGEX MATCH "^#define (FASTRNN_[A-Z_]+) ([0-9]+)$" matched "${line}")
  set(${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()
set(FASTRNN_VERSION ${FASTRNN_VERSION_MAJOR}.${FASTRNN_VERSION_MINOR}.${FASTRNN_VERSION_PATCH})
