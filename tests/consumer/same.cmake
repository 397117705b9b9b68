# All programs print the same.
foreach(program ${PROGRAMS})
  execute_process(COMMAND ./${program} ${MODEL} OUTPUT_VARIABLE text RESULT_VARIABLE status)
  if(NOT status EQUAL 0 OR (DEFINED first AND NOT text STREQUAL first))
    message(FATAL_ERROR "${program}: status ${status}, expected '${first}', got '${text}'")
  endif()
  set(first "${text}")
endforeach()
