// Pulling calls out of one expression, with the conditions under which SQL
// would have evaluated them.
#pragma once
#include "functions.hpp"

namespace hyprstream {

//! A call that the operator may take.
bool IsLiftable(const Expression &e);
//! A liftable call is e, or anywhere inside.
bool HasLiftable(const Expression &e);
//! A liftable call is inside e, not e itself.
bool IsNested(const Expression &e);
bool References(const Expression &e, const ColumnBinding &b);

//! Moves liftable calls into requests and puts references to (table_index, position)
//! in their places. Takes only calls whose arguments hold no call and whose
//! conditions can be evaluated twice (their names go to calls); the others stay for another round, or run in place.
void Extract(unique_ptr<Expression> &e, idx_t table_index, vector<unique_ptr<Expression>> &requests, vector<string> &calls,
             optional_ptr<const Expression> guard = nullptr);
} // namespace hyprstream
