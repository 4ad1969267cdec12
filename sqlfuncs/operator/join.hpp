// Joins whose condition needs the model. An inner one becomes pairs and a filter
// above them, which the operator answers as it does any filter; the pairs come in
// the order in which consecutive prompts begin alike. Other kinds of join need the condition's
// value inside: there the calls run in place, after the cheap conditions.
#pragma once
#include "extract.hpp"
#include "pairs.hpp"
#include "duckdb/optimizer/optimizer.hpp"
#include "duckdb/planner/operator/logical_any_join.hpp"
#include "duckdb/planner/operator/logical_comparison_join.hpp"
#include "duckdb/planner/operator/logical_filter.hpp"
#include "duckdb/planner/operator/logical_get.hpp"

namespace hyprstream {

//! Turns an inner join with a dear condition into a filter over pairs: true. Of
//! another join orders the condition: false.
bool RewriteAnyJoin(ClientContext &context, unique_ptr<LogicalOperator> &op);
//! Makes pairs of the cross product, or nearly one, below a filter or projection with calls.
void RewriteCrossProduct(ClientContext &context, LogicalOperator &parent);

//! The two sides of a join, as what a prompt begins with sees them.
struct Sides {
	ClientContext &context;
	LogicalOperator &left, &right;
	enum Side { NONE, LEFT, RIGHT };
	struct Found {
		Side side = NONE;
		string name; //! of the column
	};

