#pragma once
#include "duckdb.hpp"
#include "duckdb/optimizer/optimizer_extension.hpp"

namespace hyprstream {
//! The optimizer hook: lifts calls out of expressions into LogicalInference.
void Rewrite(duckdb::OptimizerExtensionInput &input, duckdb::unique_ptr<duckdb::LogicalOperator> &plan);
} // namespace hyprstream
