# cmake -DNM=... -DARCHIVE=... -P kernel_symbols.cmake: fails where a library of kernels compiled per
# instruction set defines a symbol that the linker may share with other code (weak) outside the
# namespaces of the instruction sets: that copy might need a newer CPU.
execute_process(COMMAND ${NM} -C --defined-only ${ARCHIVE}
  OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE ";" "," symbols "${symbols}")
string(REPLACE "\n" ";" symbols "${symbols}")
set(shared)
foreach(symbol IN LISTS symbols)
  if(symbol MATCHES "^[0-9a-f]+ [WVu] " AND
     NOT symbol MATCHES "quire::(portable|avx2|avx512|avx512_bf16)::")
    list(APPEND shared "${symbol}")
  endif()
endforeach()
if(shared)
  list(JOIN shared "\n  " text)
  message(FATAL_ERROR "${ARCHIVE} shares:\n  ${text}")
endif()
