// All pairs of two inputs, each left row with all right rows before the next left
// one. DuckDB's own cross product goes through the shorter input's rows first,
// whichever side that is, so that it cannot be told which text stays the same.
#pragma once
#include "duckdb.hpp"
#include "duckdb/common/types/column/column_data_collection.hpp"
#include "duckdb/execution/operator/join/physical_cross_product.hpp"
#include "duckdb/execution/physical_plan_generator.hpp"
#include "duckdb/planner/operator/logical_extension_operator.hpp"

namespace hyprstream {
using namespace duckdb;

//! Its columns are the left child's, then the right one's.
struct LogicalPairs : public LogicalExtensionOperator {
	string prefix; //! what EXPLAIN says stays the same from pair to pair

	LogicalPairs(unique_ptr<LogicalOperator> left, unique_ptr<LogicalOperator> right, string prefix_p)
	    : prefix(std::move(prefix_p)) {
		if (left->has_estimated_cardinality && right->has_estimated_cardinality) {
			auto n = double(left->estimated_cardinality) * double(right->estimated_cardinality);
			SetEstimatedCardinality(idx_t(MinValue<double>(n, 1e18)));
		}
		children.push_back(std::move(left));
		children.push_back(std::move(right));
	}
	vector<ColumnBinding> GetColumnBindings() override {
		auto b = children[0]->GetColumnBindings();
		auto r = children[1]->GetColumnBindings();
		b.insert(b.end(), r.begin(), r.end());
		return b;
	}
	void ResolveTypes() override {
		types = children[0]->types;
		types.insert(types.end(), children[1]->types.begin(), children[1]->types.end());
	}
	string GetName() const override {
		return "PAIRS";
	}
	bool SupportSerialization() const override {
		return false;
	}
	string GetExtensionName() const override {
		return "hyprstream";
	}
	PhysicalOperator &CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) override;
};

struct PairsSinkState : public GlobalSinkState {
	PairsSinkState(ClientContext &c, const vector<LogicalType> &types) : rows(c, types) {
	}
	mutex lk;
	ColumnDataCollection rows; //! of the right side
};

struct PairsState : public CachingOperatorState {
	PairsState(ColumnDataCollection &rows, OperatorCachingMode caching) {
		rows.InitializeScanChunk(right);
		initialized = true; // small chunks are put together without changing places
		can_cache_chunk = caching == OperatorCachingMode::NONE ? caching : OperatorCachingMode::ORDERED;
	}
	ColumnDataScanState scan;
	DataChunk right;
	bool scanning = false;
	idx_t row = 0; //! of the left chunk
};

class PhysicalPairs : public PhysicalCrossProduct {
public:
	PhysicalPairs(PhysicalPlan &plan, vector<LogicalType> types, PhysicalOperator &left, PhysicalOperator &right, idx_t card,
	              string prefix_p)
	    : PhysicalCrossProduct(plan, std::move(types), left, right, card), prefix(std::move(prefix_p)) {
	}
	string prefix;

	string GetName() const override {
		return "PAIRS";
	}
	InsertionOrderPreservingMap<string> ParamsToString() const override {
		InsertionOrderPreservingMap<string> r;
		r["Prefix"] = prefix;
		SetEstimatedCardinality(r, estimated_cardinality);
		return r;
	}
	unique_ptr<GlobalSinkState> GetGlobalSinkState(ClientContext &c) const override {
		return make_uniq<PairsSinkState>(c, children[1].get().GetTypes());
	}
	SinkResultType Sink(ExecutionContext &, DataChunk &in, OperatorSinkInput &input) const override {
		auto &s = input.global_state.Cast<PairsSinkState>();
		lock_guard<mutex> l(s.lk);
		s.rows.Append(in);
		return SinkResultType::NEED_MORE_INPUT;
	}
	unique_ptr<OperatorState> GetOperatorState(ExecutionContext &c) const override {
		auto caching = caching_supported ? SelectOperatorCachingMode(c) : OperatorCachingMode::NONE;
		return make_uniq<PairsState>(sink_state->Cast<PairsSinkState>().rows, caching);
	}

protected:
	OperatorResultType ExecuteInternal(ExecutionContext &, DataChunk &in, DataChunk &out, GlobalOperatorState &,
	                                   OperatorState &state) const override {
		auto &s = state.Cast<PairsState>();
		auto &rows = sink_state->Cast<PairsSinkState>().rows;
		if (rows.Count() == 0) {
			return OperatorResultType::FINISHED;
		}
		if (!s.scanning) {
			rows.InitializeScan(s.scan);
			s.scanning = true;
		}
		if (rows.Scan(s.scan, s.right) && s.right.size() > 0) {
			for (idx_t i = 0; i < in.ColumnCount(); i++) {
				ConstantVector::Reference(out.data[i], in.data[i], s.row, in.size());
			}
			for (idx_t i = 0; i < s.right.ColumnCount(); i++) {
				out.data[in.ColumnCount() + i].Reference(s.right.data[i]);
			}
			out.SetCardinality(s.right.size());
			return OperatorResultType::HAVE_MORE_OUTPUT;
		}
		s.scanning = false;
		if (++s.row < in.size()) {
			return OperatorResultType::HAVE_MORE_OUTPUT;
		}
		s.row = 0;
		return OperatorResultType::NEED_MORE_INPUT;
	}
};

PhysicalOperator &LogicalPairs::CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) {
	auto &left = planner.CreatePlan(*children[0]);
	auto &right = planner.CreatePlan(*children[1]);
	return planner.Make<PhysicalPairs>(types, left, right, estimated_cardinality, prefix);
}
} // namespace hyprstream
