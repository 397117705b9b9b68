# The library as others link it: shared and static from the objects of fastrnn_core, which are compiled once, and what
# is installed of it: libraries, headers, a CMake package and a pkg-config file.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
if(SKBUILD)
  set(CMAKE_INSTALL_LIBDIR lib)  # a wheel is its own prefix
endif()
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/fastrnn)

add_library(fastrnn SHARED)
target_link_libraries(fastrnn PRIVATE fastrnn_core)
set_target_properties(fastrnn PROPERTIES VERSION ${FASTRNN_ABI_VERSION} SOVERSION ${FASTRNN_ABI_VERSION}
  LINKER_LANGUAGE CXX)
# Exports what the map names; all symbols are bound when the library is loaded, and the tables of them read-only then.
function(fastrnn_exports target map)
  if(UNIX AND NOT APPLE)
    target_link_options(${target} PRIVATE -Wl,--version-script=${map} -Wl,-z,relro -Wl,-z,now)
    set_target_properties(${target} PROPERTIES LINK_DEPENDS ${map})
  endif()
endfunction()
fastrnn_exports(fastrnn ${PROJECT_SOURCE_DIR}/cmake/exports.map)
add_library(fastrnn_static STATIC $<TARGET_OBJECTS:fastrnn_core>)
set_target_properties(fastrnn_static PROPERTIES OUTPUT_NAME fastrnn LINKER_LANGUAGE CXX)
target_link_libraries(fastrnn_static PUBLIC Threads::Threads)
if(NOT fastrnn_no_cuda)
  # The shared library has CUDA's static runtime inside; who links the installed archive has to find it (the package does).
  target_link_libraries(fastrnn_static PUBLIC $<BUILD_INTERFACE:${FASTRNN_CUDART}> ${CMAKE_DL_LIBS} rt)
  get_filename_component(FASTRNN_CUDART_DIR ${FASTRNN_CUDART} DIRECTORY)
endif()

foreach(target fastrnn fastrnn_static)
  add_library(fastrnn::${target} ALIAS ${target})
  target_include_directories(${target} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/csrc/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${target} INTERFACE cxx_std_17)
endforeach()

if(NOT FASTRNN_INSTALL)
  return()
endif()
set(installed fastrnn fastrnn_static)
if(SKBUILD)
  set(namelink NAMELINK_SKIP)  # no symbolic links in a wheel: the CMake package and Python name the file itself
  set(installed fastrnn)  # the static library would be two fifths of the wheel
endif()
install(TARGETS ${installed} EXPORT fastrnn-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ${namelink}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/csrc/include/fastrnn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT fastrnn-targets NAMESPACE fastrnn:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/fastrnn-config.cmake.in fastrnn-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(fastrnn-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fastrnn-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/fastrnn-config-version.cmake
  DESTINATION ${package_dir})
# Relocatable: the prefix is found from where the file lies.
file(RELATIVE_PATH FASTRNN_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
set(FASTRNN_PC_LIBRARY fastrnn)
if(SKBUILD)
  set(FASTRNN_PC_PREFIX ../..)
  set(FASTRNN_PC_LIBRARY :libfastrnn.so.${FASTRNN_ABI_VERSION})  # without a link, -lfastrnn is the static library
  set(FASTRNN_PC_RPATH " -Wl,-rpath,\${libdir}")  # no system loader looks into a Python package
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/fastrnn.pc.in fastrnn.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fastrnn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
