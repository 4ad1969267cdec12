#pragma once
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
// The GBNF of a JSON schema, or NULL and what is wrong with it; both malloc'ed.
char * hs_grammar(const char * schema, size_t n, char ** err);
#ifdef __cplusplus
}
#endif
