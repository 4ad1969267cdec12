// llama.cpp's own conversion, behind one C function.
#include "shim.h"
#include "json-schema-to-grammar.h"
#include <cstdlib>
#include <cstring>
#include <exception>

static char * copy(const std::string & s) {
    char * p = static_cast<char *>(std::malloc(s.size() + 1));
    if (p != nullptr) std::memcpy(p, s.c_str(), s.size() + 1);
    return p;
}

extern "C" char * hs_grammar(const char * schema, size_t n, char ** err) {
    try {
        return copy(json_schema_to_grammar(common_json::parse(std::string(schema, n)), true));
    } catch (const std::exception & e) {
        *err = copy(e.what());
    } catch (...) {
        *err = copy("unknown C++ exception");
    }
    return nullptr;
}
