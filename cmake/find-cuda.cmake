# Whether the CUDA backend is built, by which nvcc and for which targets: FASTRNN_CUDA and FASTRNN_CUDA_TARGETS decide,
# and what is found here. Sets fastrnn_no_cuda to the reason why it is not built, empty if it is; then CUDA is enabled.
#
# nvcc is found by CMake's own means: CUDACXX, CMAKE_CUDA_COMPILER, CUDAToolkit_ROOT or PATH.

set(fastrnn_nvcc_wanted 12.8)  # the first to know sm_100 and sm_120
set(fastrnn_capability_wanted 8.0)

# Sets `answer` to the reason why the backend cannot be built here, empty if it can.
function(fastrnn_look_for_nvcc answer)
  if(CUDAToolkit_ROOT AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(CMAKE_CUDA_COMPILER nvcc PATHS ${CUDAToolkit_ROOT}/bin NO_DEFAULT_PATH)
  endif()
  # NVIDIA's wheels have lib/ where nvcc looks for lib64/.
  get_filename_component(bin "${CMAKE_CUDA_COMPILER}$ENV{CUDACXX}" DIRECTORY)
  if(EXISTS ${bin}/../lib/libcudart_static.a AND NOT EXISTS ${bin}/../lib64)
    set(ENV{CUDAFLAGS} "$ENV{CUDAFLAGS} -L${bin}/../lib")
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(${answer} "no nvcc that works was found (PATH, CUDACXX, CUDAToolkit_ROOT)" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE text ERROR_QUIET)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" matched "${text}")
  if(NOT matched)
    set(${answer} "${CMAKE_CUDA_COMPILER}: expected the version of an nvcc, got none" PARENT_SCOPE)
  elseif(CMAKE_MATCH_1 VERSION_LESS fastrnn_nvcc_wanted)
    set(${answer} "nvcc: expected ${fastrnn_nvcc_wanted} or later, got ${CMAKE_MATCH_1}" PARENT_SCOPE)
  else()
    set(${answer} "" PARENT_SCOPE)
  endif()
endfunction()

# Sets `answer` to the targets of this machine's GPUs, empty if it has none that the kernels run on. A GPU that only the
# device file shows (a container without nvidia-smi) gets PTX, which its driver compiles when it first runs: that without
# clusters, and that with them, of which the driver takes the latest that the device can run.
function(fastrnn_look_for_gpus answer)
  set(targets "")
  find_program(FASTRNN_NVIDIA_SMI nvidia-smi)
  if(FASTRNN_NVIDIA_SMI)
    execute_process(COMMAND ${FASTRNN_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE text ERROR_QUIET)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${text}")
    list(REMOVE_DUPLICATES capabilities)
    foreach(capability ${capabilities})
      if(NOT capability VERSION_LESS fastrnn_capability_wanted)
        string(REPLACE "." "" target "${capability}")
        list(APPEND targets ${target}-real)
      endif()
    endforeach()
  endif()
  file(GLOB nodes /dev/nvidia[0-9]*)
  if(nodes AND NOT capabilities)
    set(targets 80-virtual 90-virtual)
  endif()
  set(${answer} "${targets}" PARENT_SCOPE)
endfunction()

if(NOT FASTRNN_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "FASTRNN_CUDA: expected AUTO, ON or OFF, got ${FASTRNN_CUDA}")
endif()
set(fastrnn_no_cuda "switched off")
if(FASTRNN_CUDA STREQUAL "ON")
  # A release: machine code for every kind of device on which the kernels differ, and PTX, which has no features of one
  # device alone (90a, 100a), for those between (sm_110 takes that of 90) and to come. All kernels for all of them take
  # half an hour of one core.
  set(CMAKE_CUDA_ARCHITECTURES ${FASTRNN_CUDA_TARGETS})
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90 100-real 120)
  endif()
  fastrnn_look_for_nvcc(fastrnn_no_cuda)
  if(fastrnn_no_cuda)
    message(FATAL_ERROR "FASTRNN_CUDA=ON: ${fastrnn_no_cuda}")
  endif()
elseif(FASTRNN_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES ${FASTRNN_CUDA_TARGETS})
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    fastrnn_look_for_gpus(CMAKE_CUDA_ARCHITECTURES)
  endif()
  if(CMAKE_CUDA_ARCHITECTURES)
    fastrnn_look_for_nvcc(fastrnn_no_cuda)
  else()
    # Not looked for: that alone takes seconds.
    set(fastrnn_no_cuda "no NVIDIA GPU of compute capability ${fastrnn_capability_wanted} or later is in this machine\
 (to build it all the same: pip install . -C cmake.define.FASTRNN_CUDA=ON, and docs/cuda-build.md)")
  endif()
endif()
if(fastrnn_no_cuda)
  message(STATUS "CUDA backend: not built, ${fastrnn_no_cuda}")
else()
  message(STATUS "CUDA backend: for ${CMAKE_CUDA_ARCHITECTURES}, by ${CMAKE_CUDA_COMPILER}")
  enable_language(CUDA)
  # Not find_package(CUDAToolkit): it insists on libcudart.so, which the wheels lack under that name and nothing uses.
  get_filename_component(bin "${CMAKE_CUDA_COMPILER}" DIRECTORY)
  find_library(FASTRNN_CUDART cudart_static HINTS ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES} ${bin}/../lib64 ${bin}/../lib)
  if(NOT FASTRNN_CUDART)
    message(FATAL_ERROR "FASTRNN_CUDART: expected the static CUDA runtime beside ${CMAKE_CUDA_COMPILER}, found none")
  endif()
endif()
