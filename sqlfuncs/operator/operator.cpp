// The one translation unit: DuckDB's headers take far longer to compile than what
// is ours, so the parts are headers and are compiled together.
#include "register.hpp"
#include "guard.hpp"
#include "withhold.hpp"
#include "indexes.hpp"
#include "calls.hpp"
#include "parameters.hpp"
#include "fetch.hpp"
