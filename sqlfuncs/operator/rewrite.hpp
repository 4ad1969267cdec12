// Where the operator goes. A call at the top of a projection travels upward as a
// packed request in the place of its answer, past everything that only moves rows
// (TopN, LIMIT, filters, joins), and is answered where something first needs it;
// a call inside an expression is answered below that expression. What is not
// handled here stays where it is and runs in place.
#pragma once
#include "duckdb.hpp"
#include "duckdb/optimizer/optimizer_extension.hpp"
#include "extract.hpp"
#include "inference.hpp"
#include "join.hpp"
#include "duckdb/optimizer/optimizer.hpp"
#include "duckdb/planner/binder.hpp"
#include "duckdb/planner/expression/bound_columnref_expression.hpp"
#include "duckdb/planner/expression_iterator.hpp"
#include "duckdb/planner/logical_operator_visitor.hpp"
#include "duckdb/planner/operator/logical_filter.hpp"
#include "duckdb/planner/operator/logical_order.hpp"
#include "duckdb/planner/operator/logical_projection.hpp"

namespace hyprstream {
//! The optimizer hook: lifts calls out of expressions into LogicalInference.
void Rewrite(duckdb::OptimizerExtensionInput &input, duckdb::unique_ptr<duckdb::LogicalOperator> &plan);

struct Rewriter {
	Optimizer &optimizer;
	//! A column that still holds requests, and whose.
	struct Request {
		ColumnBinding column;
		Called call;
	};
	typedef vector<Request> Deferred;

	static bool Uses(LogicalOperator &op, const ColumnBinding &b) {
		bool r = false;
		LogicalOperatorVisitor::EnumerateExpressions(
		    op, [&](unique_ptr<Expression> *e) { r = r || References(**e, b); });
		return r;
	}
	static bool HasCalls(LogicalOperator &op) {
		bool r = false;
		LogicalOperatorVisitor::EnumerateExpressions(op,
		                                             [&](unique_ptr<Expression> *e) { r = r || HasLiftable(**e); });
		return r;
	}
	static void Keep(vector<idx_t> &projection_map, idx_t n) {
		for (idx_t i = 0; projection_map.size() < n && i < n; i++) {
			projection_map.push_back(i);
		}
	}

	unique_ptr<LogicalInference> Wrap(unique_ptr<LogicalOperator> child) {
		auto r = make_uniq<LogicalInference>();
		if (child->has_estimated_cardinality) {
			r->SetEstimatedCardinality(child->estimated_cardinality);
		}
		r->children.push_back(std::move(child));
		return r;
	}
	//! Answers the deferred columns of child, which something above is about to read.
	void Force(unique_ptr<LogicalOperator> &child, Deferred &d) {
		if (d.empty()) {
			return;
		}
		auto w = Wrap(std::move(child));
		w->table_index = optimizer.binder.GenerateTableIndex();
		for (auto &r : d) {
			w->forced.push_back(r.column);
			w->calls.push_back(r.call);
		}
		d.clear();
		child = std::move(w);
	}
	//! Lifts the calls in op's expressions below op, one operator per level of nesting.
	void LiftBelow(LogicalOperator &op) {
		while (true) {
			auto ti = optimizer.binder.GenerateTableIndex();
			vector<unique_ptr<Expression>> requests;
			vector<Called> calls;
			LogicalOperatorVisitor::EnumerateExpressions(
			    op, [&](unique_ptr<Expression> *e) { Extract(*e, ti, requests, calls); });
			if (requests.empty()) {
				return;
			}
			auto w = Wrap(std::move(op.children[0]));
			w->table_index = ti;
			w->calls = std::move(calls);
			w->expressions = std::move(requests);
			op.children[0] = std::move(w);
		}
	}

	//! Cheap conjuncts go below the ones that need the model, in a filter of their own.
	static void SplitFilter(LogicalFilter &f, const Deferred &dear_columns) {
		vector<unique_ptr<Expression>> cheap, dear;
		for (auto &e : f.expressions) {
			bool is_dear = HasLiftable(*e) || IsCall(*e);
			for (auto &b : dear_columns) {
				is_dear = is_dear || References(*e, b.column);
			}
			// A volatile predicate keeps its place among the others.
			(is_dear || e->IsVolatile() ? dear : cheap).push_back(std::move(e));
		}
		f.expressions = std::move(dear);
		if (cheap.empty()) {
			return;
		}
		auto lower = make_uniq<LogicalFilter>();
		lower->expressions = std::move(cheap);
		lower->children.push_back(std::move(f.children[0]));
		if (f.has_estimated_cardinality) {
			lower->SetEstimatedCardinality(f.estimated_cardinality);
		}
		f.children[0] = std::move(lower);
	}

	//! Operators whose output is their child's rows: fewer, more, or in another order.
	Deferred VisitPassing(LogicalOperator &op, Deferred &below) {
		Deferred up, now;
		for (auto &b : below) {
			(Uses(op, b.column) ? now : up).push_back(b);
		}
		bool calls = HasCalls(op);
		if (op.type == LogicalOperatorType::LOGICAL_FILTER && (calls || !now.empty())) {
			SplitFilter(op.Cast<LogicalFilter>(), now);
		}
		Force(op.children[0], now);
		if (calls) {
			// What is appended below must not show above: only these two can hide it.
			auto n = op.children[0]->GetColumnBindings().size();
			if (op.type == LogicalOperatorType::LOGICAL_FILTER) {
				auto &map = op.Cast<LogicalFilter>().projection_map;
				if (map.empty()) {
					Keep(map, n);
				}
				LiftBelow(op);
			} else if (op.type == LogicalOperatorType::LOGICAL_ORDER_BY) {
				auto &map = op.Cast<LogicalOrder>().projection_map;
				if (map.empty()) {
					Keep(map, n);
				}
				LiftBelow(op);
			}
		}
		return StillThere(op, up);
	}
	//! The deferred columns that op hands on.
	static Deferred StillThere(LogicalOperator &op, const Deferred &d) {
		Deferred r;
		auto out = op.GetColumnBindings();
		for (auto &b : d) {
			if (std::find(out.begin(), out.end(), b.column) != out.end()) {
				r.push_back(b);
			}
		}
		return r;
	}

