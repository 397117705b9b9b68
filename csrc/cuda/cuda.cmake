# What is added to fastrnn_core where the CUDA backend is built; cmake/find-cuda.cmake has found nvcc by then. Host code
# is C++ and goes to the C++ compiler; nvcc parses nothing but kernels. No relocatable device code: a kernel is whole in
# its file, and the C++ linker links all.
target_include_directories(fastrnn_core SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_compile_definitions(fastrnn_core PRIVATE FASTRNN_CUDA)
set_target_properties(fastrnn_core PROPERTIES
  CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}"
  CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}"
  CUDA_STANDARD 17
  CUDA_VISIBILITY_PRESET hidden)
target_sources(fastrnn_core PRIVATE
  cuda/runtime/blaslt.cc
  cuda/runtime/device.cc
  cuda/run/gradients.cc
  cuda/kernels/kernel_table.cc
  cuda/kernels/resident/kernels_gru_after.cu
  cuda/kernels/resident/kernels_gru_before.cu
  cuda/kernels/resident/kernels_gru_output.cu
  cuda/kernels/resident/kernels_lstm.cu
  cuda/kernels/dense/kernels_norm.cu
  cuda/kernels/dense/kernels_product.cu
  cuda/kernels/resident/kernels_rnn.cu
  cuda/kernels/dense/kernels_rows.cu
  cuda/kernels/graph/kernels_step_ends.cu
  cuda/kernels/graph/kernels_steps.cu
  cuda/run/run.cc
  cuda/run/run_device.cc
  cuda/run/run_stack.cc
  cuda/run/run_steps.cc
  cuda/run/run_steps_back.cc
  cuda/runtime/runtime_cuda.cc)
target_link_libraries(fastrnn_core PRIVATE ${FASTRNN_CUDART} ${CMAKE_DL_LIBS} rt)
