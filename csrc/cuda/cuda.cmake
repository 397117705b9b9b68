# The CUDA backend, as far as FASTRNN_CUDA and the nvcc at hand allow. Included by the project's CMakeLists.txt: the
# language has to be enabled there.
#
# nvcc is found by CMake's own means: CUDACXX, CMAKE_CUDA_COMPILER, CUDAToolkit_ROOT or PATH.

# What all builds have: the choice of a tier, and the reason why there is no device.
target_sources(fastrnn_core PRIVATE
  csrc/cuda/plan/devices.cc
  csrc/cuda/run/layer.cc
  csrc/cuda/runtime/memory.cc
  csrc/cuda/plan/names.cc
  csrc/cuda/plan/plan.cc
  csrc/cuda/plan/plan_public.cc
  csrc/cuda/plan/problem.cc
  csrc/cuda/runtime/require.cc
  csrc/cuda/plan/status.cc)

set(fastrnn_nvcc_wanted 12.8)  # the first to know sm_100a and sm_120

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

# Targets, where the user names none. All kernels for all of them take half an hour of one core, so
#   ON    a release: machine code for every kind of device on which the kernels differ, and PTX for those to come
#   AUTO  whoever installs from source: the GPUs of this machine; without one PTX alone, a minute or two, which a driver
#         compiles for any device from sm_80 on when it first runs (without clusters)
function(fastrnn_choose_targets answer)
  if(FASTRNN_CUDA STREQUAL "ON")
    set(${answer} 80-real 86-real 89-real 90a-real 100a-real 120 PARENT_SCOPE)
    return()
  endif()
  set(targets "")
  find_program(FASTRNN_NVIDIA_SMI nvidia-smi)
  if(FASTRNN_NVIDIA_SMI)
    execute_process(COMMAND ${FASTRNN_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE text ERROR_QUIET)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${text}")
    list(REMOVE_DUPLICATES capabilities)
    foreach(capability ${capabilities})
      if(NOT capability VERSION_LESS 8.0)
        string(REPLACE "." "" target "${capability}")
        list(APPEND targets ${target}-real)
      endif()
    endforeach()
  endif()
  if(NOT targets)
    set(targets 80-virtual)
  endif()
  set(${answer} ${targets} PARENT_SCOPE)
endfunction()

if(NOT FASTRNN_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "FASTRNN_CUDA: expected AUTO, ON or OFF, got ${FASTRNN_CUDA}")
endif()
set(fastrnn_no_cuda "switched off")
if(FASTRNN_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES ${FASTRNN_CUDA_TARGETS})
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    fastrnn_choose_targets(CMAKE_CUDA_ARCHITECTURES)
  endif()
  fastrnn_look_for_nvcc(fastrnn_no_cuda)
  if(fastrnn_no_cuda AND FASTRNN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FASTRNN_CUDA=ON: ${fastrnn_no_cuda}")
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
  # Host code is C++ and goes to the C++ compiler; nvcc parses nothing but kernels. No relocatable device code: a kernel
  # is whole in its file, and the C++ linker links all.
  target_include_directories(fastrnn_core SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_compile_definitions(fastrnn_core PRIVATE FASTRNN_CUDA)
  set_target_properties(fastrnn_core PROPERTIES
    CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}"
    CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}"
    CUDA_STANDARD 17
    CUDA_VISIBILITY_PRESET hidden)
  target_sources(fastrnn_core PRIVATE
    csrc/cuda/runtime/blaslt.cc
    csrc/cuda/run/gradients.cc
    csrc/cuda/kernels/kernel_table.cc
    csrc/cuda/kernels/resident/kernels_gru_after.cu
    csrc/cuda/kernels/resident/kernels_gru_before.cu
    csrc/cuda/kernels/resident/kernels_gru_output.cu
    csrc/cuda/kernels/resident/kernels_lstm.cu
    csrc/cuda/kernels/dense/kernels_norm.cu
    csrc/cuda/kernels/dense/kernels_product.cu
    csrc/cuda/kernels/resident/kernels_rnn.cu
    csrc/cuda/kernels/dense/kernels_rows.cu
    csrc/cuda/kernels/graph/kernels_step_ends.cu
    csrc/cuda/kernels/graph/kernels_steps.cu
    csrc/cuda/run/run.cc
    csrc/cuda/run/run_device.cc
    csrc/cuda/run/run_stack.cc
    csrc/cuda/run/run_steps.cc
    csrc/cuda/run/run_steps_back.cc
    csrc/cuda/runtime/runtime_cuda.cc)
  target_link_libraries(fastrnn_core PRIVATE ${FASTRNN_CUDART} ${CMAKE_DL_LIBS} rt)
endif()
