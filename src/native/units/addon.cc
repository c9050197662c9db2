// Several files in one compilation, since most of a file's goes into headers. `test:sanitized` compiles each by itself.
#include "../binding.cc"
#include "../json.cc"
#include "../paths.cc"
#include "../report_json.cc"
#include "../reports.cc"
#include "../table.cc"
#include "../table_reader.cc"
