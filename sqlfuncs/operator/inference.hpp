// The operator that answers packed requests: logical and physical.
#pragma once
#include "batch.hpp"
#include "duckdb/planner/operator/logical_extension_operator.hpp"

namespace hyprstream {

//! Above its child: replaces packed requests in place (forced), and appends the
//! answers to the requests that its expressions make.
struct LogicalInference : public LogicalExtensionOperator {
	idx_t table_index = 0;        //! of the appended columns
	vector<ColumnBinding> forced; //! child columns that hold packed requests
	vector<string> calls;         //! names of what is answered, for EXPLAIN

	vector<ColumnBinding> GetColumnBindings() override;
	void ResolveTypes() override;
	vector<idx_t> GetTableIndex() const override;
	string GetName() const override;
	bool SupportSerialization() const override;
	string GetExtensionName() const override;
	void ResolveColumnBindings(ColumnBindingResolver &res, vector<ColumnBinding> &bindings) override;
	PhysicalOperator &CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) override;

private:
	vector<idx_t> positions; //! of forced, among the child's columns
};
} // namespace hyprstream