	static bool Has(LogicalOperator &op, const ColumnBinding &b) {
		auto all = op.GetColumnBindings();
		return std::find(all.begin(), all.end(), b) != all.end();
	}
	//! The side of the first column in e, in reading order.
	Found First(const Expression &e) const {
		if (e.GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF) {
			auto &b = e.Cast<BoundColumnRefExpression>().binding;
			return {Has(left, b) ? LEFT : Has(right, b) ? RIGHT : NONE, e.GetName()};
		}
		Found r;
		ExpressionIterator::EnumerateChildren(e, [&](const Expression &c) { r = r.side == NONE ? First(c) : r; });
		return r;
	}
	//! The side that the prompt of a call begins with. What says how to answer stands before the text, what
	//! is scored after it.
	Found Begins(const Expression &call) const {
		auto &spec = *IsCall(call);
		auto &args = call.Cast<BoundFunctionExpression>().children;
		if (spec.name == "__ai_match") {
			auto a = First(*args[1]), b = First(*args[2]);
			if (a.side != NONE && b.side != NONE && a.side != b.side) {
				return LeftIsPrefix(a.side == LEFT ? *args[1] : *args[2], a.side == LEFT ? *args[2] : *args[1])
				           ? (a.side == LEFT ? a : b)
				           : (a.side == LEFT ? b : a);
			}
		}
		Found r, text, last;
		for (idx_t i = 0; i < args.size(); i++) {
			auto &place = i == 1 ? text : spec.args[i] == "continuation" ? last : r;
			place = place.side == NONE ? First(*args[i]) : place;
		}
		return r.side != NONE ? r : text.side != NONE ? text : last;
	}
	//! Of two texts the longer is asked first. Unknown lengths: the side of more rows, so
	//! that the shorter side's rows follow each other within one batch.
	bool LeftIsPrefix(const Expression &l, const Expression &r) const {
		auto a = Length(l, left), b = Length(r, right);
		if (a.IsValid() && b.IsValid() && a.GetIndex() != b.GetIndex()) {
			return a.GetIndex() > b.GetIndex();
		}
		return left.EstimateCardinality(context) >= right.EstimateCardinality(context);
	}
	//! The greatest length in bytes of a table's column, where its statistics know it.
	optional_idx Length(const Expression &e, LogicalOperator &op) const {
		if (e.GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF || e.return_type.id() != LogicalTypeId::VARCHAR) {
			return optional_idx();
		}
		auto &b = e.Cast<BoundColumnRefExpression>().binding;
		if (op.type != LogicalOperatorType::LOGICAL_GET) {
			for (auto &c : op.children) {
				auto r = Length(e, *c);
				if (r.IsValid()) {
					return r;
				}
			}
			return optional_idx();
		}
		auto &get = op.Cast<LogicalGet>();
		auto &columns = get.GetColumnIds();
		if (get.table_index != b.table_index || b.column_index >= columns.size()) {
			return optional_idx();
		}
		unique_ptr<BaseStatistics> stats;
		if (get.function.statistics_extended) {
			TableFunctionGetStatisticsInput input(get.bind_data.get(), columns[b.column_index]);
			stats = get.function.statistics_extended(context, input);
		} else if (get.function.statistics) {
			stats = get.function.statistics(context, get.bind_data.get(), columns[b.column_index].GetPrimaryIndex());
		}
		if (!stats || stats->GetType().id() != LogicalTypeId::VARCHAR || !StringStats::HasMaxStringLength(*stats)) {
			return optional_idx();
		}
		return StringStats::MaxStringLength(*stats);
	}
};

//! Calls f with the outermost liftable calls in e.
template <class F>
static void EachCall(const Expression &e, F &&f) {
	if (IsLiftable(e)) {
		return f(e);
	}
	ExpressionIterator::EnumerateChildren(e, [&](const Expression &c) { EachCall(c, f); });
}

static unique_ptr<LogicalPairs> MakePairs(ClientContext &context, vector<unique_ptr<LogicalOperator>> &children,
                                          const vector<unique_ptr<Expression>> &expressions) {
	Sides sides {context, *children[0], *children[1]};
	Sides::Found found;
	for (auto &e : expressions) {
		EachCall(*e, [&](const Expression &call) { found = found.side == Sides::NONE ? sides.Begins(call) : found; });
	}
	idx_t first = found.side == Sides::RIGHT ? 1 : 0;
	return make_uniq<LogicalPairs>(std::move(children[first]), std::move(children[1 - first]), found.name);
}

//! Positions of the columns out among op's.
static vector<idx_t> Positions(LogicalOperator &op, const vector<ColumnBinding> &out) {
	auto all = op.GetColumnBindings();
	vector<idx_t> r;
	for (auto &b : out) {
		r.push_back(std::find(all.begin(), all.end(), b) - all.begin());
	}
	return r;
}

bool RewriteAnyJoin(ClientContext &context, unique_ptr<LogicalOperator> &op) {
	auto &join = op->Cast<LogicalAnyJoin>();
	if (!HasLiftable(*join.condition)) {
		return false;
	}
	vector<unique_ptr<Expression>> conditions;
	conditions.push_back(std::move(join.condition));
	LogicalFilter::SplitPredicates(conditions);
	if (join.join_type != JoinType::INNER) {
		std::stable_partition(conditions.begin(), conditions.end(),
		                      [](const unique_ptr<Expression> &e) { return !HasLiftable(*e); });
		for (auto &c : conditions) {
			join.condition = join.condition ? make_uniq<BoundConjunctionExpression>(ExpressionType::CONJUNCTION_AND,
			                                                                        std::move(join.condition), std::move(c))
			                                : std::move(c);
		}
		return false;
	}
	auto out = join.GetColumnBindings();
	auto filter = make_uniq<LogicalFilter>();
	if (join.has_estimated_cardinality) {
		filter->SetEstimatedCardinality(join.estimated_cardinality);
	}
	filter->children.push_back(MakePairs(context, join.children, conditions));
	filter->expressions = std::move(conditions);
	// Whatever order the pairs' columns are in, above they stand as before.
	filter->projection_map = Positions(*filter->children[0], out);
	op = std::move(filter);
	return true;
}

//! An inner join that only leaves pairs out here and there, as a.id <> b.id does.
static bool IsNearlyCross(LogicalOperator &op) {
	if (op.type == LogicalOperatorType::LOGICAL_CROSS_PRODUCT) {
		auto &right = *op.children[1]; // one row makes no pairs: a text that was hoisted
		return right.children.empty() || right.children[0]->type != LogicalOperatorType::LOGICAL_DUMMY_SCAN;
	}
	if (op.type != LogicalOperatorType::LOGICAL_COMPARISON_JOIN) {
		return false;
	}
	auto &join = op.Cast<LogicalComparisonJoin>();
	for (auto &c : join.conditions) {
		if ((c.comparison != ExpressionType::COMPARE_NOTEQUAL && c.comparison != ExpressionType::COMPARE_DISTINCT_FROM) ||
		    HasLiftable(*c.left) || HasLiftable(*c.right)) {
			return false;
		}
	}
	return join.join_type == JoinType::INNER;
}

void RewriteCrossProduct(ClientContext &context, LogicalOperator &parent) {
	auto &child = parent.children[0];
	bool dear = false;
	for (auto &e : parent.expressions) {
		dear = dear || HasLiftable(*e);
	}
	if (!dear || !IsNearlyCross(*child)) {
		return;
	}
	auto filter = make_uniq<LogicalFilter>();
	if (child->type == LogicalOperatorType::LOGICAL_COMPARISON_JOIN) {
		for (auto &c : child->Cast<LogicalComparisonJoin>().conditions) {
			filter->expressions.push_back(JoinCondition::CreateExpression(std::move(c)));
		}
	}
	if (child->has_estimated_cardinality) {
		filter->SetEstimatedCardinality(child->estimated_cardinality);
	}
	auto out = child->GetColumnBindings();
	filter->children.push_back(MakePairs(context, child->children, parent.expressions));
	filter->projection_map = Positions(*filter->children[0], out);
	child = std::move(filter);
}
} // namespace hyprstream
