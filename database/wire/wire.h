// The border between Go and C++. Pointers are DuckDB's own handles of its C API.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

// hs_wire_type is the type that values of a logical type leave with, a new handle, with
// signed integers in the place of unsigned ones where no_unsigned asks for it; *same says
// that it is the type itself, and that its values leave as they are.
void *hs_wire_type(void *type, bool no_unsigned, bool *same);

// hs_wire_cast makes a chunk of these n types from one of others; a NULL type leaves
// its column as it is. Where it is leaving for Arrow, intervals that Arrow cannot hold
// fail. NULL on failure, with DuckDB's rendered message in *error, to be freed.
void *hs_wire_cast(void *connection, void *chunk, void **types, size_t n, bool leaving, char **error);

// hs_wire_union is a UNION's value, its member cast to the member's type; NULL on failure.
void *hs_wire_union(void *type, size_t tag, void *value);

#ifdef __cplusplus
}
#endif