	Deferred VisitJoin(LogicalOperator &op, vector<Deferred> &below) {
		Deferred up;
		for (idx_t i = 0; i < 2; i++) {
			Deferred now;
			for (auto &b : below[i]) {
				(Uses(op, b.column) ? now : up).push_back(b);
			}
			Force(op.children[i], now);
		}
		return StillThere(op, up);
	}

	Deferred VisitProjection(LogicalProjection &p, Deferred &below) {
		Deferred now, up;
		for (auto &b : below) {
			bool computed = false;
			for (auto &e : p.expressions) {
				computed = computed ||
				           (e->GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF && References(*e, b.column));
			}
			if (computed) {
				now.push_back(b);
				continue;
			}
			for (idx_t i = 0; i < p.expressions.size(); i++) {
				if (References(*p.expressions[i], b.column)) {
					p.expressions[i]->return_type = LogicalType::VARCHAR; // the request, not the answer
					up.push_back({ColumnBinding(p.table_index, i), b.call});
				}
			}
		}
		Force(p.children[0], now);
		// The outermost call of a column stays, as a request; what is inside it is answered below.
		vector<bool> outermost(p.expressions.size());
		for (idx_t i = 0; i < p.expressions.size(); i++) {
			outermost[i] = IsLiftable(*p.expressions[i]);
		}
		LiftNested(p, outermost);
		for (idx_t i = 0; i < p.expressions.size(); i++) {
			if (outermost[i] && !IsNested(*p.expressions[i])) {
				up.push_back({ColumnBinding(p.table_index, i), ToRequest(*p.expressions[i])});
			}
		}
		return up;
	}
	void LiftNested(LogicalProjection &p, const vector<bool> &outermost) {
		while (true) {
			auto ti = optimizer.binder.GenerateTableIndex();
			vector<unique_ptr<Expression>> requests;
			vector<Called> calls;
			for (idx_t i = 0; i < p.expressions.size(); i++) {
				auto &e = p.expressions[i];
				if (!outermost[i]) {
					Extract(e, ti, requests, calls);
				} else if (IsNested(*e)) {
					ExpressionIterator::EnumerateChildren(
					    *e, [&](unique_ptr<Expression> &c) { Extract(c, ti, requests, calls); });
				}
			}
			if (requests.empty()) {
				return;
			}
			auto w = Wrap(std::move(p.children[0]));
			w->table_index = ti;
			w->calls = std::move(calls);
			w->expressions = std::move(requests);
			p.children[0] = std::move(w);
		}
	}

	//! An inner join with a dear condition is a filter over pairs.
	Deferred VisitAnyJoin(unique_ptr<LogicalOperator> &op, vector<Deferred> &below) {
		for (idx_t i = 0; i < 2; i++) {
			Force(op->children[i], below[i]);
		}
		Deferred none;
		return RewriteAnyJoin(optimizer.GetContext(), op) ? VisitPassing(*op, none) : none;
	}

	Deferred Visit(unique_ptr<LogicalOperator> &op) {
		if (op->type == LogicalOperatorType::LOGICAL_FILTER || op->type == LogicalOperatorType::LOGICAL_PROJECTION) {
			RewriteCrossProduct(optimizer.GetContext(), *op);
		}
		vector<Deferred> below;
		for (auto &c : op->children) {
			below.push_back(Visit(c));
		}
		switch (op->type) {
		case LogicalOperatorType::LOGICAL_TOP_N:
		case LogicalOperatorType::LOGICAL_LIMIT:
		case LogicalOperatorType::LOGICAL_ORDER_BY:
		case LogicalOperatorType::LOGICAL_SAMPLE:
		case LogicalOperatorType::LOGICAL_WINDOW:
		case LogicalOperatorType::LOGICAL_FILTER:
			return VisitPassing(*op, below[0]);
		case LogicalOperatorType::LOGICAL_COMPARISON_JOIN:
			return VisitJoin(*op, below);
		case LogicalOperatorType::LOGICAL_ANY_JOIN:
			return VisitAnyJoin(op, below);
		case LogicalOperatorType::LOGICAL_PROJECTION:
			return VisitProjection(op->Cast<LogicalProjection>(), below[0]);
		case LogicalOperatorType::LOGICAL_AGGREGATE_AND_GROUP_BY:
			Force(op->children[0], below[0]);
			LiftBelow(*op);
			return Deferred();
		default:
			for (idx_t i = 0; i < below.size(); i++) {
				Force(op->children[i], below[i]);
			}
			return Deferred();
		}
	}
};

void Rewrite(OptimizerExtensionInput &input, unique_ptr<LogicalOperator> &plan) {
	Rewriter r {input.optimizer};
	auto d = r.Visit(plan);
	r.Force(plan, d);
}
} // namespace hyprstream
