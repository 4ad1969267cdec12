// llama.cpp's own conversion, behind one C function.
#include "shim.h"
#include "json-schema-to-grammar.h"
#include <cstdlib>
#include <cstring>
#include <exception>
#include <pthread.h>

static char * copy(const std::string & s) {
    char * p = static_cast<char *>(std::malloc(s.size() + 1));
    if (p != nullptr) std::memcpy(p, s.c_str(), s.size() + 1);
    return p;
}

// The conversion recurses over names, patterns and subschemas, and std::regex over every
// character: it gets a stack of its own.
static const size_t STACK = 64u << 20;

struct conversion {
    const char * schema;
    size_t       n;
    char *       grammar;
    char *       err;
};

static void * run(void * p) {
    auto * c = static_cast<conversion *>(p);
    try {
        c->grammar = copy(json_schema_to_grammar(common_json::parse(std::string(c->schema, c->n)), true));
    } catch (const std::exception & e) {
        c->err = copy(e.what());
    } catch (...) {
        c->err = copy("unknown C++ exception");
    }
    return nullptr;
}

extern "C" char * hs_grammar(const char * schema, size_t n, char ** err) {
    conversion     c {schema, n, nullptr, nullptr};
    pthread_attr_t attr;
    pthread_t      thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    int failed = pthread_create(&thread, &attr, run, &c);
    pthread_attr_destroy(&attr);
    if (failed != 0) {
        *err = copy("no thread could be started");
        return nullptr;
    }
    pthread_join(thread, nullptr);
    *err = c.err;
    return c.grammar;
}
